#include "haul/limit.h"

#include <stdio.h>
#include <string.h>

static double sum_of(const double stages[PH_N_STAGES])
{
    double sum = 0;
    for (int i = 0; i < PH_N_STAGES; i++)
        sum += stages[i];
    return sum;
}

void ph_limit_shares(const double stages[PH_N_STAGES], bool extract, bool load,
                     struct ph_limit_shares *out)
{
    double sum = sum_of(stages) - stages[PH_STAGE_THROTTLED];
    *out = (struct ph_limit_shares){0};
    if (!(sum > 0))
        return;
    out->source = stages[PH_STAGE_SOURCE_WAIT] + (load ? stages[PH_STAGE_SPILL_READ] : 0);
    out->target = stages[PH_STAGE_TARGET_WAIT] + stages[PH_STAGE_COMMIT_WAIT] +
                  (extract ? stages[PH_STAGE_SPILL_WRITE] : 0);
    out->source /= sum;
    out->target /= sum;
    out->self = 1 - out->source - out->target;
    if (out->self < 0)
        out->self = 0;
}

/* Who limits, and the stages that say so; of these the longest is named. */
static const struct party {
    const char *name;
    struct {
        enum ph_stage stage;
        const char *words;
    } part[4];
    int n;
} parties[] = {
    {"source", {{PH_STAGE_SOURCE_WAIT, "waiting for COPY TO"}}, 1},
    {"target",
     {{PH_STAGE_TARGET_WAIT, "waiting for COPY FROM"},
      {PH_STAGE_COMMIT_WAIT, "waiting for COMMIT"}},
     2},
    {"the files' disk",
     {{PH_STAGE_SPILL_WRITE, "writing files"}, {PH_STAGE_SPILL_READ, "reading files"}},
     2},
    {"mover",
     {{PH_STAGE_SOURCE_READ, "taking rows from the source"},
      {PH_STAGE_FINGERPRINT, "fingerprinting"},
      {PH_STAGE_COMPRESS, "compressing"},
      {PH_STAGE_TARGET_WRITE, "handing rows to the target"}},
     4},
    {"the rate", {{PH_STAGE_THROTTLED, "held back"}}, 1},
};

enum { PARTIES = sizeof parties / sizeof *parties, TARGET = 1 };

static double time_of(const struct party *p, const double stages[PH_N_STAGES], const char **words)
{
    double sum = 0, most = -1;
    for (int i = 0; i < p->n; i++) {
        double part = stages[p->part[i].stage];
        sum += part;
        if (part > most) {
            most = part;
            *words = p->part[i].words;
        }
    }
    return sum;
}

static int percent(double share)
{
    return (int)(share * 100 + 0.5);
}

static void say_balance(const double stages[PH_N_STAGES], double sum, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "balanced");
    for (int i = 0; i < PARTIES; i++) {
        const char *words;
        int share = percent(time_of(&parties[i], stages, &words) / sum);
        if (share > 0 && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s %s %d %%", n > 8 ? "," : ":",
                                  parties[i].name, share);
    }
}

void ph_limit_words(const double stages[PH_N_STAGES], const char *busy, char *out, size_t size)
{
    double sum = sum_of(stages), most = 0;
    const char *words = "";
    int who = -1;
    out[0] = '\0';
    if (!(sum > 0))
        return;
    for (int i = 0; i < PARTIES; i++) {
        const char *these = "";
        double share = time_of(&parties[i], stages, &these) / sum;
        if (share > most) {
            most = share;
            words = these;
            who = i;
        }
    }
    if (most < 0.5)
        say_balance(stages, sum, out, size);
    else
        snprintf(out, size, "%s is the limit: %d %% of the time %s%s%s", parties[who].name,
                 percent(most), words, who == TARGET && busy && *busy ? "; " : "",
                 who == TARGET && busy ? busy : "");
}

const char *ph_limit_event(const char *wait_event)
{
    static const struct {
        const char *event, *words;
    } known[] = {
        {"WALSync", "WAL flush"},
        {"WALWrite", "WAL write"},
        {"WALWriteLock", "WAL flush"},
        {"WALInsert", "WAL insert"},
        {"WALBufMapping", "WAL buffers"},
        {"WALInitSync", "new WAL files"},
        {"WALInitWrite", "new WAL files"},
        {"extend", "relation extension"},
        {"DataFileExtend", "relation extension"},
        {"DataFileFlush", "data file flush"},
        {"DataFileRead", "data file read"},
        {"DataFileWrite", "data file write"},
        {"BufferContent", "buffer locks"},
        {"BufferMapping", "shared buffers"},
        {"transactionid", "a lock of another transaction"},
        {"relation", "a table lock"},
        {"tuple", "a row lock"},
        {"SyncRep", "a synchronous standby"},
        {"CPU", "its CPU"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(wait_event, known[i].event))
            return known[i].words;
    return wait_event;
}

/* Writing an extract's history. Reading it is journal_read.c's. */
#include "ledger/journal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/file.h"
#include "ledger/journal_name.h"

/* A text of another encoding than UTF-8 becomes legible at least. */
static json_t *text_of(const char *text)
{
    if (!text)
        return json_null();
    json_t *string = json_string(text);
    char *ascii = string ? NULL : strdup(text);
    for (char *p = ascii; p && *p; p++)
        *p = (unsigned char)*p < 0x80 ? *p : '?';
    if (!string)
        string = json_string(ascii ? ascii : "");
    free(ascii);
    return string;
}

/* Takes the object over. */
static void add_line(struct ph_buf *out, const char *kind, json_t *what)
{
    json_t *line = json_pack("{s:o}", kind, what);
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(14)) : NULL;
    if (text)
        ph_buf_addf(out, "%s\n", text);
    free(text);
    json_decref(line);
}

static bool append(int dir, const char *shown, struct ph_buf *lines, bool durable,
                   struct ph_err *err)
{
    bool ok = lines->len == 0 ||
              ph_file_append(dir, shown, PH_JOURNAL_NAME, lines->data, lines->len, durable, err);
    ph_buf_fini(lines);
    return ok;
}

bool ph_journal_begin(const struct ph_journal *j, int pid, const char *host, const char *facts,
                      struct ph_err *err)
{
    struct ph_buf lines = {0};
    json_t *object = facts ? json_loads(facts, 0, NULL) : NULL;
    double now = (double)time(NULL) - (ph_clock_s() - j->begin_s);
    add_line(&lines, "run",
             json_pack("{s:f, s:i, s:o, s:o}", "at", now, "pid", pid, "host", text_of(host),
                       "facts", object ? object : json_null()));
    return append(j->dir, j->shown, &lines, false, err);
}

static void add_sample(struct ph_buf *lines, const struct ph_history_sample *s, double at)
{
    json_t *stages = json_object();
    for (int k = 0; k < PH_N_STAGES; k++)
        json_object_set_new(stages, ph_stage_names[k], json_real(s->stages[k]));
    add_line(lines, "sample",
             json_pack("{s:f, s:I, s:I, s:I, s:i, s:o}", "at", at, "rows", (json_int_t)s->rows,
                       "bytes", (json_int_t)s->bytes, "files", (json_int_t)s->spilled, "busy",
                       s->busy, "stages", stages));
}

bool ph_journal_write(const struct ph_journal *j, const char *set,
                      const struct ph_history_sample *samples, int n_samples,
                      const struct ph_history_event *events, int n_events,
                      const struct ph_history_bar *bars, int n_bars, struct ph_err *err)
{
    struct ph_buf lines = {0};
    for (int i = 0; i < n_samples; i++)
        add_sample(&lines, &samples[i], samples[i].at_s - j->begin_s);
    for (int i = 0; i < n_events; i++)
        add_line(&lines, "event",
                 json_pack("{s:f, s:s, s:I, s:i, s:o}", "at", events[i].at_s - j->begin_s, "event",
                           events[i].event, "shard", (json_int_t)events[i].shard, "tab",
                           events[i].tab, "text", text_of(events[i].text)));
    for (int i = 0; i < n_bars; i++)
        add_line(&lines, "file",
                 json_pack("{s:f, s:f, s:s, s:i, s:I, s:i, s:I, s:I, s:i}", "from",
                           bars[i].from - j->begin_s, "to", bars[i].to - j->begin_s, "set", set,
                           "worker", bars[i].slot, "shard", (json_int_t)bars[i].shard, "tab",
                           bars[i].tab, "rows", (json_int_t)bars[i].rows, "bytes",
                           (json_int_t)bars[i].bytes, "attempt", bars[i].attempt));
    return append(j->dir, j->shown, &lines, false, err);
}

bool ph_journal_end(const struct ph_journal *j, const char *error, struct ph_err *err)
{
    struct ph_buf lines = {0};
    add_line(&lines, "end",
             json_pack("{s:f, s:o}", "at", ph_clock_s() - j->begin_s, "error", text_of(error)));
    return append(j->dir, j->shown, &lines, false, err);
}

bool ph_journal_wish(int dir, const char *shown, const char *who, const char *const *words, int n,
                     struct ph_err *err)
{
    struct ph_buf lines = {0};
    for (int i = 0; i < n; i++)
        add_line(&lines, "wish",
                 json_pack("{s:f, s:o, s:o}", "at", (double)time(NULL), "word", text_of(words[i]),
                           "who", text_of(who)));
    return append(dir, shown, &lines, true, err);
}

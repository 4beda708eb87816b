/* Words of `pghaul control`. */
#include <string.h>

#include "base/near.h"
#include "base/num.h"
#include "haul/control.h"

static const struct word {
    const char *name;
    enum ph_wish_kind kind;
    bool value;
} words[] = {
    {"pause", PH_WISH_PAUSE, false},
    {"resume", PH_WISH_RESUME, false},
    {"stop", PH_WISH_STOP, false},
    {"status", PH_WISH_STATUS, false},
    {"rate", PH_WISH_RATE, true},
    {"source-rate", PH_WISH_SOURCE_RATE, true},
    {"target-rate", PH_WISH_TARGET_RATE, true},
    {"rows", PH_WISH_ROWS, true},
    {"source-rows", PH_WISH_SOURCE_ROWS, true},
    {"target-rows", PH_WISH_TARGET_ROWS, true},
    {"jobs", PH_WISH_JOBS, true},
};
enum { WORDS = sizeof words / sizeof *words };

static bool read_value(const char *word, const char *value, struct ph_wish *wish,
                       struct ph_err *err)
{
    char number[64];
    size_t n = strlen(value);
    int64_t jobs = 0;
    if (wish->kind == PH_WISH_JOBS) {
        if (!ph_num_int(value, 1, 256, &jobs, err))
            return ph_err_prefix(err, "%.40s", word);
        wish->n = (uint64_t)jobs;
        return true;
    }
    if (!strcmp(value, "off"))
        return true;
    if (n > 2 && !strcmp(value + n - 2, "/s"))
        n -= 2;
    if (n >= sizeof number)
        return ph_err_set(err, PH_WRONG, "%.40s is no rate", word);
    memcpy(number, value, n);
    number[n] = '\0';
    return ph_num_size(number, &wish->n, err) || ph_err_prefix(err, "%.40s", word);
}

bool ph_wish_parse(const char *word, struct ph_wish *wish, struct ph_err *err)
{
    const char *known[WORDS];
    char name[32] = "";
    size_t len = strcspn(word, "=");
    bool has_value = word[len] == '=';
    if (len < sizeof name)
        memcpy(name, word, len);
    for (int i = 0; i < WORDS; i++) {
        known[i] = words[i].name;
        if (strcmp(words[i].name, name) != 0)
            continue;
        *wish = (struct ph_wish){.kind = words[i].kind};
        if (has_value && words[i].value)
            return read_value(word, word + len + 1, wish, err);
        if (!has_value && !words[i].value)
            return true;
        return ph_err_set(err, PH_WRONG,
                          words[i].value ? "%s wants a value: %s=..." : "%s takes no value", name,
                          name);
    }
    const char *near = ph_near(name, known, WORDS);
    ph_err_set(err, PH_WRONG, "\"%.40s\" is nothing that a run can be asked", word);
    return near ? ph_err_hint(err, "did you mean %s?", near)
                : ph_err_hint(err,
                              "pause, resume, rate=, rows=, source-rate=, target-rate=, jobs=, stop"
                              " or status");
}

#include "cli/opts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/near.h"
#include "base/num.h"
#include "cli/names.h"

const struct ph_command *ph_command_find(const char *name)
{
    for (size_t i = 0; i < ph_n_commands; i++)
        if (!strcmp(ph_commands[i].name, name))
            return &ph_commands[i];
    return NULL;
}

const struct ph_option *ph_option_find(const char *name)
{
    for (size_t i = 0; i < ph_n_options; i++) {
        const char *a = ph_options[i].name, *b = name;
        while (*a && (*a == *b || (*a == '-' && *b == '_')))
            a++, b++;
        if (!*a && !*b)
            return &ph_options[i];
    }
    return NULL;
}

const struct ph_option *ph_option_find_letter(char letter)
{
    for (size_t i = 0; letter && i < ph_n_options; i++)
        if (ph_options[i].letter == letter)
            return &ph_options[i];
    return NULL;
}

bool ph_option_is_taken(const struct ph_option *o, unsigned command)
{
    unsigned also = command == PH_CMD_PLAN ? PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_LOAD : 0;
    return (o->commands & (command | also)) != 0;
}

bool ph_option_given(const struct ph_settings *s, const char *name)
{
    return s->origin[ph_option_find(name) - ph_options] != PH_FROM_DEFAULT;
}

const char *ph_option_variable(const struct ph_option *o, char out[static 64])
{
    size_t n = 0;
    for (const char *p = "PGHAUL_"; *p; p++)
        out[n++] = *p;
    for (const char *p = o->name; *p && n < 63; p++)
        out[n++] = *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    out[n] = '\0';
    return out;
}

bool ph_opts_hint_near(struct ph_err *err, const char *word, unsigned commands, bool in_file,
                       const char *otherwise)
{
    const char *known[PH_OPTIONS_MAX + 2] = {0};
    for (size_t i = 0; i < ph_n_options; i++) {
        const struct ph_option *o = &ph_options[i];
        if ((o->commands & commands) && !(o->flags & PH_OPT_HIDDEN) &&
            !(in_file && (o->flags & PH_OPT_NOT_FILE)))
            known[i] = o->name;
    }
    if (in_file)
        known[ph_n_options] = "tables";
    const char *near = ph_near(word, known, ph_n_options + 1);
    if (near)
        return ph_err_hint(err, in_file ? "did you mean %s?" : "did you mean --%s?", near);
    return otherwise ? ph_err_hint(err, "%s", otherwise) : false;
}

/* Values
 * ------------------------------------------------------------------------------------------------------
 */

bool ph_flag_read(const char *value, bool *out, struct ph_err *err)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false",
                                                                                "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        bool is_yes = !strcasecmp(value, yes[i]);
        if (is_yes || !strcasecmp(value, no[i])) {
            *out = is_yes;
            return true;
        }
    }
    return ph_err_set(err, PH_WRONG, "\"%.40s\" is neither yes nor no", value);
}

static bool read_count(const char *value, int *out, struct ph_err *err)
{
    bool flag = false;
    int64_t n = 0;
    if (ph_num_int(value, 0, 9, &n, NULL))
        *out = (int)n;
    else if (ph_flag_read(value, &flag, err))
        *out = flag;
    else
        return false;
    return true;
}

static bool read_choice(const struct ph_option *o, const char *value, int *out, struct ph_err *err)
{
    struct ph_buf list = {0};
    size_t n = 0;
    for (; o->choices[n]; n++) {
        if (!strcmp(o->choices[n], value)) {
            *out = (int)o->min + (int)n;
            ph_buf_fini(&list);
            return true;
        }
        ph_buf_addf(&list, "%s%s", n == 0 ? "" : o->choices[n + 1] ? ", " : " or ", o->choices[n]);
    }
    ph_err_set(err, PH_WRONG, "\"%.40s\" is not one of %s", value, ph_buf_text(&list));
    ph_buf_fini(&list);
    const char *near = ph_near(value, o->choices, n);
    return near ? ph_err_hint(err, "did you mean %s?", near) : false;
}

/* A number, or the one word that stands for -1. */
static bool read_int(const struct ph_option *o, const char *value, int *out, struct ph_err *err)
{
    int64_t n = -1;
    bool word = o->choices && !strcmp(value, o->choices[0]);
    if (word || ph_num_int(value, o->min, o->max, &n, err)) {
        *out = (int)n;
        return true;
    }
    if (!o->choices)
        return false;
    return ph_near(value, o->choices, 1) ? ph_err_hint(err, "did you mean %s?", o->choices[0])
                                         : ph_err_hint(err, "or the word %s", o->choices[0]);
}

static bool read_span(const struct ph_option *o, const char *value, double *out, struct ph_err *err)
{
    double span = 0;
    if (!ph_num_duration(value, &span, err))
        return false;
    char min[PH_NUM_TEXT], max[PH_NUM_TEXT];
    if (span < (double)o->min || span > (double)o->max)
        return ph_err_set(err, PH_WRONG, "\"%.40s\" is not between %s and %s", value,
                          ph_num_show_duration(min, (double)o->min),
                          ph_num_show_duration(max, (double)o->max));
    *out = span;
    return true;
}

/* Reads the value into a copy of the field that is put in place only when it is the one that
 * counts. */
union value {
    bool flag;
    int number;
    uint64_t size;
    double span;
    const char *text;
    struct ph_words words;
};

/* 20MiB/s or 20MiB, as both are said. */
static bool read_rate(struct ph_settings *s, const char *value, uint64_t *out, struct ph_err *err)
{
    size_t n = strlen(value);
    bool per_second = n > 2 && !strcmp(value + n - 2, "/s");
    return ph_num_size(ph_arena_printf(&s->arena, "%.*s", (int)(per_second ? n - 2 : n), value),
                       out, err);
}

static bool read_value(struct ph_settings *s, const struct ph_option *o, const char *value,
                       union value *out, struct ph_err *err)
{
    bool binary = o->flags & (PH_OPT_PATH | PH_OPT_DIR);
    if (o->type != PH_OPT_FLAG && !*value)
        return ph_err_set(err, PH_WRONG, "its value is empty");
    if (!binary && ph_text_bad_byte(value, strlen(value), true) != strlen(value))
        return ph_err_set(err, PH_WRONG, "its value is not valid UTF-8");
    if (o->check && !o->check(value, err))
        return false;
    switch (o->type) {
    case PH_OPT_FLAG:
        return ph_flag_read(value, &out->flag, err);
    case PH_OPT_COUNT:
        return read_count(value, &out->number, err);
    case PH_OPT_SIZE:
        return ph_num_size(value, &out->size, err);
    case PH_OPT_RATE:
        return read_rate(s, value, &out->size, err);
    case PH_OPT_SPAN:
        return read_span(o, value, &out->span, err);
    case PH_OPT_INT:
        return read_int(o, value, &out->number, err);
    case PH_OPT_CHOICE:
        return read_choice(o, value, &out->number, err);
    case PH_OPT_NAMES:
        return ph_names_list(&s->arena, value, &out->words, err);
    case PH_OPT_TEXT:
    case PH_OPT_WORDS:
        break;
    }
    out->text = ph_arena_strdup(&s->arena, value);
    return true;
}

static void store(struct ph_settings *s, const struct ph_option *o, const union value *v,
                  bool first)
{
    char *field = (char *)s + o->field;
    switch (o->type) {
    case PH_OPT_FLAG:
        memcpy(field, &v->flag, sizeof v->flag);
        break;
    case PH_OPT_COUNT:
        *(int *)(void *)field = v->number + (first ? 0 : *(int *)(void *)field);
        break;
    case PH_OPT_INT:
    case PH_OPT_CHOICE:
        memcpy(field, &v->number, sizeof v->number);
        break;
    case PH_OPT_SIZE:
    case PH_OPT_RATE:
        memcpy(field, &v->size, sizeof v->size);
        break;
    case PH_OPT_SPAN:
        memcpy(field, &v->span, sizeof v->span);
        break;
    case PH_OPT_TEXT:
        memcpy(field, &v->text, sizeof v->text);
        break;
    case PH_OPT_NAMES:
        memcpy(field, &v->words, sizeof v->words);
        break;
    case PH_OPT_WORDS:
        if (first)
            memset(field, 0, sizeof(struct ph_words));
        ph_words_add(&s->arena, (struct ph_words *)(void *)field, v->text);
        break;
    }
}

bool ph_option_set(struct ph_settings *s, const struct ph_option *o, const char *value,
                   enum ph_origin from, struct ph_err *err)
{
    size_t i = (size_t)(o - ph_options);
    union value v = {0};
    if (!read_value(s, o, value, &v, err))
        return false;
    if (s->origin[i] > from)
        return true;
    bool first = s->origin[i] < from;
    bool single = o->type != PH_OPT_WORDS && o->type != PH_OPT_COUNT;
    if (!first && single && strcmp(s->raw[i], value) != 0)
        return ph_err_set(err, PH_WRONG, "it is given twice, with different values");
    s->origin[i] = (unsigned char)from;
    s->raw[i] = ph_arena_strdup(&s->arena, value);
    store(s, o, &v, first);
    return true;
}

/* Environment
 * ---------------------------------------------------------------------------------------------------
 */

/* Commas outside double quotes separate the words of a repeatable option. */
static bool set_words(struct ph_settings *s, const struct ph_option *o, const char *value,
                      struct ph_err *err)
{
    bool quoted = false;
    for (const char *from = value, *p = value;; p++) {
        if (*p == '"')
            quoted = !quoted;
        if (*p && (quoted || *p != ','))
            continue;
        const char *word = ph_arena_printf(&s->arena, "%.*s", (int)(p - from), from);
        if (!ph_option_set(s, o, word, PH_FROM_ENVIRONMENT, err))
            return false;
        if (!*p)
            return true;
        from = p + 1;
    }
}

bool ph_opts_environment(struct ph_settings *s, unsigned command, struct ph_err *err)
{
    char name[64];
    for (size_t i = 0; i < ph_n_options; i++) {
        const struct ph_option *o = &ph_options[i];
        bool taken = ph_option_is_taken(o, command) && !(o->flags & PH_OPT_NOT_ENV);
        const char *value = taken ? getenv(ph_option_variable(o, name)) : NULL;
        if (!value || !*value)
            continue;
        bool list = o->type == PH_OPT_WORDS && !(o->flags & PH_OPT_WHOLE);
        bool ok = list ? set_words(s, o, value, err)
                       : ph_option_set(s, o, value, PH_FROM_ENVIRONMENT, err);
        if (!ok)
            return ph_err_prefix(err, "environment variable %s", name);
    }
    return true;
}

const char *ph_opts_stray_variable(const char *name, char out[static 64])
{
    static const char prefix[] = "PGHAUL_";
    enum { TELLING = 5 }; /* shorter words are like anything: HOME is near MODE */
    const char *known[PH_OPTIONS_MAX] = {0};
    char own[64];
    if (strncmp(name, prefix, strlen(prefix)) != 0 || strlen(name) < strlen(prefix) + TELLING)
        return NULL;
    for (size_t i = 0; i < ph_n_options; i++) {
        if (!strcmp(ph_option_variable(&ph_options[i], own), name))
            return NULL;
        known[i] = ph_options[i].flags & PH_OPT_NOT_ENV ? NULL : ph_options[i].name;
    }
    const char *near = ph_near(name + strlen(prefix), known, ph_n_options);
    return near ? ph_option_variable(ph_option_find(near), out) : NULL;
}

/* Other creations that are written down in the target: what stands there already is theirs, more likely than not, and the user
 * wants to hear of the command that began it.
 */
#include <jansson.h>
#include <string.h>

#include "haul/create.h"

/* Their parts, as ph_create_schema's keys have them. */
static const char *const selection[] = {
    "all",    "tables",   "schemas", "exclude_tables", "exclude_schemas",
    "system", "database", "archive"};

static bool is_plain(const char *word)
{
    return *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789_.,-")];
}

/* As a shell reads it. */
static void add_word(struct ph_buf *out, const char *word)
{
    if (is_plain(word)) {
        ph_buf_add(out, word);
        return;
    }
    ph_buf_addc(out, '\'');
    for (; *word; word++)
        if (*word == '\'')
            ph_buf_add(out, "'\\''");
        else
            ph_buf_addc(out, *word);
    ph_buf_addc(out, '\'');
}

static void add_words(struct ph_buf *out, const char *option, const json_t *key, const char *name)
{
    const json_t *words = json_object_get(key, name), *word;
    size_t i;
    json_array_foreach(words, i, word)
    {
        ph_buf_addf(out, " %s ", option);
        add_word(out, json_string_value(word));
    }
}

/* Without servers: whoever reads this has named them a moment ago. */
static const char *command_of(struct ph_run *run, const json_t *key)
{
    struct ph_buf out = {0};
    ph_buf_addf(&out, "pghaul %s --create", json_object_get(key, "archive") ? "load" : "copy");
    if (json_is_true(json_object_get(key, "all")))
        ph_buf_add(&out, " --all");
    add_words(&out, "-t", key, "tables");
    add_words(&out, "--schema", key, "schemas");
    add_words(&out, "--exclude-table", key, "exclude_tables");
    add_words(&out, "--exclude-schema", key, "exclude_schemas");
    if (json_is_false(json_object_get(key, "owner")))
        ph_buf_add(&out, " --no-owner");
    if (json_is_false(json_object_get(key, "privileges")))
        ph_buf_add(&out, " --no-privileges");
    if (json_is_false(json_object_get(key, "comments")))
        ph_buf_add(&out, " --no-comments");
    const char *text = ph_arena_strdup(run->arena, ph_buf_text(&out));
    ph_buf_fini(&out);
    return text;
}

static bool selects_the_same(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < sizeof selection / sizeof *selection; i++) {
        const json_t *x = json_object_get(a, selection[i]), *y = json_object_get(b, selection[i]);
        if (x != y && !json_equal(x, y))
            return false;
    }
    return true;
}

static bool refuse(struct ph_run *run, const struct ph_creation_other *other, const json_t *theirs,
                   struct ph_err *err)
{
    ph_err_set(err, PH_OTHER_JOB, "%s %s begun with other options, and is not finished: %s",
               other->job ? "job" : "the schema",
               other->job ? ph_arena_printf(run->arena, "%s was", other->job) : "was",
               command_of(run, theirs));
    return ph_err_hint(
        err,
        "that command goes on with it; pghaul clean%s%s forgets it, and what is made "
        "by then stays",
        other->job ? " " : "", other->job ? other->job : "");
}

bool ph_create_refuse_others(struct ph_run *run, const char *key, struct ph_err *err)
{
    struct ph_creation_other *others = NULL;
    int n = 0;
    bool ok = ph_creation_others(run->target, run->arena, &others, &n, err);
    json_t *ours = json_loads(key, 0, NULL);
    for (int i = 0; ok && i < n; i++) {
        json_t *theirs = json_loads(others[i].key, 0, NULL);
        if (!others[i].completed && selects_the_same(ours, theirs))
            ok = refuse(run, &others[i], theirs, err);
        json_decref(theirs);
    }
    json_decref(ours);
    return ok;
}

const char *ph_create_others_hint(struct ph_run *run)
{
    struct ph_creation_other *others = NULL;
    struct ph_err ignored;
    int n = 0;
    if (!ph_creation_others(run->target, run->arena, &others, &n, &ignored) || n == 0)
        return NULL;
    json_t *theirs = json_loads(others[0].key, 0, NULL);
    const char *command = command_of(run, theirs);
    json_decref(theirs);
    if (others[0].completed)
        return ph_arena_printf(run->arena,
                               "job %s has made a schema here by %s: leave out --create to load "
                               "the tables that are there, or name another database",
                               others[0].job, command);
    return ph_arena_printf(run->arena,
                           "a schema that is not finished was begun here by %s: that command goes "
                           "on with it; or name another database",
                           command);
}

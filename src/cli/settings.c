#include "cli/settings.h"

#include <string.h>

#include "base/near.h"
#include "cli/names.h"
#include "cli/opts.h"
#include "haul/control.h"
#include "haul/verify.h"

void ph_settings_init(struct ph_settings *s)
{
    *s = (struct ph_settings){0};
}

void ph_settings_fini(struct ph_settings *s)
{
    ph_arena_fini(&s->arena);
}

void ph_words_add(struct ph_arena *arena, struct ph_words *words, const char *text)
{
    bool full = (words->n & (words->n - 1)) == 0; /* room is the next power of two */
    if (full) {
        size_t room = words->n ? (size_t)words->n * 2 : 1;
        const char **bigger = ph_arena_calloc(arena, room, sizeof *bigger);
        for (int i = 0; i < words->n; i++)
            bigger[i] = words->item[i];
        words->item = bigger;
    }
    words->item[words->n++] = text;
}

bool ph_job_name_check(const char *text, struct ph_err *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(text);
    if (len >= 1 && len <= PH_JOB_NAME_MAX && strspn(text, allowed) == len)
        return true;
    if (strchr(text, '=') || strchr(text, '@') || strstr(text, "://")) {
        ph_err_set(err, PH_WRONG, "this is not the name of a job");
        return ph_err_hint(err, "connection strings go after -s and -d");
    }
    ph_err_set(err, PH_WRONG, "\"%.70s\" is not a job's name", text);
    return ph_err_hint(err, "letters, digits, dots, underscores and dashes, at most 63 of them");
}

static bool check_archive(const struct ph_settings *s, struct ph_err *err)
{
    static const char *const verbs[] = {"ls", "verify", "cat"};
    static const int wants[] = {2, 2, 3};
    int verb = 0;
    while (verb < 3 && (s->operands.n == 0 || strcmp(s->operands.item[0], verbs[verb]) != 0))
        verb++;
    if (verb == 3 || s->operands.n != wants[verb]) {
        ph_err_set(err, PH_WRONG,
                   verb == 3   ? "archive does ls, verify or cat"
                   : verb == 2 ? "archive cat wants a directory and a table"
                               : "archive %s wants a directory",
                   verb < 3 ? verbs[verb] : "");
        const char *near =
            verb == 3 && s->operands.n ? ph_near(s->operands.item[0], verbs, 3) : NULL;
        return near ? ph_err_hint(err, "did you mean pghaul archive %s?", near)
                    : ph_err_hint(err, "pghaul archive ls DIR, pghaul archive verify DIR, "
                                       "pghaul archive cat DIR TABLE");
    }
    if (s->json && verb == 2)
        return ph_err_set(err, PH_WRONG, "archive cat and --json both want standard output");
    return true;
}

static bool check_control(const struct ph_settings *s, struct ph_err *err)
{
    struct ph_wish wish;
    int first = s->job ? 0 : 1; /* the job's name, then what it is asked */
    if (!s->job && (s->operands.n == 0 || !ph_job_name_check(s->operands.item[0], err))) {
        if (s->operands.n == 0)
            ph_err_set(err, PH_WRONG, "control wants the name of a job");
        return ph_err_hint(err, "pghaul control JOB pause; a run's summary and status name it");
    }
    if (s->operands.n <= first) {
        ph_err_set(err, PH_WRONG, "control wants to know what to ask of the run");
        return ph_err_hint(err, "pause, resume, rate=20MiB/s, rate=off, jobs=4, stop or status");
    }
    for (int i = first; i < s->operands.n; i++)
        if (!ph_wish_parse(s->operands.item[i], &wish, err))
            return false;
    return true;
}

/* The tables of --create are new and bare, and have the names that they have in the source. */
static bool check_create(const struct ph_settings *s, unsigned command, struct ph_err *err)
{
    bool create = s->create || s->schema_only;
    const char *odd = s->no_owner           ? "no-owner"
                      : s->no_privileges    ? "no-privileges"
                      : s->no_comments      ? "no-comments"
                      : s->analyze          ? "analyze"
                      : s->no_analyze       ? "no-analyze"
                      : s->vacuum           ? "vacuum"
                      : s->refresh_matviews ? "refresh-matviews"
                      : s->pg_bin           ? "pg-bin"
                                            : NULL;
    if (create && s->data_only)
        return ph_err_set(err, PH_WRONG, "--data-only and %s exclude each other",
                          s->schema_only ? "--schema-only" : "--create");
    if (s->analyze && s->no_analyze)
        return ph_err_set(err, PH_WRONG, "--analyze and --no-analyze exclude each other");
    if (!create && odd && command & (PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_LOAD)) {
        ph_err_set(err, PH_WRONG, "--%s says how --create works, and there is none", odd);
        return ph_err_hint(err, "add --create, or leave --%s out", odd);
    }
    if (!create)
        return true;
    if (s->mode != PH_APPEND || s->allow_nonempty)
        return ph_err_set(err, PH_WRONG,
                          "--create makes new tables, so rows are appended to them, "
                          "and there are no others");
    if (s->schemas.n > 0 && (s->tables.n > 0 || s->n_requests > 0)) {
        ph_err_set(err, PH_WRONG, "--create takes --schema or single tables, not both");
        return ph_err_hint(err, "two copies, one after the other, do it");
    }
    return true;
}

bool ph_settings_check(const struct ph_settings *s, unsigned command, struct ph_err *err)
{
    if (command == PH_CMD_ARCHIVE)
        return check_archive(s, err);
    if (command == PH_CMD_CONTROL)
        return check_control(s, err);
    if (!s->target) {
        ph_err_set(err, PH_WRONG, "no target is given");
        return ph_err_hint(err, "name it with -d DSN, PGHAUL_TARGET or target: in the job file");
    }
    bool hauls = command & (PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_LOAD |
                            PH_CMD_VERIFY | PH_CMD_TUNE);
    if (hauls && !s->source) {
        ph_err_set(err, PH_WRONG, "no source is given");
        return ph_err_hint(err, "name it with -s DSN, PGHAUL_SOURCE or source: in the job file");
    }
    if (command & PH_CMD_TUNE && s->tables.n + s->n_requests == 0) {
        ph_err_set(err, PH_WRONG, "tune measures one table, and none is named");
        return ph_err_hint(err, "name a big one with -t");
    }
    if (command & PH_CMD_VERIFY && s->repair && s->level == 1 + PH_VERIFY_RECEIPT)
        return ph_err_set(err, PH_WRONG, "--repair needs a level that compares rows");
    if (command & PH_CMD_VERIFY && s->repair && s->level == 1 + PH_VERIFY_SAMPLE)
        return ph_err_set(err, PH_WRONG, "--repair needs a level that compares all rows");
    if (command & PH_CMD_VERIFY && s->in_server && s->level != 1 + PH_VERIFY_SOURCE)
        return ph_err_set(err, PH_WRONG, "--in-server is a way of --level source");
    if (!check_create(s, command, err))
        return false;
    if (command & PH_CMD_VERIFY && s->repair && s->schema_only)
        return ph_err_set(err, PH_WRONG, "--repair mends rows, and --schema-only leaves them out");
    if (command & PH_CMD_VERIFY && s->sums && s->schema_only)
        return ph_err_set(err, PH_WRONG, "--sums are of rows, and --schema-only leaves them out");
    if (command & PH_CMD_VERIFY && (s->every_s > 0) != (s->for_s > 0))
        return ph_err_set(err, PH_WRONG, "--every and --for belong together");
    if (command & PH_CMD_VERIFY && s->every_s > 0 && !s->queries)
        return ph_err_set(err, PH_WRONG, "--every is of --queries, and there are none");
    bool slowed = s->max_rate || s->max_rows || s->source_max_rate || s->source_max_rows ||
                  s->target_max_rate || s->target_max_rows;
    if (command & PH_CMD_VERIFY && s->in_server && slowed)
        return ph_err_set(err, PH_WRONG,
                          "rates are of rows that are read, and --in-server reads none");
    if (s->all && s->schemas.n > 0)
        return ph_err_set(err, PH_WRONG, "--all and --schema exclude each other");
    if (s->defer_indexes && s->mode == PH_UPSERT)
        return ph_err_set(err, PH_WRONG,
                          "--defer-indexes and --mode upsert exclude each other: rows are found by "
                          "an index");
    if (s->defer_indexes && s->allow_nonempty)
        return ph_err_set(err, PH_WRONG,
                          "--defer-indexes is for tables that are empty, or emptied by --mode "
                          "replace");
    if (s->quiet && s->verbose)
        return ph_err_set(err, PH_WRONG, "--quiet and --verbose exclude each other");
    if (s->canary_limit && s->canaries.n == 0)
        return ph_err_set(err, PH_WRONG, "--canary-limit is of a --canary, and there is none");
    if (s->lag_of.n > 0 && s->max_lag_s <= 0)
        return ph_err_set(err, PH_WRONG,
                          "--lag-of names standbys for --max-lag, and there is none");
    if (s->join && s->again)
        return ph_err_set(err, PH_WRONG, "--join and --again exclude each other");
    if (s->dry_run && s->join)
        return ph_err_set(err, PH_WRONG, "--dry-run and --join exclude each other");
    if (s->output && !strcmp(s->output, "-") && s->json)
        return ph_err_set(err, PH_WRONG, "--json and --output - both want standard output");
    if (s->write_file && !strcmp(s->write_file, "-") && s->json)
        return ph_err_set(err, PH_WRONG, "--json and --write-file - both want standard output");
    return true;
}

/* A -t that names an entry of the job file means that entry, with its filter and mapping. */
static struct ph_request from_file(const struct ph_settings *s, const char *pattern)
{
    for (int i = 0; i < s->n_requests; i++)
        if (!strcmp(s->requests[i].pattern, pattern))
            return s->requests[i];
    return (struct ph_request){.pattern = pattern};
}

static bool gather(struct ph_settings *s, struct ph_request **out, int *n, struct ph_err *err)
{
    *n = 0;
    int room = s->tables.n ? s->tables.n : s->n_requests;
    *out = ph_arena_calloc(&s->arena, (size_t)room + 1, sizeof **out);
    for (int i = 0; i < s->tables.n; i++) {
        const char *pattern, *target;
        bool doubled = false;
        for (int j = 0; j < i; j++)
            doubled |= !strcmp(s->tables.item[i], s->tables.item[j]);
        if (doubled)
            continue;
        if (!ph_names_table(&s->arena, s->tables.item[i], &pattern, &target, err))
            return ph_err_prefix(err, "option --table");
        (*out)[*n] = from_file(s, pattern);
        if (target)
            (*out)[*n].target = target;
        (*n)++;
    }
    for (int i = 0; s->tables.n == 0 && i < s->n_requests; i++)
        (*out)[(*n)++] = s->requests[i];
    return true;
}

/* --where, --columns and --key belong to one table. */
static bool apply_single(const struct ph_settings *s, struct ph_request *requests, int n,
                         struct ph_err *err)
{
    const char *which = s->where ? "where" : s->columns.n ? "columns" : s->key.n ? "key" : NULL;
    if (!which)
        return true;
    bool wild = s->all || s->schemas.n > 0 || (n > 0 && ph_names_is_wild(requests[0].pattern));
    if (n != 1 || wild) {
        ph_err_set(err, PH_WRONG, "--%s is for a single table, and %s", which,
                   wild ? "the tables are named by a pattern" : "there is more than one");
        return ph_err_hint(err,
                           "a job file gives every table its own: plan --write-file prints one");
    }
    if (s->where)
        requests->filter = s->where;
    if (s->columns.n) {
        requests->columns = s->columns.item;
        requests->n_columns = s->columns.n;
    }
    if (s->key.n) {
        requests->key = s->key.item;
        requests->n_key = s->key.n;
    }
    return true;
}

bool ph_settings_spec(struct ph_settings *s, struct ph_job_spec *spec, bool everything,
                      struct ph_err *err)
{
    struct ph_request *requests = NULL;
    int n = 0;
    if (!gather(s, &requests, &n, err))
        return false;
    if (n == 0 && !s->all && s->schemas.n == 0 && !everything && !s->large_objects) {
        ph_err_set(err, PH_WRONG, "no table is named");
        return ph_err_hint(err, "name tables with -t, or take all of them with --schema or --all");
    }
    if (!apply_single(s, requests, n, err))
        return false;
    for (int i = 0; i < n && (s->create || s->schema_only); i++)
        if (requests[i].target) {
            ph_err_set(err, PH_WRONG,
                       "--create makes tables under their own names, and %s is to"
                       " have another",
                       requests[i].pattern);
            return ph_err_hint(err, "rename it afterwards, or make it yourself and leave out"
                                    " --create");
        }
    *spec = (struct ph_job_spec){
        .requests = requests,
        .n_requests = n,
        .exclude_tables = s->exclude_tables.item,
        .n_exclude_tables = s->exclude_tables.n,
        .schemas = s->schemas.item,
        .n_schemas = s->schemas.n,
        .exclude_schemas = s->exclude_schemas.item,
        .n_exclude_schemas = s->exclude_schemas.n,
        .all = s->all || (everything && n == 0 && s->schemas.n == 0),
        .mode = (enum ph_mode)s->mode,
        .split = (enum ph_split)s->split,
        .shard_size = s->shard_size,
        .shard_rows = s->shard_rows,
        .jobs = s->jobs > 0 ? s->jobs : 0,
        .allow_nonempty = s->allow_nonempty,
        .triggers = (enum ph_triggers)s->triggers,
        .sequences = s->sequences,
        .source_encoding = s->source_encoding,
        .large_objects = s->large_objects,
        .create = s->create || s->schema_only,
        .no_rows = s->schema_only,
        .defer_indexes = s->defer_indexes,
        .fk_order = s->fk_order && !s->defer_indexes && !s->create && !s->schema_only,
        .strict = s->strict,
        .job_name = s->job,
    };
    return true;
}

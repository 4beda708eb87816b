/* pghaul verify: what the target lacks, and what mends it. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/queryfile.h"
#include "cli/render.h"
#include "haul/verify.h"
#include "ledger/verify.h"

/* The tables of a job of the ledger, as its definition has them. */

static const char *take_text(struct ph_arena *arena, const json_t *entry, const char *key)
{
    return ph_arena_strdup(arena, json_string_value(json_object_get(entry, key)));
}

static void take_mapping(struct ph_arena *arena, const json_t *entry, struct ph_request *out)
{
    json_t *mapping = json_object_get(entry, "mapping"), *value;
    const char *column;
    struct ph_mapping *all = ph_arena_calloc(arena, json_object_size(mapping), sizeof *all);
    json_object_foreach(mapping, column, value) all[out->n_mappings++] = (struct ph_mapping){
        ph_arena_strdup(arena, column), ph_arena_strdup(arena, json_string_value(value))};
    out->mappings = all;
}

static void take_entry(struct ph_settings *s, const json_t *entry, struct ph_request *out)
{
    struct ph_arena *arena = &s->arena;
    json_t *columns = json_object_get(entry, "columns"), *without, *name;
    size_t i;
    *out = (struct ph_request){
        .pattern = take_text(arena, entry, "source"),
        .target = take_text(arena, entry, "target"),
        .filter = take_text(arena, entry, "filter"),
    };
    take_mapping(arena, entry, out);
    if (columns) {
        const char **names = ph_arena_calloc(arena, json_array_size(columns), sizeof *names);
        json_array_foreach(columns, i, name) names[out->n_columns++] =
            ph_arena_strdup(arena, json_string_value(name));
        out->columns = names;
    }
    without = json_object_get(entry, "without");
    json_array_foreach(without, i, name)
        ph_words_add(arena, &s->exclude_tables, ph_arena_strdup(arena, json_string_value(name)));
}

static bool tables_of_job(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    struct ph_conn *conn = NULL;
    const char *definition = NULL;
    if (!ph_cli_connect(cli, &conn, err))
        return false;
    bool ok = ph_ledger_definition(conn, &s->arena, s->job, &definition, err);
    ph_conn_close(conn);
    if (!ok)
        return false;
    if (!definition) {
        ph_err_set(err, PH_WRONG, "there is no job %s in the ledger of the target", s->job);
        return ph_err_hint(err, "name the tables with -t, or see pghaul status");
    }
    json_t *json = json_loads(definition, 0, NULL), *tables = json_object_get(json, "tables");
    json_t *entry;
    size_t i;
    s->requests = ph_arena_calloc(&s->arena, json_array_size(tables), sizeof *s->requests);
    json_array_foreach(tables, i, entry) take_entry(s, entry, &s->requests[s->n_requests++]);
    s->large_objects = s->large_objects || json_is_true(json_object_get(json, "large_objects"));
    json_decref(json);
    return true;
}

static bool names_no_table(const struct ph_settings *s)
{
    return s->tables.n == 0 && s->n_requests == 0 && !s->all && s->schemas.n == 0;
}

/* *name: of the job that was verified. */
static bool verify_tables(struct ph_cli *cli, const char **name, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    struct ph_job_spec spec;
    struct ph_job_opts job;
    struct ph_verify_result result = {0};
    struct ph_term term;
    bool only = s->schema_only;
    s->schema_only = false; /* the job is that of a copy, which may have rows */
    if ((s->job && names_no_table(s) && !tables_of_job(cli, err)) ||
        !ph_cli_job(cli, &spec, &job, err))
        return false;
    const struct ph_verify_opts opts = {
        .job = &job,
        .level = s->level ? (enum ph_verify_level)(s->level - 1) : PH_VERIFY_READBACK,
        .in_server = s->in_server,
        .exact = s->exact,
        .repair = s->repair,
        .dry_run = s->dry_run,
        .max_delete = (uint64_t)s->max_delete,
        .max_differences = s->max_differences,
        .sample_rows = s->sample_rows,
        .sample_seed = (uint64_t)s->sample_seed,
        .recheck_s = s->recheck_s,
        .show_data = s->show_data,
        .definitions = s->definitions || only,
        .sums = s->sums,
        .rows_not = only,
        .no_owner = s->no_owner,
        .no_privileges = s->no_privileges,
        .no_comments = s->no_comments,
    };
    struct ph_view *view = ph_view_new(cli->log, s, cli->interrupt);
    job.progress = ph_view_tick;
    job.arg = view;
    bool ok = ph_verify_run(&opts, &result, err);
    ph_view_free(view);
    bool judged = ok || err->code == PH_DIFFERS;
    *name = ph_arena_strdup(&s->arena, result.job);
    ph_term_look(&term, STDOUT_FILENO);
    if (s->json && judged)
        cli->json = ph_render_verify_json(&result);
    else if (judged && !s->quiet)
        ph_render_verify(&cli->out, &result, &term);
    ph_verify_result_free(&result);
    return ok;
}

/* Without tables the answers are the result; with them they stand beside the rows. */
static bool verify_queries(struct ph_cli *cli, bool alone, const char *job, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    struct ph_query *queries = NULL;
    struct ph_queries_result result = {0};
    int n = 0;
    if (!ph_queryfile_read(&s->arena, s->queries, &queries, &n, err))
        return false;
    const struct ph_queries_opts opts = {.source = cli->source,
                                         .target = cli->target,
                                         .queries = queries,
                                         .n = n,
                                         .timeout_s = s->statement_timeout_s,
                                         .every_s = s->every_s,
                                         .for_s = s->for_s,
                                         .show_data = s->show_data,
                                         .keep = !s->dry_run,
                                         .job = job,
                                         .log = s->every_s > 0 ? cli->log : NULL,
                                         .interrupt = cli->interrupt};
    bool ok = ph_queries_run(&opts, &s->arena, &result, err);
    if (result.rounds == 0)
        return ok;
    if (s->json) {
        cli->json = cli->json ? cli->json : json_object();
        json_t *rows = json_object_get(cli->json, "equal");
        bool others = alone || json_is_true(rows), equal = result.equal && others;
        bool different = !others || (!ok && err->code == PH_DIFFERS);
        json_object_set_new(cli->json, "state",
                            json_string(equal       ? "equal"
                                        : different ? "different"
                                                    : "failed"));
        json_object_set_new(cli->json, "equal", json_boolean(equal));
        json_object_set_new(cli->json, "queries", ph_render_queries_json(queries, n, &result));
    } else if (!s->quiet) {
        if (cli->out.len)
            ph_buf_addc(&cli->out, '\n');
        ph_render_queries(&cli->out, queries, n, &result);
    }
    return ok;
}

bool ph_cmd_verify(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    struct ph_err rows = {0};
    bool alone = s->queries && names_no_table(s) && !s->job && !s->large_objects;
    const char *job = s->job;
    bool ok = alone || verify_tables(cli, &job, &rows);
    if (!s->queries || (!ok && rows.code != PH_DIFFERS)) {
        *err = rows;
        return ok;
    }
    bool answered = verify_queries(cli, alone, job, err);
    if (!answered && (ok || (err->code != PH_DIFFERS && err->code != PH_FAILED)))
        return false;
    if (!ok)
        *err = rows;
    return ok;
}

/* Making the schema, see create.h. Everything runs on a connection of its own, which has the lock. */
#include "haul/create.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "pg/catalog.h"

enum { HOLD_WAIT_S = 5 };

struct ph_dump_without ph_create_without(const struct ph_run *run)
{
    const struct ph_create_opts *opts = &run->opts->create;
    return (struct ph_dump_without){
        .owner = opts->no_owner, .privileges = opts->no_privileges, .comments = opts->no_comments};
}

/* The key: the same for the same command, whatever the order in which its parts were named. */

static int order_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_texts(json_t *json, struct ph_run *run, const char *key, const char *const *items,
                      int n)
{
    const char **sorted = ph_arena_calloc(run->arena, (size_t)n, sizeof *sorted);
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        sorted[i] = items[i];
    if (n)
        qsort(sorted, (size_t)n, sizeof *sorted, order_texts);
    for (int i = 0; i < n; i++)
        json_array_append_new(array, json_stringn_nocheck(sorted[i], strlen(sorted[i])));
    json_object_set_new(json, key, array);
}

/* Which database the source is, or which archive. A role that may not ask for the system does without. */
static bool add_source(json_t *json, struct ph_run *run, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    struct ph_err ignored;
    const struct ph_archive *archive = run->opts->spec->archive;
    if (archive) {
        json_object_set_new(json, "archive", json_string(archive->set));
        return true;
    }
    if (ph_catalog_query(run->source, "SELECT system_identifier FROM pg_control_system()", &rows,
                         &ignored))
        json_object_set_new(json, "system", json_string(ph_rows_text(rows, 0, 0)));
    ph_rows_free(rows);
    rows = NULL;
    if (!ph_catalog_query(run->source,
                          "SELECT oid FROM pg_database WHERE datname = current_database()", &rows,
                          err))
        return false;
    json_object_set_new(json, "database", json_string(ph_rows_text(rows, 0, 0)));
    ph_rows_free(rows);
    return true;
}

static bool make_key(struct ph_run *run, const char **key, struct ph_err *err)
{
    const struct ph_job_spec *spec = run->opts->spec;
    const struct ph_dump_without without = ph_create_without(run);
    const char **tables = ph_arena_calloc(run->arena, (size_t)spec->n_requests, sizeof *tables);
    json_t *json = json_object();
    for (int i = 0; i < spec->n_requests; i++)
        tables[i] = spec->requests[i].pattern;
    json_object_set_new(json, "all", json_boolean(spec->all));
    add_texts(json, run, "tables", tables, spec->n_requests);
    add_texts(json, run, "schemas", spec->schemas, spec->n_schemas);
    add_texts(json, run, "exclude_tables", spec->exclude_tables, spec->n_exclude_tables);
    add_texts(json, run, "exclude_schemas", spec->exclude_schemas, spec->n_exclude_schemas);
    json_object_set_new(json, "owner", json_boolean(!without.owner));
    json_object_set_new(json, "privileges", json_boolean(!without.privileges));
    json_object_set_new(json, "comments", json_boolean(!without.comments));
    bool ok = add_source(json, run, err);
    char *text = ok ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    *key = ph_arena_strdup(run->arena, text);
    free(text);
    return ok && (*key || ph_err_nomem(err));
}

static bool find(struct ph_run *run, struct ph_conn *conn, const char *key,
                 struct ph_creation **out, struct ph_err *err)
{
    bool present = false;
    *out = NULL;
    return ph_ledger_present(conn, &present, err) &&
           (!present || ph_creation_find(conn, run->arena, key, out, err));
}

/* A new one. */

static const char *join(struct ph_run *run, const struct ph_toc *toc)
{
    struct ph_buf text = {0};
    for (int i = 0; i < toc->n; i++) {
        ph_buf_add(&text, toc->items[i].line);
        ph_buf_addc(&text, '\n');
    }
    const char *out = ph_arena_strdup(run->arena, ph_buf_text(&text));
    ph_buf_fini(&text);
    return out;
}

static void tell_warnings(const struct ph_run *run, const struct ph_create_look *look)
{
    enum { MOST = 20 };
    int n = look->plan->n_warnings, first = look->first_warning;
    for (int i = first; i < n && i < first + MOST; i++)
        ph_log(run->opts->log, PH_LOG_WARN, "%s", look->plan->warnings[i]);
    if (n > first + MOST)
        ph_log(run->opts->log, PH_LOG_WARN, "and %d more warnings: pghaul plan shows them",
               n - first - MOST);
}

static bool begin_writing(struct ph_conn *conn, bool ahead, struct ph_err *err)
{
    if (ahead && ph_ledger_await_begin(conn, NULL, err))
        return true;
    /* a new one would not have the lock */
    return (!ahead || ph_conn_recover(conn)) && ph_ledger_begin(conn, true, err);
}

static bool write_down(struct ph_run *run, struct ph_conn *conn, bool ahead, const char *key,
                       struct ph_create_look *look, struct ph_creation **out, struct ph_err *err)
{
    struct ph_creation *c = ph_arena_alloc(run->arena, sizeof *c);
    struct ph_waves waves;
    if (!ph_create_cut(run, look, &waves, err))
        return false;
    *c = (struct ph_creation){
        .key = key,
        .major = look->tools.major,
        .chunks = waves.chunks,
        .waves = waves.wave,
        .done = ph_arena_calloc(run->arena, (size_t)waves.n + 1, sizeof *c->done),
        .n_chunks = waves.n,
        .rest = join(run, &look->post),
        .counts = look->counts,
    };
    *out = c;
    return begin_writing(conn, ahead, err) && ph_creation_put(conn, c, &look->dump, err) &&
           ph_ledger_commit(conn, err);
}

/* One mover at a time. *out: what it has made meanwhile, if it has. */
static bool lock(struct ph_run *run, struct ph_conn *conn, struct ph_err *err)
{
    bool taken = false;
    for (double until = ph_clock_s() + HOLD_WAIT_S;;) {
        if (!ph_creation_lock(conn, &taken, err))
            return false;
        if (taken)
            return true;
        if (!run->opts->join && ph_clock_s() > until) {
            ph_err_set(err, PH_HELD, "another live run is creating a schema in the target");
            return ph_err_hint(err, "--join waits for it and works beside it");
        }
        if (!ph_interrupt_sleep(run->opts->interrupt, 1, 0.2))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    }
}

/* An error after something has been changed is no PH_WRONG. */
static bool go_on(struct ph_run *run, struct ph_conn *conn, struct ph_creation *creation,
                  struct ph_create_look *look, struct ph_err *err)
{
    bool ok = ph_create_make(run, conn, creation, look, err);
    if (ok || err->code == PH_INTERRUPTED)
        return ok;
    if (err->code != PH_HELD)
        err->code = PH_FAILED;
    ph_err_prefix(err, "creating the schema");
    return *err->hint ? false
                      : ph_err_hint(err, "mend the cause and run the same command again: it goes"
                                         " on there");
}

static bool create(struct ph_run *run, struct ph_conn *conn, const char *key,
                   struct ph_creation **out, struct ph_err *err)
{
    struct ph_create_look look = {0};
    if (!lock(run, conn, err) || !find(run, conn, key, out, err))
        return ph_run_unchanged(err);
    bool ok = true;
    if (!*out) {
        if (!ph_create_refuse_others(run, key, err))
            return ph_run_unchanged(err);
        ph_create_tell(run, "reading the schema", 0, 0);
        bool ahead = ph_ledger_begin_ahead(conn); /* the ledger is made while the schema is read */
        ok = ph_create_look(run, &look, err) && ph_run_refuse(run, look.plan, err);
        if (ok)
            tell_warnings(run, &look);
        ok = (ok && write_down(run, conn, ahead, key, &look, out, err)) || ph_run_unchanged(err);
        if (!ok && ahead)
            ph_conn_recover(conn); /* or the server would go on with it for a moment */
        if (ok && PH_FAULT("create.written"))
            ok = ph_err_set(err, PH_FAILED, "fault point create.written");
    }
    ok = ok && ((*out)->made || go_on(run, conn, *out, &look, err));
    ph_create_look_fini(&look);
    return ok;
}

bool ph_create_schema(struct ph_run *run, struct ph_err *err)
{
    const char *key;
    struct ph_conn *conn = NULL;
    double begin_s = ph_clock_s();
    if (!make_key(run, &key, err) || !find(run, run->target, key, &run->creation, err))
        return ph_run_unchanged(err);
    bool ok = run->creation && run->creation->made;
    if (!ok) {
        ok = ph_create_connect(run, &conn, err) ? create(run, conn, key, &run->creation, err)
                                                : ph_run_unchanged(err);
        ph_conn_close(conn);
        ph_run_passed(run, "creating the schema", begin_s);
    }
    run->result->created = run->creation ? run->creation->counts : NULL;
    run->phase = "planning";
    return ok;
}

bool ph_create_plan(struct ph_run *run, struct ph_plan **plan, const char **counts,
                    struct ph_err *err)
{
    const char *key;
    struct ph_creation *creation = NULL;
    struct ph_create_look look = {0};
    *plan = NULL;
    *counts = NULL;
    if (!make_key(run, &key, err) || !find(run, run->target, key, &creation, err))
        return false;
    if (creation) {
        *counts = creation->counts;
        if (creation->made)
            return true;
        ph_err_set(err, PH_WRONG, "the schema is in the making: %d of %d parts are there",
                   creation->n_done, creation->n_chunks);
        return ph_err_hint(err, "the same command without plan or --dry-run goes on with it");
    }
    bool ok = ph_create_look(run, &look, err);
    if (ok) {
        *counts = look.counts;
        *plan = look.plan;
        look.plan = NULL;
    }
    ph_create_look_fini(&look);
    return ok;
}

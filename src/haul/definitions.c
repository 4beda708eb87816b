#include "haul/definitions.h"

#include <string.h>

/* Objects without relation whose schema was left out. */
static void leave_out(const struct ph_scope *scope, struct ph_facts *facts)
{
    int n = 0;
    for (int i = 0; i < facts->n; i++) {
        const struct ph_fact *f = &facts->items[i];
        if (f->rel || !*f->schema || ph_scope_has_schema(scope, f->schema))
            facts->items[n++] = *f;
    }
    facts->n = n;
}

static void append(struct ph_arena *arena, struct ph_facts *to, const struct ph_facts *from)
{
    struct ph_fact *all = ph_arena_calloc(arena, (size_t)(to->n + from->n) + 1, sizeof *all);
    if (to->n)
        memcpy(all, to->items, (size_t)to->n * sizeof *all);
    if (from->n)
        memcpy(all + to->n, from->items, (size_t)from->n * sizeof *all);
    *to = (struct ph_facts){all, to->n + from->n};
}

static bool read_side(const struct ph_scope *scope, int side, bool all, struct ph_conn *conn,
                      struct ph_arena *arena, struct ph_facts *out, struct ph_err *err)
{
    int n;
    struct ph_facts behind;
    const uint32_t *oids = ph_scope_oids(scope, side, &n);
    if (!ph_definitions_read(conn, arena, oids, n, all, out, err))
        return false;
    leave_out(scope, out);
    if (side == 0) /* where the source's sequences stand is its own affair */
        return true;
    if (!ph_definitions_behind(conn, arena, oids, n, &behind, err))
        return false;
    append(arena, out, &behind);
    return true;
}

bool ph_definitions_compare(const struct ph_verify_opts *opts, const struct ph_job_spec *spec,
                            struct ph_conn *source, struct ph_conn *target, struct ph_arena *arena,
                            struct ph_verify_definitions *out, struct ph_err *err)
{
    struct ph_scope scope;
    struct ph_definitions_in in = {.no_owner = opts->no_owner,
                                   .no_privileges = opts->no_privileges,
                                   .no_comments = opts->no_comments,
                                   .exact = opts->exact};
    struct ph_conn *conn[2] = {source, target};
    bool ok = ph_scope_make(&scope, spec, source, target, err);
    for (int side = 0; ok && side < 2; side++)
        ok = read_side(&scope, side, spec->all, conn[side], arena, &in.facts[side], err);
    if (ok) {
        in.pairs = scope.pairs;
        in.n_pairs = scope.n;
        ph_definitions_diff(arena, &in, out);
    }
    ph_scope_fini(&scope);
    return ok;
}

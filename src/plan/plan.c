#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pg/sql.h"
#include "plan/make.h"
#include "plan/split.h"

const char *ph_mode_name(enum ph_mode mode)
{
    static const char *const names[] = {"append", "upsert", "replace"};
    return names[mode];
}

static void fill_side(struct ph_side *side, const struct ph_catalog *catalog,
                      struct ph_arena *arena)
{
    struct ph_conn *conn = catalog->conn;
    const struct ph_server *server = &catalog->server;
    *side = (struct ph_side){
        .shown = server->shown,
        .database = server->database,
        .database_oid = server->database_oid,
        .system_id = server->system_id,
        .version = server->version,
        .encoding = server->encoding,
        .transport = conn ? ph_arena_strdup(arena, ph_conn_transport(conn)) : "archive",
        .in_recovery = server->in_recovery,
        .superuser = server->superuser,
        .free_connections = server->free_connections,
    };
}

/* An archive's catalog has them already. */
static bool read_details(struct ph_make *make, int side, struct ph_err *err)
{
    uint32_t *oids = NULL;
    if (!make->side[side].conn)
        return true;
    const struct ph_job_spec *spec = make->plan->spec;
    int n = 0, what = side == PH_SOURCE ? PH_DETAIL_SIZES : PH_DETAIL_EFFECTS;
    if (spec->sequences || spec->create)
        what |= PH_DETAIL_SEQUENCES;
    bool ok = ph_tree_relations(make, side, &oids, &n, err) &&
              ph_catalog_detail(&make->side[side], oids, n, what, err);
    free(oids);
    return ok;
}

static int order_oids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Everything on one side that has a type, and where its name for people is wanted. */
struct typed {
    struct ph_column_type *types;
    const char ***shown;
    int n;
};

static void add_typed(struct typed *typed, uint32_t oid, int typmod, const char **shown)
{
    typed->types[typed->n] = (struct ph_column_type){oid, typmod};
    typed->shown[typed->n++] = shown;
}

/* All columns of one side, and on the source what the user's expressions yield. */
static bool gather_typed(struct ph_make *make, int side, struct typed *out)
{
    size_t room = 1;
    for (int i = 0; i < make->n_pairs; i++) {
        const struct ph_pair *p = &make->pairs[i];
        room += (size_t)(side == PH_SOURCE ? p->source : p->target)->n_columns;
    }
    for (int i = 0; i < make->n_picks; i++)
        room += (size_t)make->picks[i].n_mappings;
    *out = (struct typed){.types = calloc(room, sizeof *out->types),
                          .shown = calloc(room, sizeof *out->shown)};
    if (!out->types || !out->shown)
        return false;
    for (int i = 0; i < make->n_pairs; i++) {
        const struct ph_pair *p = &make->pairs[i];
        const struct ph_relation *r = side == PH_SOURCE ? p->source : p->target;
        for (int c = 0; c < r->n_columns; c++)
            add_typed(out, r->columns[c].type, r->columns[c].typmod, &r->columns[c].shown);
    }
    for (int i = 0; side == PH_SOURCE && i < make->n_picks; i++)
        for (int m = 0; m < make->picks[i].n_mappings; m++) {
            struct ph_make_mapping *mapping = &make->picks[i].mappings[m];
            add_typed(out, mapping->type, mapping->typmod, &mapping->shown);
        }
    return true;
}

static bool load_types(struct ph_make *make, int side, const struct typed *typed,
                       struct ph_err *err)
{
    uint32_t *oids = calloc((size_t)typed->n + 1, sizeof *oids);
    const char **shown = calloc((size_t)typed->n + 1, sizeof *shown);
    bool ok = (oids && shown) || ph_err_nomem(err);
    int distinct = 0;
    if (ok) {
        for (int i = 0; i < typed->n; i++)
            oids[i] = typed->types[i].oid;
        qsort(oids, (size_t)typed->n, sizeof *oids, order_oids);
        for (int i = 0; i < typed->n; i++)
            if (i == 0 || oids[i] != oids[i - 1])
                oids[distinct++] = oids[i];
        ok = ph_catalog_types(&make->side[side], oids, distinct, err) &&
             ph_catalog_show_types(&make->side[side], typed->types, typed->n, shown, err);
    }
    for (int i = 0; ok && i < typed->n; i++)
        *typed->shown[i] = shown[i];
    free(oids);
    free(shown);
    return ok;
}

static bool read_types(struct ph_make *make, int side, struct ph_err *err)
{
    struct typed typed;
    if (!make->side[side].conn)
        return true;
    bool ok =
        gather_typed(make, side, &typed) ? load_types(make, side, &typed, err) : ph_err_nomem(err);
    free(typed.types);
    free(typed.shown);
    return ok;
}

/* Biggest first; the name decides among equals, so that the same catalogs give the same plan. */
static int order_pairs(const void *a, const void *b)
{
    const struct ph_pair *x = a, *y = b;
    int64_t nx = x->source->heap + x->source->toast, ny = y->source->heap + y->source->toast;
    if (nx != ny)
        return nx < ny ? 1 : -1;
    int c = strcmp(x->source->schema, y->source->schema);
    return c ? c : strcmp(x->source->name, y->source->name);
}

static bool make_tables(struct ph_make *make, struct ph_err *err)
{
    struct ph_plan *plan = make->plan;
    if (make->n_pairs)
        qsort(make->pairs, (size_t)make->n_pairs, sizeof *make->pairs, order_pairs);
    plan->tables = ph_arena_calloc(&plan->arena, (size_t)make->n_pairs, sizeof *plan->tables);
    plan->n_tables = make->n_pairs;
    for (int i = 0; i < make->n_pairs; i++) {
        struct ph_table *t = &plan->tables[i];
        t->id = i + 1;
        if (!ph_match_table(make, &make->pairs[i], t, err))
            return false;
        if (plan->spec->mode == PH_UPSERT && !ph_match_conflict(make, &make->pairs[i], t, err))
            return false;
        plan->bytes += t->bytes;
    }
    return ph_objects_plan(make, err);
}

/* No more workers than there are shards: one more would only hold connections. */
static void limit_jobs_to_shards(struct ph_plan *plan)
{
    int64_t shards = 0;
    for (int i = 0; i < plan->n_tables; i++)
        shards += plan->tables[i].n_shards;
    if (shards >= 1 && shards < plan->jobs)
        plan->jobs = (int)shards;
}

/* The catalogs of both sides, with their names; an extract's target has none yet. */
static bool open_sides(struct ph_make *make, struct ph_conn *source, struct ph_conn *target,
                       struct ph_err *err)
{
    struct ph_plan *plan = make->plan;
    enum ph_route route = plan->spec->route;
    struct ph_catalog *s = &make->side[PH_SOURCE], *t = &make->side[PH_TARGET];
    if ((route == PH_ROUTE_EXTRACT && !ph_extract_check(make, err)) ||
        (route == PH_ROUTE_LOAD && !ph_load_check(make, err)))
        return false;
    if (!(route == PH_ROUTE_LOAD ? ph_load_catalog(make, err)
                                 : ph_catalog_open(s, source, &plan->arena, err)))
        return false;
    fill_side(&plan->source, s, &plan->arena);
    if (ph_make_invents(make)) {
        plan->target = (struct ph_side){
            .shown = plan->spec->archive_shown ? plan->spec->archive_shown : "an archive",
            .database = s->server.database};
        return true;
    }
    if (!ph_catalog_open(t, target, &plan->arena, err))
        return false;
    fill_side(&plan->target, t, &plan->arena);
    return true;
}

/* create: the tables of the target are made up, but the server is there, and what it may stand in the way with. */
static bool know_target(struct ph_make *make, struct ph_conn *target, struct ph_err *err)
{
    struct ph_catalog real;
    if (!ph_catalog_open(&real, target, &make->plan->arena, err))
        return false;
    fill_side(&make->plan->target, &real, &make->plan->arena);
    make->side[PH_TARGET].server = real.server;
    return true;
}

static void list_left_out(struct ph_make *make)
{
    const struct ph_catalog *source = &make->side[PH_SOURCE];
    struct ph_buf pattern = {0};
    const char **list =
        ph_arena_calloc(&make->plan->arena, (size_t)source->n_relations, sizeof *list);
    for (int i = 0; i < source->n_relations; i++) {
        const struct ph_relation *r = &source->relations[i];
        if ((r->kind != 'r' && r->kind != 'p') || !ph_select_is_excluded(make, r))
            continue;
        ph_buf_clear(&pattern);
        ph_sql_add(&pattern, "%I.%I", r->schema, r->name);
        list[make->plan->n_left_out++] = ph_arena_strdup(&make->plan->arena, pattern.data);
    }
    make->plan->left_out = list;
    ph_buf_fini(&pattern);
}

/* From what the user named to pairs of relations whose columns and types are known. */
static bool make_pairs(struct ph_make *make, struct ph_err *err)
{
    bool invents = ph_make_invents(make);
    return ph_select_tables(make, err) && read_details(make, PH_SOURCE, err) &&
           (invents ? ph_extract_catalog(make, err) : read_details(make, PH_TARGET, err)) &&
           ph_tree_pairs(make, err) && ph_mapping_check(make, err) &&
           read_types(make, PH_SOURCE, err) &&
           (invents ? ph_extract_columns(make, err) : read_types(make, PH_TARGET, err)) &&
           ph_match_probe_money(make, err);
}

static bool choose_cut(struct ph_make *make, struct ph_conn *source, struct ph_err *err)
{
    if (make->plan->spec->route != PH_ROUTE_LOAD)
        return ph_split_choose(make->plan, source, err);
    ph_load_split(make);
    return true;
}

static bool make_plan(struct ph_make *make, struct ph_conn *source, struct ph_conn *target,
                      struct ph_err *err)
{
    struct ph_plan *plan = make->plan;
    if (!open_sides(make, source, target, err) || !make_pairs(make, err))
        return false;
    if (plan->spec->to_be_made && !know_target(make, target, err))
        return false;
    if (plan->spec->create)
        list_left_out(make);
    ph_check_jobs(make, source, target);
    if (!make_tables(make, err))
        return false;
    if (plan->spec->verify)
        return ph_definition_make(make, err);
    if (plan->spec->fk_order)
        ph_fk_order(make);
    if (!choose_cut(make, source, err))
        return false;
    plan->builders = plan->jobs;
    limit_jobs_to_shards(plan);
    ph_check_servers(make, source, target);
    ph_check_tables(make);
    if (plan->spec->route == PH_ROUTE_EXTRACT && !ph_extract_describe(make, err))
        return false;
    return ph_definition_make(make, err);
}

bool ph_plan_make(struct ph_plan **out, const struct ph_job_spec *spec, struct ph_conn *source,
                  struct ph_conn *target, struct ph_err *err)
{
    struct ph_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return ph_err_nomem(err);
    plan->spec = spec;
    struct ph_make make = {.plan = plan};
    if (!ph_translate_spec(plan, source ? source : target, err) ||
        !make_plan(&make, source, target, err)) {
        ph_plan_free(plan);
        return false;
    }
    *out = plan;
    return true;
}

void ph_plan_free(struct ph_plan *plan)
{
    if (!plan)
        return;
    struct ph_arena arena = plan->arena;
    free(plan);
    ph_arena_fini(&arena);
}

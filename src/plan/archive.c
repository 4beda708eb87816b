/* Between plans and archives: an extract's plan becomes an archive's description, an archive's shards
 * become those of a load. */
#include "archive/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

static void fill_table(struct ph_arena *arena, const struct ph_table *table,
                       struct ph_archive_table *out)
{
    size_t n = (size_t)table->n_columns;
    const char **columns = ph_arena_calloc(arena, n, sizeof *columns);
    const char **types = ph_arena_calloc(arena, n, sizeof *types);
    for (int i = 0; i < table->n_columns; i++) {
        columns[i] = table->columns[i].name;
        types[i] = table->columns[i].target_type;
    }
    *out = (struct ph_archive_table){
        .id = table->id,
        .schema = table->target_schema,
        .name = table->target_name,
        .format = table->format,
        .split = ph_split_name(table->split),
        .filter = table->filter,
        .columns = columns,
        .types = types,
        .n_columns = table->n_columns,
        .bytes = table->bytes,
    };
}

void ph_plan_archive(struct ph_plan *plan, struct ph_archive *out)
{
    struct ph_arena *arena = &plan->arena;
    *out = (struct ph_archive){
        .name = plan->job_name,
        .fingerprint = plan->fingerprint,
        .definition = plan->definition,
        .source = plan->source.shown,
        .source_system = ph_arena_printf(arena, "%" PRIu64, plan->source.system_id),
        .source_database = plan->source.database,
        .source_database_oid = plan->source.database_oid,
        .source_version = plan->source.version,
        .encoding = plan->source.encoding,
        .catalog = plan->catalog_json,
        .n_tables = plan->n_tables,
        .n_shards = plan->n_shards,
    };
    out->tables = ph_arena_calloc(arena, (size_t)plan->n_tables, sizeof *out->tables);
    for (int i = 0; i < plan->n_tables; i++)
        fill_table(arena, &plan->tables[i], &out->tables[i]);
    out->shards = ph_arena_calloc(arena, (size_t)plan->n_shards, sizeof *out->shards);
    for (int i = 0; i < plan->n_shards; i++)
        out->shards[i] = (struct ph_archive_shard){
            .id = plan->shards[i].id,
            .tab = plan->shards[i].table->id,
            .where = plan->shards[i].where,
            .lo = plan->shard_lo[i],
            .hi = plan->shard_hi[i],
            .weight = plan->shards[i].weight,
        };
}

/* Adopting. */

struct named {
    const char *schema, *name;
    struct ph_table *table;
};

static int order_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->schema, y->schema);
}

/* The planned table of each of the archive's, by number; NULL where it is not loaded. */
static struct ph_table **planned_by_tab(struct ph_plan *plan, const struct ph_archive *archive)
{
    size_t n = (size_t)plan->n_tables;
    struct named *names = ph_arena_calloc(&plan->arena, n, sizeof *names);
    struct ph_table **out =
        ph_arena_calloc(&plan->arena, (size_t)archive->n_tables + 1, sizeof(*out));
    for (size_t i = 0; i < n; i++)
        names[i] = (struct named){plan->tables[i].source_schema, plan->tables[i].source_name,
                                  &plan->tables[i]};
    if (n)
        qsort(names, n, sizeof *names, order_names);
    for (int i = 0; n && i < archive->n_tables; i++) {
        const struct ph_archive_table *table = &archive->tables[i];
        struct named key = {table->schema, table->name, NULL};
        const struct named *found = bsearch(&key, names, n, sizeof *names, order_names);
        if (found && table->id >= 1 && table->id <= archive->n_tables)
            out[table->id] = found->table;
    }
    return out;
}

struct piece {
    struct ph_shard shard;
    const char *lo, *hi;
};

/* Biggest first, then as they are in the archive. */
static int by_weight(const void *a, const void *b)
{
    const struct ph_shard *x = &((const struct piece *)a)->shard;
    const struct ph_shard *y = &((const struct piece *)b)->shard;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* What a file holds weighs what passed, not what was expected to. */
static struct piece adopt(const struct ph_archive_shard *from, struct ph_table *table)
{
    table->n_shards++;
    return (struct piece){.shard = {.id = from->id,
                                    .tab = table->id,
                                    .table = table,
                                    .format = table->format,
                                    .where = from->where ? from->where : "",
                                    .weight = (int64_t)from->tally.bytes,
                                    .file = from->file,
                                    .snapshot = from->snapshot,
                                    .expect = &from->tally},
                          .lo = from->lo,
                          .hi = from->hi};
}

static void hand_over(struct ph_plan *plan, const struct piece *pieces, int n)
{
    struct ph_arena *arena = &plan->arena;
    plan->shards = ph_arena_calloc(arena, (size_t)n + 1, sizeof *plan->shards);
    plan->shard_lo = ph_arena_calloc(arena, (size_t)n + 1, sizeof *plan->shard_lo);
    plan->shard_hi = ph_arena_calloc(arena, (size_t)n + 1, sizeof *plan->shard_hi);
    plan->n_shards = n;
    for (int i = 0; i < n; i++) {
        plan->shards[i] = pieces[i].shard;
        plan->shards[i].id = i + 1;
        plan->shard_lo[i] = pieces[i].lo;
        plan->shard_hi[i] = pieces[i].hi;
    }
}

/* Every shard of every planned table, or the rows of one would be missing in silence. */
static bool check_whole(struct ph_plan *plan, struct ph_err *err)
{
    for (int i = 0; i < plan->n_tables; i++)
        if (plan->tables[i].n_shards == 0)
            return ph_err_set(
                err, PH_FAILED, "the archive has no shard of %s",
                ph_plan_name(plan, plan->tables[i].source_schema, plan->tables[i].source_name));
    return true;
}

bool ph_plan_adopt_shards(struct ph_plan *plan, const struct ph_archive *archive,
                          struct ph_err *err)
{
    struct ph_table **planned = planned_by_tab(plan, archive);
    struct piece *pieces = calloc((size_t)archive->n_shards + 1, sizeof *pieces);
    if (!pieces)
        return ph_err_nomem(err);
    for (int i = 0; i < plan->n_tables; i++)
        plan->tables[i].n_shards = 0;
    int n = 0;
    bool ok = true;
    for (int i = 0; ok && i < archive->n_shards; i++) {
        const struct ph_archive_shard *shard = &archive->shards[i];
        bool known = shard->tab >= 1 && shard->tab <= archive->n_tables;
        struct ph_table *table = known ? planned[shard->tab] : NULL;
        if (!known)
            ok = ph_err_set(err, PH_FAILED, "the archive's shard %" PRId64 " is of no table of it",
                            shard->id);
        else if (table && !shard->file)
            ok = ph_err_set(
                err, PH_FAILED, "the archive is not complete: shard %" PRId64 " of %s is missing",
                shard->id, ph_plan_name(plan, table->source_schema, table->source_name));
        else if (table)
            pieces[n++] = adopt(shard, table);
    }
    ok = ok && check_whole(plan, err);
    if (ok && n)
        qsort(pieces, (size_t)n, sizeof *pieces, by_weight);
    if (ok)
        hand_over(plan, pieces, n);
    free(pieces);
    return ok;
}

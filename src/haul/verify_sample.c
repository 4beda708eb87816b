/* A sample: rows of either side, chosen by dice that can be thrown again, are looked for on the
 * other side by their key and compared field by field. It proves little and costs next to nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "haul/verify_run.h"
#include "pg/sql.h"

enum { DEFAULT_ROWS = 1000, KEYS_AT_ONCE = 250 };

struct sampling {
    struct ph_verify *v;
    struct ph_unit *unit;
    int side; /* where rows are chosen */
    int rows;
    uint64_t seed;
    int n_key, n_columns;
};

/* Columns of a row as this file reads them: key texts, then a hash of each column. */
static void add_columns(const struct sampling *s, struct ph_buf *sql)
{
    const struct ph_table *t = s->unit->first;
    for (int i = 0; i < t->n_identity; i++)
        ph_sql_add(sql, ", (c.c%d)::pg_catalog.text", t->identity[i]);
    for (int i = 0; i < t->n_columns; i++) {
        bool padded = !strncmp(t->columns[i].target_type, "character(", 10);
        ph_sql_add(sql,
                   padded && !t->columns[i].by_text
                       ? ", pg_catalog.sha256(pg_catalog.bpcharsend(c.c%d))"
                       : ", pg_catalog.hashtextextended((c.c%d)::pg_catalog.text COLLATE"
                         " pg_catalog.\"C\", 0)",
                   i);
    }
}

static void add_names(const struct sampling *s, struct ph_buf *sql)
{
    for (int i = 0; i < s->unit->first->n_columns; i++)
        ph_sql_add(sql, "%sc%d", i ? ", " : "", i);
}

/* Rows of random blocks of one relation. */
static bool choose(const struct sampling *s, const struct ph_unit_rel *rel, int rows,
                   struct ph_rows **out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    char percent[32];
    double blocks = rows > 16 ? rows : 16;
    snprintf(percent, sizeof percent, "%.6f",
             (double)rel->blocks > blocks ? 100 * blocks / (double)rel->blocks : 100.0);
    ph_buf_add(&sql, "SELECT 0");
    add_columns(s, &sql);
    ph_sql_add(&sql, " FROM (SELECT %s FROM %s", rel->select, rel->from);
    if (rel->by_tid)
        ph_sql_add(&sql, " TABLESAMPLE SYSTEM (%s) REPEATABLE (%U)", percent, s->seed);
    if (rel->where)
        ph_sql_add(&sql, " WHERE (%s\n)", rel->where);
    if (rel->by_tid)
        ph_sql_add(&sql,
                   " ORDER BY pg_catalog.hashtextextended(ctid::pg_catalog.text COLLATE"
                   " pg_catalog.\"C\", %U)",
                   s->seed);
    ph_sql_add(&sql, " LIMIT %d) c(", rows);
    add_names(s, &sql);
    ph_buf_addc(&sql, ')');
    bool ok = ph_verify_query(s->v, s->side, rel->qualify, sql.data, out, err);
    ph_buf_fini(&sql);
    return ok;
}

/* Types whose = is pg_catalog's, so that an index on the key can be used. */
static bool is_plain(const char *type)
{
    static const char *const plain[] = {
        "smallint",          "integer", "bigint", "uuid", "text",      "date",
        "numeric",           "boolean", "bytea",  "oid",  "timestamp", "time",
        "character varying", NULL};
    for (int i = 0; plain[i]; i++)
        if (!strncmp(type, plain[i], strlen(plain[i])) && !strstr(type, "[]"))
            return true;
    return false;
}

/* The rows of the other side that have one of these keys; column 0 says which. */
static bool look_up(const struct sampling *s, const struct ph_unit_rel *rel,
                    const struct ph_rows *keys, int begin, int n, struct ph_rows **out,
                    struct ph_err *err)
{
    const struct ph_table *t = s->unit->first;
    struct ph_buf sql = {0};
    int other = 1 - s->side;
    ph_buf_add(&sql, "SELECT pghaul_k.n");
    add_columns(s, &sql);
    ph_buf_add(&sql, " FROM (VALUES ");
    for (int i = 0; i < n; i++) {
        ph_sql_add(&sql, "%s(%d", i ? ", " : "", begin + i);
        for (int k = 0; k < s->n_key; k++) {
            const struct ph_plan_column *c = &t->columns[t->identity[k]];
            const char *type = other == PH_READ_SOURCE ? c->source_type : c->target_type;
            ph_sql_add(&sql, ", %L::%s", ph_rows_get(keys, begin + i, 1 + k),
                       is_plain(type) && !c->by_text && !c->is_expression ? type
                                                                          : "pg_catalog.text");
        }
        ph_buf_addc(&sql, ')');
    }
    ph_buf_add(&sql, ") pghaul_k(n");
    for (int k = 0; k < s->n_key; k++)
        ph_sql_add(&sql, ", k%d", k);
    ph_sql_add(&sql, ") CROSS JOIN LATERAL (SELECT %s FROM %s WHERE ", rel->select, rel->from);
    for (int k = 0; k < s->n_key; k++) {
        const struct ph_plan_column *c = &t->columns[t->identity[k]];
        const char *type = other == PH_READ_SOURCE ? c->source_type : c->target_type;
        bool plain = is_plain(type) && !c->by_text && !c->is_expression;
        ph_buf_add(&sql, k ? " AND " : "");
        if (plain)
            ph_sql_add(&sql, "%I", other == PH_READ_SOURCE ? c->source : c->name);
        else
            ph_sql_add(&sql, "(%s)::pg_catalog.text",
                       other == PH_READ_SOURCE ? c->verify_source : c->verify_target);
        ph_sql_add(&sql, " OPERATOR(pg_catalog.=) pghaul_k.k%d", k);
    }
    if (rel->where)
        ph_sql_add(&sql, " AND (%s\n)", rel->where);
    ph_buf_add(&sql, ") c(");
    add_names(s, &sql);
    ph_buf_addc(&sql, ')');
    bool ok = ph_verify_query(s->v, other, rel->qualify, sql.data, out, err);
    ph_buf_fini(&sql);
    return ok;
}

/* Which columns of two rows differ; their number. */
static int unlike(const struct sampling *s, const struct ph_rows *a, int i, const struct ph_rows *b,
                  int k, const char **names)
{
    int n = 0;
    for (int c = 0; c < s->n_columns; c++) {
        const char *x = ph_rows_get(a, i, 1 + s->n_key + c);
        const char *y = ph_rows_get(b, k, 1 + s->n_key + c);
        if ((!x || !y) ? x != y : strcmp(x, y) != 0)
            names[n++] = s->unit->first->columns[c].name;
    }
    return n;
}

/* What is known of a row that was chosen. */
struct fate {
    bool equal, found;
    const char **columns;
    int n_columns;
};

static bool look_everywhere(const struct sampling *s, const struct ph_rows *rows, int n,
                            struct fate *fates, struct ph_err *err)
{
    int other = 1 - s->side;
    for (int rel = 0; rel < s->unit->n_rels[other]; rel++)
        for (int begin = 0; begin < n; begin += KEYS_AT_ONCE) {
            struct ph_rows *found = NULL;
            int some = n - begin < KEYS_AT_ONCE ? n - begin : KEYS_AT_ONCE;
            if (!look_up(s, &s->unit->rels[other][rel], rows, begin, some, &found, err))
                return false;
            for (int k = 0; k < ph_rows_count(found); k++) {
                int i = (int)ph_rows_int(found, k, 0);
                struct fate *f = &fates[i];
                f->columns = ph_arena_calloc(s->v->arena, (size_t)s->n_columns, sizeof *f->columns);
                f->n_columns = unlike(s, rows, i, found, k, f->columns);
                f->equal = f->equal || f->n_columns == 0;
                f->found = true;
            }
            ph_rows_free(found);
        }
    return true;
}

static void add_difference(const struct sampling *s, const struct ph_rows *rows, int i,
                           const struct fate *fate)
{
    struct ph_verify_table *r = s->unit->result;
    struct ph_arena *arena = s->v->arena;
    bool here = s->side == PH_READ_SOURCE;
    if (fate->equal || (fate->found && !here) || (!here && s->unit->ignore_extra))
        return; /* a changed row is told of once */
    *(fate->found ? &r->changed : here ? &r->missing : &r->extra) += 1;
    r->equal = false;
    if (r->n_differences >= s->v->opts->max_differences)
        return;
    const char **key = ph_arena_calloc(arena, (size_t)s->n_key, sizeof *key);
    for (int k = 0; k < s->n_key; k++)
        key[k] = ph_arena_strdup(arena, ph_rows_get(rows, i, 1 + k));
    r->differences[r->n_differences++] = (struct ph_difference){
        .kind = fate->found ? PH_CHANGED
                : here      ? PH_MISSING
                            : PH_EXTRA,
        .key = key,
        .copies = 1,
        .columns = fate->columns,
        .n_columns = fate->found ? fate->n_columns : 0,
    };
}

static bool sample_side(struct sampling *s, int *chosen, struct ph_err *err)
{
    int64_t blocks = 0;
    for (int i = 0; i < s->unit->n_rels[s->side]; i++)
        blocks += s->unit->rels[s->side][i].blocks + 1;
    for (int rel = 0; rel < s->unit->n_rels[s->side]; rel++) {
        const struct ph_unit_rel *r = &s->unit->rels[s->side][rel];
        struct ph_rows *rows = NULL;
        int want = 1 + (int)((double)s->rows * (double)(r->blocks + 1) / (double)blocks);
        if (!ph_verify_may_go_on(s->v, err) || !choose(s, r, want, &rows, err))
            return false;
        int n = ph_rows_count(rows);
        struct fate *fates = calloc((size_t)n + 1, sizeof *fates);
        bool ok = fates ? look_everywhere(s, rows, n, fates, err) : ph_err_nomem(err);
        for (int i = 0; ok && i < n; i++)
            add_difference(s, rows, i, &fates[i]);
        *chosen += n;
        free(fates);
        ph_rows_free(rows);
        if (!ok)
            return false;
    }
    return true;
}

/* One unit; it is sampled anew after a pause, since rows must be looked up where they were chosen. */
static bool sample_unit(struct ph_verify *v, struct ph_unit *unit, uint64_t seed,
                        struct ph_err *err)
{
    struct ph_verify_table *r = unit->result;
    struct sampling s = {.v = v,
                         .unit = unit,
                         .seed = seed,
                         .rows = v->opts->sample_rows ? v->opts->sample_rows : DEFAULT_ROWS,
                         .n_key = unit->first->n_identity,
                         .n_columns = unit->first->n_columns};
    int chosen[2] = {0, 0};
    r->equal = true;
    r->missing = r->extra = r->changed = 0;
    r->n_differences = 0;
    r->differences =
        ph_arena_calloc(v->arena, (size_t)v->opts->max_differences, sizeof *r->differences);
    for (s.side = 0; s.side < 2; s.side++)
        if (!sample_side(&s, &chosen[s.side], err))
            return false;
    double rows = unit->first->rows_estimate;
    r->coverage = rows > chosen[0] ? chosen[0] / rows : 1;
    r->shards = 0;
    r->proof = "the rows that were chosen are the same on both sides";
    unit->settled = true;
    return true;
}

bool ph_verify_sample(struct ph_verify *v, struct ph_err *err)
{
    uint64_t seed = v->opts->sample_seed ? v->opts->sample_seed : ph_clock_ns() % 1000000007 + 1;
    v->result->seed = seed;
    for (int i = 0; i < v->n_units; i++) {
        struct ph_unit *unit = &v->units[i];
        if (unit->settled)
            continue;
        if (unit->first->n_identity == 0) {
            unit->result->why = "it has no key by which rows can be found";
            continue;
        }
        while (!sample_unit(v, unit, seed, err))
            if (err->code != PH_PAUSED || !ph_verify_rest(v, err))
                return ph_err_prefix(err, "sampling %s", unit->result->source);
    }
    return true;
}

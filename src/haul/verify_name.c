/* Rows that differ get names: they are fetched by their places, on both sides, under the snapshots
 * that they were found under. Values stay in the servers unless --show-data asks for them: of each
 * column a hash comes over, which is enough to say whether it differs.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "haul/verify_run.h"
#include "pg/sql.h"

enum { ROWS_AT_ONCE = 200, SHOWN_CHARACTERS = 200 };

/* One side of a difference, as fetched. */
struct named {
    const char **key;   /* n_identity */
    const char **hash;  /* of each column */
    const char **value; /* with --show-data */
};

struct naming {
    struct ph_verify *v;
    struct ph_unit *unit;
    const struct ph_odd **odds; /* those that are fetched on this side */
    struct named *out;          /* parallel */
    int n;
};

static bool is_like(const char *type, const char *prefix)
{
    return !strncmp(type, prefix, strlen(prefix));
}

/* What two servers agree upon if and only if the column's bytes are the same. */
static void add_hash(struct ph_buf *sql, const struct ph_plan_column *c, const char *column)
{
    const char *type = c->target_type;
    bool padded =
        is_like(type, "character(") || !strcmp(type, "character") || !strcmp(type, "bpchar");
    if (!c->by_text && (padded || !strcmp(type, "bytea")))
        ph_sql_add(sql, ", pg_catalog.sha256(%s%s%s)", padded ? "pg_catalog.bpcharsend(" : "",
                   column, padded ? ")" : "");
    else
        ph_sql_add(sql,
                   ", pg_catalog.hashtextextended((%s)::pg_catalog.text COLLATE pg_catalog.\"C\","
                   " 0)",
                   column);
}

/* A row for each place, in order; places that are the same twice are fetched twice. */
static void write_fetch(const struct naming *w, int side, int rel, const int *which, int n,
                        struct ph_buf *sql)
{
    const struct ph_unit *unit = w->unit;
    const struct ph_unit_rel *r = &unit->rels[side][rel];
    ph_sql_add(sql, "SELECT pghaul_u.n");
    for (int i = 0; i < unit->first->n_columns; i++) {
        const struct ph_plan_column *c = &unit->first->columns[i];
        struct ph_buf name = {0};
        ph_sql_add(&name, "c.c%d", i);
        add_hash(sql, c, name.data);
        bool is_key = false;
        for (int k = 0; k < unit->first->n_identity; k++)
            is_key = is_key || unit->first->identity[k] == i;
        if (is_key || w->v->opts->show_data)
            ph_sql_add(sql,
                       is_key ? ", (%s)::pg_catalog.text"
                              : ", pg_catalog.left((%s)::pg_catalog.text, 200)",
                       name.data);
        ph_buf_fini(&name);
    }
    ph_buf_add(sql, " FROM pg_catalog.unnest('{");
    for (int i = 0; i < n; i++) {
        const struct ph_spot *p = &w->odds[which[i]]->place[side];
        ph_buf_addf(sql, "%s\"(%u,%u)\"", i ? "," : "", p->block, p->offset);
    }
    ph_sql_add(sql, "}'::pg_catalog.tid[]) WITH ORDINALITY pghaul_u(at, n) JOIN LATERAL"
                    " (SELECT ");
    struct ph_buf list = {0};
    ph_sql_add(&list, "%s", r->select);
    ph_sql_add(sql, "%s FROM %s WHERE ctid OPERATOR(pg_catalog.=) pghaul_u.at) AS c(", list.data,
               r->from);
    ph_buf_fini(&list);
    for (int i = 0; i < unit->first->n_columns; i++)
        ph_sql_add(sql, "%sc%d", i ? ", " : "", i);
    ph_buf_add(sql, ") ON true ORDER BY pghaul_u.n");
}

static void take_row(const struct naming *w, const struct ph_rows *rows, int row, struct named *out)
{
    const struct ph_table *t = w->unit->first;
    struct ph_arena *arena = w->v->arena;
    out->key = ph_arena_calloc(arena, (size_t)t->n_identity, sizeof *out->key);
    out->hash = ph_arena_calloc(arena, (size_t)t->n_columns, sizeof *out->hash);
    out->value = ph_arena_calloc(arena, (size_t)t->n_columns, sizeof *out->value);
    for (int i = 0, at = 1; i < t->n_columns; i++) {
        out->hash[i] = ph_arena_strdup(arena, ph_rows_get(rows, row, at++));
        int place = -1;
        for (int k = 0; k < t->n_identity; k++)
            if (t->identity[k] == i)
                place = k;
        if (place < 0 && !w->v->opts->show_data)
            continue;
        out->value[i] = ph_arena_strdup(arena, ph_rows_get(rows, row, at++));
        if (place >= 0)
            out->key[place] = out->value[i];
    }
}

static bool fetch_some(const struct naming *w, int side, int rel, const int *which, int n,
                       struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    write_fetch(w, side, rel, which, n, &sql);
    bool ok = ph_verify_query(w->v, side, w->unit->rels[side][rel].qualify, sql.data, &rows, err);
    ph_buf_fini(&sql);
    for (int i = 0; ok && i < ph_rows_count(rows); i++)
        take_row(w, rows, i, &w->out[which[ph_rows_int(rows, i, 0) - 1]]);
    ph_rows_free(rows);
    return ok || ph_err_prefix(err, "fetching rows that differ");
}

static bool fetch_side(const struct naming *w, int side, struct ph_err *err)
{
    int which[ROWS_AT_ONCE];
    for (int rel = 0; rel < w->unit->n_rels[side]; rel++) {
        int n = 0;
        for (int i = 0; i <= w->n; i++) {
            bool mine = i < w->n && w->odds[i] && w->odds[i]->place[side].rel == rel;
            if (mine)
                which[n++] = i;
            if (n == 0 || (n < ROWS_AT_ONCE && i < w->n))
                continue;
            if (!fetch_some(w, side, rel, which, n, err))
                return false;
            n = 0;
        }
    }
    return true;
}

/* Pairs. */

/* A difference before it has a name: its rows on both sides, NULL where there is none. */
struct pair {
    const struct ph_odd *side[2];
    enum ph_difference_kind kind;
    uint64_t copies;
};

static void add_pairs(const struct ph_odds *odds, size_t at, size_t n, bool ignore_extra,
                      struct pair *out, int *n_out, int most)
{
    uint32_t left[2][64] = {{0}};
    size_t seen = n < 64 ? n : 64, at_side[2] = {0, 0};
    for (size_t i = 0; i < seen; i++)
        for (int s = 0; s < 2; s++)
            left[s][i] = odds->items[at + i].count[s];
    while (*n_out < most) {
        const struct ph_odd *found[2] = {NULL, NULL};
        for (int s = 0; s < 2; s++) {
            while (at_side[s] < seen && left[s][at_side[s]] == 0)
                at_side[s]++;
            if (at_side[s] < seen)
                found[s] = &odds->items[at + at_side[s]];
        }
        if (!found[0] && !found[1])
            return;
        bool changed = found[0] && found[1];
        if (!found[0] && ignore_extra)
            return;
        uint64_t copies = changed ? 1 : found[0] ? left[0][at_side[0]] : left[1][at_side[1]];
        for (int s = 0; s < 2; s++)
            if (found[s])
                left[s][at_side[s]] -= (uint32_t)copies;
        out[(*n_out)++] = (struct pair){{found[0], found[1]},
                                        changed    ? PH_CHANGED
                                        : found[0] ? PH_MISSING
                                                   : PH_EXTRA,
                                        copies};
    }
}

static bool differs(const char *a, const char *b)
{
    return (!a || !b) ? a != b : strcmp(a, b) != 0;
}

static void describe(const struct naming *w, const struct pair *pair,
                     const struct named *const side[2], struct ph_difference *out)
{
    const struct ph_table *t = w->unit->first;
    struct ph_arena *arena = w->v->arena;
    const struct named *any = side[0] ? side[0] : side[1];
    const struct ph_odd *odd = pair->side[0] ? pair->side[0] : pair->side[1];
    *out = (struct ph_difference){
        .kind = pair->kind, .key = any->key, .content = odd->row, .copies = pair->copies};
    if (pair->kind != PH_CHANGED || !side[0]->hash || !side[1]->hash)
        return;
    const char **columns = ph_arena_calloc(arena, (size_t)t->n_columns, sizeof *columns);
    const char **here = ph_arena_calloc(arena, (size_t)t->n_columns, sizeof *here);
    const char **there = ph_arena_calloc(arena, (size_t)t->n_columns, sizeof *there);
    for (int i = 0; i < t->n_columns; i++) {
        if (!differs(side[0]->hash[i], side[1]->hash[i]))
            continue;
        here[out->n_columns] = side[0]->value[i];
        there[out->n_columns] = side[1]->value[i];
        columns[out->n_columns++] = t->columns[i].name;
    }
    out->columns = columns;
    if (w->v->opts->show_data) {
        out->source = here;
        out->target = there;
    }
}

static int compare_values(const char *a, const char *b, bool number)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    if (number) {
        long long x = strtoll(a, NULL, 10), y = strtoll(b, NULL, 10);
        return (x > y) - (x < y);
    }
    return strcmp(a, b);
}

/* By key, so that the same differences are listed in the same order. */
static int order_differences(const void *a, const void *b, void *arg)
{
    const struct ph_difference *x = a, *y = b;
    const struct ph_verify_table *r = arg;
    for (int i = 0; i < r->n_key; i++) {
        int c = x->key && y->key ? compare_values(x->key[i], y->key[i], r->key_is_number[i]) : 0;
        if (c)
            return c;
    }
    return (x->content > y->content) - (x->content < y->content);
}

bool ph_verify_name(struct ph_verify *v, struct ph_unit *unit, const struct ph_odds *odds,
                    struct ph_err *err)
{
    struct ph_verify_table *r = unit->result;
    int most = v->opts->max_differences, n = 0;
    struct ph_arena *arena = v->arena;
    struct pair *pairs = ph_arena_calloc(arena, (size_t)most, sizeof *pairs);
    struct ph_verdict ignored;
    for (size_t at = 0, group; at < odds->n && n < most; at += group) {
        group = ph_odds_group(odds, at, &ignored);
        add_pairs(odds, at, group, unit->ignore_extra, pairs, &n, most);
    }
    const struct named **sides[2];
    for (int side = 0; side < 2; side++) {
        struct naming w = {.v = v, .unit = unit, .n = n};
        w.odds = ph_arena_calloc(arena, (size_t)n, sizeof *w.odds);
        w.out = ph_arena_calloc(arena, (size_t)n, sizeof *w.out);
        sides[side] = ph_arena_calloc(arena, (size_t)n, sizeof(struct named *));
        for (int i = 0; i < n; i++) {
            w.odds[i] = pairs[i].side[side];
            sides[side][i] = w.odds[i] ? &w.out[i] : NULL;
        }
        if (!fetch_side(&w, side, err))
            return false;
    }
    r->differences = ph_arena_calloc(arena, (size_t)n, sizeof *r->differences);
    r->n_differences = n;
    const struct naming w = {.v = v, .unit = unit};
    for (int i = 0; i < n; i++)
        describe(&w, &pairs[i], (const struct named *const[2]){sides[0][i], sides[1][i]},
                 &r->differences[i]);
    qsort_r(r->differences, (size_t)n, sizeof *r->differences, order_differences, r);
    return true;
}

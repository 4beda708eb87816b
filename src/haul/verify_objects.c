/* Large objects: the content of all of them is read on both sides, in pieces (pg/objects.h), and pieces
 * meet; so do their comments and, where definitions are compared, their owners and grants. What is left
 * over says which objects differ, and in what.
 *
 * Objects that the target alone has count only with --exact, for a job does not own those of a database.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "haul/verify_run.h"
#include "pg/objects.h"
#include "pg/sql.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

enum { PIECES, COMMENT, OWNER, GRANTS, N_ASPECTS };
enum { AT_ONCE = 5000, MOST_RANGES = 64, OBJECTS_PER_RANGE = 500 };

static const char *const aspects[N_ASPECTS] = {"content", "comment", "owner", "grants"};

/* What is read of each; the number keeps rows of different aspects apart. */
static const char *const selects[N_ASPECTS] = {
    "oid, off, data", "oid, 1, pg_catalog.obj_description(oid, 'pg_largeobject')",
    "oid, 2, pg_catalog.pg_get_userbyid(lomowner)::pg_catalog.text",
    "oid, 3, (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(E'\\t', CASE WHEN a.grantee"
    " OPERATOR(pg_catalog.=) 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END,"
    " a.privilege_type, a.is_grantable), E'\\n' ORDER BY pg_catalog.pg_get_userbyid(a.grantee)"
    " COLLATE pg_catalog.\"C\", a.privilege_type COLLATE pg_catalog.\"C\")"
    " FROM pg_catalog.aclexplode(lomacl) a)"};

static const char metadata[] = "pg_catalog.pg_largeobject_metadata";

struct objects {
    struct ph_verify *v;
    struct ph_verify_table *result;
    struct ph_meeting *meeting;
    uint32_t bounds[MOST_RANGES];
    int n_bounds;
    struct ph_buf gone, written, extra; /* OIDs, for a repair */
};

/* Reading. */

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct objects *o = arg;
    uint32_t oid;
    (void)worker;
    memcpy(&oid, row->key + 4, sizeof oid); /* behind its length */
    const struct ph_spot place = {be32toh(oid), 0, (uint16_t)row->rel->number};
    ph_meeting_add(o->meeting, row->rel->side, XXH3_64bits(row->key, row->key_len),
                   row->hash_hi ^ row->hash_lo, place);
}

static bool is_asked(const struct ph_verify *v, int aspect)
{
    const struct ph_verify_opts *o = v->opts;
    return aspect == PIECES || (aspect == COMMENT && !o->no_comments) ||
           (aspect == OWNER && o->definitions && !o->no_owner) ||
           (aspect == GRANTS && o->definitions && !o->no_privileges);
}

/* How many there are on either side, and where to cut. */
static bool look(struct objects *o, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    int64_t n[2];
    for (int side = 0; side < 2; side++) {
        if (!ph_verify_query(o->v, side, false,
                             "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata",
                             &rows, err))
            return false;
        n[side] = ph_rows_int(rows, 0, 0);
        ph_rows_free(rows);
    }
    o->result->source_rows = n[0];
    o->result->target_rows = n[1];
    o->n_bounds = 0;
    int64_t ranges = n[0] / OBJECTS_PER_RANGE;
    ranges = ranges > MOST_RANGES ? MOST_RANGES : ranges;
    if (ranges < 2)
        return true;
    ph_sql_add(&sql,
               "SELECT pg_catalog.unnest(pg_catalog.percentile_disc((SELECT pg_catalog.array_agg("
               "pg_catalog.float8(i) OPERATOR(pg_catalog./) %d) FROM pg_catalog.generate_series(1,"
               " %d) i)) WITHIN GROUP (ORDER BY oid)) FROM %s",
               (int)ranges, (int)ranges - 1, metadata);
    bool ok = ph_verify_query(o->v, PH_READ_SOURCE, false, sql.data, &rows, err);
    ph_buf_fini(&sql);
    for (int i = 0; ok && i < ph_rows_count(rows) && i < MOST_RANGES; i++)
        o->bounds[o->n_bounds++] = (uint32_t)ph_rows_uint(rows, i, 0);
    ph_rows_free(rows);
    return ok;
}

/* The objects between two bounds. */
static const char *range(struct objects *o, int i)
{
    struct ph_buf sql = {0};
    if (i > 0)
        ph_sql_add(&sql, "oid OPERATOR(pg_catalog.>=) '%u'::pg_catalog.oid", o->bounds[i - 1]);
    if (i < o->n_bounds)
        ph_sql_add(&sql, "%soid OPERATOR(pg_catalog.<) '%u'::pg_catalog.oid", i ? " AND " : "",
                   o->bounds[i]);
    const char *text = sql.len ? ph_arena_strdup(o->v->arena, sql.data) : NULL;
    ph_buf_fini(&sql);
    return text;
}

static bool read_all(struct objects *o, struct ph_err *err)
{
    struct ph_verify *v = o->v;
    struct ph_buf pieces = {0};
    int n = 0;
    struct ph_readout_rel *rels =
        ph_arena_calloc(v->arena, (size_t)(o->n_bounds + 1 + N_ASPECTS) * 2, sizeof *rels);
    ph_objects_from(&pieces);
    for (int aspect = 0; aspect < N_ASPECTS; aspect++)
        for (int i = 0; is_asked(v, aspect) && i <= (aspect == PIECES ? o->n_bounds : 0); i++)
            for (int side = 0; side < 2; side++)
                rels[n++] = (struct ph_readout_rel){
                    .side = side,
                    .from = aspect == PIECES ? pieces.data : metadata,
                    .where = aspect == PIECES ? range(o, i) : NULL,
                    .lead = "",
                    .select = selects[aspect],
                    .n_columns = 3,
                    .n_key = 1,
                    .number = aspect,
                };
    const struct ph_readout_opts opts = ph_verify_readout(v);
    bool ok = ph_readout_run(&opts, rels, n, visit, o, err);
    ph_buf_fini(&pieces);
    return ok;
}

/* Naming. */

struct found {
    uint32_t oid;
    unsigned differs; /* bits: aspects */
    bool is_there[2];
};

static int order_found(const void *a, const void *b)
{
    uint32_t x = ((const struct found *)a)->oid, y = ((const struct found *)b)->oid;
    return (x > y) - (x < y);
}

/* Which of them there are on a side; they are sorted. */
static bool ask_for(struct objects *o, int side, struct found *found, int n, struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    ph_sql_add(&sql, "SELECT oid FROM %s WHERE oid OPERATOR(pg_catalog.=) ANY ('{", metadata);
    for (int i = 0; i < n; i++)
        ph_sql_add(&sql, "%s%u", i ? "," : "", found[i].oid);
    ph_buf_add(&sql, "}'::pg_catalog.oid[])");
    bool ok = ph_verify_query(o->v, side, false, sql.data, &rows, err);
    ph_buf_fini(&sql);
    for (int i = 0; ok && i < ph_rows_count(rows); i++) {
        const struct found key = {.oid = (uint32_t)ph_rows_uint(rows, i, 0)};
        struct found *f = bsearch(&key, found, (size_t)n, sizeof *found, order_found);
        if (f)
            f->is_there[side] = true;
    }
    ph_rows_free(rows);
    return ok;
}

static void note(struct objects *o, const struct found *f)
{
    if (!f->is_there[PH_READ_SOURCE])
        ph_buf_addn(&o->extra, (const char *)&f->oid, sizeof f->oid);
    else if (f->is_there[PH_READ_TARGET])
        ph_buf_addn(&o->gone, (const char *)&f->oid, sizeof f->oid);
    if (f->is_there[PH_READ_SOURCE])
        ph_buf_addn(&o->written, (const char *)&f->oid, sizeof f->oid);
}

static void tell(struct objects *o, const struct found *f)
{
    struct ph_verify_table *r = o->result;
    struct ph_arena *arena = o->v->arena;
    bool extra = !f->is_there[PH_READ_SOURCE], missing = !f->is_there[PH_READ_TARGET];
    if (extra && !o->v->opts->exact) {
        r->extra_ignored++;
        return;
    }
    *(extra ? &r->extra : missing ? &r->missing : &r->changed) += 1;
    if (o->v->opts->repair)
        note(o, f);
    if (r->n_differences >= o->v->opts->max_differences)
        return;
    const char **key = ph_arena_calloc(arena, 1, sizeof *key);
    const char **columns = ph_arena_calloc(arena, N_ASPECTS, sizeof *columns);
    int n = 0;
    *key = ph_arena_printf(arena, "%u", f->oid);
    for (int i = 0; i < N_ASPECTS; i++)
        if (f->differs >> i & 1)
            columns[n++] = aspects[i];
    r->differences[r->n_differences++] = (struct ph_difference){
        .kind = extra     ? PH_EXTRA
                : missing ? PH_MISSING
                          : PH_CHANGED,
        .key = key,
        .copies = 1,
        .columns = columns,
        .n_columns = extra || missing ? 0 : n,
    };
}

static bool tell_some(struct objects *o, struct found *found, int n, struct ph_err *err)
{
    qsort(found, (size_t)n, sizeof *found, order_found);
    if (n > 0 &&
        (!ask_for(o, PH_READ_SOURCE, found, n, err) || !ask_for(o, PH_READ_TARGET, found, n, err)))
        return false;
    for (int i = 0; i < n; i++)
        tell(o, &found[i]);
    return true;
}

static bool tell_all(struct objects *o, const struct ph_odds *odds, struct ph_err *err)
{
    struct found *found = calloc(AT_ONCE, sizeof *found);
    struct ph_verdict ignored;
    int n = 0;
    bool ok = found || ph_err_nomem(err);
    for (size_t at = 0, some; ok && at < odds->n; at += some) {
        some = ph_odds_group(odds, at, &ignored);
        struct found *f = &found[n++];
        *f = (struct found){0};
        for (size_t i = at; i < at + some; i++) {
            const struct ph_odd *odd = &odds->items[i];
            int side = odd->count[PH_READ_SOURCE] ? PH_READ_SOURCE : PH_READ_TARGET;
            f->oid = odd->place[side].block;
            f->differs |= 1u << odd->place[side].rel;
        }
        if (n == AT_ONCE) {
            ok = tell_some(o, found, n, err);
            n = 0;
        }
    }
    ok = ok && tell_some(o, found, n, err);
    free(found);
    return ok;
}

static bool compare(struct objects *o, struct ph_err *err)
{
    struct ph_odds odds = {0};
    struct ph_verify_table *r = o->result;
    struct ph_verify *v = o->v;
    r->missing = r->extra = r->changed = r->extra_ignored = 0;
    r->n_differences = 0;
    ph_buf_clear(&o->gone);
    ph_buf_clear(&o->written);
    ph_buf_clear(&o->extra);
    o->meeting = ph_meeting_new();
    bool ok = o->meeting || ph_err_nomem(err);
    ok = ok && ph_verify_look(v, PH_READ_SOURCE, err) && ph_verify_look(v, PH_READ_TARGET, err) &&
         look(o, err) && read_all(o, err) && ph_meeting_harvest(o->meeting, &odds, err) &&
         tell_all(o, &odds, err);
    ph_meeting_free(o->meeting);
    free(odds.items);
    return ok;
}

/* Extra ones go only if all of them may. */
static bool mend(struct objects *o, bool *mended, struct ph_err *err)
{
    struct ph_verify_table *r = o->result;
    bool spare = r->extra > o->v->opts->max_delete;
    if (spare)
        r->repair_refused = ph_arena_printf(
            o->v->arena,
            "large objects are extra and may not be deleted: --max-delete %llu would let them",
            (unsigned long long)r->extra);
    else
        ph_buf_addn(&o->gone, ph_buf_text(&o->extra), o->extra.len);
    const struct ph_objects_mend what = {
        .gone = (uint32_t *)(void *)o->gone.data,
        .written = (uint32_t *)(void *)o->written.data,
        .n_gone = o->gone.len / sizeof(uint32_t),
        .n_written = o->written.len / sizeof(uint32_t),
        .n_extra = spare ? 0 : r->extra,
    };
    return ph_verify_mend_objects(o->v, r, &what, mended, err);
}

/* What was mended is looked at again, at another moment; owners and grants of roles that the target lacks stay away. */
static bool compare_and_mend(struct objects *o, struct ph_err *err)
{
    struct ph_verify *v = o->v;
    struct ph_verify_table *r = o->result;
    bool mended = false;
    while (!compare(o, err) || (v->opts->repair && !mend(o, &mended, err)))
        if (err->code != PH_PAUSED || !ph_verify_rest(v, err))
            return false;
    if (!mended)
        return true;
    ph_verify_look_away(v);
    while (!compare(o, err))
        if (err->code != PH_PAUSED || !ph_verify_rest(v, err))
            return false;
    if (r->missing + r->changed > 0 && !r->repair_refused)
        r->repair_refused = "some large objects differ though they were mended: does the target"
                            " have the roles that are their owners and grantees?";
    return true;
}

bool ph_verify_objects(struct ph_verify *v, struct ph_verify_table *r, struct ph_err *err)
{
    struct objects o = {.v = v, .result = r};
    const char **key = ph_arena_calloc(v->arena, 1, sizeof *key);
    bool *number = ph_arena_calloc(v->arena, 1, sizeof *number);
    *key = "oid";
    *number = true;
    *r = (struct ph_verify_table){
        .source = "large objects",
        .target = "large objects",
        .level = PH_VERIFY_SOURCE,
        .coverage = 1,
        .shards = 1,
        .key = key,
        .key_is_number = number,
        .n_key = 1,
        .proof = "both sides have the same bytes now",
        .differences = ph_arena_calloc(v->arena, (size_t)v->opts->max_differences,
                                       sizeof(struct ph_difference)),
    };
    bool ok = compare_and_mend(&o, err) || ph_err_prefix(err, "comparing large objects");
    ph_buf_fini(&o.gone);
    ph_buf_fini(&o.written);
    ph_buf_fini(&o.extra);
    r->equal = r->missing + r->extra + r->changed == 0;
    r->differing_shards = !r->equal;
    return ok;
}

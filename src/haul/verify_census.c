/* Whether what a verify has proven is what there is still, for one that was stopped and goes on.
 *
 * The relations must be the same files and have the same columns; whoever rewrites or empties a table
 * gives it another file. Rows within a file cannot change, come or move but by a transaction that
 * leaves its number in them, and can only become fewer otherwise. So where no transaction has begun
 * on a server since, nothing is looked at; else the server counts: as many rows as there were, and
 * none of a transaction that was not over then.
 *
 * A crash breaks both rules: unlogged tables are empty after it, and commits that nobody had waited for
 * are gone, their numbers given out anew. It need not be one of the whole server, whose start would tell;
 * one backend that dies is enough. But whatever makes a server recover makes it begin its statistics
 * anew, and another server (a standby that has taken over) has its own: so the time when they began
 * belongs to what is proven. Who resets them has the proof made again.
 *
 * Of a job's --where nothing can be told: what it looks at besides the row, the time or another table,
 * may have changed.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haul/verify_run.h"
#include "pg/sql.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

bool ph_census_files(struct ph_verify *v, const struct ph_unit *unit, int side, uint64_t *files,
                     struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool filtered = false;
    ph_buf_add(&sql, "SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', c.oid,"
                     " pg_catalog.pg_relation_filenode(c.oid), (SELECT pg_catalog.string_agg("
                     "pg_catalog.concat_ws(':', a.attnum, a.attname, a.atttypid, a.atttypmod), ' '"
                     " ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid"
                     " OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0"
                     " AND NOT a.attisdropped), extract(epoch FROM"
                     " pg_catalog.pg_stat_get_bgwriter_stat_reset_time())), ' ' ORDER BY c.oid),"
                     " pg_catalog.count(*) FILTER (WHERE c.relkind IN ('r', 'm'))"
                     " FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{");
    for (int i = 0; i < unit->n_rels[side]; i++) {
        ph_sql_add(&sql, "%s%u", i ? "," : "", unit->rels[side][i].oid);
        filtered = filtered || unit->rels[side][i].where;
    }
    ph_buf_add(&sql, "}'::pg_catalog.oid[])");
    bool ok = ph_verify_query(v, side, false, sql.data, &rows, err);
    ph_buf_fini(&sql);
    *files = 0;
    if (ok && !filtered && ph_rows_int(rows, 0, 1) == unit->n_rels[side]) {
        const char *text = ph_rows_text(rows, 0, 0);
        *files = XXH3_64bits(text, strlen(text)) | 1;
    }
    ph_rows_free(rows);
    return ok;
}

static uint64_t field(const char *p)
{
    uint64_t value;
    memcpy(&value, p + 4, sizeof value); /* behind its length */
    return be64toh(value);
}

static void count(void *arg, int worker, const struct ph_readout_row *row)
{
    struct ph_census *census = (struct ph_census *)arg + row->rel->number;
    (void)worker;
    atomic_fetch_add(&census->rows[row->rel->side], field(row->lead));
    atomic_fetch_add(&census->young[row->rel->side], field(row->lead + 12));
}

/* An xmin has 32 bits: every visible one is behind the next transaction, which widens it. One that was
 * frozen longer ago than 2^32 transactions may look younger than it is, which errs on the safe side. */
struct ph_readout_rel ph_census_rel(struct ph_verify *v, const struct ph_readout_rel *rel,
                                    uint64_t oldest, int number)
{
    uint64_t next = v->next[rel->side];
    return (struct ph_readout_rel){
        .side = rel->side,
        .from = rel->from,
        .where = rel->where,
        .select = "",
        .inner = "SELECT xmin::pg_catalog.text::pg_catalog.int8 AS x",
        .lead = ph_arena_printf(v->arena,
                                "pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE h.x"
                                " OPERATOR(pg_catalog.>=) 3 AND %" PRIu64
                                " OPERATOR(pg_catalog.-) ((%" PRIu64
                                " OPERATOR(pg_catalog.-) h.x) OPERATOR(pg_catalog.&) 4294967295)"
                                " OPERATOR(pg_catalog.>=) %" PRIu64 ")",
                                next, next, oldest),
        .n_lead = 2,
        .by_tid = rel->by_tid,
        .blocks = rel->blocks,
        .qualify = rel->qualify,
        .number = number,
    };
}

bool ph_census_take(struct ph_verify *v, const struct ph_readout_rel *rels,
                    struct ph_readout_cut *cut, struct ph_census *census, struct ph_err *err)
{
    struct ph_readout_opts opts = ph_verify_readout(v);
    opts.rows = opts.bytes = NULL;
    return ph_readout_go_on(&opts, rels, cut, count, census, err);
}

/* Units that were proven whole. */

static bool needs(const struct ph_unit *unit, int side)
{
    return side == PH_READ_TARGET || unit->result->level != PH_VERIFY_READBACK || unit->result->why;
}

/* What was asked of the unit: the same rows and columns? */
static uint64_t question(struct ph_verify *v, const struct ph_unit *unit)
{
    struct ph_buf text = {0};
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < unit->n_rels[side]; i++) {
            const struct ph_readout_rel rel = ph_unit_readout(v, unit, side, i, false);
            ph_buf_addf(&text, "\n%d|%s|%s|%s", side, rel.from, rel.where ? rel.where : "",
                        rel.select);
        }
    uint64_t hash = XXH3_64bits(text.data, text.len);
    ph_buf_fini(&text);
    return hash;
}

bool ph_census_write(struct ph_verify *v, const struct ph_unit *unit, char text[static 200],
                     struct ph_err *err)
{
    uint64_t files[2] = {0, 0};
    const struct ph_verify_table *r = unit->result;
    *text = '\0';
    for (int side = 0; side < 2; side++)
        if (needs(unit, side)) {
            if (!v->snapshot[side] || !ph_census_files(v, unit, side, &files[side], err))
                return !v->snapshot[side];
            if (!files[side])
                return true;
        }
    snprintf(text, 200,
             "%" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRId64 " %" PRIx64 " %" PRIu64 " %" PRId64,
             question(v, unit), files[0], v->since[0], r->source_rows, files[1], v->since[1],
             r->target_rows);
    return true;
}

/* Looks at one side; *yes says that it may still be what it was, and *open that rows must be counted. */
static bool same_files(struct ph_verify *v, const struct ph_unit *unit, int side, uint64_t was,
                       bool *yes, struct ph_err *err)
{
    uint64_t files = 0;
    bool ok = ph_verify_look(v, side, err) && ph_census_files(v, unit, side, &files, err);
    *yes = *yes && ok && files == was;
    return ok;
}

static bool same_rows(struct ph_verify *v, const struct ph_unit *unit, int side, uint64_t oldest,
                      int64_t were, bool *yes, struct ph_err *err)
{
    struct ph_census census = {0};
    struct ph_readout_cut cut = {0};
    int n = unit->n_rels[side];
    *yes = *yes && oldest <= v->next[side];
    if (!*yes || oldest == v->next[side])
        return true;
    struct ph_readout_rel *rels = ph_arena_calloc(v->arena, (size_t)n, sizeof *rels);
    for (int i = 0; i < n; i++) {
        const struct ph_readout_rel rel = ph_unit_readout(v, unit, side, i, false);
        rels[i] = ph_census_rel(v, &rel, oldest, 0);
    }
    struct ph_readout_opts opts = ph_verify_readout(v);
    bool ok =
        ph_readout_cut(&opts, rels, n, &cut, err) && ph_census_take(v, rels, &cut, &census, err);
    free(cut.items);
    *yes = ok && atomic_load(&census.young[side]) == 0 &&
           atomic_load(&census.rows[side]) == (uint64_t)were;
    return ok;
}

bool ph_census_stands(struct ph_verify *v, const struct ph_unit *unit, const char *text, bool *yes,
                      struct ph_err *err)
{
    uint64_t asked, files[2], oldest[2];
    int64_t rows[2];
    *yes =
        sscanf(text,
               "%" SCNx64 " %" SCNx64 " %" SCNu64 " %" SCNd64 " %" SCNx64 " %" SCNu64 " %" SCNd64,
               &asked, &files[0], &oldest[0], &rows[0], &files[1], &oldest[1], &rows[1]) == 7 &&
        asked == question(v, unit);
    for (int side = 0; *yes && side < 2; side++)
        if (files[side] && (!same_files(v, unit, side, files[side], yes, err) ||
                            !same_rows(v, unit, side, oldest[side], rows[side], yes, err)))
            return false;
    return true;
}

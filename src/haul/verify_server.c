/* A survey by the servers themselves: each adds up a hash of every row, and only sums come over.
 *
 * A server's hash functions hash values, not bytes: numerics of another scale, intervals that are
 * equal, citexts of other case have one hash; enums and all that holds OIDs have another one in
 * every database; json has none. So each column is hashed in a form in which equal hashes mean equal
 * bytes (form_of). hash_record_extended() is a linear sum over columns, in which values that were
 * swapped between two rows cancel out; hashing its result once more ends that.
 *
 * The fingerprint has 64 bits. Whatever differs, or cannot be hashed so, is surveyed by us.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/feature.h"
#include "haul/verify_run.h"
#include "pg/sql.h"

struct sums {
    uint64_t rows, hash; /* of one side */
};

struct servers {
    struct sums *sums; /* by side: of all chunks; then of each worker's chunk */
};

static const char *const raw_types[] = {"smallint",
                                        "integer",
                                        "bigint",
                                        "boolean",
                                        "oid",
                                        "date",
                                        "uuid",
                                        "bytea",
                                        "timestamp without time zone",
                                        "timestamp with time zone",
                                        "time without time zone",
                                        "time with time zone",
                                        "macaddr",
                                        "macaddr8",
                                        "inet",
                                        "pg_lsn",
                                        "xid8",
                                        NULL};

static const struct {
    const char *type, *send;
} sent_types[] = {{"real", "float4send"},
                  {"double precision", "float8send"},
                  {"interval", "interval_send"},
                  {"money", "cash_send"},
                  {"bpchar", "bpcharsend"}};

static bool is_type(const char *shown, const char *type)
{
    size_t n = strlen(type);
    return !strncmp(shown, type, n) && (shown[n] == '\0' || shown[n] == '(');
}

/* Appends a column in a form of which equal hashes mean equal bytes. */
static void add_form(struct ph_buf *sql, const struct ph_plan_column *c, const char *text)
{
    bool same = !strcmp(c->source_type, c->target_type) || !strcmp(c->format, "cast");
    for (int i = 0; raw_types[i] && same && !c->by_text; i++)
        if (!strcmp(c->target_type, raw_types[i])) {
            ph_buf_add(sql, text);
            return;
        }
    for (size_t i = 0; i < sizeof sent_types / sizeof *sent_types && same && !c->by_text; i++)
        if (is_type(c->target_type, sent_types[i].type)) {
            ph_sql_add(sql, "pg_catalog.%s(%s)", sent_types[i].send, text);
            return;
        }
    if (same && !c->by_text && is_type(c->target_type, "numeric")) {
        /* NaN and both infinities have one hash, and no scale */
        ph_sql_add(sql,
                   "%s, coalesce(pg_catalog.scale(%s), CASE WHEN %s OPERATOR(pg_catalog.=)"
                   " 'NaN'::pg_catalog.numeric THEN -1 WHEN %s OPERATOR(pg_catalog.>)"
                   " 0::pg_catalog.numeric THEN -2 ELSE -3 END)",
                   text, text, text, text);
        return;
    }
    if (same && !c->by_text && (is_type(c->target_type, "character"))) {
        ph_sql_add(sql, "pg_catalog.bpcharsend(%s)", text);
        return;
    }
    ph_sql_add(sql, "(%s)::pg_catalog.text COLLATE pg_catalog.\"C\"", text);
}

static const char *sum_list(struct ph_verify *v, const struct ph_unit *unit,
                            const struct ph_unit_rel *rel, int side)
{
    struct ph_buf row = {0}, sql = {0};
    for (int i = 0; i < unit->first->n_columns; i++) {
        const struct ph_plan_column *c = NULL;
        for (int k = 0; k < rel->table->n_columns && !c; k++)
            if (!strcmp(rel->table->columns[k].name, unit->first->columns[i].name))
                c = &rel->table->columns[k];
        ph_buf_add(&row, i ? ", " : "");
        if (c)
            add_form(&row, c, side == PH_READ_SOURCE ? c->verify_source : c->verify_target);
        else
            ph_buf_add(&row, "NULL");
    }
    /* sum(h) once, for the planner would evaluate h for each mention: modulo 2^64, as an int8 */
    ph_sql_add(
        &sql,
        "pg_catalog.count(*), (pg_catalog.mod(pg_catalog.mod(coalesce(pg_catalog.sum(h.h), 0),"
        " 18446744073709551616) OPERATOR(pg_catalog.+) 18446744073709551616,"
        " 18446744073709551616) OPERATOR(pg_catalog.-) 9223372036854775808)::pg_catalog.int8"
        "|SELECT pg_catalog.hashint8extended(pg_catalog.hash_record_extended(ROW(%s), 0), 1)"
        " AS h",
        ph_buf_text(&row));
    const char *text = ph_arena_strdup(v->arena, sql.data);
    ph_buf_fini(&row);
    ph_buf_fini(&sql);
    return text;
}

static uint64_t field(const char *p)
{
    uint64_t value;
    memcpy(&value, p + 4, sizeof value);
    return be64toh(value);
}

static void visit(void *arg, int worker, const struct ph_readout_row *row)
{
    struct servers *s = arg;
    struct sums *sum = &s->sums[(worker + 1) * 2 + row->rel->side];
    sum->rows += field(row->lead);
    sum->hash += field(row->lead + 12) ^ (uint64_t)1 << 63;
}

static void ended(void *arg, int worker, const struct ph_readout_rel *rel, bool whole)
{
    struct servers *s = arg;
    struct sums *part = &s->sums[(worker + 1) * 2 + rel->side];
    s->sums[rel->side].rows += whole ? part->rows : 0;
    s->sums[rel->side].hash += whole ? part->hash : 0;
    *part = (struct sums){0};
}

static uint64_t count_rows(const void *sums, size_t size, int side)
{
    struct sums both[2];
    memcpy(both, sums, size < sizeof both ? size : sizeof both);
    return both[side].rows;
}

static bool can(const struct ph_verify *v, const struct ph_unit *unit)
{
    const struct ph_plan *plan = v->run.plan;
    if (!ph_feature_has(plan->source.version, PH_HAS_HASH_RECORD) ||
        !ph_feature_has(plan->target.version, PH_HAS_HASH_RECORD) ||
        strcmp(plan->source.encoding, plan->target.encoding) != 0)
        return false;
    return unit->first->n_columns > 0;
}

static bool add_up(struct ph_verify *v, struct ph_unit *unit, struct servers *s, struct ph_err *err)
{
    int n = 0, room = unit->n_rels[0] + unit->n_rels[1];
    struct ph_readout_rel *rels = ph_arena_calloc(v->arena, (size_t)room, sizeof *rels);
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < unit->n_rels[side]; k++) {
            const struct ph_unit_rel *r = &unit->rels[side][k];
            const char *list = sum_list(v, unit, r, side);
            const char *bar = strchr(list, '|');
            rels[n++] = (struct ph_readout_rel){
                .side = side,
                .from = r->from,
                .where = r->where,
                .lead = ph_arena_printf(v->arena, "%.*s", (int)(bar - list), list),
                .select = "",
                .inner = bar + 1,
                .n_lead = 2,
                .by_tid = r->by_tid,
                .blocks = r->blocks,
                .qualify = r->qualify,
            };
        }
    s->sums = calloc((size_t)(v->most_jobs + 1) * 2, sizeof *s->sums);
    const struct ph_reading reading = {
        .rels = rels,
        .n = n,
        .visit = visit,
        .ended = ended,
        .arg = s,
        .unit = v->n_units == 1 ? unit : NULL,
        .stage = PH_READING_SERVERS,
        .sums = s->sums,
        .sums_size = 2 * sizeof *s->sums,
        .count = count_rows,
    };
    return s->sums ? ph_verify_read(v, &reading, err) : ph_err_nomem(err);
}

bool ph_verify_in_server(struct ph_verify *v, struct ph_unit *unit, bool *done, struct ph_err *err)
{
    struct servers s = {0};
    struct ph_verify_table *r = unit->result;
    *done = false;
    if (!can(v, unit)) {
        r->why = "the servers cannot hash it alike";
        return true;
    }
    bool ok = add_up(v, unit, &s, err);
    if (ok) {
        r->level = PH_VERIFY_SOURCE;
        r->source_rows = (int64_t)s.sums[0].rows;
        r->target_rows = (int64_t)s.sums[1].rows;
        r->equal = *done = unit->settled =
            s.sums[0].rows == s.sums[1].rows && s.sums[0].hash == s.sums[1].hash;
        r->shards = 1;
        r->differing_shards = !r->equal;
        r->proof = v->moment ? "both servers have the same 64-bit sums of their rows' hashes, the"
                               " source as of the job's snapshot"
                             : "both servers have the same 64-bit sums of their rows' hashes now";
    }
    free(s.sums);
    return ok;
}

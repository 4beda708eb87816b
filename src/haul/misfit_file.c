/* Misfits of a shard that lies in an archive. The target tries its rows by COPY into a temporary table that has the
 * columns' types and nothing else, batch by batch. Where it stops it says at which row; the next try of the batch begins behind
 * that one. So the file is read once, and hardly more than its rows are sent. */
#include <stdio.h>
#include <string.h>

#include "archive/manifest.h"
#include "copy/decode.h"
#include "copy/stream.h"
#include "haul/misfit.h"
#include "pg/copyin.h"
#include "pg/sql.h"
#include "plan/catalog_json.h"
#include "plan/describe.h"

struct probe {
    struct ph_worker *w;
    const struct ph_shard *shard;
    struct ph_arena *arena;
    struct ph_rejects *out;
    int room;
    struct ph_conn *conn;
    struct ph_decoder *decoder; /* of binary rows; NULL: they are lines */
    struct ph_buf wide;         /* a row that comes in pieces, as far as it has come */
    uint64_t row;               /* rows that have passed */
    int64_t most;
};

/* A try. */

static bool begin_copy(struct probe *p, struct ph_err *err)
{
    struct ph_buf sql = {0};
    const struct ph_table *t = p->shard->table;
    enum ph_result kind = PH_RESULT_NONE;
    ph_sql_add(&sql, "BEGIN;COPY pg_temp.pghaul_probe%s%s%s FROM STDIN%s",
               *t->target_columns ? " (" : "", t->target_columns, *t->target_columns ? ")" : "",
               p->shard->format == PH_BINARY ? " (FORMAT binary)" : "");
    bool ok = ph_conn_send(p->conn, sql.data, err);
    ph_buf_fini(&sql);
    while (ok && kind != PH_RESULT_COPY_IN) {
        ok = ph_conn_next(p->conn, &kind, NULL, err);
        if (ok && kind == PH_RESULT_NONE)
            ok = ph_err_set(err, PH_FAILED, "the target did not begin its COPY");
    }
    return ok && (p->shard->format != PH_BINARY ||
                  ph_copyin_put(p->conn, ph_stream_header, PH_STREAM_HEADER, err));
}

static bool end_copy(struct probe *p, struct ph_err *err)
{
    if ((p->shard->format == PH_BINARY &&
         !ph_copyin_put(p->conn, ph_stream_trailer, PH_STREAM_TRAILER, err)) ||
        !ph_copyin_end(p->conn, err))
        return false;
    for (enum ph_result kind = PH_RESULT_COMMAND; kind != PH_RESULT_NONE;)
        if (!ph_conn_next(p->conn, &kind, NULL, err))
            return false;
    return true;
}

/* *bad: which of the rows is the first that does not fit, from 1; 0: they all do. */
static bool try_rows(struct probe *p, const char *data, size_t len, uint64_t *bad,
                     struct ph_err *err)
{
    *bad = 0;
    bool ok = begin_copy(p, err) && ph_copyin_put(p->conn, data, len, err) && end_copy(p, err);
    uint64_t row = ph_conn_copy_row(p->conn);
    if (!ph_conn_recover(p->conn)) /* which takes back what was sent */
        return ok && ph_err_set(err, PH_CONNECTION, "the target is lost");
    if (!ok && ph_misfit_is(err))
        *bad = row;
    return ok || *bad > 0;
}

/* What is kept of a row. */

static const char *to_hex(struct ph_arena *arena, const struct ph_buf *line)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = ph_arena_alloc(arena, 2 * line->len + 1);
    for (size_t i = 0; i < line->len; i++) {
        hex[2 * i] = digits[(unsigned char)line->data[i] >> 4];
        hex[2 * i + 1] = digits[(unsigned char)line->data[i] & 15];
    }
    hex[2 * line->len] = '\0';
    return hex;
}

/* The n-th field of a line, when people can read it as it stands. */
static bool add_field(struct ph_buf *out, const char *line, int n)
{
    for (; n > 0 && *line; line++)
        n -= *line == '\t';
    for (; *line && *line != '\t' && *line != '\n'; line++) {
        if (*line < ' ' || *line > '~' || *line == '\\')
            return false;
        ph_buf_addc(out, *line);
    }
    return true;
}

static const char *show_key(struct probe *p, const struct ph_buf *line)
{
    const struct ph_table *t = p->shard->table;
    struct ph_buf key = {0};
    bool plain = t->n_identity > 0;
    for (int i = 0; i < t->n_identity && plain; i++) {
        ph_buf_addf(&key, "%s%s=", i ? ", " : "", t->columns[t->identity[i]].name);
        plain = add_field(&key, ph_buf_text(line), t->identity[i]);
    }
    const char *text = plain ? ph_arena_strdup(p->arena, ph_buf_text(&key)) : NULL;
    ph_buf_fini(&key);
    return text;
}

static bool keep(struct probe *p, uint64_t row, const char *bytes, size_t len, struct ph_err *err)
{
    struct ph_buf line = {0};
    if (!p->decoder)
        ph_buf_addn(&line, bytes, len);
    else if (!ph_decoder_row(p->decoder, bytes, len, &line, err))
        return false;
    if (p->out->n == p->room) {
        int room = p->room ? 2 * p->room : 8;
        struct ph_reject *more = ph_arena_calloc(p->arena, (size_t)room, sizeof *more);
        for (int i = 0; i < p->out->n; i++)
            more[i] = p->out->item[i];
        p->out->item = more;
        p->room = room;
    }
    p->out->item[p->out->n++] = (struct ph_reject){
        .place =
            ph_arena_printf(p->arena, "row %llu of %s", (unsigned long long)row, p->shard->file),
        .row = row,
        .key = show_key(p, &line),
        .line = to_hex(p->arena, &line),
    };
    ph_buf_fini(&line);
    return true;
}

/* Reading. */

static bool has_enough(const struct probe *p)
{
    return p->out->n > p->most;
}

/* Whole rows, one behind the other. */
static bool try_batch(struct probe *p, const char *data, const uint32_t *edge, size_t n,
                      struct ph_err *err)
{
    for (size_t first = 0; first < n && !has_enough(p);) {
        uint32_t begin = first ? edge[first - 1] : 0;
        uint64_t bad = 0;
        if (!try_rows(p, data + begin, edge[n - 1] - begin, &bad, err))
            return false;
        if (bad == 0)
            break;
        if (bad > n - first)
            return ph_err_set(err, PH_FAILED, "the target refuses a row that was not sent");
        first += (size_t)bad;
        begin = first > 1 ? edge[first - 2] : 0;
        if (!keep(p, p->row + first, data + begin, edge[first - 1] - begin, err))
            return false;
    }
    p->row += n;
    return true;
}

static bool try_piece(struct probe *p, const struct ph_batch *piece, struct ph_err *err)
{
    ph_buf_addn(&p->wide, piece->data, piece->len);
    if (!piece->last_piece)
        return true;
    uint64_t bad = 0;
    bool ok = try_rows(p, p->wide.data, p->wide.len, &bad, err) &&
              (bad == 0 || keep(p, p->row + 1, p->wide.data, p->wide.len, err));
    p->row++;
    ph_buf_clear(&p->wide);
    return ok;
}

static bool try_all(struct probe *p, struct ph_err *err)
{
    struct ph_source *file = p->w->file_source;
    struct ph_batch batch = {.len = 1};
    bool ok = file->ops->open(file, p->shard, err);
    while (ok && batch.len > 0 && !has_enough(p)) {
        ok = file->ops->next(file, &batch, err);
        if (ok && batch.piece)
            ok = try_piece(p, &batch, err);
        else if (ok && batch.len > 0)
            ok = try_batch(p, batch.data, batch.edge, batch.rows, err);
    }
    file->ops->abandon(file);
    return ok;
}

/* Ready. */

static bool new_decoder(struct probe *p, struct ph_err *err)
{
    const struct ph_archive *archive = p->w->crew->opts.archive;
    const struct ph_table *t = p->shard->table;
    struct ph_catalog catalog = {0};
    size_t n = (size_t)t->n_columns;
    const char **names = ph_arena_calloc(p->arena, n, sizeof *names);
    const char **types = ph_arena_calloc(p->arena, n, sizeof *types);
    for (size_t i = 0; i < n; i++) {
        names[i] = t->columns[i].name;
        types[i] = t->columns[i].source_type;
    }
    struct ph_decode_opts opts = {
        .format = PH_BINARY,
        .as = PH_AS_TEXT,
        .columns = names,
        .types = types,
        .n_columns = t->n_columns,
        .source_version = archive->source_version,
    };
    if (archive->catalog) {
        if (!ph_catalog_json_read(&catalog, p->arena, archive->catalog, err))
            return false;
        opts.described = ph_describe_types(&catalog.types, p->arena, &opts.n_described);
    }
    return ph_decoder_new(&p->decoder, &opts, err);
}

/* It has the target's columns and none of its constraints, and nobody else can see it. */
static bool make_table(struct probe *p, struct ph_err *err)
{
    const struct ph_table *t = p->shard->table;
    struct ph_buf sql = {0};
    ph_sql_add(&sql, "CREATE TEMPORARY TABLE pghaul_probe AS SELECT %s FROM %I.%I WITH NO DATA",
               t->target_columns, t->target_schema, t->target_name);
    bool ok = ph_conn_exec(p->conn, sql.data, err);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_misfit_find_filed(struct ph_worker *w, const struct ph_shard *shard, int64_t most,
                          struct ph_arena *arena, struct ph_rejects *out, struct ph_err *err)
{
    const struct ph_crew *crew = w->crew;
    struct probe p = {.w = w, .shard = shard, .arena = arena, .out = out, .most = most};
    const struct ph_conn_opts target = {.dsn = crew->opts.target,
                                        .application_name = w->name,
                                        .encoding = crew->opts.encoding,
                                        .interrupt = crew->opts.interrupt};
    bool ok = (shard->format == PH_TEXT || new_decoder(&p, err)) && ph_worker_files(w, err) &&
              ph_conn_open(&p.conn, &target, err) && make_table(&p, err) && try_all(&p, err);
    ph_conn_close(p.conn);
    ph_decoder_free(p.decoder);
    ph_buf_fini(&p.wide);
    return ok;
}

/* Makes shard files for tests, and remembers what they must hold. */
#ifndef SHARD_MAKER_H
#define SHARD_MAKER_H

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/shardfile.h"
#include "base/buf.h"
#include "copy/stream.h"

enum { MAKER_BLOCK = 65536 };

static const char *const maker_columns[] = {"id", "na\"me"};
static const char *const maker_types[] = {"bigint", "character varying(20)"};

static inline struct ph_receipt maker_receipt(enum ph_format format)
{
    return (struct ph_receipt){.set = "00112233445566778899aabbccddeeff",
                               .shard = 7,
                               .tab = 2,
                               .attempt = 3,
                               .schema = "public",
                               .table = "Grüße",
                               .format = format,
                               .encoding = "UTF8",
                               .columns = maker_columns,
                               .types = maker_types,
                               .n_columns = 2,
                               .where = "id >= 10 AND id < 20",
                               .lo = "10",
                               .hi = NULL,
                               .snapshot = 1,
                               .pg_snapshot = "100:105:101,103",
                               .lsn = "16/B374D848"};
}

/* A directory and a ring for the whole test program. */
struct place {
    char path[40];
    int dir;
    bool direct; /* without the page cache */
    struct ph_ring *ring;
};

static inline void place_init(struct place *place)
{
    struct ph_err err;
    *place = (struct place){.path = "/tmp/pghaul_unit_XXXXXX"};
    assert_non_null(mkdtemp(place->path));
    place->dir = open(place->path, O_RDONLY | O_DIRECTORY);
    assert_true(place->dir >= 0);
    if (!ph_ring_new(&place->ring, &(struct ph_ring_opts){.io = PH_IO_POSIX}, &err))
        fail_msg("%s", err.text);
}

static inline void place_fini(struct place *place)
{
    ph_ring_free(place->ring);
    close(place->dir);
    rmdir(place->path);
}

static inline void place_remove(const struct place *place, const char *name)
{
    unlinkat(place->dir, name, 0);
}

struct maker {
    const struct place *place;
    const char *name;
    struct ph_receipt receipt;
    struct ph_shardout *out;
    struct ph_tally tally;
    struct ph_sealed sealed;
    struct ph_buf stream; /* what `lz4 -dc` must say */
    /* the batch in the making */
    struct ph_buf rows;
    uint32_t edge[20000];
    size_t n;
    uint64_t seed;
};

static inline void maker_open(struct maker *m, const struct place *place, const char *name,
                              enum ph_format format, enum ph_compress compress)
{
    struct ph_err err;
    *m = (struct maker){.place = place, .name = name, .receipt = maker_receipt(format), .seed = 1};
    place_remove(place, name); /* what a test that failed left behind */
    struct ph_shardout_opts opts = {.file = {.dir = place->dir,
                                             .dir_shown = "the archive",
                                             .name = name,
                                             .direct = place->direct,
                                             .ahead = 4096},
                                    .compress = compress,
                                    .receipt = &m->receipt};
    if (!ph_shardout_open(&m->out, place->ring, &opts, &err))
        fail_msg("%s", err.text);
    if (format == PH_BINARY)
        ph_buf_addn(&m->stream, ph_stream_header, PH_STREAM_HEADER);
}

/* Adds a row with a value of n bytes to the batch: of one letter, or noise. */
static inline void maker_row(struct maker *m, uint32_t n, bool noise)
{
    if (m->receipt.format == PH_BINARY) {
        unsigned char head[6] = {0,
                                 1,
                                 (unsigned char)(n >> 24),
                                 (unsigned char)(n >> 16),
                                 (unsigned char)(n >> 8),
                                 (unsigned char)n};
        ph_buf_addn(&m->rows, (char *)head, sizeof head);
    }
    for (uint32_t i = 0; i < n; i++) {
        m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
        char c = noise ? (char)(m->seed >> 56) : (char)('a' + m->n % 26);
        if (m->receipt.format == PH_TEXT && (c == '\n' || c == '\\'))
            c = ' ';
        ph_buf_addc(&m->rows, c);
    }
    if (m->receipt.format == PH_TEXT)
        ph_buf_addc(&m->rows, '\n');
    assert_true(m->n < sizeof m->edge / sizeof *m->edge);
    m->edge[m->n++] = (uint32_t)m->rows.len;
}

static inline void maker_give(struct maker *m, const struct ph_batch *batch)
{
    struct ph_err err;
    if (!ph_shardout_put(m->out, batch, &err))
        fail_msg("%s", err.text);
    assert_true(ph_tally_add(&m->tally, batch));
    ph_buf_addn(&m->stream, batch->data, batch->len);
}

/* Puts the batch. */
static inline void maker_put(struct maker *m)
{
    struct ph_batch batch = {
        .data = ph_buf_text(&m->rows), .len = m->rows.len, .edge = m->edge, .rows = m->n};
    maker_give(m, &batch);
    ph_buf_clear(&m->rows);
    m->n = 0;
}

/* Puts the batch, which is one row, in pieces of at most `size` bytes. */
static inline void maker_put_pieces(struct maker *m, size_t size)
{
    assert_int_equal(m->n, 1);
    for (size_t at = 0; at < m->rows.len; at += size) {
        size_t len = m->rows.len - at < size ? m->rows.len - at : size;
        struct ph_batch batch = {.data = m->rows.data + at,
                                 .len = len,
                                 .piece = true,
                                 .last_piece = at + len == m->rows.len};
        maker_give(m, &batch);
    }
    ph_buf_clear(&m->rows);
    m->n = 0;
}

static inline void maker_seal(struct maker *m)
{
    struct ph_err err;
    if (!ph_shardout_seal(m->out, &m->tally, &m->sealed, &err))
        fail_msg("%s", err.text);
    m->out = NULL;
    if (m->receipt.format == PH_BINARY)
        ph_buf_addn(&m->stream, ph_stream_trailer, PH_STREAM_TRAILER);
}

static inline void maker_fini(struct maker *m)
{
    ph_shardout_discard(m->out);
    place_remove(m->place, m->name);
    ph_buf_fini(&m->stream);
    ph_buf_fini(&m->rows);
    ph_tally_fini(&m->tally);
}

/* The file's bytes; free them. */
static inline char *maker_bytes(const struct maker *m, size_t *len)
{
    struct ph_err err;
    char *data;
    if (!ph_file_read(m->place->dir, "", m->name, 1 << 28, &data, len, &err))
        fail_msg("%s", err.text);
    assert_non_null(data);
    return data;
}

/* Reads the whole file. True when what is lent is the stream, to its end; false when the file is refused; a test fails when a
 * byte is lent that is none of the stream's. */
static inline bool maker_read(const struct maker *m, struct ph_err *err)
{
    struct ph_shardin *in;
    if (!ph_shardin_open(&in, m->place->ring, m->place->dir, "the archive", m->name,
                         m->place->direct, err))
        return false;
    size_t at = 0, len = 1;
    const char *data;
    bool ok = true;
    while (ok && len > 0) {
        ok = ph_shardin_next(in, &data, &len, err);
        if (ok &&
            (len > m->stream.len - at || (len && memcmp(m->stream.data + at, data, len) != 0)))
            fail_msg("other bytes than the stream's are lent");
        at += ok ? len : 0;
    }
    if (ok)
        assert_int_equal(at, m->stream.len);
    ph_shardin_close(in);
    return ok;
}

#endif

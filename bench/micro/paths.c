/* What a row costs on its way through the mover, without any server: each path by itself, over the same bytes.
 *
 *     edges     finds where rows end                 tally     fingerprints them (row by row), over edges that are known
 *     hop       both, buffer by buffer, as a hop does it       batcher   edges out of bytes that come in pieces of 8 kB
 *     decode    binary rows into COPY text           frame     into LZ4 frames, and out again
 *     ring      one way through a file (see ring.c for all of them)
 *     survey    what verify does of each row: apart, fingerprint, bucket of its key
 *     bucket    a turn at a rate's bucket, by one thread; a unit is a turn, not a row
 *
 *     paths                prints markdown, ns a row and GB/s; the best of several passes, as what disturbs only makes it longer
 *     paths count [FILE]   for callgrind: each path once over little, the counters dumped by name (see gate.py)
 */
#include <endian.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/bucket.h"
#include "base/buf.h"
#include "base/clock.h"
#include "copy/batcher.h"
#include "copy/decode.h"
#include "haul/readout_row.h"
#include "haul/verify_run.h"
#include "io/file.h"
#include "io/frame.h"
#include "pghaul/tally.h"
#include "rows.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

#ifndef PATHS_BUILD
#define PATHS_BUILD "somebody"
#endif

enum {
    BUFFER = 64 * 1024,
    PASSES = 7,
    BIG = 32 << 20,
    LITTLE = 1 << 20,
    TURNS = 100000,
    MOST_BOUNDS = 4095
};

static struct ph_err err;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "paths: %s: %s\n", what, err.text);
    exit(1);
}

/* Goes through the stream in buffers, as a source does: what is not whole is shown again at the next buffer's head. */
static void look(const struct stream *s, enum ph_format format, struct ph_tally *tally)
{
    static uint32_t edge[BUFFER / 2];
    struct ph_scan scan = {.format = format, .fields = s->shape->fields, .at = PH_SCAN_ROWS};
    size_t at = 0, rows = 0;
    while (at < s->len) {
        size_t len = s->len - at < BUFFER ? s->len - at : BUFFER;
        struct ph_scan_view view;
        must(ph_scan_look(&scan, s->data + at, len, len == BUFFER, edge, BUFFER / 2, &view, &err),
             "edges");
        struct ph_batch batch = {.data = s->data + at + view.begin,
                                 .len = view.end - view.begin,
                                 .edge = edge,
                                 .rows = view.rows,
                                 .piece = view.piece,
                                 .last_piece = view.last_piece};
        must(!tally || ph_tally_add(tally, &batch), "tally");
        rows += view.rows + (view.last_piece ? 1 : 0);
        at += view.end;
    }
    must(rows == s->rows && (!tally || tally->rows == rows), "rows have got lost");
}

static size_t edges(const struct stream *s)
{
    look(s, PH_BINARY, NULL);
    return s->rows;
}

static size_t edges_text(const struct stream *s)
{
    look(s, PH_TEXT, NULL);
    return s->rows;
}

static size_t hop(const struct stream *s)
{
    struct ph_tally tally = {0};
    look(s, PH_BINARY, &tally);
    return s->rows;
}

/* All rows of a stream are equally long here, so edges are known without looking. */
static size_t tally(const struct stream *s)
{
    static uint32_t edge[BUFFER / 2];
    size_t row = s->len / s->rows, fit = row < BUFFER ? BUFFER / row : 1;
    struct ph_tally sum = {0};
    for (size_t i = 0; i < fit; i++)
        edge[i] = (uint32_t)((i + 1) * row);
    for (size_t done = 0, n; done < s->rows; done += n) {
        n = s->rows - done < fit ? s->rows - done : fit;
        struct ph_batch batch = {
            .data = s->data + done * row, .len = n * row, .edge = edge, .rows = n};
        must(ph_tally_add(&sum, &batch), "tally");
    }
    must(sum.rows == s->rows && sum.bytes == s->len, "rows have got lost");
    return s->rows;
}

struct survey {
    struct ph_unit unit;
    uint64_t bounds[MOST_BOUNDS], sums[MOST_BOUNDS + 1], rows;
    int near;
};

static void see(void *arg, int worker, const struct ph_readout_row *row)
{
    struct survey *s = arg;
    (void)worker;
    s->near = ph_survey_bucket(&s->unit, row->key, s->near, 0);
    s->sums[s->near] += row->hash_lo;
    s->rows++;
}

/* The first column of narrow rows is a bigint; as most keys do, it rises here from row to row. */
static void number_rows(const struct stream *s)
{
    size_t row = s->len / s->rows;
    for (uint64_t i = 0; i < s->rows; i++) {
        uint64_t key = htobe64(i);
        memcpy(s->data + i * row + 2 + 4, &key, sizeof key);
    }
}

static size_t survey(const struct stream *s)
{
    static uint32_t edge[BUFFER / 2];
    static struct survey sum;
    const struct ph_readout_rel rel = {.lead = "", .n_columns = s->shape->fields, .n_key = 1};
    struct ph_row_taker taker = {.visit = see, .arg = &sum, .rel = &rel};
    size_t row = s->len / s->rows, fit = BUFFER / row;
    sum = (struct survey){
        .unit = {.order = PH_ORDER_INTEGER, .bounds = sum.bounds, .n_buckets = MOST_BOUNDS + 1}};
    if (s->data[6]) /* not yet: the dice's first */
        number_rows(s);
    for (size_t i = 0; i < MOST_BOUNDS; i++)
        sum.bounds[i] = (i * s->rows / MOST_BOUNDS) ^ (uint64_t)1 << 63;
    for (size_t i = 0; i < fit; i++)
        edge[i] = (uint32_t)((i + 1) * row);
    for (size_t done = 0, n; done < s->rows; done += n) {
        n = s->rows - done < fit ? s->rows - done : fit;
        must(ph_row_taker_rows(&taker, s->data + done * row, edge, n, &err), "survey");
    }
    ph_row_taker_fini(&taker);
    must(sum.rows == s->rows, "rows have got lost");
    return s->rows;
}

struct reader {
    const struct stream *s;
    size_t at;
};

/* As libpq gives it: eight kilobytes at a time, the stream's header first and its trailer last. */
static bool read_some(void *from, char *to, size_t room, size_t *n, struct ph_err *unused)
{
    struct reader *r = from;
    size_t whole = PH_STREAM_HEADER + r->s->len + PH_STREAM_TRAILER;
    size_t begin = r->at < PH_STREAM_HEADER               ? 0
                   : r->at < PH_STREAM_HEADER + r->s->len ? PH_STREAM_HEADER
                                                          : PH_STREAM_HEADER + r->s->len;
    size_t end = begin == 0                  ? PH_STREAM_HEADER
                 : begin == PH_STREAM_HEADER ? begin + r->s->len
                                             : whole;
    const char *data = begin == 0                  ? ph_stream_header
                       : begin == PH_STREAM_HEADER ? r->s->data
                                                   : ph_stream_trailer;
    (void)unused;
    *n = end - r->at < room ? end - r->at : room;
    *n = *n < 8192 ? *n : 8192;
    memcpy(to, data + (r->at - begin), *n);
    r->at += *n;
    return true;
}

static size_t batcher(const struct stream *s)
{
    static struct ph_batcher b;
    struct ph_batch batch;
    struct reader r = {.s = s};
    size_t rows = 0;
    must(ph_batcher_init(&b, BUFFER, &err), "batcher");
    ph_batcher_begin(&b, PH_BINARY, s->shape->fields);
    do {
        must(ph_batcher_next(&b, read_some, &r, &batch, &err), "batcher");
        rows += batch.rows + (batch.last_piece ? 1 : 0);
    } while (batch.len > 0);
    must(rows == s->rows && ph_batcher_complete(&b, "ours", &err), "rows have got lost");
    ph_batcher_fini(&b);
    return rows;
}

static size_t decode(const struct stream *s)
{
    static const char *const of_narrow[] = {"bigint", "integer", "integer", "integer"};
    static const char *const names[] = {"id", "a", "b", "c"};
    struct ph_decode_opts opts = {
        .format = PH_BINARY, .columns = names, .types = of_narrow, .n_columns = 4};
    struct ph_decoder *d;
    struct ph_buf out = {0};
    must(ph_decoder_new(&d, &opts, &err), "decode");
    must(ph_decoder_feed(d, ph_stream_header, PH_STREAM_HEADER, &out, &err), "decode");
    for (size_t at = 0; at < s->len; at += BUFFER) {
        size_t len = s->len - at < BUFFER ? s->len - at : BUFFER;
        out.len = 0;
        must(ph_decoder_feed(d, s->data + at, len, &out, &err), "decode");
    }
    must(ph_decoder_rows(d) == s->rows, "rows have got lost");
    ph_decoder_free(d);
    ph_buf_fini(&out);
    return s->rows;
}

/* One frame for each block; what comes out is compared. */
static size_t frame(const struct stream *s)
{
    static char file[2 * PH_FRAME_BLOCK + 256], block[PH_FRAME_BLOCK];
    for (size_t at = 0, len; at < s->len; at += len) {
        len = s->len - at < PH_FRAME_BLOCK ? s->len - at : PH_FRAME_BLOCK;
        size_t size = ph_frame_begin(file), got = 0;
        size += ph_frame_block(file + size, s->data + at, len, true);
        size += ph_frame_end(file + size);
        struct ph_frame_view view;
        const char *data = NULL;
        must(ph_frame_open(&view, file, size, &err) &&
                 ph_frame_next(&view, block, &data, &got, &err) && got == len &&
                 memcmp(data, s->data + at, len) == 0,
             "frame");
    }
    return s->rows;
}

static size_t bucket(const struct stream *s)
{
    (void)s;
    struct ph_bucket b = {0};
    uint64_t now = 1, waited = 0;
    ph_bucket_set(&b, 1000u << 20, now);
    for (int i = 0; i < TURNS; i++) {
        struct ph_bucket_turn turn = ph_bucket_take(&b, BUFFER, now);
        uint64_t ns = ph_bucket_wait(&b, &turn, now);
        waited += ns;
        now += ns;
    }
    must(waited > 0, "nobody waited");
    return TURNS;
}

static const char *ring_file;

static size_t ring(const struct stream *s)
{
    struct ph_ring *r;
    struct ph_outfile *file;
    int dir = open(ring_file, O_RDONLY | O_DIRECTORY);
    struct ph_outfile_opts opts = {
        .dir = dir, .dir_shown = ring_file, .name = "pghaul-bench-paths", .direct = false};
    must(ph_ring_new(&r, &(struct ph_ring_opts){.io = PH_IO_POSIX}, &err), "ring");
    must(ph_outfile_open(&file, r, &opts, &err), "ring");
    for (size_t at = 0; at < s->len; at += BUFFER)
        must(ph_outfile_add(file, s->data + at, s->len - at < BUFFER ? s->len - at : BUFFER, &err),
             "ring");
    must(ph_outfile_seal(file, &err), "ring");
    unlinkat(dir, "pghaul-bench-paths", 0);
    ph_ring_free(r);
    close(dir);
    return s->rows;
}

static const struct path {
    const char *name;
    size_t (*run)(const struct stream *);
    unsigned shapes; /* bits: 1 narrow, 2 mixed, 4 wide */
    bool text;
} paths[] = {
    {"edges", edges, 7, false},     {"edges of text", edges_text, 3, true},
    {"tally", tally, 7, false},     {"hop", hop, 7, false},
    {"batcher", batcher, 7, false}, {"decode", decode, 1, false},
    {"frame", frame, 3, false},     {"ring", ring, 1, false},
    {"survey", survey, 1, false},   {"bucket", bucket, 1, false},
};

static void count(const struct path *path, const struct stream *s)
{
    char name[64];
    snprintf(name, sizeof name, "%s %s", path->name, s->shape->name);
    path->run(s); /* what is done once is not counted */
    CALLGRIND_ZERO_STATS;
    size_t units = path->run(s);
    CALLGRIND_DUMP_STATS_AT(name);
    printf("%s: %zu\n", name, units);
}

static void measure(const struct path *path, const struct stream *s)
{
    double best = 1e9;
    size_t units = 1;
    for (int i = 0; i < PASSES; i++) {
        double begin = ph_clock_s();
        units = path->run(s);
        double spent = ph_clock_s() - begin;
        best = spent < best ? spent : best;
    }
    bool rows = path->run != bucket;
    printf("| %s | %s | %zu | %.1f |", path->name, rows ? s->shape->name : "turns",
           rows ? s->len / s->rows : 0, best * 1e9 / (double)units);
    if (rows)
        printf(" %.2f |\n", (double)s->len / best / 1e9);
    else
        printf(" |\n");
}

int main(int argc, char **argv)
{
    bool counting = argc > 1 && strcmp(argv[1], "count") == 0;
    ring_file = argc > 2 ? argv[2] : "/var/tmp";
    if (counting)
        printf("%s\n", PATHS_BUILD);
    else
        printf("| path | rows | bytes a row | ns a row | GB/s |\n|---|---|---|---|---|\n");
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
        for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            if (!(paths[p].shapes & 1u << i))
                continue;
            struct stream s = make_stream(&shapes[i], counting ? LITTLE : BIG, paths[p].text);
            (counting ? count : measure)(&paths[p], &s);
            free(s.data);
        }
    return 0;
}

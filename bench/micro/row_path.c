/* What a row costs on its way through the mover, without any server: finding its edges, hashing it
 * into the tally, and both over one batch after the other as a hop does it. The rows are those of
 * the benches' narrow and mixed tables in shape (see bench/lib.sh), and of the wide one. Prints
 * markdown; the best of several passes, since what disturbs a pass only makes it longer.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "copy/stream.h"
#include "pghaul/tally.h"

enum { BUFFER = 64 * 1024, PASSES = 9, MAX_FIELDS = 16, STREAM = 64 * 1024 * 1024 };

struct shape {
    const char *name;
    int fields;
    int size[MAX_FIELDS]; /* bytes of a value; -1: NULL */
};

static const struct shape shapes[] = {
    {"narrow", 4, {8, 4, 4, 4}},
    {"mixed", 16, {8, 4, 2, 12, 8, 4, 14, 80, 8, 4, 16, 1, 44, 16, 8, 16}},
    {"wide", 3, {8, 10, 50000}},
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t write_row(char *to, const struct shape *shape, uint64_t seed)
{
    char *p = to;
    *p++ = 0;
    *p++ = (char)shape->fields;
    for (int f = 0; f < shape->fields; f++) {
        uint32_t size = (uint32_t)shape->size[f];
        for (int b = 3; b >= 0; b--)
            *p++ = (char)(size >> (8 * b));
        for (uint32_t i = 0; i < size; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            *p++ = (char)(seed >> 56);
        }
    }
    return (size_t)(p - to);
}

struct stream {
    char *data;
    size_t len;
    size_t rows;
};

static struct stream make_stream(const struct shape *shape)
{
    struct stream s = {.data = malloc(STREAM + 128 * 1024)};
    if (!s.data)
        exit(1);
    while (s.len < STREAM)
        s.len += write_row(s.data + s.len, shape, ++s.rows);
    return s;
}

/* Goes through the stream in buffers, as a source does: what is not whole is shown again at the
 * next buffer's head. */
static double pass(const struct shape *shape, const struct stream *s, bool edges, bool tallies,
                   struct ph_tally *tally)
{
    static uint32_t edge[BUFFER / 2];
    struct ph_scan scan = {.format = PH_BINARY, .fields = shape->fields, .at = PH_SCAN_ROWS};
    struct ph_err err = {0};
    size_t at = 0, rows = 0;
    double spent = 0;
    while (at < s->len) {
        size_t len = s->len - at < BUFFER ? s->len - at : BUFFER;
        struct ph_scan_view view;
        double begin = now_s();
        if (!ph_scan_look(&scan, s->data + at, len, len == BUFFER, edge, BUFFER / 2, &view, &err)) {
            fprintf(stderr, "the scanner refuses our rows\n");
            exit(1);
        }
        if (edges)
            spent += now_s() - begin;
        struct ph_batch batch = {.data = s->data + at + view.begin,
                                 .len = view.end - view.begin,
                                 .edge = edge,
                                 .rows = view.rows,
                                 .piece = view.piece,
                                 .last_piece = view.last_piece};
        begin = now_s();
        if (tallies && !ph_tally_add(tally, &batch))
            exit(1);
        if (tallies)
            spent += now_s() - begin;
        rows += view.rows + (view.last_piece ? 1 : 0);
        at += view.end;
    }
    if (rows != s->rows) {
        fprintf(stderr, "%zu rows were written, %zu found\n", s->rows, rows);
        exit(1);
    }
    return spent;
}

static void measure(const struct shape *shape, const struct stream *s, const char *what, bool edges,
                    bool tallies)
{
    double best = 1e9;
    for (int i = 0; i < PASSES; i++) {
        struct ph_tally tally = {0};
        double spent = pass(shape, s, edges, tallies, &tally);
        if (tallies && tally.rows != s->rows)
            exit(1);
        best = spent < best ? spent : best;
    }
    printf("| %s | %zu | %s | %.1f | %.1f |\n", shape->name, s->len / s->rows, what,
           best * 1e9 / (double)s->rows, (double)s->len / best / 1e9);
}

int main(void)
{
    printf("| rows | bytes a row | what | ns a row | GB/s |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct stream s = make_stream(&shapes[i]);
        measure(&shapes[i], &s, "edges", true, false);
        measure(&shapes[i], &s, "tally", false, true);
        measure(&shapes[i], &s, "edges and tally", true, true);
        free(s.data);
    }
    return 0;
}

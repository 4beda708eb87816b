/* What a byte costs on its way into a shard file and out of it, in memory: frames made of blocks of 64 KiB, compressed and
 * stored, and read again with every checksum that the reader of a shard file looks at. The rows are like those of the benches' narrow and
 * mixed tables in shape and in how well they compress, and noise. Prints markdown; the best of several passes.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "io/frame.h"

enum { STREAM = 64 * 1024 * 1024, PASSES = 7, BLOCKS = 4 };
enum { FRAME = PH_FRAME_HEAD + BLOCKS * (PH_FRAME_BLOCK + PH_FRAME_BLOCK_EXTRA) + PH_FRAME_END };

static uint64_t seed = 1;

static uint64_t dice(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *put_int(char *p, uint64_t v, int bytes)
{
    while (bytes-- > 0)
        *p++ = (char)(v >> (8 * bytes));
    return p;
}

static char *put_value(char *p, uint64_t v, int bytes)
{
    return put_int(put_int(p, (uint64_t)bytes, 4), v, bytes);
}

/* bigint counting up, three integers of small range */
static char *narrow(char *p, uint64_t row)
{
    p = put_value(put_int(p, 4, 2), row, 8);
    p = put_value(p, dice() % 1000000, 4);
    p = put_value(p, dice() % 1000, 4);
    return put_value(p, row % 7, 4);
}

/* key, numbers, a time, a hash in hexadecimal, words, a uuid */
static char *mixed(char *p, uint64_t row)
{
    static const char *const words[] = {"order",    "customer", "shipped", "pending",
                                        "returned", "invoice",  "blue",    "express"};
    p = put_value(put_int(p, 7, 2), row, 8);
    p = put_value(p, dice() % 100000, 4);
    p = put_value(p, 700000000000000u + row * 1000003, 8);
    p = put_int(p, 32, 4);
    for (int i = 0; i < 32; i++)
        *p++ = "0123456789abcdef"[dice() % 16];
    char *len = p;
    p += 4;
    for (int i = 0; i < 12; i++)
        p = stpcpy(stpcpy(p, words[dice() % 8]), " ");
    put_int(len, (uint64_t)(p - len - 4), 4);
    p = put_value(p, dice() % 2, 1);
    p = put_int(p, 16, 4);
    return put_int(put_int(p, dice() << 32 | dice(), 8), dice() << 32 | dice(), 8);
}

static char *noise(char *p, uint64_t row)
{
    (void)row;
    return put_int(p, dice() << 32 ^ dice(), 7);
}

struct result {
    size_t stored;
    double in_s, out_s;
};

static uint64_t *hashes;

static size_t write_all(const char *stream, char *file, bool compress)
{
    size_t at = 0, n = 0;
    for (size_t from = 0; from < STREAM; n++) {
        size_t begin = at;
        at += ph_frame_begin(file + at);
        for (int b = 0; b < BLOCKS; b++, from += PH_FRAME_BLOCK)
            at += ph_frame_block(file + at, stream + from, PH_FRAME_BLOCK, compress);
        at += ph_frame_end(file + at);
        hashes[n] = XXH3_64bits(file + begin, at - begin);
        hashes[n + STREAM / PH_FRAME_BLOCK] = at - begin;
    }
    return at;
}

static void read_all(const char *file, const char *stream, bool compare)
{
    static char block[PH_FRAME_BLOCK];
    size_t at = 0, total = 0;
    for (size_t n = 0; total < STREAM; n++) {
        size_t len = hashes[n + STREAM / PH_FRAME_BLOCK], got = 1;
        struct ph_frame_view view;
        bool ok =
            XXH3_64bits(file + at, len) == hashes[n] && ph_frame_open(&view, file + at, len, NULL);
        while (ok && got > 0) {
            const char *data;
            ok = ph_frame_next(&view, block, &data, &got, NULL) &&
                 (!compare || memcmp(stream + total, data, got) == 0);
            total += got;
        }
        if (!ok) {
            fprintf(stderr, "what was written does not come back\n");
            exit(1);
        }
        at += len;
    }
}

static struct result measure(const char *stream, char *file, bool compress)
{
    struct result best = {0, 1e9, 1e9};
    for (int i = 0; i < PASSES; i++) {
        double begin = now_s();
        best.stored = write_all(stream, file, compress);
        double between = now_s();
        read_all(file, stream, false);
        double end = now_s();
        best.in_s = between - begin < best.in_s ? between - begin : best.in_s;
        best.out_s = end - between < best.out_s ? end - between : best.out_s;
    }
    read_all(file, stream, true);
    return best;
}

int main(void)
{
    static const struct {
        const char *name;
        char *(*row)(char *, uint64_t);
    } shapes[] = {{"narrow", narrow}, {"mixed", mixed}, {"incompressible", noise}};
    char *stream = malloc(STREAM + 1024),
         *file = malloc(STREAM / PH_FRAME_BLOCK / BLOCKS * (size_t)FRAME);
    hashes = calloc(2 * (STREAM / PH_FRAME_BLOCK), sizeof *hashes);
    if (!stream || !file || !hashes)
        return 1;
    printf("| stream | blocks | size | in, ns a byte | GB/s | out, ns a byte | GB/s "
           "|\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        uint64_t row = 0;
        for (char *p = stream; p < stream + STREAM;)
            p = shapes[i].row(p, ++row);
        for (int compress = 1; compress >= 0; compress--) {
            struct result r = measure(stream, file, compress);
            printf("| %s | %s | %.1f %% | %.2f | %.2f | %.2f | %.2f |\n", shapes[i].name,
                   compress ? "compressed" : "stored", 100.0 * (double)r.stored / STREAM,
                   r.in_s * 1e9 / STREAM, STREAM / r.in_s / 1e9, r.out_s * 1e9 / STREAM,
                   STREAM / r.out_s / 1e9);
        }
    }
    free(stream);
    free(file);
    free(hashes);
    return 0;
}

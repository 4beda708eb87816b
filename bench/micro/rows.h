/* Rows for the micro benches: in shape those of the benches' narrow, mixed and wide tables (see bench/lib.sh), as COPY BINARY
 * and as COPY text, made by dice with a fixed seed.
 */
#ifndef PH_BENCH_ROWS_H
#define PH_BENCH_ROWS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FIELDS = 16 };

struct shape {
    const char *name;
    int fields;
    int size[MAX_FIELDS]; /* bytes of a value */
};

static const struct shape shapes[] = {
    {"narrow", 4, {8, 4, 4, 4}},
    {"mixed", 16, {8, 4, 2, 12, 8, 4, 14, 80, 8, 4, 16, 1, 44, 16, 8, 16}},
    {"wide", 3, {8, 10, 50000}},
};

struct stream {
    const struct shape *shape;
    char *data;
    size_t len, rows;
};

static inline uint64_t roll(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static inline char *binary_row(char *p, const struct shape *shape, uint64_t *seed)
{
    *p++ = 0;
    *p++ = (char)shape->fields;
    for (int f = 0; f < shape->fields; f++) {
        uint32_t size = (uint32_t)shape->size[f];
        for (int b = 3; b >= 0; b--)
            *p++ = (char)(size >> (8 * b));
        for (uint32_t i = 0; i < size; i++)
            *p++ = (char)roll(seed);
    }
    return p;
}

/* Digits and, now and then, what has to be escaped. */
static inline char *text_row(char *p, const struct shape *shape, uint64_t *seed)
{
    for (int f = 0; f < shape->fields; f++) {
        for (int i = 0; i < shape->size[f]; i++)
            *p++ = (char)('0' + roll(seed) % 10);
        if (roll(seed) % 16 == 0)
            p = stpcpy(p, "\\n");
        *p++ = f + 1 < shape->fields ? '\t' : '\n';
    }
    return p;
}

/* Rows until there are `size` bytes of them. */
static inline struct stream make_stream(const struct shape *shape, size_t size, bool text)
{
    struct stream s = {.shape = shape, .data = malloc(size + 128 * 1024)};
    uint64_t seed = 1;
    if (!s.data)
        abort();
    while (s.len < size) {
        char *p = s.data + s.len;
        s.len += (size_t)((text ? text_row : binary_row)(p, shape, &seed) - p);
        s.rows++;
    }
    return s;
}

#endif

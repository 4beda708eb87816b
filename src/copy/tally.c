#include "pghaul/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL /* the short-input paths are worth inlining: most rows are below 240 bytes  \
                        */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

static void add_hash(struct ph_tally *tally, XXH128_hash_t h)
{
    tally->hash_lo += h.low64;
    tally->hash_hi += h.high64 + (tally->hash_lo < h.low64);
}

static bool add_piece(struct ph_tally *tally, const struct ph_batch *batch)
{
    if (!tally->open_row) {
        tally->open_row = XXH3_createState();
        if (!tally->open_row)
            return false;
        XXH3_128bits_reset(tally->open_row);
    }
    XXH3_128bits_update(tally->open_row, batch->data, batch->len);
    tally->bytes += batch->len;
    if (batch->last_piece) {
        add_hash(tally, XXH3_128bits_digest(tally->open_row));
        tally->rows++;
        ph_tally_fini(tally);
    }
    return true;
}

bool ph_tally_add(struct ph_tally *tally, const struct ph_batch *batch)
{
    if (batch->piece)
        return add_piece(tally, batch);
    size_t begin = 0;
    for (size_t i = 0; i < batch->rows; i++) {
        size_t end = batch->edge[i];
        add_hash(tally, XXH3_128bits(batch->data + begin, end - begin));
        begin = end;
    }
    tally->rows += batch->rows;
    tally->bytes += batch->len;
    return true;
}

void ph_tally_merge(struct ph_tally *tally, const struct ph_tally *other)
{
    tally->rows += other->rows;
    tally->bytes += other->bytes;
    add_hash(tally, (XXH128_hash_t){.low64 = other->hash_lo, .high64 = other->hash_hi});
}

void ph_tally_fini(struct ph_tally *tally)
{
    if (tally->open_row)
        XXH3_freeState(tally->open_row);
    tally->open_row = NULL;
}

const char *ph_tally_hash_text(const struct ph_tally *tally, char out[static PH_TALLY_HASH_TEXT])
{
    snprintf(out, PH_TALLY_HASH_TEXT, "%016" PRIx64 "%016" PRIx64, tally->hash_hi, tally->hash_lo);
    return out;
}

static bool read_half(const char *text, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < 16; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *out = *out << 4 | (uint64_t)digit;
    }
    return true;
}

bool ph_tally_read_hash(struct ph_tally *tally, const char *text)
{
    if (strlen(text) == PH_TALLY_HASH_TEXT - 1 && read_half(text, &tally->hash_hi) &&
        read_half(text + 16, &tally->hash_lo))
        return true;
    tally->hash_hi = tally->hash_lo = 0;
    return false;
}

bool ph_tally_equal(const struct ph_tally *a, const struct ph_tally *b)
{
    return a->rows == b->rows && a->bytes == b->bytes && a->hash_lo == b->hash_lo &&
           a->hash_hi == b->hash_hi;
}

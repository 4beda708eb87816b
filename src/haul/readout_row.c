#include "haul/readout_row.h"

#include <endian.h>
#include <string.h>

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

enum { COUNT = 2 /* bytes of a field count */ };

/* Taking apart. */

static inline size_t field_size(const char *p)
{
    uint32_t size;
    memcpy(&size, p, sizeof size);
    size = be32toh(size);
    return 4 + (size == UINT32_MAX ? 0 : size);
}

/* Skips n fields within len bytes; 0 when they are not all there. */
static inline size_t skip_fields(const char *p, size_t len, int n)
{
    size_t at = 0;
    for (; n > 0; n--) {
        if (len - at < 4 || len - at < field_size(p + at))
            return 0;
        at += field_size(p + at);
    }
    return at;
}

/* Finds lead and key in the beginning of a row; what follows the lead is to look like a row of its
 * own. Returns the offset of what is behind the lead and not a field count; 0: not all is there. */
static size_t dissect(const struct ph_readout_rel *rel, char *row, size_t len,
                      struct ph_readout_row *out)
{
    size_t lead = skip_fields(row + COUNT, len - COUNT, rel->n_lead);
    if (rel->n_lead > 0 && lead == 0)
        return 0;
    const char *from = row + COUNT;
    size_t skip = skip_fields(from, len - COUNT, rel->n_skip);
    size_t key = skip_fields(from + skip, len - COUNT - skip, rel->n_key);
    if (rel->n_key > 0 && key == 0)
        return 0;
    *out = (struct ph_readout_row){
        .rel = rel, .lead = row + COUNT, .key = from + skip, .key_len = key};
    return COUNT + lead;
}

/* The same of a line: fields of the lead end with a tab, and have none in them. A line needs nothing in
 * front to be a line. */
static size_t dissect_line(const struct ph_readout_rel *rel, char *row, size_t len,
                           struct ph_readout_row *out)
{
    size_t at = 0;
    for (int i = 0; i < rel->n_lead; i++) {
        const char *tab = memchr(row + at, '\t', len - at);
        if (!tab)
            return 0;
        at = (size_t)(tab - row) + 1;
    }
    *out = (struct ph_readout_row){.rel = rel, .lead = row, .key = row};
    return at;
}

static void put_count(const struct ph_readout_rel *rel, char *at)
{
    uint16_t count = htobe16((uint16_t)rel->n_columns);
    memcpy(at, &count, sizeof count);
}

static bool too_short(struct ph_err *err)
{
    return ph_err_set(err, PH_FAILED, "a row is shorter than its fields");
}

/* Whole rows. */

/* Nothing is in front: the row is hashed as it came. */
static inline bool take_plain(const struct ph_row_taker *self, char *row, size_t len,
                              struct ph_err *err)
{
    const struct ph_readout_rel *rel = self->rel;
    size_t key = skip_fields(row + COUNT, len - COUNT, rel->n_key);
    if (rel->n_key > 0 && key == 0)
        return too_short(err);
    XXH128_hash_t hash = XXH3_128bits(row, len);
    const struct ph_readout_row seen = {.rel = rel,
                                        .lead = row + COUNT,
                                        .key = row + COUNT,
                                        .key_len = key,
                                        .hash_lo = hash.low64,
                                        .hash_hi = hash.high64,
                                        .bytes = len};
    self->visit(self->arg, self->worker, &seen);
    return true;
}

/* The field count goes where the last bytes of the leading fields were. These end with the key (or a
 * system column), which the visitor wants to see, so the bytes are given back before. */
static bool take_led(const struct ph_row_taker *self, char *row, size_t len, struct ph_err *err)
{
    struct ph_readout_row seen;
    char kept[COUNT];
    size_t body = dissect(self->rel, row, len, &seen);
    if (body == 0)
        return too_short(err);
    char *at = row + body - COUNT;
    memcpy(kept, at, COUNT);
    put_count(self->rel, at);
    seen.bytes = len - (size_t)(at - row);
    XXH128_hash_t hash = XXH3_128bits(at, seen.bytes);
    memcpy(at, kept, COUNT);
    seen.hash_lo = hash.low64;
    seen.hash_hi = hash.high64;
    self->visit(self->arg, self->worker, &seen);
    return true;
}

static bool take_line(const struct ph_row_taker *self, char *row, size_t len, struct ph_err *err)
{
    struct ph_readout_row seen;
    size_t body = dissect_line(self->rel, row, len, &seen);
    if (body == 0)
        return too_short(err);
    XXH128_hash_t hash = XXH3_128bits(row + body, len - body);
    seen.hash_lo = hash.low64;
    seen.hash_hi = hash.high64;
    seen.bytes = len - body;
    self->visit(self->arg, self->worker, &seen);
    return true;
}

bool ph_row_taker_rows(struct ph_row_taker *self, char *rows, const uint32_t *edge, size_t n,
                       struct ph_err *err)
{
    const struct ph_readout_rel *rel = self->rel;
    bool ok = true;
    size_t at = 0;
    if (rel->text)
        for (size_t i = 0; ok && i < n; at = edge[i++])
            ok = take_line(self, rows + at, edge[i] - at, err);
    else if (rel->n_lead > 0)
        for (size_t i = 0; ok && i < n; at = edge[i++])
            ok = take_led(self, rows + at, edge[i] - at, err);
    else
        for (size_t i = 0; ok && i < n; at = edge[i++])
            ok = take_plain(self, rows + at, edge[i] - at, err);
    return ok;
}

/* Pieces. */

static bool begin_wide(struct ph_row_taker *self, char *data, size_t len, struct ph_err *err)
{
    bool text = self->rel->text;
    size_t body = text ? dissect_line(self->rel, data, len, &self->wide)
                       : dissect(self->rel, data, len, &self->wide);
    if (body == 0)
        return ph_err_set(err, PH_FAILED, "a key is wider than the buffer");
    size_t key_at = (size_t)(self->wide.key - data), lead_at = (size_t)(self->wide.lead - data);
    size_t key_end = key_at + self->wide.key_len;
    ph_buf_clear(&self->lead);
    ph_buf_addn(&self->lead, data, key_end > body ? key_end : body);
    self->wide.lead = self->lead.data + lead_at;
    self->wide.key = self->lead.data + key_at;
    if (!self->state && !(self->state = XXH3_createState()))
        return ph_err_nomem(err);
    XXH3_128bits_reset(self->state);
    if (!text) {
        char count[COUNT];
        put_count(self->rel, count);
        XXH3_128bits_update(self->state, count, COUNT);
    }
    XXH3_128bits_update(self->state, data + body, len - body);
    self->wide.bytes = (text ? 0 : COUNT) + len - body;
    return true;
}

bool ph_row_taker_piece(struct ph_row_taker *self, char *data, size_t len, bool last,
                        struct ph_err *err)
{
    if (!self->wide.rel) {
        if (!begin_wide(self, data, len, err))
            return false;
    } else {
        XXH3_128bits_update(self->state, data, len);
        self->wide.bytes += len;
    }
    if (!last)
        return true;
    XXH128_hash_t hash = XXH3_128bits_digest(self->state);
    self->wide.hash_lo = hash.low64;
    self->wide.hash_hi = hash.high64;
    self->visit(self->arg, self->worker, &self->wide);
    self->wide = (struct ph_readout_row){0};
    return true;
}

void ph_row_taker_fini(struct ph_row_taker *self)
{
    if (self->state)
        XXH3_freeState(self->state);
    ph_buf_fini(&self->lead);
}

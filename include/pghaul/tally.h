/* A tally: rows, bytes and an order-free fingerprint of what passed.
 *
 * The fingerprint is the sum modulo 2^128 of XXH3-128 (xxHash 0.8, seed 0) over the bytes of each
 * row as it stands in the COPY stream: for binary the field count, lengths and values of one tuple;
 * for text the line with its newline. A sum does not care about order, so a table's tally is the
 * sum of its shards' however it was cut; and unlike an XOR it sees a row that came twice. It proves
 * equal bytes of one stream format, not equal values in two.
 *
 * Call order: zero the struct, ph_tally_add() per batch in stream order; ph_tally_merge() to sum
 * up. One thread. Pieces of an over-wide row are hashed as they come.
 */
#ifndef PGHAUL_TALLY_H
#define PGHAUL_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "pghaul/batch.h"

struct ph_tally {
    uint64_t rows;
    uint64_t bytes; /* of rows, without stream header and trailer */
    uint64_t hash_lo;
    uint64_t hash_hi;
    void *open_row; /* state of a row that has come in part; NULL between rows */
};

/* Adds a batch. False only when memory for the state of an over-wide row cannot be had. */
bool ph_tally_add(struct ph_tally *tally, const struct ph_batch *batch);

/* Adds `other` (which must be between rows) to `tally`. */
void ph_tally_merge(struct ph_tally *tally, const struct ph_tally *other);

/* Frees the state of an unfinished row; the counts stay. */
void ph_tally_fini(struct ph_tally *tally);

enum { PH_TALLY_HASH_TEXT = 33 };

/* The fingerprint as 32 hexadecimal digits, high half first. */
const char *ph_tally_hash_text(const struct ph_tally *tally, char out[static PH_TALLY_HASH_TEXT]);

/* The way back; false (and a fingerprint of 0) when the text is none. */
bool ph_tally_read_hash(struct ph_tally *tally, const char *text);

/* Whether both say the same: rows, bytes and fingerprint. */
bool ph_tally_equal(const struct ph_tally *a, const struct ph_tally *b);

#endif

/* A batch: whole rows of a COPY stream, back to back, without the stream's header and trailer.
 *
 * `edge[i]` is the offset just behind row i, so row i is data[i ? edge[i-1] : 0 .. edge[i]) and
 * edge[rows-1] == len.
 *
 * A row wider than a source's buffer comes in pieces, each a batch of its own: rows is 0 and
 * `piece` says so; the last piece has `last_piece` set. Pieces of one row follow each other with
 * nothing between.
 *
 * Ownership: the source's, valid until the next call on that source.
 */
#ifndef PGHAUL_BATCH_H
#define PGHAUL_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ph_batch {
    const char *data;
    size_t len; /* bytes; 0 only at the end */
    const uint32_t *edge;
    size_t rows;
    bool piece;
    bool last_piece;
};

#endif

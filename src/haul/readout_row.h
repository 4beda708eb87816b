/* Rows of a readout, as they come in a buffer: each is taken apart into leading fields and columns, the
 * columns are hashed, and the visitor sees it.
 *
 * One taker for each thread; all zero, with what it reads for, is a new one. Between two streams no row
 * is open, or the taker is not used any more.
 */
#ifndef PH_HAUL_READOUT_ROW_H
#define PH_HAUL_READOUT_ROW_H

#include "base/buf.h"
#include "haul/readout.h"

struct ph_row_taker {
    ph_readout_visit visit;
    void *arg;
    int worker;
    const struct ph_readout_rel *rel; /* whose rows come */
    /* a row that comes in pieces: */
    void *state;
    struct ph_buf lead;
    struct ph_readout_row wide;
};

/* Takes whole rows that lie back to back and end at `edge`. They are written into, and have changed
 * afterwards. PH_FAILED when one is shorter than its fields. */
bool ph_row_taker_rows(struct ph_row_taker *taker, char *rows, const uint32_t *edge, size_t n,
                       struct ph_err *err);

/* Takes a piece of a row that is wider than the buffer; only its leading fields must fit into one. */
bool ph_row_taker_piece(struct ph_row_taker *taker, char *data, size_t len, bool last,
                        struct ph_err *err);

void ph_row_taker_fini(struct ph_row_taker *taker);

#endif

/* From bytes of a COPY stream to batches of whole rows: the buffer between what arrives and what is lent.
 *
 * Message edges and block edges mean nothing: bytes come as they come, and the stream's own format says where rows end
 * (copy/stream.h).
 *
 *     ph_batcher_init → ph_batcher_begin, per stream → ph_batcher_next until it lends an empty batch → ph_batcher_fini
 *
 * Where the bytes lie in memory already, ph_batcher_pass lends the rows right there and copies none but those that two loans
 * share: blocks of an archive mostly hold whole rows.
 */
#ifndef PH_COPY_BATCHER_H
#define PH_COPY_BATCHER_H

#include "copy/stream.h"
#include "pghaul/batch.h"

enum { PH_BATCHER_ROWS = 8192 };

/* Reads at most `room` bytes into `to`; *n 0 at the end of the stream. */
typedef bool ph_batcher_read(void *from, char *to, size_t room, size_t *n, struct ph_err *err);

struct ph_batcher {
    struct ph_scan scan;
    char *buf;
    size_t cap, begin, end; /* [begin, end) has been read and not been lent */
    uint64_t rows;          /* lent so far */
    const char *loan;       /* for ph_batcher_pass: what has not been looked at of the last loan */
    size_t n_loan;
    bool ended;
    uint32_t edge[PH_BATCHER_ROWS];
};

/* cap: bytes of the buffer, and so of a batch at most. */
bool ph_batcher_init(struct ph_batcher *batcher, size_t cap, struct ph_err *err);
void ph_batcher_fini(struct ph_batcher *batcher);

void ph_batcher_begin(struct ph_batcher *batcher, enum ph_format format, int fields);

/* Lends the next batch, until the next call; len 0 at the end of the stream, which ph_batcher_complete then judges. */
bool ph_batcher_next(struct ph_batcher *batcher, ph_batcher_read *read, void *from,
                     struct ph_batch *batch, struct ph_err *err);

/* Lends the next bytes, until the next call; *n 0 at the end of the stream. */
typedef bool ph_batcher_lend(void *from, const char **data, size_t *n, struct ph_err *err);

/* As ph_batcher_next, from loans. One stream is read in one way. */
bool ph_batcher_pass(struct ph_batcher *batcher, ph_batcher_lend *lend, void *from,
                     struct ph_batch *batch, struct ph_err *err);

/* After the end: whether it was one, and not the middle of a row. PH_FAILED. */
bool ph_batcher_complete(const struct ph_batcher *batcher, const char *whose, struct ph_err *err);

#endif

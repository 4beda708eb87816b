#include "copy/batcher.h"

#include <stdlib.h>
#include <string.h>

bool ph_batcher_init(struct ph_batcher *batcher, size_t cap, struct ph_err *err)
{
    batcher->buf = malloc(cap);
    batcher->cap = cap;
    return batcher->buf || ph_err_nomem(err);
}

void ph_batcher_fini(struct ph_batcher *batcher)
{
    free(batcher->buf);
    batcher->buf = NULL;
}

void ph_batcher_begin(struct ph_batcher *batcher, enum ph_format format, int fields)
{
    batcher->scan = (struct ph_scan){.format = format, .fields = fields};
    batcher->begin = batcher->end = 0;
    batcher->rows = 0;
    batcher->n_loan = 0;
    batcher->ended = false;
}

/* Makes room at the end of the buffer. */
static void compact(struct ph_batcher *b)
{
    if (b->begin == 0)
        return;
    memmove(b->buf, b->buf + b->begin, b->end - b->begin);
    b->end -= b->begin;
    b->begin = 0;
}

/* Reads until the buffer is full or the stream is over. */
static bool fill(struct ph_batcher *b, ph_batcher_read *read, void *from, struct ph_err *err)
{
    compact(b);
    while (b->end < b->cap) {
        size_t n;
        if (!read(from, b->buf + b->end, b->cap - b->end, &n, err))
            return false;
        if (n == 0) {
            b->ended = true;
            break;
        }
        b->end += n;
    }
    return true;
}

/* Makes a batch of what whole rows (or piece of a row) there are; batch->len stays 0 when there is none. *used: bytes that
 * need not be shown again. */
static bool look(struct ph_batcher *b, const char *data, size_t len, bool full,
                 struct ph_batch *batch, size_t *used, struct ph_err *err)
{
    struct ph_scan_view view;
    *used = 0;
    if (len == 0)
        return true;
    if (!ph_scan_look(&b->scan, data, len, full, b->edge, PH_BATCHER_ROWS, &view, err))
        return false;
    *batch = (struct ph_batch){
        .data = data + view.begin,
        .len = view.end - view.begin,
        .edge = b->edge,
        .rows = view.rows,
        .piece = view.piece,
        .last_piece = view.last_piece,
    };
    *used = b->scan.at == PH_SCAN_END ? len : view.end;
    b->rows += view.rows + view.last_piece;
    return true;
}

/* The same, of what the buffer holds. */
static bool look_at_buffer(struct ph_batcher *b, struct ph_batch *batch, struct ph_err *err)
{
    bool full = b->begin == 0 && b->end == b->cap;
    size_t used;
    if (!look(b, b->buf + b->begin, b->end - b->begin, full, batch, &used, err))
        return false;
    b->begin += used;
    return true;
}

bool ph_batcher_next(struct ph_batcher *batcher, ph_batcher_read *read, void *from,
                     struct ph_batch *batch, struct ph_err *err)
{
    *batch = (struct ph_batch){0};
    for (;;) {
        if (!look_at_buffer(batcher, batch, err))
            return false;
        if (batch->len > 0 || batcher->ended)
            return true;
        if (!fill(batcher, read, from, err))
            return false;
    }
}

/* Moves what it can of the loan behind what the buffer holds. */
static void take(struct ph_batcher *b)
{
    compact(b);
    size_t room = b->cap - b->end, n = b->n_loan < room ? b->n_loan : room;
    memcpy(b->buf + b->end, b->loan, n);
    b->end += n;
    b->loan += n;
    b->n_loan -= n;
}

bool ph_batcher_pass(struct ph_batcher *batcher, ph_batcher_lend *lend, void *from,
                     struct ph_batch *batch, struct ph_err *err)
{
    struct ph_batcher *b = batcher;
    *batch = (struct ph_batch){0};
    for (;;) {
        size_t used = 0;
        bool joint = b->begin < b->end; /* a row that began in an earlier loan */
        if (joint ? !look_at_buffer(b, batch, err)
                  : !look(b, b->loan, b->n_loan, false, batch, &used, err))
            return false;
        b->loan += used;
        b->n_loan -= used;
        if (batch->len > 0)
            return true;
        bool rest = !joint && b->n_loan > 0;
        if (rest && used > 0)
            continue;
        if (b->n_loan == 0 && b->ended)
            return true;
        if (b->n_loan == 0 && !lend(from, &b->loan, &b->n_loan, err))
            return false;
        b->ended = b->n_loan == 0;
        if (rest || b->begin < b->end)
            take(b);
    }
}

bool ph_batcher_complete(const struct ph_batcher *batcher, const char *whose, struct ph_err *err)
{
    if (batcher->begin == batcher->end && ph_scan_complete(&batcher->scan))
        return true;
    return ph_err_set(err, PH_FAILED, "the COPY stream of %s ended in the middle of a row", whose);
}

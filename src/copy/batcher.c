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
    batcher->ended = false;
}

/* Makes room at the end of the buffer and reads until it is full or the stream is over. */
static bool fill(struct ph_batcher *b, ph_batcher_read *read, void *from, struct ph_err *err)
{
    if (b->begin > 0) {
        memmove(b->buf, b->buf + b->begin, b->end - b->begin);
        b->end -= b->begin;
        b->begin = 0;
    }
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

/* Lends what whole rows (or piece of a row) the buffer holds; batch->len stays 0 when there is
 * none. */
static bool lend(struct ph_batcher *b, struct ph_batch *batch, struct ph_err *err)
{
    struct ph_scan_view view;
    const char *data = b->buf + b->begin;
    size_t len = b->end - b->begin;
    bool full = b->begin == 0 && b->end == b->cap;
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
    b->begin = b->scan.at == PH_SCAN_END ? b->end : b->begin + view.end;
    b->rows += view.rows + view.last_piece;
    return true;
}

bool ph_batcher_next(struct ph_batcher *batcher, ph_batcher_read *read, void *from,
                     struct ph_batch *batch, struct ph_err *err)
{
    *batch = (struct ph_batch){0};
    for (;;) {
        if (!lend(batcher, batch, err))
            return false;
        if (batch->len > 0 || batcher->ended)
            return true;
        if (!fill(batcher, read, from, err))
            return false;
    }
}

bool ph_batcher_complete(const struct ph_batcher *batcher, const char *whose, struct ph_err *err)
{
    if (batcher->begin == batcher->end && ph_scan_complete(&batcher->scan))
        return true;
    return ph_err_set(err, PH_FAILED, "the COPY stream of %s ended in the middle of a row", whose);
}

/* The COPY stream formats, as bytes: where a stream begins and ends, and where its rows do.
 *
 * Binary (PostgreSQL documentation, COPY, "Binary Format"): a header of 11 + 4 + 4 bytes and an
 * extension; rows of int16 field count, then per field int32 length (-1 is NULL) and that many
 * bytes; a trailer of int16 -1. Text: one line a row, ended by a newline, which stands for nothing
 * else (newlines in values are written \n).
 *
 * A scanner is fed the stream in pieces of any size, message edges mean nothing to it, and it tells
 * what it found. It trusts no length: what does not parse is an error, not a guess.
 */
#ifndef PH_COPY_STREAM_H
#define PH_COPY_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "pghaul/err.h"
#include "pghaul/shard.h"

/* The header and the trailer that a binary stream of ours has. */
extern const char ph_stream_header[];
enum { PH_STREAM_HEADER = 19, PH_STREAM_TRAILER = 2 };
extern const char ph_stream_trailer[];

struct ph_scan {
    enum ph_format format;
    int fields; /* expected per row; a row with another number is an error */
    enum { PH_SCAN_HEADER, PH_SCAN_ROWS, PH_SCAN_END } at;
    size_t skip_header; /* bytes of the header's extension that are still to come */
    /* a row wider than the buffer, which passes in pieces: */
    bool open;           /* inside such a row */
    int fields_left;     /* fields whose length is not read yet */
    uint64_t value_left; /* bytes of the present value that are still to come */
};

/* One look at a buffer. */
struct ph_scan_view {
    size_t begin; /* where the rows begin: behind the header, when that was here */
    size_t end;   /* behind the last whole row (or the last byte of a piece) */
    size_t rows;  /* whole rows in [begin, end); edges are relative to begin */
    bool piece;   /* [begin, end) is part of one row that is wider than the buffer */
    bool last_piece;
};

/* Looks at `len` bytes that continue the stream. Bytes behind view->end are an unfinished row and
 * must be shown again, followed by more. `edge` has room for max_rows; the look ends when it is
 * full. `full` says that the buffer can take no more bytes, so a row that is not whole now never
 * will be: it then passes as a piece. After the trailer `at` is PH_SCAN_END. PH_FAILED when the
 * bytes are no COPY stream of the expected shape. */
bool ph_scan_look(struct ph_scan *scan, const char *data, size_t len, bool full, uint32_t *edge,
                  size_t max_rows, struct ph_scan_view *view, struct ph_err *err);

/* Whether the stream may end here: at the trailer (binary), between rows (text). */
bool ph_scan_complete(const struct ph_scan *scan);

#endif

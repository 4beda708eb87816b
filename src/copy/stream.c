#include "copy/stream.h"

#include <endian.h>
#include <string.h>

const char ph_stream_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
const char ph_stream_trailer[] = "\377\377";

enum { SIGNATURE = 11, LARGEST_VALUE = 0x40000000 };

static int16_t read16(const char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return (int16_t)be16toh(v);
}

static int32_t read32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return (int32_t)be32toh(v);
}

static bool broken(struct ph_err *err, const char *what)
{
    return ph_err_set(err, PH_FAILED, "the COPY stream is malformed: %s", what);
}

/* Returns the header's size, 0 when more bytes are needed, SIZE_MAX when it is none. */
static size_t look_at_header(const char *data, size_t len, struct ph_err *err)
{
    size_t have = len < SIGNATURE ? len : SIGNATURE;
    if (memcmp(data, ph_stream_header, have) != 0) {
        broken(err, "no COPY BINARY signature");
        return SIZE_MAX;
    }
    if (len < PH_STREAM_HEADER)
        return 0;
    if (read32(data + SIGNATURE) != 0) {
        broken(err, "flags that this version does not know");
        return SIZE_MAX;
    }
    int32_t extension = read32(data + SIGNATURE + 4);
    if (extension < 0 || extension > 4096) {
        broken(err, "an impossible header extension");
        return SIZE_MAX;
    }
    return PH_STREAM_HEADER + (size_t)extension;
}

/* Rows of the same lengths follow each other in tables whose columns have fixed ones. Such a row is known by comparing
 * all its lengths at once, where a walk from length to length would wait for each. */
enum { ALIKE = 32 };

struct alike {
    size_t size; /* of the row; 0: nothing is expected */
    int fields;
    uint32_t at[ALIKE],
        length[ALIKE]; /* of the fields: where their lengths stand, and these as they stand */
};

/* Expects more rows like this whole one; not of so many fields that comparing them is no gain. */
static void expect(struct alike *alike, const char *row, size_t size, int fields)
{
    size_t p = 2;
    alike->size = fields > 0 && fields <= ALIKE ? size : 0;
    alike->fields = fields;
    for (int i = 0; i < fields && alike->size; i++) {
        int32_t length = read32(row + p);
        alike->at[i] = (uint32_t)p;
        memcpy(&alike->length[i], row + p, 4);
        p += 4 + (length > 0 ? (size_t)length : 0);
    }
}

static inline bool is_alike(const struct alike *alike, const char *row)
{
    uint32_t differ = (uint32_t)(read16(row) ^ alike->fields);
    for (int i = 0; i < alike->fields; i++) {
        uint32_t length;
        memcpy(&length, row + alike->at[i], 4);
        differ |= length ^ alike->length[i];
    }
    return differ == 0;
}

/* Goes over the fields of a row that begins at `at`. Returns the offset behind it; 0 when it is not whole. */
static inline size_t walk_row(const char *data, size_t at, size_t len, int fields,
                              const char **wrong)
{
    size_t p = at + 2;
    for (; fields > 0; fields--) {
        if (len - p < 4)
            return 0;
        int32_t size = read32(data + p);
        p += 4;
        if (size <= 0) {
            if (size == 0 || size == -1)
                continue;
            *wrong = "a negative length";
            return 0;
        }
        if ((size_t)size > len - p) {
            if (size > LARGEST_VALUE)
                *wrong = "a value longer than the server's limit";
            return 0;
        }
        p += (size_t)size;
    }
    return p;
}

/* What stands where a row should begin has not its number of fields. */
static void end_rows(struct ph_scan *scan, int fields, size_t left, const char **wrong)
{
    if (fields != -1) {
        *wrong = "a row with an unexpected number of fields";
        return;
    }
    scan->at = PH_SCAN_END;
    if (left > 2)
        *wrong = "bytes behind the trailer";
}

/* The hot loop: from row to row over whole rows. Returns the offset behind the last whole row. */
static size_t look_at_rows(struct ph_scan *scan, const char *data, size_t begin, size_t len,
                           uint32_t *edge, size_t max_rows, size_t *rows, const char **wrong)
{
    struct alike alike = {.size = 0};
    size_t at = begin, n = 0, last = 0;
    while (n < max_rows && len - at >= 2) {
        while (alike.size && len - at >= alike.size && n < max_rows &&
               is_alike(&alike, data + at)) {
            at += alike.size;
            edge[n++] = (uint32_t)(at - begin);
        }
        if (n == max_rows || len - at < 2)
            break;
        int fields = read16(data + at);
        if (fields != scan->fields) {
            end_rows(scan, fields, len - at, wrong);
            break;
        }
        size_t end = walk_row(data, at, len, fields, wrong);
        if (!end)
            break;
        size_t size = end - at;
        alike.size = 0;
        if (size == last)
            expect(&alike, data + at, size, fields);
        last = size;
        at = end;
        edge[n++] = (uint32_t)(at - begin);
    }
    *rows = n;
    return at;
}

/* Walks as far as it can through one over-wide row. Returns the offset it came to; clears
 * scan->open at its end. */
static size_t walk_piece(struct ph_scan *scan, const char *data, size_t at, size_t len,
                         const char **wrong)
{
    for (;;) {
        size_t step = scan->value_left < len - at ? (size_t)scan->value_left : len - at;
        at += step;
        scan->value_left -= step;
        if (scan->value_left > 0)
            return at;
        if (scan->fields_left == 0) {
            scan->open = false;
            return at;
        }
        if (len - at < 4)
            return at;
        int32_t size = read32(data + at);
        if (size < -1 || size > LARGEST_VALUE) {
            *wrong = "an impossible length";
            return at;
        }
        at += 4;
        scan->fields_left--;
        scan->value_left = size > 0 ? (uint64_t)size : 0;
    }
}

static bool look_binary(struct ph_scan *scan, const char *data, size_t len, bool full,
                        uint32_t *edge, size_t max_rows, struct ph_scan_view *view,
                        struct ph_err *err)
{
    const char *wrong = NULL;
    if (!scan->open) {
        view->end = look_at_rows(scan, data, view->begin, len, edge, max_rows, &view->rows, &wrong);
        if (wrong)
            return broken(err, wrong);
        bool stuck = full && view->rows == 0 && view->begin == 0 && scan->at == PH_SCAN_ROWS;
        if (!stuck)
            return true;
        scan->open = true;
        scan->fields_left = scan->fields;
        scan->value_left = 0;
        view->end = walk_piece(scan, data, 2, len, &wrong);
    } else {
        view->end = walk_piece(scan, data, view->begin, len, &wrong);
    }
    if (wrong)
        return broken(err, wrong);
    view->piece = view->end > view->begin || !scan->open;
    view->last_piece = view->piece && !scan->open;
    return true;
}

static bool look_text(struct ph_scan *scan, const char *data, size_t len, bool full, uint32_t *edge,
                      size_t max_rows, struct ph_scan_view *view)
{
    if (scan->open) {
        const char *nl = memchr(data, '\n', len);
        view->end = nl ? (size_t)(nl - data) + 1 : len;
        scan->open = !nl;
        view->piece = len > 0;
        view->last_piece = nl != NULL;
        return true;
    }
    size_t at = 0;
    while (view->rows < max_rows && at < len) {
        const char *nl = memchr(data + at, '\n', len - at);
        if (!nl)
            break;
        at = (size_t)(nl - data) + 1;
        edge[view->rows++] = (uint32_t)at;
    }
    view->end = at;
    if (full && view->rows == 0 && len > 0) {
        scan->open = true;
        view->piece = true;
        view->end = len;
    }
    return true;
}

bool ph_scan_look(struct ph_scan *scan, const char *data, size_t len, bool full, uint32_t *edge,
                  size_t max_rows, struct ph_scan_view *view, struct ph_err *err)
{
    *view = (struct ph_scan_view){0};
    if (scan->format == PH_TEXT) {
        scan->at = PH_SCAN_ROWS;
        return look_text(scan, data, len, full, edge, max_rows, view);
    }
    if (scan->at == PH_SCAN_HEADER) {
        size_t size = look_at_header(data, len, err);
        if (size == SIZE_MAX)
            return false;
        if (size == 0 || size > len)
            return true; /* end = 0: show it again */
        scan->at = PH_SCAN_ROWS;
        view->begin = view->end = size;
    }
    if (scan->at == PH_SCAN_END)
        return len == 0 || broken(err, "bytes behind the trailer");
    return look_binary(scan, data, len, full, edge, max_rows, view, err);
}

bool ph_scan_complete(const struct ph_scan *scan)
{
    if (scan->format == PH_TEXT)
        return !scan->open;
    return scan->at == PH_SCAN_END;
}

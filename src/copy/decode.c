#include "copy/decode.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "copy/decode_type.h"
#include "copy/decode_value.h"
#include "copy/stream.h"

struct column {
    const char *name, *type;
    const struct ph_shape *shape; /* NULL where streams are text */
};

struct ph_decoder {
    struct ph_arena arena;
    enum ph_format format;
    enum ph_decode_as as;
    struct column *columns;
    int n_columns;
    struct ph_scan scan;
    struct ph_buf rest;  /* the beginning of a row that is not whole yet */
    struct ph_buf value; /* a value's text before it is escaped */
    uint64_t rows;
};

enum { EDGES = 256 };

static void begin_stream(struct ph_decoder *d)
{
    ph_buf_clear(&d->rest);
    d->scan = (struct ph_scan){.format = d->format, .fields = d->n_columns};
}

static bool make_columns(struct ph_decoder *d, const struct ph_decode_opts *opts,
                         struct ph_err *err)
{
    d->columns = ph_arena_calloc(&d->arena, (size_t)opts->n_columns + 1, sizeof *d->columns);
    d->n_columns = opts->n_columns;
    for (int i = 0; i < opts->n_columns; i++) {
        struct column *c = &d->columns[i];
        c->name = ph_arena_strdup(&d->arena, opts->columns[i]);
        if (opts->format == PH_TEXT)
            continue;
        const char *which = NULL, *why = NULL;
        c->type = ph_arena_strdup(&d->arena, opts->types[i]);
        c->shape = ph_shape_make(&d->arena, opts, c->type, &which, &why);
        if (c->shape)
            continue;
        bool within = strcmp(which, c->type) != 0;
        ph_err_set(err, PH_WRONG, "column \"%s\" of type %s cannot be shown: %s is %s", c->name,
                   c->type, within ? which : "it", why);
        return ph_err_hint(err, "the bytes themselves can be had with --format binary");
    }
    return true;
}

bool ph_decoder_new(struct ph_decoder **decoder, const struct ph_decode_opts *opts,
                    struct ph_err *err)
{
    struct ph_decoder *d = *decoder = calloc(1, sizeof *d);
    if (!d)
        return ph_err_nomem(err);
    d->format = opts->format;
    d->as = opts->as;
    if (!make_columns(d, opts, err)) {
        ph_decoder_free(d);
        *decoder = NULL;
        return false;
    }
    begin_stream(d);
    return true;
}

void ph_decoder_free(struct ph_decoder *d)
{
    if (!d)
        return;
    ph_buf_fini(&d->rest);
    ph_buf_fini(&d->value);
    ph_arena_fini(&d->arena);
    free(d);
}

uint64_t ph_decoder_rows(const struct ph_decoder *d)
{
    return d->rows;
}

static void add_separator(const struct ph_decoder *d, struct ph_buf *out, int column)
{
    if (column > 0)
        ph_buf_addc(out, d->as == PH_AS_CSV ? ',' : '\t');
}

static void add_field(const struct ph_decoder *d, struct ph_buf *out, const char *bytes, size_t len)
{
    if (d->as == PH_AS_CSV)
        ph_line_add_csv(out, bytes, len, d->n_columns == 1);
    else
        ph_line_add_text(out, bytes, len);
}

static void add_null(const struct ph_decoder *d, struct ph_buf *out)
{
    if (d->as == PH_AS_TEXT)
        ph_buf_add(out, "\\N");
}

void ph_decoder_names(const struct ph_decoder *d, struct ph_buf *out)
{
    for (int i = 0; i < d->n_columns; i++) {
        const char *name = d->columns[i].name;
        add_separator(d, out, i);
        if (d->as == PH_AS_CSV) /* the server does not think of \. here */
            ph_line_add_csv(out, name, strlen(name), false);
        else
            ph_line_add_text(out, name, strlen(name));
    }
    ph_buf_addc(out, '\n');
}

static bool malformed(const struct ph_decoder *d, int column, const char *what, struct ph_err *err)
{
    uint64_t row = d->rows + 1;
    if (column < 0)
        return ph_err_set(err, PH_FAILED, "row %" PRIu64 " is malformed: %s", row, what);
    const struct column *c = &d->columns[column];
    if (!c->type)
        return ph_err_set(err, PH_FAILED, "row %" PRIu64 ": malformed value of column \"%s\": %s",
                          row, c->name, what);
    return ph_err_set(err, PH_FAILED, "row %" PRIu64 ": malformed %s in column \"%s\": %s", row,
                      c->type, c->name, what);
}

static bool add_value(struct ph_decoder *d, int i, struct ph_bytes *value, struct ph_buf *out,
                      struct ph_err *err)
{
    const struct ph_shape *shape = d->columns[i].shape;
    struct ph_buf *text = shape->plain ? out : &d->value;
    if (!shape->plain)
        ph_buf_clear(text);
    if (!ph_value_whole(shape, value, text))
        return malformed(d, i, value->wrong, err);
    if (!shape->plain)
        add_field(d, out, ph_buf_text(text), text->len);
    return true;
}

static bool binary_row(struct ph_decoder *d, const char *row, size_t len, struct ph_buf *out,
                       struct ph_err *err)
{
    struct ph_bytes in = {.at = (const unsigned char *)row, .left = len};
    uint16_t fields;
    if (!ph_bytes_u16(&in, &fields) || fields != d->n_columns)
        return malformed(d, -1, "it has another number of fields than the table", err);
    for (int i = 0; i < d->n_columns; i++) {
        struct ph_bytes value;
        bool null;
        if (!ph_bytes_part(&in, &value, &null))
            return malformed(d, i, in.wrong, err);
        add_separator(d, out, i);
        if (null)
            add_null(d, out);
        else if (!add_value(d, i, &value, out, err))
            return false;
    }
    if (in.left)
        return malformed(d, -1, "bytes are behind its last field", err);
    ph_buf_addc(out, '\n');
    return true;
}

/* A newline and a tab stand for themselves alone in COPY text; in values they are escaped. */
static bool text_row(struct ph_decoder *d, const char *row, size_t len, struct ph_buf *out,
                     struct ph_err *err)
{
    if (len == 0 || memchr(row, '\n', len) != row + len - 1)
        return malformed(d, -1, "it is not one line", err);
    if (d->as == PH_AS_TEXT) {
        ph_buf_addn(out, row, len);
        return true;
    }
    len--;
    if (len == 2 && memcmp(row, "\\.", len) == 0)
        return malformed(d, -1, "the data end before the stream does", err);
    size_t at = 0;
    for (int i = 0; i < d->n_columns; i++) {
        const char *field = row + at, *tab = memchr(field, '\t', len - at);
        size_t size = tab ? (size_t)(tab - field) : len - at;
        if ((tab != NULL) != (i + 1 < d->n_columns))
            return malformed(d, -1, "it has another number of fields than the table", err);
        at += size + (tab != NULL);
        add_separator(d, out, i);
        if (size == 2 && memcmp(field, "\\N", size) == 0)
            continue;
        ph_buf_clear(&d->value);
        ph_line_read_text(&d->value, field, size);
        add_field(d, out, ph_buf_text(&d->value), d->value.len);
    }
    if (at < len)
        return malformed(d, -1, "it has another number of fields than the table", err);
    ph_buf_addc(out, '\n');
    return true;
}

bool ph_decoder_row(struct ph_decoder *d, const char *row, size_t len, struct ph_buf *out,
                    struct ph_err *err)
{
    size_t start = out->len;
    bool ok =
        d->format == PH_TEXT ? text_row(d, row, len, out, err) : binary_row(d, row, len, out, err);
    if (ok) {
        d->rows++;
    } else if (out->data) {
        out->len = start;
        out->data[start] = '\0';
    }
    return ok;
}

/* Decodes the whole rows of `data`; *used is where an unfinished one begins. */
static bool whole_rows(struct ph_decoder *d, const char *data, size_t len, size_t *used,
                       struct ph_buf *out, struct ph_err *err)
{
    uint32_t edge[EDGES];
    size_t most = len < UINT32_MAX ? EDGES : 1; /* an edge has 32 bits, the view's end has not */
    for (*used = 0;;) {
        struct ph_scan_view view;
        const char *from = data + *used;
        if (!ph_scan_look(&d->scan, from, len - *used, false, edge, most, &view, err))
            return false;
        size_t at = view.begin;
        for (size_t i = 0; i < view.rows; i++) {
            size_t end = i + 1 == view.rows ? view.end : view.begin + edge[i];
            if (!ph_decoder_row(d, from + at, end - at, out, err))
                return false;
            at = end;
        }
        *used += view.end;
        if (d->scan.at == PH_SCAN_END) {
            *used = len; /* the scanner has seen that nothing is behind the trailer */
            return true;
        }
        if (view.end == 0)
            return true;
    }
}

bool ph_decoder_feed(struct ph_decoder *d, const char *data, size_t len, struct ph_buf *out,
                     struct ph_err *err)
{
    if (len == 0)
        return true;
    size_t used = 0;
    bool carried = d->rest.len > 0;
    if (carried) {
        ph_buf_addn(&d->rest, data, len);
        data = d->rest.data;
        len = d->rest.len;
    }
    if (!whole_rows(d, data, len, &used, out, err))
        return false;
    if (!carried) {
        ph_buf_addn(&d->rest, data + used, len - used);
        return true;
    }
    memmove(d->rest.data, data + used, len - used);
    d->rest.len = len - used;
    return true;
}

bool ph_decoder_end(struct ph_decoder *d, struct ph_err *err)
{
    bool whole = d->rest.len == 0 && ph_scan_complete(&d->scan);
    begin_stream(d);
    return whole ||
           ph_err_set(err, PH_FAILED,
                      "the COPY stream ends after row %" PRIu64 ", and not where it should",
                      d->rows);
}

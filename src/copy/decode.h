/* From archived rows to what people and their tools read: COPY text and CSV, without a server.
 *
 * A row of COPY BINARY holds the bytes of each type's send function. A decoder knows, for the types of one table, what the
 * output functions would print, and so writes byte for byte what the source's own COPY ... TO STDOUT would have written, as
 * text or (FORMAT csv). Settings that change a text are those of a reproducible one: DateStyle ISO, TimeZone UTC,
 * IntervalStyle postgres, bytea_output hex, extra_float_digits 1. A table archived as COPY text passes as it is, or becomes
 * CSV.
 *
 *     ph_decoder_new(&d, &(struct ph_decode_opts){...}, err)
 *     ph_decoder_names                           a header line, where one is wanted
 *     per stream (an archived shard is one):     ph_decoder_feed… → ph_decoder_end
 *     ph_decoder_free
 *
 * Not every type can be shown: money depends on a locale, regclass and its kin on a catalog, the types of most extensions on
 * their code. That is known when the decoder is made, before a byte is written.
 *
 * Bytes are not trusted: a length, a flag or a count that cannot be is an error which names row, column and type, and never
 * the value. Types of pg_catalog inside arrays and composites must be those that the stream says they are. Texts are passed
 * on in the encoding that they have, which must be one in which an ASCII byte is always that character (all that servers
 * have are such).
 *
 * Ownership: a decoder copies what it is given. Threads: one decoder, one thread.
 */
#ifndef PH_COPY_DECODE_H
#define PH_COPY_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "pghaul/err.h"
#include "pghaul/shard.h"

/* What a type outside pg_catalog is. Type names are those of format_type(), with their schema. */
enum ph_decode_kind {
    PH_DECODE_BASE, /* one with a send function of its own: known by its name, or not at all. citext,
                       ltree, lquery, ltxtquery and hstore are known */
    PH_DECODE_ENUM,
    PH_DECODE_DOMAIN,     /* of: its base type */
    PH_DECODE_RANGE,      /* of: its subtype */
    PH_DECODE_MULTIRANGE, /* of: its range */
    PH_DECODE_COMPOSITE,  /* attributes */
};

struct ph_decode_type {
    const char *name; /* "public.mood", never an array */
    enum ph_decode_kind kind;
    const char *of;
    const char *const *attributes; /* their types in order, without dropped ones */
    int n_attributes;
};

enum ph_decode_as { PH_AS_TEXT, PH_AS_CSV };

struct ph_decode_opts {
    enum ph_format format;      /* of the streams */
    enum ph_decode_as as;       /* what is written */
    const char *const *columns; /* names */
    const char *const *types;   /* as format_type() shows them, modifiers included; not looked at
                                 when the streams are text */
    int n_columns;
    const struct ph_decode_type *described; /* what is not of pg_catalog; a type that is not in here
                                               is taken for PH_DECODE_BASE */
    int n_described;
    int source_version; /* 150018: some texts changed between releases; 0 is the newest known */
};

struct ph_decoder;

/* PH_WRONG when a column cannot be decoded: column, type and, when the trouble lies within, the inner type are named. */
bool ph_decoder_new(struct ph_decoder **decoder, const struct ph_decode_opts *opts,
                    struct ph_err *err);
void ph_decoder_free(struct ph_decoder *decoder);

/* The line that HEADER makes. */
void ph_decoder_names(const struct ph_decoder *decoder, struct ph_buf *out);

/* Takes the next bytes of a stream, cut anywhere, and appends a line to `out` for each row that is whole now. PH_FAILED when
 * they are not the rows of this table; the lines before the malformed row are in `out`, nothing of the row is, and the
 * decoder is fit for ph_decoder_free() only. */
bool ph_decoder_feed(struct ph_decoder *decoder, const char *data, size_t len, struct ph_buf *out,
                     struct ph_err *err);

/* The end of a stream; the next may follow. PH_FAILED when it is not whole. */
bool ph_decoder_end(struct ph_decoder *decoder, struct ph_err *err);

/* Rows of all streams so far. */
uint64_t ph_decoder_rows(const struct ph_decoder *decoder);

/* One row by itself: a binary row with its field count, or a line of text with its newline. It fails as the above does, but
 * the decoder can go on. Independent of what is fed. */
bool ph_decoder_row(struct ph_decoder *decoder, const char *row, size_t len, struct ph_buf *out,
                    struct ph_err *err);

#endif

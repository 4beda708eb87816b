/* The inside of decode: what a type's text is made by.
 *
 * A shape is a type that can be shown; an array's, a range's and a composite's refer to those within. Its function reads one
 * value, all of it, and appends the text of the output function: what quoting is needed around it is the business of what
 * it stands in (decode_nest.c, decode_line.c).
 */
#ifndef PH_COPY_DECODE_VALUE_H
#define PH_COPY_DECODE_VALUE_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

/* Bytes of a value that are still to be read, and what was wrong with those that were. */
struct ph_bytes {
    const unsigned char *at;
    size_t left;
    const char *wrong; /* "a numeric with an impossible sign"; NULL while all is well */
};

struct ph_shape;
typedef bool ph_value_fn(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out);

struct ph_shape {
    ph_value_fn *value;
    uint32_t oid; /* of a type of pg_catalog; 0 for others, whose number is any */
    char delim;   /* between them in an array */
    bool plain;   /* never empty, and no character of it means anything in COPY text or CSV */
    int version;  /* of the source */
    const struct ph_shape *inner;             /* an array's element, a range's subtype, ... */
    const struct ph_shape *const *attributes; /* a composite's */
    int n_attributes;
};

/* Reading. All return false, with in->wrong set, when there is too little. */

static inline bool ph_bytes_bad(struct ph_bytes *in, const char *what)
{
    if (!in->wrong)
        in->wrong = what;
    return false;
}

static inline bool ph_bytes_take(struct ph_bytes *in, size_t n, const unsigned char **bytes)
{
    if (in->left < n)
        return ph_bytes_bad(in, "it is too short");
    *bytes = in->at;
    in->at += n;
    in->left -= n;
    return true;
}

static inline bool ph_bytes_u8(struct ph_bytes *in, unsigned *v)
{
    const unsigned char *p;
    if (!ph_bytes_take(in, 1, &p))
        return false;
    *v = *p;
    return true;
}

static inline bool ph_bytes_u16(struct ph_bytes *in, uint16_t *v)
{
    const unsigned char *p;
    if (!ph_bytes_take(in, sizeof *v, &p))
        return false;
    memcpy(v, p, sizeof *v);
    *v = be16toh(*v);
    return true;
}

static inline bool ph_bytes_u32(struct ph_bytes *in, uint32_t *v)
{
    const unsigned char *p;
    if (!ph_bytes_take(in, sizeof *v, &p))
        return false;
    memcpy(v, p, sizeof *v);
    *v = be32toh(*v);
    return true;
}

static inline bool ph_bytes_u64(struct ph_bytes *in, uint64_t *v)
{
    const unsigned char *p;
    if (!ph_bytes_take(in, sizeof *v, &p))
        return false;
    memcpy(v, p, sizeof *v);
    *v = be64toh(*v);
    return true;
}

static inline bool ph_bytes_i32(struct ph_bytes *in, int32_t *v)
{
    uint32_t u;
    if (!ph_bytes_u32(in, &u))
        return false;
    *v = (int32_t)u;
    return true;
}

static inline bool ph_bytes_i64(struct ph_bytes *in, int64_t *v)
{
    uint64_t u;
    if (!ph_bytes_u64(in, &u))
        return false;
    *v = (int64_t)u;
    return true;
}

/* The text up to the next zero byte, which is passed over. */
static inline bool ph_bytes_string(struct ph_bytes *in, const char **text, size_t *len)
{
    const unsigned char *end = in->left ? memchr(in->at, 0, in->left) : NULL;
    if (!end)
        return ph_bytes_bad(in, "a text in it has no end");
    *text = (const char *)in->at;
    *len = (size_t)(end - in->at);
    in->left -= *len + 1;
    in->at += *len + 1;
    return true;
}

/* An int32 length and so many bytes: *part is them; *null when the length is -1. */
bool ph_bytes_part(struct ph_bytes *in, struct ph_bytes *part, bool *null);

/* The whole value of `shape` in `in`, with nothing behind it. */
bool ph_value_whole(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out);

/* decode_number.c */
enum { PH_VALUE_DIGITS = 20 };
/* Writes the decimal digits of n, returns how many. */
size_t ph_value_put_digits(char *to, uint64_t n);
void ph_value_add_int(struct ph_buf *out, int64_t n);
void ph_value_add_uint(struct ph_buf *out, uint64_t n);
ph_value_fn ph_value_bool, ph_value_int2, ph_value_int4, ph_value_int8, ph_value_uint4,
    ph_value_uint8, ph_value_numeric;

/* decode_float.c */
void ph_value_add_float8(struct ph_buf *out, double v);
bool ph_value_read_float8(struct ph_bytes *in, double *v);
ph_value_fn ph_value_float4, ph_value_float8;

/* decode_time.c */
ph_value_fn ph_value_date, ph_value_time, ph_value_timetz, ph_value_timestamp, ph_value_timestamptz,
    ph_value_interval;

/* decode_text.c */
ph_value_fn ph_value_text, ph_value_char, ph_value_versioned, ph_value_bytea, ph_value_bit,
    ph_value_uuid, ph_value_hstore;

/* decode_net.c */
ph_value_fn ph_value_inet, ph_value_cidr, ph_value_macaddr, ph_value_macaddr8, ph_value_lsn,
    ph_value_tid, ph_value_snapshot;

/* decode_geo.c */
ph_value_fn ph_value_point, ph_value_lseg, ph_value_box, ph_value_path, ph_value_polygon,
    ph_value_line, ph_value_circle;

/* decode_search.c */
ph_value_fn ph_value_tsvector, ph_value_tsquery;

/* decode_nest.c */
ph_value_fn ph_value_array, ph_value_vector, ph_value_record, ph_value_range, ph_value_multirange;

/* decode_line.c: what a line is made of. `bytes` may not overlap `out`. */
void ph_line_add_text(struct ph_buf *out, const char *bytes, size_t len);
/* alone: it is the only column */
void ph_line_add_csv(struct ph_buf *out, const char *bytes, size_t len, bool alone);
/* A field of COPY text, its escapes undone, appended. */
void ph_line_read_text(struct ph_buf *out, const char *field, size_t len);

#endif

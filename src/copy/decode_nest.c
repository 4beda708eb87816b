/* Values that hold values: arrays, composites, ranges. Each part's text is made first, at the end of the buffer, and then
 * quoted in its place by the rules of what it stands in. */
#include <stdlib.h>

#include "copy/decode_value.h"

bool ph_bytes_part(struct ph_bytes *in, struct ph_bytes *part, bool *null)
{
    int32_t len;
    if (!ph_bytes_i32(in, &len))
        return false;
    *null = len == -1;
    *part = (struct ph_bytes){0};
    if (*null)
        return true;
    if (len < 0)
        return ph_bytes_bad(in, "a part of it has a negative length");
    part->left = (size_t)len;
    return ph_bytes_take(in, part->left, &part->at);
}

bool ph_value_whole(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    if (!shape->value(shape, in, out))
        return false;
    return in->left == 0 || ph_bytes_bad(in, "bytes are behind it");
}

/* Quoting doubles quotes, level by level: what a gigabyte cannot hold is no value that a server could have shown. */
enum { LARGEST_TEXT = 0x40000000 };

enum quoting { IN_ARRAY = 1, IN_RECORD = 2, IN_RANGE = 4, ESCAPED = 8 };
enum { EVERYWHERE = IN_ARRAY | IN_RECORD | IN_RANGE };

/* Where a byte asks for quotes. The server goes by isspace() of its locale for bytes that are no ASCII, which in UTF-8 are
 * none. */
static const unsigned char asks[256] = {
    [' '] = EVERYWHERE,
    ['\t'] = EVERYWHERE,
    ['\n'] = EVERYWHERE,
    ['\v'] = EVERYWHERE,
    ['\f'] = EVERYWHERE,
    ['\r'] = EVERYWHERE,
    ['"'] = EVERYWHERE | ESCAPED,
    ['\\'] = EVERYWHERE | ESCAPED,
    ['{'] = IN_ARRAY,
    ['}'] = IN_ARRAY,
    ['('] = IN_RECORD | IN_RANGE,
    [')'] = IN_RECORD | IN_RANGE,
    [','] = IN_RECORD | IN_RANGE, /* in an array it is the delimiter that counts */
    ['['] = IN_RANGE,
    [']'] = IN_RANGE,
};

/* Quotes what stands behind `start` if it must be, in place: from the end, as it grows. An array escapes with a backslash,
 * the others double. */
static void quote(struct ph_buf *out, size_t start, enum quoting where, char delim)
{
    size_t len = out->len - start, escapes = 0;
    const char *text = out->data + start;
    bool need = len == 0;
    if (where == IN_ARRAY && len == 4 && strncasecmp(text, "NULL", len) == 0)
        need = true;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        need = need || (asks[c] & where) || c == (unsigned char)delim;
        escapes += (asks[c] & ESCAPED) != 0;
    }
    if (!need)
        return;
    static const char filling[256];
    for (size_t more = escapes + 2; more;) {
        size_t n = more < sizeof filling ? more : sizeof filling;
        ph_buf_addn(out, filling, n);
        more -= n;
    }
    char *from = out->data + start + len, *to = out->data + out->len;
    *--to = '"';
    while (from > out->data + start) {
        char c = *--from;
        *--to = c;
        if (asks[(unsigned char)c] & ESCAPED)
            *--to = where == IN_ARRAY ? '\\' : c;
    }
    *--to = '"';
}

/* A part's text, quoted. */
static bool add_part(const struct ph_shape *shape, struct ph_bytes *in, struct ph_bytes *part,
                     struct ph_buf *out, enum quoting where, char delim)
{
    size_t start = out->len;
    ph_buf_addn(out, "", 0);
    if (!ph_value_whole(shape, part, out))
        return ph_bytes_bad(in, part->wrong);
    if (out->len - start > LARGEST_TEXT)
        return ph_bytes_bad(in, "its text would be too long");
    quote(out, start, where, delim);
    return true;
}

static bool right_oid(const struct ph_shape *shape, uint32_t oid, struct ph_bytes *in)
{
    return shape->oid == 0 || shape->oid == oid ||
           ph_bytes_bad(in, "it holds another type than was said");
}

enum { MAX_DIMENSIONS = 6, MAX_ELEMENTS = 0x7FFFFFF };

struct dimensions {
    int n;
    int32_t size[MAX_DIMENSIONS], lower[MAX_DIMENSIONS];
    int64_t items;
    int64_t within[MAX_DIMENSIONS]; /* items in one slice of this dimension */
};

static bool read_dimensions(const struct ph_shape *element, struct ph_bytes *in,
                            struct dimensions *dims)
{
    uint32_t n, flags, oid;
    if (!ph_bytes_u32(in, &n) || !ph_bytes_u32(in, &flags) || !ph_bytes_u32(in, &oid))
        return false;
    if (n > MAX_DIMENSIONS || flags > 1)
        return ph_bytes_bad(in, "its dimensions are impossible");
    if (!right_oid(element, oid, in))
        return false;
    *dims = (struct dimensions){.n = (int)n, .items = n > 0};
    for (int i = 0; i < dims->n; i++) {
        if (!ph_bytes_i32(in, &dims->size[i]) || !ph_bytes_i32(in, &dims->lower[i]))
            return false;
        dims->items *= dims->size[i];
        if (dims->size[i] < 0 || dims->items > MAX_ELEMENTS ||
            (int64_t)dims->lower[i] + dims->size[i] > INT32_MAX)
            return ph_bytes_bad(in, "its dimensions are impossible");
    }
    if ((uint64_t)dims->items > in->left / 4) /* each has a length */
        return ph_bytes_bad(in, "it has fewer elements than it says");
    int64_t within = 1;
    for (int i = dims->n - 1; i >= 0; i--)
        dims->within[i] = within *= dims->size[i];
    return true;
}

/* "[0:1][2:3]=" when a bound is not 1. */
static void add_bounds(const struct dimensions *dims, struct ph_buf *out)
{
    bool unusual = false;
    for (int i = 0; i < dims->n; i++)
        unusual = unusual || dims->lower[i] != 1;
    if (!unusual)
        return;
    for (int i = 0; i < dims->n; i++) {
        ph_buf_addc(out, '[');
        ph_value_add_int(out, dims->lower[i]);
        ph_buf_addc(out, ':');
        ph_value_add_int(out, (int64_t)dims->lower[i] + dims->size[i] - 1);
        ph_buf_addc(out, ']');
    }
    ph_buf_addc(out, '=');
}

/* A brace for each dimension of which a slice begins (or ends) at item i. */
static void add_braces(const struct dimensions *dims, int64_t i, char brace, struct ph_buf *out)
{
    for (int d = 0; d < dims->n; d++)
        if (i % dims->within[d] == 0)
            ph_buf_addc(out, brace);
}

static bool add_element(const struct ph_shape *element, struct ph_bytes *in, struct ph_buf *out)
{
    struct ph_bytes part;
    bool null;
    if (!ph_bytes_part(in, &part, &null))
        return false;
    if (!null)
        return add_part(element, in, &part, out, IN_ARRAY, element->delim);
    ph_buf_add(out, "NULL");
    return true;
}

bool ph_value_array(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    struct dimensions dims;
    if (!read_dimensions(shape->inner, in, &dims))
        return false;
    if (dims.items == 0) {
        ph_buf_add(out, "{}");
        return true;
    }
    add_bounds(&dims, out);
    for (int64_t i = 0; i < dims.items; i++) {
        if (i)
            ph_buf_addc(out, shape->inner->delim);
        add_braces(&dims, i, '{', out);
        if (!add_element(shape->inner, in, out))
            return false;
        add_braces(&dims, i + 1, '}', out);
    }
    return true;
}

/* int2vector and oidvector: an array of one dimension, shown without braces. */
bool ph_value_vector(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    struct dimensions dims;
    if (!read_dimensions(shape->inner, in, &dims))
        return false;
    if (dims.n > 1)
        return ph_bytes_bad(in, "its dimensions are impossible");
    for (int64_t i = 0; i < dims.items; i++) {
        struct ph_bytes part;
        bool null;
        if (!ph_bytes_part(in, &part, &null))
            return false;
        if (i)
            ph_buf_addc(out, ' ');
        if (null || !ph_value_whole(shape->inner, &part, out))
            return ph_bytes_bad(in, null ? "an element of it is NULL" : part.wrong);
    }
    return true;
}

bool ph_value_record(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    int32_t n;
    if (!ph_bytes_i32(in, &n))
        return false;
    if (n != shape->n_attributes)
        return ph_bytes_bad(in, "it has another number of attributes than was said");
    ph_buf_addc(out, '(');
    for (int32_t i = 0; i < n; i++) {
        const struct ph_shape *attribute = shape->attributes[i];
        struct ph_bytes part;
        uint32_t oid;
        bool null;
        if (i)
            ph_buf_addc(out, ',');
        if (!ph_bytes_u32(in, &oid) || !right_oid(attribute, oid, in) ||
            !ph_bytes_part(in, &part, &null))
            return false;
        if (!null && !add_part(attribute, in, &part, out, IN_RECORD, ','))
            return false;
    }
    ph_buf_addc(out, ')');
    return true;
}

static bool add_bound(const struct ph_shape *subtype, struct ph_bytes *in, struct ph_buf *out)
{
    struct ph_bytes part;
    bool null;
    if (!ph_bytes_part(in, &part, &null))
        return false;
    if (null)
        return ph_bytes_bad(in, "a bound of it is NULL");
    return add_part(subtype, in, &part, out, IN_RANGE, ',');
}

bool ph_value_range(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    enum { EMPTY = 1, LOWER_IN = 2, UPPER_IN = 4, NO_LOWER = 8, NO_UPPER = 16, KNOWN = 31 };
    unsigned flags;
    if (!ph_bytes_u8(in, &flags))
        return false;
    if (flags & ~(unsigned)KNOWN)
        return ph_bytes_bad(in, "its flags are not known");
    if (flags & EMPTY) {
        ph_buf_add(out, "empty");
        return true;
    }
    ph_buf_addc(out, flags & LOWER_IN ? '[' : '(');
    if (!(flags & NO_LOWER) && !add_bound(shape->inner, in, out))
        return false;
    ph_buf_addc(out, ',');
    if (!(flags & NO_UPPER) && !add_bound(shape->inner, in, out))
        return false;
    ph_buf_addc(out, flags & UPPER_IN ? ']' : ')');
    return true;
}

bool ph_value_multirange(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    int32_t n;
    if (!ph_bytes_i32(in, &n))
        return false;
    if (n < 0)
        return ph_bytes_bad(in, "its number of ranges is impossible");
    ph_buf_addc(out, '{');
    for (int32_t i = 0; i < n; i++) {
        struct ph_bytes part;
        bool null;
        if (!ph_bytes_part(in, &part, &null))
            return false;
        if (i)
            ph_buf_addc(out, ',');
        if (null || !ph_value_whole(shape->inner, &part, out))
            return ph_bytes_bad(in, null ? "a range of it is NULL" : part.wrong);
    }
    ph_buf_addc(out, '}');
    return true;
}

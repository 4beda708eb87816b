/* Texts and bytes: what is sent as it is shown, or nearly so. */
#include "base/feature.h"
#include "copy/decode_value.h"

static void add_all(struct ph_bytes *in, struct ph_buf *out)
{
    ph_buf_addn(out, (const char *)in->at, in->left);
    in->at += in->left;
    in->left = 0;
}

/* A zero byte is in no text of a server's. */
bool ph_value_text(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    if (in->left && memchr(in->at, 0, in->left))
        return ph_bytes_bad(in, "a zero byte is in it");
    add_all(in, out);
    return true;
}

/* "char": one byte, zero for an empty text. */
bool ph_value_char(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    unsigned c;
    if (!ph_bytes_u8(in, &c))
        return false;
    if (c >= 0x80 && ph_feature_has(shape->version, PH_HAS_OCTAL_CHAR))
        ph_buf_addf(out, "\\%03o", c);
    else if (c)
        ph_buf_addc(out, (char)c);
    return true;
}

/* jsonb, jsonpath, ltree: a version byte before the text. */
bool ph_value_versioned(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    unsigned version;
    if (!ph_bytes_u8(in, &version))
        return false;
    if (version != 1)
        return ph_bytes_bad(in, "it is of a version that is not known");
    return ph_value_text(shape, in, out);
}

static const char hex[] = "0123456789abcdef";

bool ph_value_bytea(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    char piece[512];
    size_t n = 0;
    ph_buf_add(out, "\\x");
    for (; in->left; in->at++, in->left--) {
        piece[n++] = hex[*in->at >> 4];
        piece[n++] = hex[*in->at & 15];
        if (n == sizeof piece) {
            ph_buf_addn(out, piece, n);
            n = 0;
        }
    }
    ph_buf_addn(out, piece, n);
    return true;
}

bool ph_value_bit(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t bits;
    const unsigned char *bytes;
    if (!ph_bytes_i32(in, &bits))
        return false;
    if (bits < 0 || (size_t)bits > in->left * 8)
        return ph_bytes_bad(in, "its number of bits is impossible");
    if (!ph_bytes_take(in, ((size_t)bits + 7) / 8, &bytes))
        return false;
    for (int32_t i = 0; i < bits; i++)
        ph_buf_addc(out, bytes[i / 8] >> (7 - i % 8) & 1 ? '1' : '0');
    return true;
}

bool ph_value_uuid(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    const unsigned char *bytes;
    if (!ph_bytes_take(in, 16, &bytes))
        return false;
    char text[36];
    size_t n = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[n++] = '-';
        text[n++] = hex[bytes[i] >> 4];
        text[n++] = hex[bytes[i] & 15];
    }
    ph_buf_addn(out, text, n);
    return true;
}

/* A key or a value of hstore: always quoted. */
static bool add_hstore_text(struct ph_bytes *part, struct ph_buf *out)
{
    if (part->left && memchr(part->at, 0, part->left))
        return ph_bytes_bad(part, "a zero byte is in it");
    ph_buf_addc(out, '"');
    for (; part->left; part->at++, part->left--) {
        if (*part->at == '"' || *part->at == '\\')
            ph_buf_addc(out, '\\');
        ph_buf_addc(out, (char)*part->at);
    }
    ph_buf_addc(out, '"');
    return true;
}

static bool add_pair(struct ph_bytes *in, struct ph_buf *out)
{
    struct ph_bytes part;
    bool null;
    if (!ph_bytes_part(in, &part, &null))
        return false;
    if (null)
        return ph_bytes_bad(in, "a key in it is NULL");
    if (!add_hstore_text(&part, out))
        return ph_bytes_bad(in, part.wrong);
    ph_buf_add(out, "=>");
    if (!ph_bytes_part(in, &part, &null))
        return false;
    if (null)
        ph_buf_add(out, "NULL");
    else if (!add_hstore_text(&part, out))
        return ph_bytes_bad(in, part.wrong);
    return true;
}

bool ph_value_hstore(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t pairs;
    if (!ph_bytes_i32(in, &pairs))
        return false;
    if (pairs < 0)
        return ph_bytes_bad(in, "its number of pairs is impossible");
    for (int32_t i = 0; i < pairs; i++) {
        if (i)
            ph_buf_add(out, ", ");
        if (!add_pair(in, out))
            return false;
    }
    return true;
}

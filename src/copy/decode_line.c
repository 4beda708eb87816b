/* Fields of COPY text and CSV (PostgreSQL documentation, COPY, "File Formats"). */
#include "copy/decode_value.h"

/* What a byte is written as behind a backslash in COPY text; 0: as it is. */
static const char escape[256] = {
    ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
    ['\t'] = 't', ['\v'] = 'v', ['\\'] = '\\',
};

void ph_line_add_text(struct ph_buf *out, const char *bytes, size_t len)
{
    size_t begin = 0;
    for (size_t i = 0; i < len; i++) {
        char e = escape[(unsigned char)bytes[i]];
        if (!e)
            continue;
        ph_buf_addn(out, bytes + begin, i - begin);
        ph_buf_addn(out, (char[]){'\\', e}, 2);
        begin = i + 1;
    }
    ph_buf_addn(out, bytes + begin, len - begin);
}

/* An unquoted empty field is NULL, and a line of an unquoted \. would end the data. */
static bool wants_quotes(const char *bytes, size_t len, bool alone)
{
    if (len == 0 || (alone && len == 2 && memcmp(bytes, "\\.", len) == 0))
        return true;
    for (size_t i = 0; i < len; i++)
        if (bytes[i] == ',' || bytes[i] == '"' || bytes[i] == '\n' || bytes[i] == '\r')
            return true;
    return false;
}

void ph_line_add_csv(struct ph_buf *out, const char *bytes, size_t len, bool alone)
{
    if (!wants_quotes(bytes, len, alone)) {
        ph_buf_addn(out, bytes, len);
        return;
    }
    ph_buf_addc(out, '"');
    size_t begin = 0;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '"')
            continue;
        ph_buf_addn(out, bytes + begin, i + 1 - begin);
        begin = i; /* once more */
    }
    ph_buf_addn(out, bytes + begin, len - begin);
    ph_buf_addc(out, '"');
}

static int digit_of(char c, int base)
{
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : base;
    return digit < base ? digit : -1;
}

/* At most `most` digits from *i on; a byte, as the server makes it of them. */
static char read_digits(const char *field, size_t len, size_t *i, int base, int most)
{
    int v = 0;
    for (; most > 0 && *i < len && digit_of(field[*i], base) >= 0; most--)
        v = v * base + digit_of(field[(*i)++], base);
    return (char)v;
}

/* What stands behind a backslash at *i, which is moved behind it. */
static char unescape(const char *field, size_t len, size_t *i)
{
    char c = field[*i];
    if (digit_of(c, 8) >= 0)
        return read_digits(field, len, i, 8, 3);
    ++*i;
    switch (c) {
    case 'x':
        return *i < len && digit_of(field[*i], 16) >= 0 ? read_digits(field, len, i, 16, 2) : c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'v':
        return '\v';
    default:
        return c;
    }
}

void ph_line_read_text(struct ph_buf *out, const char *field, size_t len)
{
    size_t i = 0;
    while (i < len) {
        const char *slash = memchr(field + i, '\\', len - i);
        size_t end = slash ? (size_t)(slash - field) : len;
        ph_buf_addn(out, field + i, end - i);
        i = end + 1;
        if (end < len)
            ph_buf_addc(out, i < len ? unescape(field, len, &i) : '\\');
    }
}

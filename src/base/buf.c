#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct ph_buf *buf, size_t more)
{
    if (buf->data && buf->cap - buf->len > more)
        return;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap - buf->len <= more)
        cap *= 2;
    buf->data = realloc(buf->data, cap);
    if (!buf->data)
        abort();
    buf->cap = cap;
}

void ph_buf_addn(struct ph_buf *buf, const char *bytes, size_t n)
{
    reserve(buf, n);
    if (n)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void ph_buf_add(struct ph_buf *buf, const char *text)
{
    ph_buf_addn(buf, text, strlen(text));
}

void ph_buf_addc(struct ph_buf *buf, char c)
{
    ph_buf_addn(buf, &c, 1);
}

void ph_buf_vaddf(struct ph_buf *buf, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0) {
        reserve(buf, (size_t)n);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void ph_buf_add_bytes(struct ph_buf *buf, const char *bytes)
{
    for (const unsigned char *p = (const unsigned char *)bytes; *p; p++) {
        if (*p >= 0x80)
            ph_buf_addc(buf, (char)(0xC0 | (*p >> 6)));
        ph_buf_addc(buf, (char)(*p >= 0x80 ? 0x80 | (*p & 0x3F) : *p));
    }
}

void ph_buf_addf(struct ph_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ph_buf_vaddf(buf, fmt, ap);
    va_end(ap);
}

void ph_buf_clear(struct ph_buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void ph_buf_fini(struct ph_buf *buf)
{
    free(buf->data);
    *buf = (struct ph_buf){0};
}

const char *ph_buf_text(const struct ph_buf *buf)
{
    return buf->data ? buf->data : "";
}

#include "pg/sql.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void add_identifier(struct ph_buf *buf, const char *name)
{
    ph_buf_addc(buf, '"');
    for (; *name; name++) {
        if (*name == '"')
            ph_buf_addc(buf, '"');
        ph_buf_addc(buf, *name);
    }
    ph_buf_addc(buf, '"');
}

/* E'' only where a backslash is: then its meaning does not hang on standard_conforming_strings. */
static void add_literal(struct ph_buf *buf, const char *value)
{
    if (!value) {
        ph_buf_add(buf, "NULL");
        return;
    }
    ph_buf_add(buf, strchr(value, '\\') ? " E'" : "'");
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            ph_buf_addc(buf, *value);
        ph_buf_addc(buf, *value);
    }
    ph_buf_addc(buf, '\'');
}

void ph_sql_add(struct ph_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    for (const char *p = fmt; *p; p++) {
        if (*p != '%') {
            size_t n = strcspn(p, "%");
            ph_buf_addn(buf, p, n);
            p += n - 1;
            continue;
        }
        switch (*++p) {
        case 's':
            ph_buf_add(buf, va_arg(ap, const char *));
            break;
        case 'I':
            add_identifier(buf, va_arg(ap, const char *));
            break;
        case 'L':
            add_literal(buf, va_arg(ap, const char *));
            break;
        case 'd':
            ph_buf_addf(buf, "%d", va_arg(ap, int));
            break;
        case 'u':
            ph_buf_addf(buf, "%u", va_arg(ap, unsigned));
            break;
        case 'D':
            ph_buf_addf(buf, "%" PRId64, va_arg(ap, int64_t));
            break;
        case 'U':
            ph_buf_addf(buf, "%" PRIu64, va_arg(ap, uint64_t));
            break;
        case '%':
            ph_buf_addc(buf, '%');
            break;
        default:
            abort(); /* a mistake of ours: no such format */
        }
    }
    va_end(ap);
}

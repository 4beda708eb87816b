#include "pghaul/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Keeps terminals and logs safe from what names and server messages may contain. */
static void sanitise(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = *p == '\n' ? ' ' : '?';
}

bool ph_err_set(struct ph_err *err, enum ph_code code, const char *fmt, ...)
{
    if (!err)
        return false;
    *err = (struct ph_err){.code = code};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    sanitise(err->text);
    return false;
}

bool ph_err_prefix(struct ph_err *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char old[PH_ERR_TEXT];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s", PH_ERR_TEXT - n, old);
    sanitise(err->text);
    return false;
}

bool ph_err_hint(struct ph_err *err, const char *fmt, ...)
{
    if (!err)
        return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
    sanitise(err->hint);
    return false;
}

bool ph_err_nomem(struct ph_err *err)
{
    return ph_err_set(err, PH_FAILED, "out of memory");
}

int ph_err_exit_status(enum ph_code code)
{
    switch (code) {
    case PH_OK:
        return 0;
    case PH_WRONG:
        return 2;
    case PH_DIFFERS:
        return 3;
    case PH_HELD:
        return 4;
    case PH_OTHER_JOB:
    case PH_RELATION:
        return 5;
    case PH_INTERRUPTED:
        return 130;
    case PH_FAILED:
    case PH_CONNECTION:
    case PH_SNAPSHOT_GONE:
    case PH_FENCED:
    case PH_LANDED:
    case PH_BUSY:
    case PH_NO_ROOM:
    case PH_PAUSED:
    case PH_DAMAGED:
        break;
    }
    return 1;
}

#include "io/internal.h"

#include <errno.h>
#include <string.h>

bool ph_io_fail(struct ph_err *err, int e, const char *doing)
{
    char text[128];
    bool full = e == ENOSPC || e == EDQUOT;
    ph_err_set(err, full ? PH_NO_ROOM : PH_FAILED, "%s: %s", doing,
               strerror_r(e, text, sizeof text));
    if (e == EFBIG)
        ph_err_hint(err, "see ulimit -f, and the largest file that the file system allows");
    if (err)
        err->transient = true;
    return false;
}

#include "cli/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/term.h"

static bool replace(const char *path, const char *what, const struct ph_buf *text, bool durable,
                    mode_t mode, struct ph_err *err)
{
    struct ph_buf temp = {0};
    ph_buf_addf(&temp, "%s.%d.tmp", path, (int)getpid());
    int fd = open(temp.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok =
        fd >= 0 && ph_term_write(fd, ph_buf_text(text), text->len) && (!durable || fsync(fd) == 0);
    int e = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        e = errno;
    }
    if (ok && rename(temp.data, path) != 0) {
        ok = false;
        e = errno;
    }
    if (!ok) {
        ph_err_set(err, PH_WRONG, "cannot write %s \"%s\": %s", what, path, strerror(e));
        if (fd >= 0)
            unlink(temp.data);
    }
    ph_buf_fini(&temp);
    return ok;
}

static bool write_into(const char *path, const char *what, const struct ph_buf *text,
                       struct ph_err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && ph_term_write(fd, ph_buf_text(text), text->len);
    if (!ok)
        ph_err_set(err, PH_WRONG, "cannot write %s \"%s\": %s", what, path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

bool ph_whole_file(const char *path, const char *what, const struct ph_buf *text, bool durable,
                   struct ph_err *err)
{
    struct stat st;
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    return special ? write_into(path, what, text, err)
                   : replace(path, what, text, durable, 0666, err);
}

bool ph_whole_file_private(const char *path, const char *what, const struct ph_buf *text,
                           struct ph_err *err)
{
    struct stat st;
    bool special = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    return special ? write_into(path, what, text, err) : replace(path, what, text, true, 0600, err);
}

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/internal.h"

static bool write_all(int fd, const char *data, size_t len, struct ph_err *err)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return ph_io_fail(err, errno, "cannot write");
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* A writer that was killed in the middle has left the head of a line: what follows begins a new one. */
static bool end_line(int fd, struct ph_err *err)
{
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return ph_err_set(err, PH_FAILED, "not a regular file");
    if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
        return ph_io_fail(err, errno, "cannot read");
    return last == '\n' || write_all(fd, "\n", 1, err);
}

bool ph_file_append(int dir, const char *dir_shown, const char *name, const void *data, size_t len,
                    bool durable, struct ph_err *err)
{
    bool made = durable && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    int fd =
        openat(dir, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    bool ok = fd >= 0 || ph_io_fail(err, errno, "cannot open");
    ok = ok && end_line(fd, err) && write_all(fd, data, len, err);
    if (ok && durable && fdatasync(fd) != 0)
        ok = ph_io_fail(err, errno, "cannot flush");
    if (fd >= 0)
        close(fd);
    ok = ok && (!made || ph_dir_sync(dir, dir_shown, err));
    return ok || ph_err_prefix(err, "%s/%s", dir_shown, name);
}

/* Small files, directories, and the steps that all files have in common. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/internal.h"

static bool is_plain(const char *name)
{
    return *name && strcmp(name, ".") && strcmp(name, "..") && !strchr(name, '/');
}

bool ph_io_undirect(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_DIRECT && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

bool ph_io_open(int *out, int dir, const char *name, int flags, bool absent, struct ph_err *err)
{
    *out = -1;
    if (!is_plain(name))
        return ph_err_set(err, PH_FAILED, "not a plain file name");
    int fd = -1, e = EIO;
    if (!PH_FAULT("io.open")) {
        do
            fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
        while (fd < 0 && errno == EINTR);
        e = errno;
    }
    if (fd < 0 && e == ENOENT && absent)
        return true;
    if (fd < 0)
        return ph_io_fail(err, e, flags & O_CREAT ? "cannot create" : "cannot open");
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return ph_err_set(err, PH_FAILED, "not a regular file");
    }
    /* With it io_uring would say EAGAIN where a file system cannot promise not to wait. */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    *out = fd;
    return true;
}

char *ph_io_part(const char *name)
{
    char *part;
    return asprintf(&part, "%s.part", name) < 0 ? NULL : part;
}

/* renameat2() is not for every file system; there the look comes before, not with the leap. */
static int rename_new(int dir, const char *from, const char *to)
{
    if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    struct stat st;
    if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return renameat(dir, from, dir, to) == 0 ? 0 : errno;
}

static int rename_over(int dir, const char *from, const char *to)
{
    return renameat(dir, from, dir, to) == 0 ? 0 : errno;
}

static bool sync_dir(int dir, struct ph_err *err)
{
    int e = 0;
    if (PH_FAULT("io.dirsync"))
        e = EIO;
    else if (fsync(dir) != 0)
        e = errno;
    /* Some network file systems have no fsync of directories, and no need of it. */
    return e == 0 || e == EINVAL || ph_io_fail(err, e, "cannot sync the directory");
}

bool ph_io_publish(int dir, const char *part, const char *name, bool replace, bool *renamed,
                   struct ph_err *err)
{
    int e = EIO;
    if (!PH_FAULT("io.rename"))
        e = replace ? rename_over(dir, part, name) : rename_new(dir, part, name);
    *renamed = e == 0;
    return (e == 0 || ph_io_fail(err, e, "cannot rename")) && sync_dir(dir, err);
}

static bool write_all(int fd, const char *data, size_t len, struct ph_err *err)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        int e = n < 0 ? errno : n == 0 ? ENOSPC : 0;
        if (PH_FAULT("io.write"))
            e = EIO;
        if (PH_FAULT("io.full"))
            e = ENOSPC;
        if (e == EINTR)
            continue;
        if (e)
            return ph_io_fail(err, e, "cannot write");
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_part(int dir, const char *part, const void *data, size_t len, struct ph_err *err)
{
    /* What a dead writer left is of no use, and must not be written into: it may be open. */
    if (unlinkat(dir, part, 0) != 0 && errno != ENOENT)
        return ph_io_fail(err, errno, "cannot remove what an earlier run left of it");
    int fd;
    if (!ph_io_open(&fd, dir, part, O_WRONLY | O_CREAT | O_EXCL, false, err))
        return false;
    bool ok = write_all(fd, data, len, err);
    if (ok) {
        int e = PH_FAULT("io.sync") ? EIO : fdatasync(fd) != 0 ? errno : 0;
        ok = e == 0 || ph_io_fail(err, e, "cannot sync");
    }
    close(fd);
    return ok;
}

bool ph_file_replace(int dir, const char *dir_shown, const char *name, const void *data, size_t len,
                     struct ph_err *err)
{
    char *part = ph_io_part(name);
    if (!part)
        return ph_err_nomem(err);
    bool renamed = false;
    bool ok = write_part(dir, part, data, len, err) &&
              ph_io_publish(dir, part, name, true, &renamed, err);
    if (!ok && !renamed)
        unlinkat(dir, part, 0);
    free(part);
    return ok || ph_err_prefix(err, "%s/%s", dir_shown, name);
}

static bool read_all(int fd, size_t max, char **data, size_t *len, struct ph_err *err)
{
    size_t room = 0, have = 0;
    char *to = NULL;
    for (;;) {
        if (have == room) {
            /* One byte more than may be there, so that too much is seen; and a NUL behind. */
            room = have == 0 && max > 65536 ? 65536 : max + 1;
            char *more = realloc(to, room + 1);
            if (!more) {
                free(to);
                return ph_err_nomem(err);
            }
            to = more;
        }
        ssize_t n = read(fd, to + have, room - have);
        int e = PH_FAULT("io.read") ? EIO : n < 0 ? errno : 0;
        if (e == EINTR)
            continue;
        if (e) {
            free(to);
            return ph_io_fail(err, e, "cannot read");
        }
        have += (size_t)n;
        if (have > max) {
            free(to);
            return ph_err_set(err, PH_FAILED, "larger than %zu bytes", max);
        }
        if (n == 0)
            break;
    }
    to[have] = '\0';
    *data = to;
    *len = have;
    return true;
}

bool ph_file_read(int dir, const char *dir_shown, const char *name, size_t max, char **data,
                  size_t *len, struct ph_err *err)
{
    *data = NULL;
    *len = 0;
    int fd;
    bool ok = ph_io_open(&fd, dir, name, O_RDONLY, true, err);
    if (ok && fd < 0)
        return true;
    if (ok) {
        ok = read_all(fd, max, data, len, err);
        close(fd);
    }
    return ok || ph_err_prefix(err, "%s/%s", dir_shown, name);
}

bool ph_file_remove(int dir, const char *dir_shown, const char *name, struct ph_err *err)
{
    if (!is_plain(name))
        ph_err_set(err, PH_FAILED, "not a plain file name");
    else if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return true;
    else
        ph_io_fail(err, errno, "cannot remove");
    return ph_err_prefix(err, "%s/%s", dir_shown, name);
}

bool ph_dir_sync(int dir, const char *dir_shown, struct ph_err *err)
{
    return sync_dir(dir, err) || ph_err_prefix(err, "%s", dir_shown);
}

#include "io/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"

static bool wrong(struct ph_err *err, const char *path, const char *what)
{
    return ph_err_set(err, PH_WRONG, "directory %s: %s", path, what);
}

static bool wrong_errno(struct ph_err *err, const char *path)
{
    char text[128];
    bool full = errno == ENOSPC || errno == EDQUOT;
    wrong(err, path, strerror_r(errno, text, sizeof text));
    if (full && err)
        err->code = PH_NO_ROOM;
    return false;
}

static bool make_parents(const char *path)
{
    char *copy = strdup(path);
    bool ok = copy != NULL;
    for (char *p = copy ? copy + 1 : NULL; ok && (p = strchr(p, '/')); p++) {
        *p = '\0';
        ok = mkdir(copy, 0700) == 0 || errno == EEXIST;
        *p = '/';
    }
    free(copy);
    return ok;
}

/* What a directory that we write to must be. */
static bool is_ours(const char *path, const struct stat *st, int fd, struct ph_err *err)
{
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        wrong(err, path, "others may write to it, and could put files in the place of ours");
        return ph_err_hint(err, "chmod go-w, or name another directory");
    }
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return wrong_errno(err, path);
    return true;
}

bool ph_dir_open(struct ph_dir *dir, const char *path, enum ph_dir_make make, struct ph_err *err)
{
    struct stat st;
    *dir = (struct ph_dir){.fd = -1, .lock = -1};
    if (make == PH_DIR_MAKE_ALL && !make_parents(path))
        return wrong_errno(err, path);
    bool made = make != PH_DIR_EXISTS && mkdir(path, 0700) == 0;
    if (make != PH_DIR_EXISTS && !made && errno != EEXIST)
        return wrong_errno(err, path);
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        wrong(err, path, "it is a symbolic link");
        return ph_err_hint(err, "name the directory itself");
    }
    dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0)
        return wrong_errno(err, path);
    dir->shown = realpath(path, NULL);
    bool ok = dir->shown && fstat(dir->fd, &st) == 0;
    if (!ok)
        wrong_errno(err, path);
    ok = ok && (make == PH_DIR_EXISTS || is_ours(path, &st, dir->fd, err));
    if (!ok)
        ph_dir_close(dir);
    return ok;
}

void ph_dir_close(struct ph_dir *dir)
{
    if (dir->lock >= 0)
        close(dir->lock);
    if (dir->fd >= 0)
        close(dir->fd);
    free(dir->shown);
    *dir = (struct ph_dir){.fd = -1, .lock = -1};
}

bool ph_dir_lock(struct ph_dir *dir, double wait_s, struct ph_err *err)
{
    int fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return wrong_errno(err, dir->shown);
    for (double until = ph_clock_s() + wait_s; flock(fd, LOCK_EX | LOCK_NB) != 0;) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            close(fd);
            return wrong_errno(err, dir->shown);
        }
        if (ph_clock_s() > until) {
            close(fd);
            return ph_err_set(err, PH_HELD, "directory %s is in use by another pghaul", dir->shown);
        }
        usleep(20000);
    }
    dir->lock = fd;
    return true;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), e = strlen(ending);
    return n > e && !strcmp(name + n - e, ending);
}

bool ph_dir_list(const struct ph_dir *dir, const char *ending,
                 bool (*each)(void *arg, const char *name, uint64_t size, struct ph_err *err),
                 void *arg, struct ph_err *err)
{
    int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return wrong_errno(err, dir->shown);
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(list));) {
        struct stat st;
        if (ends_with(entry->d_name, ending) &&
            fstatat(dir->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            ok = each(arg, entry->d_name, (uint64_t)st.st_size, err);
    }
    closedir(list);
    return ok;
}

uint64_t ph_dir_room(int fd)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) != 0)
        return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

void ph_dir_remove(struct ph_dir *dir)
{
    unlinkat(dir->fd, "lock", 0);
    rmdir(dir->shown);
}

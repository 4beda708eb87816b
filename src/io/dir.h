/* A directory of ours on a local file system: opened, held, listed.
 *
 *     ph_dir_open → ph_dir_lock (whoever writes) → ph_dir_list, the functions of io/file.h → ph_dir_close
 */
#ifndef PH_IO_DIR_H
#define PH_IO_DIR_H

#include <stdint.h>

#include "pghaul/err.h"

struct ph_dir {
    int fd; /* -1: not open */
    int lock;
    char *shown; /* its real path */
};

enum ph_dir_make {
    PH_DIR_EXISTS,  /* it must be there */
    PH_DIR_MAKE,    /* made when it is not, in a parent that is */
    PH_DIR_MAKE_ALL /* and its parents too */
};

/* Opens it, mode 0700 when it is made. PH_NO_ROOM when the file system has none for a directory. PH_WRONG, in words, for what is no directory, a symbolic link, unreadable, or (unless
 * `exists`) not writable or open to others' writes. */
bool ph_dir_open(struct ph_dir *dir, const char *path, enum ph_dir_make make, struct ph_err *err);
void ph_dir_close(struct ph_dir *dir);

/* Takes the directory for this process: flock on the file `lock` in it, waiting up to wait_s seconds, for the kernel may let go
 * of a killed process's ring a little later than of the process. PH_HELD. */
bool ph_dir_lock(struct ph_dir *dir, double wait_s, struct ph_err *err);

/* Calls `each` for every plain file whose name ends with `ending`; stops when it returns false, and returns that. */
bool ph_dir_list(const struct ph_dir *dir, const char *ending,
                 bool (*each)(void *arg, const char *name, uint64_t size, struct ph_err *err),
                 void *arg, struct ph_err *err);

/* Bytes that may still be written to the file system of a directory; UINT64_MAX when unknown. */
uint64_t ph_dir_room(int fd);

/* Unlinks an empty directory; one that is not empty stays. */
void ph_dir_remove(struct ph_dir *dir);

#endif

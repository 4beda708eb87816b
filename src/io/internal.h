/* What the files of io/ share; nothing here is for others. */
#ifndef PH_IO_INTERNAL_H
#define PH_IO_INTERNAL_H

#include <stddef.h>

#include "pghaul/err.h"

/* Alignment of memory, offsets and lengths that every O_DIRECT in use is content with. */
enum { PH_IO_BLOCK = 4096 };

/* "doing: the system's word for errno `e`". PH_NO_ROOM when that says that a file system is full, else PH_FAILED; both are
 * transient. Returns false. */
bool ph_io_fail(struct ph_err *err, int e, const char *doing);

/* Takes O_DIRECT off an open file; false when it was not there. */
bool ph_io_undirect(int fd);

/* openat() of a plain name, never through a symbolic link, never waiting for a FIFO's other end; *out is the descriptor of
 * a regular file. -1 in *out, with success, when `absent` allows that there is none. */
bool ph_io_open(int *out, int dir, const char *name, int flags, bool absent, struct ph_err *err);

/* NAME.part, malloc'ed; NULL without memory. */
char *ph_io_part(const char *name);

/* rename(), then fsync of the directory. *renamed says whether the first was done. */
bool ph_io_publish(int dir, const char *part, const char *name, bool replace, bool *renamed,
                   struct ph_err *err);

#endif

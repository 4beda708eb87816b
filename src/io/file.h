/* Files that are there whole or not at all, written and read in order through a ring.
 *
 *     out:  ph_outfile_open → ph_outfile_add… → ph_outfile_seal, or ph_outfile_discard at any point
 *     in:   ph_infile_open → ph_infile_at (a few bytes somewhere) → ph_infile_begin → ph_infile_take… → ph_infile_close
 *
 * Sealing keeps to the order that survives a power cut: every write has said its full length, the size is set,
 * one fdatasync, rename from NAME.part to NAME, fsync of the directory. A file whose write or sync has failed is never
 * trusted again: it is unlinked, and whoever tries again takes another name.
 *
 * O_DIRECT goes past the page cache: the least CPU, and nobody's pages are pushed out; for what is not read again soon. What
 * was written through the page cache is read through it several times faster than any other way, so what is read back
 * soon is best written and read without.
 *
 * One file at a time on a ring. Names are plain, without a slash, below a directory that the caller holds open.
 */
#ifndef PH_IO_FILE_H
#define PH_IO_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "io/ring.h"

struct ph_outfile;

struct ph_outfile_opts {
    int dir; /* descriptor of the directory */
    const char *dir_shown;
    const char *name;
    bool direct;    /* O_DIRECT; where the file system does not know it, without */
    uint64_t ahead; /* bytes to allocate ahead each time; 0: 16 MiB */
};

/* Creates NAME.part (O_EXCL, O_NOFOLLOW, mode 0600). PH_NO_ROOM, PH_FAILED. */
bool ph_outfile_open(struct ph_outfile **out, struct ph_ring *ring,
                     const struct ph_outfile_opts *opts, struct ph_err *err);

/* Appends; the bytes are copied before it returns. After a failure only discard is left. */
bool ph_outfile_add(struct ph_outfile *file, const void *data, size_t len, struct ph_err *err);

uint64_t ph_outfile_size(const struct ph_outfile *file); /* bytes appended so far */

/* Makes it durable under its name and frees it. On failure (PH_NO_ROOM, PH_FAILED; one is that NAME is there already,
 * and stays) the file is gone, and freed as well. */
bool ph_outfile_seal(struct ph_outfile *file, struct ph_err *err);

/* Takes it away. NULL is fine. */
void ph_outfile_discard(struct ph_outfile *file);

struct ph_infile;

/* O_NOFOLLOW; direct as above. PH_FAILED, with the file's name in the text. */
bool ph_infile_open(struct ph_infile **out, struct ph_ring *ring, int dir, const char *dir_shown,
                    const char *name, bool direct, struct ph_err *err);
void ph_infile_close(struct ph_infile *file);
uint64_t ph_infile_size(const struct ph_infile *file);

/* Reads len bytes at offset into buf, aside from the stream. PH_FAILED when they are not all there. */
bool ph_infile_at(struct ph_infile *file, uint64_t offset, void *buf, size_t len,
                  struct ph_err *err);

/* Begins to read [from, to) in order, ahead of what is taken. */
bool ph_infile_begin(struct ph_infile *file, uint64_t from, uint64_t to, struct ph_err *err);

/* Lends the next n bytes (n at most the ring's buffer size), until the next call on this file. PH_FAILED when the
 * file ends before. */
bool ph_infile_take(struct ph_infile *file, size_t n, const char **data, struct ph_err *err);

/* A small file, replaced durably: NAME.part, fdatasync, rename, fsync of the directory. After a failure NAME is what it
 * was, unless only the fsync of the directory failed: then it is the new one, which a power cut may take back. */
bool ph_file_replace(int dir, const char *dir_shown, const char *name, const void *data, size_t len,
                     struct ph_err *err);

/* Reads a small file whole, with a NUL behind it that *len does not count; free *data. *data is NULL, with success, when there is none. PH_FAILED above `max`. */
bool ph_file_read(int dir, const char *dir_shown, const char *name, size_t max, char **data,
                  size_t *len, struct ph_err *err);

/* Puts whole lines behind what a file of lines has, and makes it when there is none; durable: it waits for the medium. The head
 * of a line that a killed writer has left is a line of its own then. */
bool ph_file_append(int dir, const char *dir_shown, const char *name, const void *data, size_t len,
                    bool durable, struct ph_err *err);

/* Unlinks; an absent file is fine. Durable only after ph_dir_sync. */
bool ph_file_remove(int dir, const char *dir_shown, const char *name, struct ph_err *err);
bool ph_dir_sync(int dir, const char *dir_shown, struct ph_err *err);

#endif

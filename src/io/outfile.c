#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/internal.h"

enum { AHEAD = 16 * 1024 * 1024 };

struct ph_outfile {
    struct ph_ring *ring;
    int dir, fd;
    char *dir_shown, *name, *part;
    bool direct;
    uint64_t ahead;
    uint64_t allocated; /* bytes from 0 on that the file system has set aside */
    uint64_t written;   /* bytes given to the ring: the offset of the buffer that is being filled */
    unsigned buffer;
    size_t fill;
    bool renamed;
};

static void release(struct ph_outfile *file)
{
    free(file->dir_shown);
    free(file->name);
    free(file->part);
    free(file);
}

static bool say(const struct ph_outfile *file, struct ph_err *err)
{
    return ph_err_prefix(err, "%s/%s", file->dir_shown, file->name);
}

static bool create(struct ph_outfile *file, bool direct, struct ph_err *err)
{
    if (!ph_io_open(&file->fd, file->dir, file->part, O_WRONLY | O_CREAT | O_EXCL, false, err))
        return false;
    /* Asked for afterwards, so that a file system that has no O_DIRECT is no failed open. */
    int flags = fcntl(file->fd, F_GETFL);
    file->direct = direct && flags >= 0 && fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0;
    return true;
}

bool ph_outfile_open(struct ph_outfile **out, struct ph_ring *ring,
                     const struct ph_outfile_opts *opts, struct ph_err *err)
{
    *out = NULL;
    struct ph_outfile *file = calloc(1, sizeof *file);
    if (!file)
        return ph_err_nomem(err);
    *file = (struct ph_outfile){.ring = ring,
                                .dir = opts->dir,
                                .fd = -1,
                                .dir_shown = strdup(opts->dir_shown),
                                .name = strdup(opts->name),
                                .part = ph_io_part(opts->name),
                                .ahead = opts->ahead ? opts->ahead : AHEAD};
    bool ok = file->dir_shown && file->name && file->part;
    if (!ok)
        ph_err_nomem(err);
    else if (!create(file, opts->direct, err))
        ok = say(file, err);
    if (!ok) {
        release(file);
        return false;
    }
    *out = file;
    return true;
}

static int allocate_more(const struct ph_outfile *file)
{
    if (PH_FAULT("io.allocate"))
        return ENOSPC;
    /* Direct writes beyond the end of the file are done one after the other (ext4 waits for each, so that its size can
     * follow); so there the size goes ahead too, until the file is sealed. */
    int mode = file->direct ? 0 : FALLOC_FL_KEEP_SIZE, e;
    do
        e = fallocate(file->fd, mode, (off_t)file->allocated, (off_t)file->ahead) == 0 ? 0 : errno;
    while (e == EINTR);
    return e;
}

/* Sets room aside for the next len bytes and more, so that a full file system is known early and the file lies in one
 * piece. */
static bool allocate(struct ph_outfile *file, size_t len, struct ph_err *err)
{
    while (file->allocated < file->written + len) {
        int e = allocate_more(file);
        file->allocated += file->ahead;
        /* Not every file system can; and ahead may be too large a file where what is to come is not. */
        if (e == EOPNOTSUPP || e == ENOSYS || e == EFBIG)
            file->allocated = UINT64_MAX;
        else if (e)
            return ph_io_fail(err, e, "cannot set room aside");
    }
    return true;
}

/* Gives the buffer in hand to the ring and waits for the next one to be free. */
static bool flush(struct ph_outfile *file, size_t len, struct ph_err *err)
{
    if (!ph_ring_write(file->ring, file->fd, file->buffer, len, (off_t)file->written, err))
        return false;
    file->written += file->fill;
    file->fill = 0;
    file->buffer = (file->buffer + 1) % ph_ring_depth(file->ring);
    return true;
}

bool ph_outfile_add(struct ph_outfile *file, const void *data, size_t len, struct ph_err *err)
{
    size_t size = ph_ring_buffer_size(file->ring);
    const char *from = data;
    while (len > 0) {
        if (file->fill == 0 && !ph_ring_wait(file->ring, file->buffer, NULL, err))
            return say(file, err);
        size_t n = len < size - file->fill ? len : size - file->fill;
        memcpy(ph_ring_buffer(file->ring, file->buffer) + file->fill, from, n);
        file->fill += n;
        from += n;
        len -= n;
        if (file->fill == size && !(allocate(file, size, err) && flush(file, size, err)))
            return say(file, err);
    }
    return true;
}

uint64_t ph_outfile_size(const struct ph_outfile *file)
{
    return file->written + file->fill;
}

/* The last buffer is seldom full; O_DIRECT writes whole blocks, and zeros go behind. */
static bool flush_last(struct ph_outfile *file, struct ph_err *err)
{
    if (file->fill == 0)
        return true;
    size_t pad = file->direct ? (PH_IO_BLOCK - file->fill % PH_IO_BLOCK) % PH_IO_BLOCK : 0;
    memset(ph_ring_buffer(file->ring, file->buffer) + file->fill, 0, pad);
    return flush(file, file->fill + pad, err);
}

/* Takes the padding away, and gives back what was set aside in vain. */
static bool set_size(const struct ph_outfile *file, struct ph_err *err)
{
    int e;
    do
        e = ftruncate(file->fd, (off_t)file->written) == 0 ? 0 : errno;
    while (e == EINTR);
    return e == 0 || ph_io_fail(err, e, "cannot set its size");
}

bool ph_outfile_seal(struct ph_outfile *file, struct ph_err *err)
{
    bool ok = flush_last(file, err) && ph_ring_drain(file->ring, err) && set_size(file, err) &&
              ph_ring_sync(file->ring, file->fd, err) &&
              ph_io_publish(file->dir, file->part, file->name, false, &file->renamed, err);
    if (!ok) {
        say(file, err);
        ph_outfile_discard(file);
        return false;
    }
    close(file->fd);
    release(file);
    return true;
}

void ph_outfile_discard(struct ph_outfile *file)
{
    if (!file)
        return;
    ph_ring_drain(file->ring, NULL);
    close(file->fd);
    unlinkat(file->dir, file->renamed ? file->name : file->part, 0);
    release(file);
}

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "io/internal.h"

/* The ring's buffers are a queue: `head` is the one that is being lent, those behind it are in flight or have
 * arrived, in the order of the file. */
struct ph_infile {
    struct ph_ring *ring;
    int fd;
    char *dir_shown, *name;
    bool direct;
    uint64_t size;
    uint64_t asked, to; /* what has been asked for of the stream: up to here, of that */
    unsigned head, queued;
    bool arrived;   /* the head has; at and end are within it */
    size_t at, end; /* what is left of it */
    size_t skip;    /* bytes of the first buffer that stand before the stream */
    size_t *wanted; /* of each buffer: how many bytes of it belong to the stream */
    char *joint;    /* what lay in two buffers */
};

static void release(struct ph_infile *file)
{
    free(file->dir_shown);
    free(file->name);
    free(file->wanted);
    free(file->joint);
    free(file);
}

static bool say(const struct ph_infile *file, struct ph_err *err)
{
    return ph_err_prefix(err, "%s/%s", file->dir_shown, file->name);
}

static bool open_it(struct ph_infile *file, int dir, struct ph_err *err)
{
    if (!ph_io_open(&file->fd, dir, file->name, O_RDONLY, false, err))
        return false;
    struct stat st;
    if (fstat(file->fd, &st) != 0) {
        ph_io_fail(err, errno, "cannot look at it");
        close(file->fd);
        return false;
    }
    file->size = (uint64_t)st.st_size;
    return true;
}

bool ph_infile_open(struct ph_infile **out, struct ph_ring *ring, int dir, const char *dir_shown,
                    const char *name, bool direct, struct ph_err *err)
{
    *out = NULL;
    struct ph_infile *file = calloc(1, sizeof *file);
    if (!file)
        return ph_err_nomem(err);
    *file = (struct ph_infile){.ring = ring,
                               .fd = -1,
                               .dir_shown = strdup(dir_shown),
                               .name = strdup(name),
                               .direct = direct,
                               .wanted = calloc(ph_ring_depth(ring), sizeof *file->wanted)};
    bool ok = file->dir_shown && file->name && file->wanted;
    if (!ok)
        ph_err_nomem(err);
    else if (!open_it(file, dir, err))
        ok = say(file, err);
    if (!ok) {
        release(file);
        return false;
    }
    *out = file;
    return true;
}

void ph_infile_close(struct ph_infile *file)
{
    if (!file)
        return;
    ph_ring_drain(file->ring, NULL);
    close(file->fd);
    release(file);
}

uint64_t ph_infile_size(const struct ph_infile *file)
{
    return file->size;
}

static bool ends_early(const struct ph_infile *file, struct ph_err *err)
{
    ph_err_set(err, PH_FAILED, "the file ends too early");
    return say(file, err);
}

static bool set_direct(const struct ph_infile *file)
{
    int flags = fcntl(file->fd, F_GETFL);
    return flags >= 0 && fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0;
}

static bool read_at(struct ph_infile *file, uint64_t offset, char *buf, size_t len,
                    struct ph_err *err)
{
    while (len > 0) {
        ssize_t n = pread(file->fd, buf, len, (off_t)offset);
        int e = PH_FAULT("io.read") ? EIO : n < 0 ? errno : 0;
        if (e == EINTR)
            continue;
        if (e) {
            ph_io_fail(err, e, "cannot read");
            return say(file, err);
        }
        if (n == 0)
            return ends_early(file, err);
        buf += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

bool ph_infile_at(struct ph_infile *file, uint64_t offset, void *buf, size_t len,
                  struct ph_err *err)
{
    if (offset > file->size || len > file->size - offset)
        return ends_early(file, err);
    /* A few bytes are not worth alignment; what is in flight keeps the mode that it began with. */
    bool direct = ph_io_undirect(file->fd);
    bool ok = read_at(file, offset, buf, len, err);
    if (direct)
        set_direct(file);
    return ok;
}

/* Lets buffer i read on where the last request ended. */
static bool ask(struct ph_infile *file, unsigned i, struct ph_err *err)
{
    size_t size = ph_ring_buffer_size(file->ring);
    if (file->asked >= file->to)
        return true;
    uint64_t left = file->to - file->asked;
    size_t n = left < size ? (size_t)left : size;
    /* Whole blocks, for O_DIRECT's sake. */
    size_t len = (n + PH_IO_BLOCK - 1) / PH_IO_BLOCK * PH_IO_BLOCK;
    if (!ph_ring_read(file->ring, file->fd, i, len, (off_t)file->asked, err))
        return say(file, err);
    file->wanted[i] = n;
    file->asked += n;
    file->queued++;
    return true;
}

bool ph_infile_begin(struct ph_infile *file, uint64_t from, uint64_t to, struct ph_err *err)
{
    ph_ring_drain(file->ring, NULL); /* what an earlier stream asked for is of no interest */
    file->head = file->queued = 0;
    file->arrived = false;
    if (from > to || to > file->size)
        return ends_early(file, err);
    file->skip = from % PH_IO_BLOCK;
    file->asked = from - file->skip;
    file->to = from == to ? file->asked : to;
    if (file->direct)
        file->direct = set_direct(file);
    if (!file->direct)
        posix_fadvise(file->fd, (off_t)from, (off_t)(to - from), POSIX_FADV_SEQUENTIAL);
    for (unsigned i = 0; i < ph_ring_depth(file->ring); i++)
        if (!ask(file, i, err))
            return false;
    return true;
}

/* Gives the head back once it has been used up. */
static bool pass_on(struct ph_infile *file, struct ph_err *err)
{
    if (!file->arrived || file->at < file->end)
        return true;
    unsigned used = file->head;
    file->head = (used + 1) % ph_ring_depth(file->ring);
    file->queued--;
    file->arrived = false;
    return ask(file, used, err);
}

static bool await_head(struct ph_infile *file, struct ph_err *err)
{
    if (file->arrived)
        return true;
    if (file->queued == 0)
        return ends_early(file, err);
    size_t done;
    if (!ph_ring_wait(file->ring, file->head, &done, err))
        return say(file, err);
    if (done < file->wanted[file->head])
        return ends_early(file, err);
    file->arrived = true;
    file->at = file->skip;
    file->end = file->wanted[file->head];
    file->skip = 0;
    return true;
}

static bool join(struct ph_infile *file, size_t n, struct ph_err *err)
{
    if (!file->joint && !(file->joint = malloc(ph_ring_buffer_size(file->ring))))
        return ph_err_nomem(err);
    for (size_t have = 0; have < n;) {
        if (!pass_on(file, err) || !await_head(file, err))
            return false;
        size_t left = file->end - file->at, take = left < n - have ? left : n - have;
        memcpy(file->joint + have, ph_ring_buffer(file->ring, file->head) + file->at, take);
        file->at += take;
        have += take;
    }
    return true;
}

bool ph_infile_take(struct ph_infile *file, size_t n, const char **data, struct ph_err *err)
{
    *data = "";
    if (n == 0)
        return true;
    if (n > ph_ring_buffer_size(file->ring))
        return ph_err_set(err, PH_FAILED, "more is taken at once than a ring's buffer holds");
    if (!pass_on(file, err) || !await_head(file, err))
        return false;
    if (file->end - file->at < n) {
        if (!join(file, n, err))
            return false;
        *data = file->joint;
        return true;
    }
    *data = ph_ring_buffer(file->ring, file->head) + file->at;
    file->at += n;
    return true;
}

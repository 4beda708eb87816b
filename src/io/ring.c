#include "io/ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "io/internal.h"

enum { DEPTH = 4, BUFFER = 512 * 1024 };

/*     IDLE ──put──► FLYING ──settle──► DONE ──ph_ring_wait──► IDLE      */
enum state { IDLE, FLYING, DONE };

/* What goes on with one buffer. */
struct slot {
    enum state state;
    bool writes;
    int fd;
    char *data;
    size_t len, done;
    off_t offset;
    int error; /* errno; 0 while all is well */
};

struct ph_ring {
    unsigned depth;
    size_t buffer;
    char *memory;
    struct slot *slots;
    uint64_t wait_ns;
    char shown[96];
};

/* Whether a read that came back short has met the end of the file. */
static bool at_end(const struct slot *slot)
{
    struct stat st;
    return fstat(slot->fd, &st) == 0 && slot->offset + (off_t)slot->done >= st.st_size;
}

static bool finish(struct slot *slot, int error)
{
    slot->error = error;
    slot->state = DONE;
    return true;
}

/* Takes `got` bytes more into account; true when that was all there is to do. */
static bool advance(struct slot *slot, size_t got)
{
    slot->done += got;
    if (slot->done == slot->len)
        return finish(slot, 0);
    if (!slot->writes && (got == 0 || at_end(slot)))
        return finish(slot, 0);
    if (got == 0)
        return finish(slot, ENOSPC);
    /* O_DIRECT can go on from a block's edge only. */
    if (slot->done % PH_IO_BLOCK != 0)
        ph_io_undirect(slot->fd);
    return false;
}

/* Judges the outcome of one attempt (bytes, or a negative errno); false when it takes another one, from
 * slot->done on. */
static bool settle(struct slot *slot, ssize_t outcome)
{
    if (slot->writes && PH_FAULT("io.write"))
        outcome = -EIO;
    if (slot->writes && PH_FAULT("io.full"))
        outcome = -ENOSPC;
    if (!slot->writes && PH_FAULT("io.read"))
        outcome = -EIO;
    if (outcome == -EINTR || outcome == -EAGAIN)
        return false;
    /* Some file systems open with O_DIRECT and refuse the first I/O, or want more alignment than ours. */
    if (outcome == -EINVAL && ph_io_undirect(slot->fd))
        return false;
    if (outcome < 0)
        return finish(slot, (int)-outcome);
    return advance(slot, (size_t)outcome);
}

/* How much the next attempt asks for. */
static size_t ask(const struct slot *slot)
{
    size_t left = slot->len - slot->done;
    size_t half = left / 2 / PH_IO_BLOCK * PH_IO_BLOCK;
    return slot->writes && PH_FAULT("io.short") && half > 0 ? half : left;
}

static void run_posix(struct ph_ring *ring, struct slot *slot)
{
    uint64_t begin = ph_clock_ns();
    ssize_t n;
    do {
        char *at = slot->data + slot->done;
        off_t offset = slot->offset + (off_t)slot->done;
        n = slot->writes ? pwrite(slot->fd, at, ask(slot), offset)
                         : pread(slot->fd, at, ask(slot), offset);
    } while (!settle(slot, n < 0 ? -errno : n));
    ring->wait_ns += ph_clock_ns() - begin;
}

static bool put(struct ph_ring *ring, unsigned i, const struct slot *what, struct ph_err *err)
{
    /* An outcome that nobody has asked for yet must not be lost. */
    if (!ph_ring_wait(ring, i, NULL, err))
        return false;
    struct slot *slot = &ring->slots[i];
    *slot = *what;
    slot->state = FLYING;
    slot->data = ph_ring_buffer(ring, i);
    if (slot->len == 0)
        return finish(slot, 0);
    run_posix(ring, slot);
    return true;
}

bool ph_ring_new(struct ph_ring **out, const struct ph_ring_opts *opts, struct ph_err *err)
{
    *out = NULL;
    unsigned depth = opts->depth ? opts->depth : DEPTH;
    size_t buffer = opts->buffer ? opts->buffer : BUFFER;
    if (buffer % PH_IO_BLOCK != 0)
        return ph_err_set(err, PH_FAILED, "a ring's buffers are multiples of %d bytes",
                          PH_IO_BLOCK);
    if (opts->io == PH_IO_URING)
        return ph_err_set(err, PH_WRONG, "io_uring is not to be had here");
    struct ph_ring *ring = calloc(1, sizeof *ring);
    struct slot *slots = calloc(depth, sizeof *slots);
    size_t size;
    void *memory = MAP_FAILED;
    if (!__builtin_mul_overflow(buffer, depth, &size))
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!ring || !slots || memory == MAP_FAILED) {
        if (memory != MAP_FAILED)
            munmap(memory, size);
        free(slots);
        free(ring);
        return ph_err_nomem(err);
    }
    *ring = (struct ph_ring){.depth = depth, .buffer = buffer, .memory = memory, .slots = slots};
    snprintf(ring->shown, sizeof ring->shown, "pread and pwrite");
    *out = ring;
    return true;
}

void ph_ring_free(struct ph_ring *ring)
{
    if (!ring)
        return;
    ph_ring_drain(ring, NULL);
    munmap(ring->memory, ring->buffer * ring->depth);
    free(ring->slots);
    free(ring);
}

const char *ph_ring_shown(const struct ph_ring *ring)
{
    return ring->shown;
}

unsigned ph_ring_depth(const struct ph_ring *ring)
{
    return ring->depth;
}

size_t ph_ring_buffer_size(const struct ph_ring *ring)
{
    return ring->buffer;
}

char *ph_ring_buffer(struct ph_ring *ring, unsigned i)
{
    return ring->memory + ring->buffer * i;
}

bool ph_ring_write(struct ph_ring *ring, int fd, unsigned i, size_t len, off_t offset,
                   struct ph_err *err)
{
    return put(ring, i, &(struct slot){.writes = true, .fd = fd, .len = len, .offset = offset},
               err);
}

bool ph_ring_read(struct ph_ring *ring, int fd, unsigned i, size_t len, off_t offset,
                  struct ph_err *err)
{
    return put(ring, i, &(struct slot){.fd = fd, .len = len, .offset = offset}, err);
}

bool ph_ring_wait(struct ph_ring *ring, unsigned i, size_t *done, struct ph_err *err)
{
    struct slot *slot = &ring->slots[i];
    if (done)
        *done = slot->done;
    bool fresh = slot->state == DONE;
    slot->state = IDLE;
    if (fresh && slot->error)
        return ph_io_fail(err, slot->error, slot->writes ? "cannot write" : "cannot read");
    return true;
}

bool ph_ring_drain(struct ph_ring *ring, struct ph_err *err)
{
    bool ok = true;
    for (unsigned i = 0; i < ring->depth; i++)
        ok = ph_ring_wait(ring, i, NULL, ok ? err : NULL) && ok;
    return ok;
}

bool ph_ring_sync(struct ph_ring *ring, int fd, struct ph_err *err)
{
    if (!ph_ring_drain(ring, err))
        return false;
    uint64_t begin = ph_clock_ns();
    /* Not even EINTR is tried again: after any failure the kernel may call lost pages clean. */
    int e = PH_FAULT("io.sync") ? EIO : fdatasync(fd) != 0 ? errno : 0;
    ring->wait_ns += ph_clock_ns() - begin;
    return e == 0 || ph_io_fail(err, e, "cannot sync");
}

uint64_t ph_ring_wait_ns(const struct ph_ring *ring)
{
    return ring->wait_ns;
}

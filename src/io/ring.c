#include "io/ring.h"

#include <errno.h>
#include <liburing.h>
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

/* How often, and how long in between, one is patient with a kernel that is short of something: half a minute. */
enum { PATIENCE = 30000, PAUSE_US = 1000 };

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
    unsigned again; /* times that the kernel asked for patience */
    int error;      /* errno; 0 while all is well */
};

struct ph_ring {
    unsigned depth;
    size_t buffer;
    char *memory;
    struct slot *slots;
    uint64_t wait_ns;
    bool by_uring;
    bool registered; /* the buffers are */
    int broken;      /* errno of an io_uring that cannot be used any more */
    struct io_uring uring;
    char shown[128];
};

/* Whether a read that came back short has met the end of the file. To read on there would show it too, but seldom at a
 * block's edge, as O_DIRECT wants it. */
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
    return got == 0 && finish(slot, ENOSPC);
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
    if (outcome == -EINTR)
        return false;
    if (outcome == -EAGAIN && slot->again++ < PATIENCE) {
        usleep(PAUSE_US);
        return false;
    }
    /* Some file systems open with O_DIRECT and refuse the first I/O, or want more alignment than ours; and what was
     * short may have to go on within a block. */
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

/* Puts the next attempt into the submission queue. There is always room: it has an entry for each slot. */
static void queue(struct ph_ring *ring, unsigned i)
{
    struct slot *slot = &ring->slots[i];
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    char *at = slot->data + slot->done;
    unsigned len = (unsigned)ask(slot);
    uint64_t offset = (uint64_t)slot->offset + slot->done;
    if (slot->writes && ring->registered)
        io_uring_prep_write_fixed(sqe, slot->fd, at, len, offset, (int)i);
    else if (slot->writes)
        io_uring_prep_write(sqe, slot->fd, at, len, offset);
    else if (ring->registered)
        io_uring_prep_read_fixed(sqe, slot->fd, at, len, offset, (int)i);
    else
        io_uring_prep_read(sqe, slot->fd, at, len, offset);
    io_uring_sqe_set_data64(sqe, i);
}

/* Takes all completions that have arrived; what needs another attempt is queued again. */
static void reap(struct ph_ring *ring)
{
    struct io_uring_cqe *cqe;
    while (io_uring_cq_ready(&ring->uring) > 0 && io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        unsigned i = (unsigned)cqe->user_data;
        int outcome = cqe->res;
        io_uring_cqe_seen(&ring->uring, cqe);
        if (!settle(&ring->slots[i], outcome))
            queue(ring, i);
    }
}

static bool is_passing(int e)
{
    return e == EAGAIN || e == EBUSY || e == ENOMEM;
}

/* Whether to try again what failed with errno e, after a pause. */
static bool be_patient(struct ph_ring *ring, unsigned *times, int e)
{
    if (e == EINTR)
        return true;
    if (!is_passing(e) || ++*times > PATIENCE)
        return false;
    usleep(PAUSE_US);
    io_uring_get_events(&ring->uring); /* busy is a kernel whose completions nobody takes */
    return true;
}

/* Submits what is queued, and then waits for a completion when `wait` says so. False when the ring has broken: what is in
 * flight then is out of reach. */
static bool enter(struct ph_ring *ring, bool wait)
{
    unsigned times = 0;
    uint64_t begin = ph_clock_ns();
    while (!ring->broken && (wait || io_uring_sq_ready(&ring->uring) > 0)) {
        struct io_uring_cqe *cqe;
        int n = io_uring_sq_ready(&ring->uring) > 0 ? io_uring_submit(&ring->uring)
                                                    : io_uring_wait_cqe(&ring->uring, &cqe);
        if (n >= 0 && io_uring_cq_ready(&ring->uring) > 0)
            wait = false;
        else if (n < 0 && !be_patient(ring, &times, -n))
            ring->broken = -n;
        reap(ring);
    }
    ring->wait_ns += ph_clock_ns() - begin;
    return !ring->broken;
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
    if (!ring->by_uring) {
        run_posix(ring, slot);
        return true;
    }
    if (ring->broken) {
        slot->state = IDLE;
        return ph_io_fail(err, ring->broken, "io_uring has broken");
    }
    queue(ring, i);
    enter(ring, false);
    return true;
}

/* Also shows that io_uring_enter() is not forbidden where io_uring_setup() is allowed. */
static int try_nop(struct io_uring *uring)
{
    io_uring_prep_nop(io_uring_get_sqe(uring));
    int n;
    do
        n = io_uring_submit(uring);
    while (n == -EINTR);
    struct io_uring_cqe *cqe;
    while (n >= 0 && (n = io_uring_wait_cqe(uring, &cqe)) == -EINTR)
        n = 0;
    if (n < 0)
        return -n;
    int e = -cqe->res;
    io_uring_cqe_seen(uring, cqe);
    return e;
}

static bool knows_all(struct io_uring *uring)
{
    static const int needed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READ_FIXED,
                                 IORING_OP_WRITE_FIXED};
    struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
    bool all = probe != NULL;
    for (size_t i = 0; all && i < sizeof needed / sizeof *needed; i++)
        all = io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return all && uring->features & IORING_FEAT_NODROP;
}

/* 0, or the errno that says why there is no io_uring. */
static int begin_uring(struct ph_ring *ring)
{
    /* The best first. Completions as task work only when we wait: nothing interrupts the thread in between. */
    static const unsigned ways[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
                                    IORING_SETUP_COOP_TASKRUN, 0};
    int e = EINVAL;
    for (size_t i = 0; e == EINVAL && i < sizeof ways / sizeof *ways; i++)
        e = -io_uring_queue_init(ring->depth, &ring->uring, ways[i]);
    if (e)
        return e;
    e = try_nop(&ring->uring);
    if (!e && !knows_all(&ring->uring))
        e = ENOSYS;
    if (e)
        io_uring_queue_exit(&ring->uring);
    return e;
}

/* Pinned once instead of with each operation; but pinned memory counts against RLIMIT_MEMLOCK, of all the user's
 * processes together. */
static bool register_buffers(struct ph_ring *ring)
{
    struct iovec *all = calloc(ring->depth, sizeof *all);
    for (unsigned i = 0; all && i < ring->depth; i++)
        all[i] = (struct iovec){ph_ring_buffer(ring, i), ring->buffer};
    bool ok = all && io_uring_register_buffers(&ring->uring, all, ring->depth) == 0;
    free(all);
    return ok;
}

static const char *why_not(int e, char *room, size_t size)
{
    switch (e) {
    case EPERM:
    case EACCES:
        return "io_uring is forbidden here";
    case ENOSYS:
        return "this kernel has no io_uring, or one that is too old";
    case ENOMEM:
        return "no memory for io_uring, see ulimit -l";
    default:
        return strerror_r(e, room, size);
    }
}

static bool choose(struct ph_ring *ring, enum ph_io io, struct ph_err *err)
{
    char room[96];
    int e = io == PH_IO_POSIX ? 0 : begin_uring(ring);
    if (io == PH_IO_URING && e)
        return ph_err_set(err, PH_WRONG, "%s", why_not(e, room, sizeof room));
    ring->by_uring = io != PH_IO_POSIX && !e;
    ring->registered = ring->by_uring && register_buffers(ring);
    if (ring->by_uring)
        snprintf(ring->shown, sizeof ring->shown, "io_uring, %s",
                 ring->registered ? "registered buffers" : "buffers not registered (ulimit -l)");
    else if (e)
        snprintf(ring->shown, sizeof ring->shown, "pread and pwrite (%s)",
                 why_not(e, room, sizeof room));
    else
        snprintf(ring->shown, sizeof ring->shown, "pread and pwrite");
    return true;
}

static char *map(size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    /* A forked child has no business with it, and would make old kernels part us from pinned pages. */
    madvise(at, size, MADV_DONTFORK);
    return at;
}

bool ph_ring_new(struct ph_ring **out, const struct ph_ring_opts *opts, struct ph_err *err)
{
    *out = NULL;
    unsigned depth = opts->depth ? opts->depth : DEPTH;
    size_t buffer = opts->buffer ? opts->buffer : BUFFER, size;
    if (buffer % PH_IO_BLOCK != 0 || __builtin_mul_overflow(buffer, depth, &size))
        return ph_err_set(err, PH_FAILED, "a ring cannot have %u buffers of %zu bytes", depth,
                          buffer);
    struct ph_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return ph_err_nomem(err);
    ring->depth = depth;
    ring->buffer = buffer;
    ring->slots = calloc(depth, sizeof *ring->slots);
    ring->memory = map(size);
    bool ok = ring->slots && ring->memory ? choose(ring, opts->io, err) : ph_err_nomem(err);
    if (!ok) {
        ph_ring_free(ring);
        return false;
    }
    *out = ring;
    return true;
}

/* With a broken ring nobody knows when the kernel is done with them. */
static bool buffers_in_use(const struct ph_ring *ring)
{
    for (unsigned i = 0; i < ring->depth; i++)
        if (ring->slots[i].state == FLYING)
            return true;
    return false;
}

void ph_ring_free(struct ph_ring *ring)
{
    if (!ring)
        return;
    if (ring->slots && ring->memory)
        ph_ring_drain(ring, NULL);
    if (ring->by_uring)
        io_uring_queue_exit(&ring->uring);
    if (ring->memory && !(ring->slots && buffers_in_use(ring)))
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
    while (slot->state == FLYING)
        if (!enter(ring, true))
            return ph_io_fail(err, ring->broken, "io_uring has broken");
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

/* The one door to io_uring: whole buffers are read and written, several at once, within one thread.
 *
 * A ring has `depth` buffers of equal size, aligned for O_DIRECT, and at most one operation in flight for
 * each. Kernels differ: the best way that works is found once, step by step (single issuer with deferred
 * task work, then without; registered buffers where RLIMIT_MEMLOCK has room for them; then plain pread and
 * pwrite, which do the same work in the same order, one at a time), and ph_ring_shown() says which.
 *
 *     ph_ring_new → take a free buffer, fill it, ph_ring_write … ph_ring_wait … → ph_ring_sync → ph_ring_free
 *
 * A short read or write is continued by the ring; what ph_ring_wait reports is a whole buffer, or an error. Where
 * O_DIRECT turns out not to work on a descriptor the ring takes the flag off it and goes on.
 * After an error every buffer in flight must be reaped with ph_ring_drain before its file is closed. A
 * ring belongs to the thread that made it, which must outlive whatever is in flight.
 */
#ifndef PH_IO_RING_H
#define PH_IO_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pghaul/err.h"

enum ph_io { PH_IO_AUTO, PH_IO_URING, PH_IO_POSIX };

struct ph_ring_opts {
    enum ph_io io;  /* AUTO: io_uring where it is to be had; URING: an error where it is not */
    unsigned depth; /* buffers; 0: 4 */
    size_t buffer;  /* bytes of each, a multiple of 4096; 0: 512 KiB */
};

struct ph_ring;

/* PH_WRONG when io is PH_IO_URING and the kernel forbids it; PH_FAILED without memory. */
bool ph_ring_new(struct ph_ring **out, const struct ph_ring_opts *opts, struct ph_err *err);

/* Waits for whatever is in flight. NULL is fine. */
void ph_ring_free(struct ph_ring *ring);

/* "io_uring, registered buffers", "pread and pwrite (io_uring is forbidden here)": for people. */
const char *ph_ring_shown(const struct ph_ring *ring);

unsigned ph_ring_depth(const struct ph_ring *ring);
size_t ph_ring_buffer_size(const struct ph_ring *ring);
char *ph_ring_buffer(struct ph_ring *ring, unsigned i);

/* Puts buffer i, which must not be in flight, in flight: its first len bytes at `offset` of the file. A read
 * may end short at the end of the file only. */
bool ph_ring_write(struct ph_ring *ring, int fd, unsigned i, size_t len, off_t offset,
                   struct ph_err *err);
bool ph_ring_read(struct ph_ring *ring, int fd, unsigned i, size_t len, off_t offset,
                  struct ph_err *err);

/* Waits until buffer i is not in flight any more (at once when it is not). *done (may be NULL) is what was read or
 * written. PH_NO_ROOM when the file system is full (ENOSPC, EDQUOT); else PH_FAILED with the system's word. */
bool ph_ring_wait(struct ph_ring *ring, unsigned i, size_t *done, struct ph_err *err);

/* Waits until nothing is in flight; the first error wins, and all are reaped whatever happens. */
bool ph_ring_drain(struct ph_ring *ring, struct ph_err *err);

/* fdatasync, alone: nothing may be in flight. After an error the file is garbage: never sync it again. */
bool ph_ring_sync(struct ph_ring *ring, int fd, struct ph_err *err);

/* Nanoseconds spent waiting for the medium so far. */
uint64_t ph_ring_wait_ns(const struct ph_ring *ring);

#endif

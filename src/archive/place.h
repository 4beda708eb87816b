/* A directory of shard files, as one worker sees it: the ring is its own.
 *
 * The directory's descriptor and texts are borrowed; the ring is made by the thread that first needs it, since it belongs to
 * that thread alone. A sink and a source of one worker share a place: they are never open at once.
 */
#ifndef PH_ARCHIVE_PLACE_H
#define PH_ARCHIVE_PLACE_H

#include "base/log.h"
#include "io/ring.h"

struct ph_place {
    int dir;
    const char *shown; /* its path, for people */
    const char *set;   /* 32 hexadecimal digits: what its files belong to */
    enum ph_io io;
    bool direct_out,
        direct_in; /* O_DIRECT, where the file system knows it, for what is written and for what is read */
    struct ph_log *log;
    struct ph_ring *ring; /* NULL: not made yet */
};

/* Makes the ring unless it is there. */
bool ph_place_ready(struct ph_place *place, struct ph_err *err);

/* Frees the ring, in the thread that made it. */
void ph_place_fini(struct ph_place *place);

/* How people and scripts choose: "auto", "uring", "uring-buffered", "posix", "posix-buffered"; NULL-terminated, and what the
 * n-th of them means. soon: what is written is read back soon, so that the page cache serves it; what is kept had better leave the
 * cache to the servers. */
extern const char *const ph_place_choices[];
void ph_place_choose(struct ph_place *place, int choice, bool soon);

#endif

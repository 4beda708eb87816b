/* The spill directory of this mover: whether there is room, which files may go, and what the ledger has not been told.
 *
 * A shard's file is made by sink/archive and read by source/archive; this is about all files together. A file goes once
 * its rows are safe in the target: the receipt has committed, and a later commit has really been flushed.
 *
 * The directory is made when the first file is. It is ours alone while we hold its lock; a second mover of the same
 * job on this host can load from it (shared), but spills nothing.
 *
 * Threads: any, but open and close.
 */
#ifndef PH_HAUL_SPILL_H
#define PH_HAUL_SPILL_H

#include <pthread.h>
#include <stdatomic.h>

#include "archive/place.h"
#include "archive/shardfile.h"
#include "io/dir.h"
#include "ledger/roster.h"
#include "pg/conn.h"

enum ph_spill_when { PH_SPILL_AUTO, PH_SPILL_NEVER, PH_SPILL_ALWAYS };

struct ph_spill_opts {
    enum ph_spill_when when;
    /* the first that is not NULL says where: */
    const char *dir;        /* holds a directory for each job */
    const char *state_dir;  /* the job's own */
    const char *state_base; /* holds such a directory for each job; it is made, with all above it */
    uint64_t cap; /* bytes that the files may take; 0: half of what is free, at most 50 GiB */
    bool keep;    /* files stay when they have landed */
    int io;       /* of ph_place_choices */
    enum ph_compress compress;
};

struct ph_spill {
    struct ph_spill_opts opts;
    struct ph_log *log;
    const char *set;
    char *path, *holder; /* host:path, as the ledger knows it */
    pthread_mutex_t lock;
    struct ph_dir dir;
    bool failed; /* it could not be made: said once */
    bool shared; /* somebody else's, to be read only */
    uint64_t cap;
    _Atomic uint64_t
        used; /* bytes of files, and of those that are being written as far as they were expected */
    _Atomic uint64_t written;    /* by this run, compressed */
    _Atomic uint64_t no_room_ns; /* the file system was full then; 0: never */
    struct landed_file *landed;  /* waiting for the flush */
    size_t n_landed, room_landed;
};

/* The directory that a job's spill files would be in; malloc'ed, NULL when there is none. */
char *ph_spill_path(const struct ph_spill_opts *opts, const char *job, const char *tag);

/* Names the directory; makes nothing. set and log are borrowed. */
bool ph_spill_init(struct ph_spill *spill, const struct ph_spill_opts *opts, const char *host,
                   const char *job, const char *tag, const char *set, struct ph_log *log,
                   struct ph_err *err);
void ph_spill_fini(struct ph_spill *spill);

/* Opens it: make says whether it may be made now. *open is false, with success, when there is none. */
bool ph_spill_open(struct ph_spill *spill, bool make, bool *open, struct ph_err *err);

/* Where a worker finds its files; the directory must be open. */
void ph_spill_place(const struct ph_spill *spill, struct ph_place *place);

/* Room for a shard of about so many bytes: true reserves it, and exactly one of the two others must follow. A single file
 * always has room, whatever the cap. */
bool ph_spill_reserve(struct ph_spill *spill, uint64_t bytes);
void ph_spill_settle(struct ph_spill *spill, uint64_t reserved, uint64_t stored);
void ph_spill_cancel(struct ph_spill *spill, uint64_t reserved, bool disk_full);

/* Whether there seems to be room, without reserving any. */
bool ph_spill_has_room(struct ph_spill *spill);

/* The file's rows have landed: it goes when everything that committed before now has been flushed. */
void ph_spill_landed(struct ph_spill *spill, const char *file);
bool ph_spill_has_landed(struct ph_spill *spill);

/* What landed before `before_ns` is flushed: those files go. */
void ph_spill_sweep(struct ph_spill *spill, uint64_t before_ns);

/* Takes one file away now. */
void ph_spill_drop(struct ph_spill *spill, const char *file);

/* Tells the ledger of every file that it does not know: those of the roster that are not noted. PH_CONNECTION when it
 * cannot be told now. */
bool ph_spill_note(struct ph_spill *spill, struct ph_roster *roster, struct ph_conn *target,
                   int64_t job, int mover, struct ph_err *err);

/* Looks through the directory after a crash: files of this round are put to the ledger; what has landed, or is of no use, or was
 * never finished, goes. The caller holds the job. */
bool ph_spill_adopt(struct ph_spill *spill, struct ph_conn *target, int64_t job, int mover,
                    struct ph_err *err);

/* The job is done: the directory goes, with what is in it, unless it is to be kept. */
void ph_spill_end(struct ph_spill *spill);

#endif

/* The spill directory of this mover: whether there is room, which files may go, and what the ledger has not been told.
 *
 * A shard's file is made by sink/archive and read by source/archive; this is about all files together. A file goes once
 * its rows are safe in the target: the receipt has committed, and a later commit has really been flushed.
 *
 * The directory is made when the first file is. It is ours alone while we hold its lock; a second mover of the same
 * job on this host can load from it (shared), but spills nothing until the first one has gone.
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

enum { PH_SPILL_GONE = 8 };

struct ph_spill {
    struct ph_spill_opts opts;
    struct ph_log *log;
    const char *set;
    char *path, *holder;  /* host:path, as the ledger knows it */
    pthread_mutex_t lock; /* of dir, gone and landed */
    struct ph_dir dir;
    struct ph_dir gone[PH_SPILL_GONE]; /* removed under us; see ph_spill_open */
    int n_gone;
    _Atomic int made;          /* how often it was opened; 0: not yet */
    _Atomic bool failed;       /* it cannot be had: said once */
    _Atomic bool shared;       /* somebody else's, to be read only, as long as he lives */
    _Atomic uint64_t cap;      /* set once it is open */
    _Atomic uint64_t held;     /* bytes of files that wait for the target */
    _Atomic uint64_t reserved; /* of files that are being written, as far as was expected */
    _Atomic uint64_t foreign; /* of files that are none of these: kept, of another round, damaged */
    _Atomic int errors;       /* of the medium, in a row */
    _Atomic uint64_t written; /* by this run, compressed */
    _Atomic uint64_t no_room_ns; /* there was no room then; 0: there is */
    _Atomic uint64_t wanted; /* bytes that the file system did not have then; 0: it was the cap */
    _Atomic uint64_t counted_ns, tried_ns; /* when the files were counted, the lock was tried */
    struct landed_file *landed;            /* waiting for the flush */
    size_t n_landed, room_landed;
};

/* The directory that a job's spill files would be in; malloc'ed, NULL when there is none. */
char *ph_spill_path(const struct ph_spill_opts *opts, const char *job, const char *tag);

/* Names the directory; makes nothing. set and log are borrowed. */
bool ph_spill_init(struct ph_spill *spill, const struct ph_spill_opts *opts, const char *host,
                   const char *job, const char *tag, const char *set, struct ph_log *log,
                   struct ph_err *err);
void ph_spill_fini(struct ph_spill *spill);

/* Opens it: make says whether it may be made now, and be made again when somebody has removed it. *open is false, with success,
 * when there is none. PH_NO_ROOM: later perhaps; other errors are for good, and come once. */
bool ph_spill_open(struct ph_spill *spill, bool make, bool *open, struct ph_err *err);

/* Where a worker finds its files; the directory must be open. To be asked again when `made` has grown. */
void ph_spill_place(struct ph_spill *spill, struct ph_place *place);

/* Room for a shard of about so many bytes: true reserves it, and exactly one of the two others must follow. A single file
 * always has room, whatever the cap. Where the medium fails again and again, nothing more is spilled. */
bool ph_spill_reserve(struct ph_spill *spill, uint64_t bytes);
void ph_spill_settle(struct ph_spill *spill, uint64_t reserved, uint64_t stored);
void ph_spill_cancel(struct ph_spill *spill, uint64_t reserved, const struct ph_err *why);

/* A file that was there when the directory was opened is one that waits for the target. */
void ph_spill_adopted(struct ph_spill *spill, uint64_t bytes);

/* Whether there seems to be room, without reserving any. */
bool ph_spill_has_room(struct ph_spill *spill);

/* The file's rows have landed: it goes when everything that committed before now has been flushed. */
void ph_spill_landed(struct ph_spill *spill, const char *file);
bool ph_spill_has_landed(struct ph_spill *spill);

/* Takes that back for what was said before `before_ns`: a crash of the target has undone the landing, the file is needed. */
void ph_spill_not_landed(struct ph_spill *spill, const char *file, uint64_t before_ns);

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

/* Shards whose files are not there, or too short, are planned again, all at once: found one by one by who loads them, each might
 * need a snapshot of its own, since the last one is let go when everything has been read. For the same reason a recovery has them
 * read to the end: then tables is not NULL, those of the job, by number - 1. */
bool ph_spill_forget_missing(struct ph_spill *spill, struct ph_conn *target, int64_t job,
                             const struct ph_table *const *tables, struct ph_err *err);

/* The target was lost and is back. What it has forgotten has not landed: files of such shards stay, and the roster has them as
 * planned. To be done before anything is taken for flushed by the new connection. */
bool ph_spill_recheck(struct ph_spill *spill, struct ph_roster *roster, struct ph_conn *target,
                      int64_t job, struct ph_err *err);

/* The job is done: the directory goes, with what is in it, unless it is to be kept. */
void ph_spill_end(struct ph_spill *spill);

#endif

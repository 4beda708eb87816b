/* Whether an archive is what was written: every file, every checksum, every row, and the schema if it has one.
 *
 * Needs no database. Several threads take the files, biggest first; each has a ring of its own. What is wrong with a file
 * is a finding, and the others are checked all the same; an error is what keeps the check itself from going on.
 */
#ifndef PH_HAUL_ARCHIVE_CHECK_H
#define PH_HAUL_ARCHIVE_CHECK_H

#include "archive/manifest.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "io/dir.h"

enum { PH_ARCHIVE_FINDINGS = 20 };

struct ph_archive_check_opts {
    const struct ph_dir *dir;
    const struct ph_archive *archive; /* sealed */
    bool rows_only; /* not job.json, the schema, and what lies beside it: the files of its shards */
    int jobs;       /* 0: one for each core */
    int io;         /* of ph_place_choices */
    struct ph_log *log;
    struct ph_interrupt *interrupt;
};

struct ph_archive_finding {
    const char *file;                     /* "job.json" and the schema's too */
    const struct ph_archive_shard *shard; /* NULL: it is none's */
    const char *text;                     /* a sentence, with the file's name */
};

struct ph_archive_check {
    uint64_t files, damaged;      /* looked at; of them */
    uint64_t rows, bytes, stored; /* of what is sound; stored: of the files */
    int jobs;
    double seconds;
    struct ph_archive_finding finding[PH_ARCHIVE_FINDINGS]; /* in the manifest's order */
    int n_findings;
    const char *stray[PH_ARCHIVE_FINDINGS]; /* .lz4 files that the manifest does not name */
    int n_strays;                           /* all of them, even those not kept in stray */
};

/* Texts go into the arena. True when the check went through, whatever it found. PH_INTERRUPTED; *out is filled as far as it
 * came, after any failure. */
bool ph_archive_check(struct ph_archive_check *out, const struct ph_archive_check_opts *opts,
                      struct ph_arena *arena, struct ph_err *err);

/* Of an archive that is not sealed yet: fills file, sealed, tally and snapshot of the shards whose files are there; `file` stays
 * NULL where there is none. Only the ends of files are read. *n: shards that have one. */
bool ph_archive_survey(struct ph_archive *archive, const struct ph_dir *dir, int io,
                       struct ph_arena *arena, int *n, struct ph_err *err);

#endif

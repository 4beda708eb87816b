/* What an archive directory holds besides its shard files: the plan it began with, and the manifest that seals it.
 *
 *     job.json        written first: what will be in the archive. An archive that has only this is unfinished.
 *     job-schema.*    the schema, if it has one, see archive/schema.h
 *     *.lz4           one file a shard, see archive/shardfile.h; present under its name means whole
 *     manifest.json   written last: job.json's content and every file's size, hash and tally
 *     lock            flock()ed by whoever writes
 *
 * Both JSON files end with a line of their own, "xxh3-128:" and 32 hexadecimal digits over every byte before it, so a flipped
 * bit anywhere is found. All is replaced durably (io/file.h). The format is in include/pghaul/archive-format.md.
 */
#ifndef PH_ARCHIVE_MANIFEST_H
#define PH_ARCHIVE_MANIFEST_H

#include "archive/shardfile.h"

struct ph_archive_table {
    int id; /* 1, 2, ... */
    const char *schema, *name;
    enum ph_format format;
    const char *split;  /* "block", "key", "hash", "none" */
    const char *filter; /* SQL or NULL */
    const char *const *columns, *const *types;
    int n_columns;
    int64_t bytes; /* heap and TOAST in the source when it was planned */
};

struct ph_archive_shard {
    int64_t id; /* 1, 2, ... */
    int tab;
    const char *where, *lo, *hi; /* as in struct ph_receipt */
    int64_t weight;
    /* in a manifest only; file is NULL in a job */
    const char *file;
    struct ph_sealed sealed;
    struct ph_tally tally;
    int snapshot;
};

struct ph_archive_snapshot {
    int no;
    const char *id, *pg_snapshot, *lsn,
        *taken_at;   /* pg_snapshot, lsn: or NULL; taken_at: as below */
    uint64_t oldest; /* its xmin */
};

enum ph_schema_file { PH_SCHEMA_DUMP, PH_SCHEMA_FACTS, PH_SCHEMA_FILES };

struct ph_archive_file {
    uint64_t size, hash_hi, hash_lo; /* XXH3-128 of all of it */
};

/* See archive/schema.h. */
struct ph_archive_schema {
    int major;          /* of the pg_dump that wrote it */
    const char *counts; /* JSON: what it has, by kind */
    struct ph_archive_file file[PH_SCHEMA_FILES];
};

/* Texts belong to the arena of whoever made it. */
struct ph_archive {
    const char *set;                      /* 32 hexadecimal digits, random */
    const char *name;                     /* the job's */
    const char *fingerprint, *definition; /* of the job, see plan/definition.c */
    const char *source;                   /* for people, without secrets */
    const char *source_system, *source_database;
    uint32_t source_database_oid;
    int source_version; /* 150018 */
    const char *encoding;
    const char *created_at, *sealed_at; /* 2026-11-25T11:00:00Z; sealed_at NULL while unfinished */
    const char *
        catalog; /* JSON of the source's catalog as far as it concerns the tables; opaque here, kept verbatim; may be NULL */
    struct ph_archive_schema *schema;      /* NULL: it has none */
    struct ph_archive_snapshot *snapshots; /* the last one is in force */
    int n_snapshots;
    struct ph_archive_table *tables;
    int n_tables;
    struct ph_archive_shard *shards;
    int n_shards;
};

/* Reads manifest.json (sealed) or job.json. *archive is NULL, with success, when there is none. PH_FAILED when it is not what
 * was written, PH_OTHER_JOB when it is of a newer version. */
bool ph_manifest_read(struct ph_archive **archive, struct ph_arena *arena, int dir,
                      const char *dir_shown, bool sealed, struct ph_err *err);

/* Reads the job.json of a sealed archive, whose manifest repeats all that it says. PH_FAILED when it is damaged, or says
 * anything else; *there is false when there is none. */
bool ph_manifest_confirm(const struct ph_archive *archive, int dir, const char *dir_shown,
                         bool *there, struct ph_err *err);

/* Writes one of them, durably; nothing that ph_manifest_read would refuse: PH_FAILED then, and nothing is changed. */
bool ph_manifest_write(const struct ph_archive *archive, int dir, const char *dir_shown,
                       bool sealed, struct ph_err *err);

/* From and to memory, for tests and fuzzing. The text is malloc'ed; NULL without memory. */
bool ph_manifest_parse(struct ph_archive **archive, struct ph_arena *arena, const char *data,
                       size_t len, struct ph_err *err);
char *ph_manifest_format(const struct ph_archive *archive, bool sealed, size_t *len);

/* A file name for a shard: "public.orders.s000012.lz4", with `token` (may be NULL) before the ending; what is not a plain
 * letter, digit, dot, dash or underscore of the names becomes '_', they are cut, and the name is never hidden or like an option. Within the arena. */
const char *ph_archive_file_name(struct ph_arena *arena, const char *schema, const char *table,
                                 int64_t shard, const char *token);

#endif

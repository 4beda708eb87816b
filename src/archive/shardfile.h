/* One shard in one file: a COPY stream in LZ4 frames, and behind it an index and the receipt.
 *
 *     frame*      the COPY stream (header and trailer included when it is binary), 256 KiB of it to a frame at most; so
 *                 `lz4 -dc FILE | psql -c "copy t from stdin (format binary)"` loads it
 *     tail        one skippable frame: index, receipt (JSON), footer; see include/pghaul/archive-format.md
 *
 * Every byte is covered by a hash: the index has the XXH3-64 of each frame as it is stored, the footer the XXH3-128 of the
 * tail. So a truncated file and a file of a newer version are found when it is opened, and a flipped bit then or before a
 * byte of its frame is lent.
 *
 *     out:  ph_shardout_open → ph_shardout_put… → ph_shardout_seal, or ph_shardout_discard
 *     in:   ph_shardin_open → ph_shardin_next… until *len is 0 → ph_shardin_close
 */
#ifndef PH_ARCHIVE_SHARDFILE_H
#define PH_ARCHIVE_SHARDFILE_H

#include "base/arena.h"
#include "io/file.h"
#include "pghaul/batch.h"
#include "pghaul/shard.h"
#include "pghaul/tally.h"

enum {
    PH_ARCHIVE_VERSION = 1,
    PH_SHARDFILE_HASH = 16,
    PH_SHARDFILE_FRAME = 262187, /* bytes of a frame in the file, at most */
};

/* Proof of what the file holds; everything needed to make sense of it alone. Texts in UTF-8 or, where the source's names
 * are in another encoding, its bytes: they come back as they went in. */
struct ph_receipt {
    const char
        *set; /* 32 hexadecimal digits: the archive, or the round of a job, that it is a part of */
    int64_t shard; /* number within the set */
    int tab;
    int attempt;
    const char *schema, *table; /* of the source */
    enum ph_format format;
    const char *encoding;                      /* of its texts: a PostgreSQL encoding's name */
    const char *const *columns, *const *types; /* types as format_type() shows them */
    int n_columns;
    const char *where;   /* predicate of the shard in the source, "" for the whole table */
    const char *lo, *hi; /* bounds for people; NULL: open */
    int snapshot;        /* number of the job's snapshot */
    const char *pg_snapshot, *lsn; /* NULL: not known */
    uint64_t rows, bytes;          /* the tally: of rows, without stream header and trailer */
    uint64_t hash_lo, hash_hi;
};

static inline struct ph_tally ph_receipt_tally(const struct ph_receipt *receipt)
{
    return (struct ph_tally){.rows = receipt->rows,
                             .bytes = receipt->bytes,
                             .hash_lo = receipt->hash_lo,
                             .hash_hi = receipt->hash_hi};
}

/* When a block is compressed. */
enum ph_compress {
    PH_COMPRESS_PAYS,   /* when it costs less time than the medium would need for what it saves */
    PH_COMPRESS_ALWAYS, /* whenever it shrinks */
    PH_COMPRESS_NEVER,
};

/* What PH_COMPRESS_PAYS has learnt of a medium; see archive/pays.h. Zero-initialise it. */
struct ph_pays {
    enum ph_pays_stage { PH_PAYS_STORE, PH_PAYS_TEST, PH_PAYS_COMPRESS } stage;
    uint32_t left, length;   /* blocks of this stage: still to come, and all */
    uint32_t span;           /* blocks of the next stage that compresses */
    uint32_t dull, rest;     /* blocks in a row that did not shrink; blocks to store untried */
    uint64_t raw, stored;    /* bytes that were counted in this stage */
    uint64_t cpu_ns, waited; /* nanoseconds that were counted in this stage */
    uint64_t waited_at;      /* the ring's total at the last block */
    double wait_per_byte;    /* what the last STORE stage found */
};

struct ph_shardout;

struct ph_shardout_opts {
    struct ph_outfile_opts file;
    enum ph_compress compress;
    const struct ph_receipt *receipt; /* borrowed until sealed; its tally is filled in by seal */
    struct ph_pays
        *pays; /* kept from file to file by whoever owns the ring; NULL: each file learns anew */
};

/* PH_FAILED as well when the receipt has a field that could not be read back. */
bool ph_shardout_open(struct ph_shardout **out, struct ph_ring *ring,
                      const struct ph_shardout_opts *opts, struct ph_err *err);

/* A batch becomes a block (or several); nothing of it is kept. After a failure only discard is left. */
bool ph_shardout_put(struct ph_shardout *file, const struct ph_batch *batch, struct ph_err *err);

/* What has been written so far, compressed; bytes. */
uint64_t ph_shardout_size(const struct ph_shardout *file);

/* What a sealed file is known by, besides its name: a manifest keeps it. */
struct ph_sealed {
    uint64_t size; /* bytes of the file */
    /* XXH3-128 of its tail, and so of everything: hexadecimal, it is what xxh128sum shows */
    unsigned char hash[PH_SHARDFILE_HASH];
};

/* Writes trailer, index and receipt with this tally, makes the file durable and frees it. On failure it is gone, and freed as
 * well; a tally that is not of as many rows and bytes as were put is such a failure. */
bool ph_shardout_seal(struct ph_shardout *file, const struct ph_tally *tally,
                      struct ph_sealed *sealed, struct ph_err *err);

/* Takes it away. NULL is fine. */
void ph_shardout_discard(struct ph_shardout *file);

struct ph_shardin;

/* Opens and checks the tail. The ring's buffers must be able to hold a frame (PH_SHARDFILE_FRAME). PH_FAILED with the file's name when it is not whole, not ours, or not what it was; PH_OTHER_JOB
 * when it is of a newer version. */
bool ph_shardin_open(struct ph_shardin **out, struct ph_ring *ring, int dir, const char *dir_shown,
                     const char *name, bool direct, struct ph_err *err);
void ph_shardin_close(struct ph_shardin *file);

/* Until it is closed. */
const struct ph_receipt *ph_shardin_receipt(const struct ph_shardin *file);
const struct ph_sealed *ph_shardin_sealed(const struct ph_shardin *file);

/* Lends the next bytes of the COPY stream (its header and trailer included), until the next call. A frame's hash has been
 * checked before any of it is lent. *len 0 at the end: all frames have been read, and there were as many bytes as the receipt
 * says. Whether the rows are those of the receipt's tally is for the caller to see. */
bool ph_shardin_next(struct ph_shardin *file, const char **data, size_t *len, struct ph_err *err);

#endif

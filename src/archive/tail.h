/* The tail of a shard file, in memory: index, receipt and footer as bytes, and back.
 *
 * The layout is in include/pghaul/archive-format.md. Nothing here does I/O: the reader fetches the footer, then the whole
 * tail, and what it gets from here is proven to be consistent in itself and with the file's size.
 */
#ifndef PH_ARCHIVE_TAIL_H
#define PH_ARCHIVE_TAIL_H

#include "archive/shardfile.h"
#include "base/buf.h"

enum {
    PH_TAIL_ENTRY = 28,  /* bytes of a frame's entry in the index */
    PH_TAIL_FOOTER = 64, /* bytes of the footer, in every version */
    /* A frame as it is stored, and its part of the stream, at most. */
    PH_TAIL_BLOCKS = 4,
    PH_TAIL_RAW = 4 * 65536,
    PH_TAIL_STORED = 7 + 4 * (65536 + 8) + 4,
};

struct ph_tail_entry {
    uint64_t offset;      /* in the file */
    uint32_t stored, raw; /* bytes in the file and in the stream */
    uint32_t rows;        /* that end in it */
    uint64_t hash;        /* XXH3-64 of the frame as it is stored */
};

struct ph_tail {
    const struct ph_tail_entry *entries;
    uint32_t n_entries;
    uint64_t offset; /* where the tail begins, and the frames end */
    uint64_t stream; /* bytes of the stream */
    struct ph_receipt receipt;
    struct ph_sealed sealed;
};

/* Appends an entry to an index. */
void ph_tail_add(struct ph_buf *index, const struct ph_tail_entry *entry);

/* Appends the tail of a file whose frames end at `offset` to `out`, and says what the file is then known by. PH_FAILED when
 * it is beyond what a skippable frame can hold, or ph_tail_parse would refuse it. */
bool ph_tail_format(struct ph_buf *out, const struct ph_buf *index,
                    const struct ph_receipt *receipt, uint64_t offset, struct ph_sealed *sealed,
                    struct ph_err *err);

/* From the last PH_TAIL_FOOTER bytes of a file of file_size bytes: how long its tail is, footer included. PH_FAILED when it
 * cannot be a footer of this file. */
bool ph_tail_size(const char *footer, uint64_t file_size, size_t *size, struct ph_err *err);

/* The last `len` bytes of the file, as ph_tail_size said. PH_FAILED when they are not what was written, PH_OTHER_JOB when they
 * are of a newer version. Entries and texts go into the arena. */
bool ph_tail_parse(struct ph_tail *tail, struct ph_arena *arena, const char *data, size_t len,
                   uint64_t file_size, struct ph_err *err);

#endif

/* The rows of a sealed archive's shard, proven against the manifest as they are lent.
 *
 * Opening a shard proves that its file is the one that the manifest means: the same size and hash, a receipt that says the
 * same of shard, table and tally. Reading proves each frame before its rows are lent, and at the end that the rows
 * were those of the tally.
 *
 *     ph_archive_rows_init → per shard: ph_archive_rows_open → ph_archive_rows_next until it lends an empty batch
 *                                       → ph_archive_rows_close
 *                          → ph_archive_rows_fini
 *
 * Whatever is wrong with a file is PH_DAMAGED, and its name is in the text; PH_OTHER_JOB when it is of a newer version. One
 * thread, and the ring of its place.
 */
#ifndef PH_ARCHIVE_ROWS_H
#define PH_ARCHIVE_ROWS_H

#include "archive/manifest.h"
#include "archive/place.h"
#include "copy/batcher.h"

struct ph_archive_rows {
    struct ph_place *place;
    const struct ph_archive *archive;
    const struct ph_archive_shard *shard;
    struct ph_shardin *file; /* NULL: none is open */
    struct ph_tally tally;   /* of the rows that were lent */
    struct ph_batcher batcher;
};

/* place and archive: borrowed. */
bool ph_archive_rows_init(struct ph_archive_rows *rows, struct ph_place *place,
                          const struct ph_archive *archive, struct ph_err *err);
void ph_archive_rows_fini(struct ph_archive_rows *rows);

/* PH_WRONG when there is no ring to be had; nothing is open after a failure. */
bool ph_archive_rows_open(struct ph_archive_rows *rows, const struct ph_archive_shard *shard,
                          struct ph_err *err);

/* Lends the next batch, until the next call; len 0 at the end, when all has been proven. */
bool ph_archive_rows_next(struct ph_archive_rows *rows, struct ph_batch *batch, struct ph_err *err);

void ph_archive_rows_close(struct ph_archive_rows *rows);

#endif

/* The rows of one table of an archive, as COPY would write them: all shards one behind the other, in one stream.
 *
 * Memory is a ring and a few buffers, whatever the table's size; as text and CSV, the largest row as well. No row leaves
 * before its frame has been proven.
 */
#ifndef PH_HAUL_ARCHIVE_CAT_H
#define PH_HAUL_ARCHIVE_CAT_H

#include "archive/manifest.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "io/dir.h"

enum ph_cat_as { PH_CAT_BINARY, PH_CAT_TEXT, PH_CAT_CSV };

struct ph_archive_cat_opts {
    const struct ph_dir *dir;
    const struct ph_archive *archive; /* sealed */
    const struct ph_archive_table *table;
    enum ph_cat_as as;
    int io; /* of ph_place_choices */
    struct ph_log *log;
    struct ph_interrupt *interrupt;
    bool (*put)(void *arg, const char *data, size_t len, struct ph_err *err); /* where it goes */
    void *arg;
};

/* PH_WRONG before a byte is put: the table is archived as text and cannot be had as binary, or a column cannot be shown.
 * PH_DAMAGED: what was put until then is right, and not all; a binary stream then ends in a row that no server takes. PH_INTERRUPTED. What put fails with. */
bool ph_archive_cat(const struct ph_archive_cat_opts *opts, struct ph_err *err);

#endif

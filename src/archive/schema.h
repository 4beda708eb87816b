/* The schema that an archive may have beside its rows: two files, whose sizes and hashes the manifest knows.
 *
 *     job-schema.dump    what pg_dump -Fc --schema-only wrote: pg_restore reads it, with pghaul or without
 *     job-schema.json    what was asked of the source besides (see pg/witness.h): sequences, indexes, roles, …
 *
 * Both are written before job.json, which names them, and replaced durably. Neither is believed without its hash.
 */
#ifndef PH_ARCHIVE_SCHEMA_H
#define PH_ARCHIVE_SCHEMA_H

#include "archive/manifest.h"
#include "base/buf.h"

extern const char *const ph_schema_files[PH_SCHEMA_FILES];

/* Writes one of the two and notes in `schema` what it is. PH_NO_ROOM, PH_FAILED. */
bool ph_schema_write(struct ph_archive_schema *schema, enum ph_schema_file which, int dir,
                     const char *dir_shown, const struct ph_buf *content, struct ph_err *err);

/* Adds it to `content`. PH_DAMAGED when it is missing or not what was written. */
bool ph_schema_read(const struct ph_archive_schema *schema, enum ph_schema_file which, int dir,
                    const char *dir_shown, struct ph_buf *content, struct ph_err *err);

#endif

/* The last line of job.json and manifest.json: the hash of every byte before it. */
#ifndef PH_ARCHIVE_MANIFEST_LINE_H
#define PH_ARCHIVE_MANIFEST_LINE_H

#include <stddef.h>

enum { PH_MANIFEST_LINE = 42 }; /* "xxh3-128:", 32 digits, a newline */

/* The line for these bytes, terminated. */
void ph_manifest_line(char out[static PH_MANIFEST_LINE + 1], const char *data, size_t len);

/* An archive's words for how a table is cut. */
enum { PH_ARCHIVE_SPLITS = 4 };
extern const char *const ph_archive_splits[PH_ARCHIVE_SPLITS];

#endif

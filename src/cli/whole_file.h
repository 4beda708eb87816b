/* Files that are whole or as they were before: what is written elsewhere takes their place. */
#ifndef PH_CLI_WHOLE_FILE_H
#define PH_CLI_WHOLE_FILE_H

#include "base/buf.h"
#include "pghaul/err.h"

/* Writes a text to a path. A device or a pipe, which cannot be replaced, is written to. what: "job file", for the error. durable:
 * it survives a crash of the machine. PH_WRONG. */
bool ph_whole_file(const char *path, const char *what, const struct ph_buf *text, bool durable,
                   struct ph_err *err);

/* The same for what others may not read: 0600, and it survives a crash. */
bool ph_whole_file_private(const char *path, const char *what, const struct ph_buf *text,
                           struct ph_err *err);

#endif

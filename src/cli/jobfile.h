/* Job files: the same settings as YAML.
 *
 *     source: service=old            every option by its long name, shard_size or shard-size;
 *     target: service=new            repeatable ones as a word or a list of words
 *     mode: upsert
 *     tables:                        a list, or a map from table to the rest
 *       - public.orders              as after -t, `=target` included
 *       - table: public.users        (or `source:`) with
 *         target: crm.people
 *         filter: not deleted        (or `where:`)
 *         columns:                   a list of names: these columns only; or
 *           email: lower(trim(email))    a map: these get expressions, the others stay; or a list
 * with maps in it key: [id] split: key
 *
 * Table names and patterns have psql's quoting. Columns and keys are taken as they stand, since
 * YAML has its own quotes, unless they begin with a double quote.
 */
#ifndef PH_CLI_JOBFILE_H
#define PH_CLI_JOBFILE_H

#include "base/buf.h"
#include "cli/settings.h"

/* PH_WRONG; the text begins with file:line:column. Values of source and target are never echoed. */
bool ph_jobfile_read(struct ph_settings *s, const char *path, struct ph_err *err);

/* The same from memory, for tests; `name` stands for the file's. */
bool ph_jobfile_parse(struct ph_settings *s, const char *name, const char *text, size_t len,
                      struct ph_err *err);

/* Writes settings and plan as a job file that reads back to the same definition: requests as they
 * were made, or, where patterns selected bare tables, the tables by name. Passwords are left out,
 * and a comment says so. plan may be NULL. */
bool ph_jobfile_write(struct ph_settings *s, const struct ph_job_spec *spec,
                      const struct ph_plan *plan, struct ph_buf *out, struct ph_err *err);

#endif

/* SQL texts, with names and values quoted by the server's rules.
 *
 * Sessions of ours run with standard_conforming_strings on and a client encoding that the target
 * server uses itself; in every such encoding no byte of a multibyte character is an ASCII quote or
 * backslash, so quoting needs no connection. No value is ever put into SQL any other way.
 */
#ifndef PH_PG_SQL_H
#define PH_PG_SQL_H

#include "base/buf.h"

/* Appends by a small format language of its own:
 *     %s  const char *, as it is     %I  const char *, as an identifier, always in double quotes
 *     %L  const char *, as a literal (NULL: the word NULL)
 *     %d  int    %u  unsigned    %D  int64_t    %U  uint64_t    %%  a percent sign
 */
void ph_sql_add(struct ph_buf *buf, const char *fmt, ...);

#endif

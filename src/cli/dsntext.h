/* Connection strings as text: what has to be looked at before, and taken out after, libpq's own
 * parser has had them. */
#ifndef PH_CLI_DSNTEXT_H
#define PH_CLI_DSNTEXT_H

#include "base/arena.h"
#include "pghaul/err.h"

/* Refuses a URI with more than one @ before its parameters: libpq would take the rest of a password
 * for the host's name, and print it. PH_WRONG; the text is not echoed. */
bool ph_dsntext_check(const char *text, struct ph_err *err);

/* The same connection string without its passwords, in the arena; NULL when it cannot be told where
 * they are. The text must have been parsed by ph_dsn_parse() before. */
const char *ph_dsntext_without_password(struct ph_arena *arena, const char *text);

#endif

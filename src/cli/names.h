/* Names as psql's users write them: unquoted ones fold to lower case, "quoted" ones stay, "" is a
 * quote. */
#ifndef PH_CLI_NAMES_H
#define PH_CLI_NAMES_H

#include "cli/settings.h"

/* Takes `[SCHEMA.]NAME[=[SCHEMA.]TARGET]` apart at the = outside quotes; both halves keep their
 * quoting. *target is NULL when there is none. PH_WRONG for empty names and open quotes. */
bool ph_names_table(struct ph_arena *arena, const char *text, const char **pattern,
                    const char **target, struct ph_err *err);

/* Whether a pattern may match more than one table. */
bool ph_names_is_wild(const char *pattern);

/* a,b,"C,D" → a  b  C,D. PH_WRONG for empty or doubled names and open quotes. */
bool ph_names_list(struct ph_arena *arena, const char *text, struct ph_words *out,
                   struct ph_err *err);

/* One name from a job file, where YAML has its own quotes: taken as it is, unless it begins with a
 * double quote. */
bool ph_names_one(struct ph_arena *arena, const char *text, const char **out, struct ph_err *err);

/* Offset of the first byte that is not UTF-8 or, unless `controls` are welcome, is a control
 * character other than tab and line ends; len when there is none. */
size_t ph_text_bad_byte(const char *text, size_t len, bool controls);

/* Length in bytes of the UTF-8 character at p, 0 when there is none. */
size_t ph_text_char(const char *p, size_t left);

#endif

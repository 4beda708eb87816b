/* The words in a piece of the user's SQL: which columns it mentions, which functions it calls.
 *
 * A scanner, not a parser: it knows what is a word and what is a string or a comment, and no more.
 * What it says serves advice and refusals, never the making of a statement.
 *
 *     struct ph_sqltext text = {.p = filter};
 *     while (ph_sqltext_next(&text, &arena)) ...text.word, text.is_call...
 */
#ifndef PH_PLAN_SQLTEXT_H
#define PH_PLAN_SQLTEXT_H

#include <stdbool.h>

#include "base/arena.h"

struct ph_sqltext {
    const char *p;    /* what is still to be read */
    const char *word; /* the identifier or key word, unquoted or folded to lower case; the last part
                         of a.b.c */
    bool is_call;     /* an opening parenthesis follows */
};

/* Goes on to the next word; false at the end. */
bool ph_sqltext_next(struct ph_sqltext *text, struct ph_arena *arena);

/* Whether the SQL mentions this name as a word. */
bool ph_sqltext_mentions(const char *sql, const char *name, struct ph_arena *arena);

#endif

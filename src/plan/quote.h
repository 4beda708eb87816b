/* Names as SQL writes them: quoted where quote_ident() of the server would quote them. */
#ifndef PH_PLAN_QUOTE_H
#define PH_PLAN_QUOTE_H

#include "base/arena.h"
#include "base/buf.h"

/* orders, "Odd ""name""", "select". */
void ph_quote_add(struct ph_buf *out, const char *name);

/* public.orders; without the schema when that is NULL. In the arena. */
const char *ph_quote_name(struct ph_arena *arena, const char *schema, const char *name);

#endif

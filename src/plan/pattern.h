/* Names and patterns as psql's \d and pg_dump's -t read them.
 *
 * Outside double quotes letters fold to lower case, * stands for any run of characters, ? for one,
 * and a dot separates schema and name. Inside quotes everything is meant literally; "" is one
 * quote. Whatever comes in is a name: nothing of it ever reaches SQL but as a quoted identifier
 * that a catalog has confirmed.
 */
#ifndef PH_PLAN_PATTERN_H
#define PH_PLAN_PATTERN_H

#include <stdbool.h>

#include "base/arena.h"
#include "pghaul/err.h"

struct ph_pattern_part {
    const char *text;          /* unquoted and folded; NULL: this part was not given */
    const unsigned char *wild; /* per byte: whether * and ? are wildcards there */
    bool is_wild;              /* any of them */
};

struct ph_pattern {
    struct ph_pattern_part schema, name;
};

/* Parses [SCHEMA.]NAME. PH_WRONG for more parts, empty ones, open quotes, and for names without
 * wildcards that are longer than 63 bytes: the server would cut those in silence, and find another
 * table. */
bool ph_pattern_parse(struct ph_pattern *out, struct ph_arena *arena, const char *text,
                      struct ph_err *err);

/* Parses a schema's name alone; the result is in out->name. */
bool ph_pattern_parse_schema(struct ph_pattern *out, struct ph_arena *arena, const char *text,
                             struct ph_err *err);

/* Whether a part matches a name; a part that was not given matches everything. */
bool ph_pattern_matches(const struct ph_pattern_part *part, const char *name);

#endif

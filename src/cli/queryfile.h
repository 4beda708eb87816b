/* The file of --queries: what both servers are asked.
 *
 *     queries:
 *       - name: orders of a day            # for people
 *         sql: SELECT day, count(*) FROM orders GROUP BY 1 ORDER BY 1
 *         tolerance: 0.5%                  # or a number; without: equal
 *       - name: revenue
 *         source: SELECT sum(total) FROM orders
 *         target: SELECT sum(amount) FROM new_orders
 */
#ifndef PH_CLI_QUERYFILE_H
#define PH_CLI_QUERYFILE_H

#include "base/arena.h"
#include "haul/queries.h"

/* *out: n of them, in the arena. PH_WRONG, with the place in the file. */
bool ph_queryfile_read(struct ph_arena *arena, const char *path, struct ph_query **out, int *n,
                       struct ph_err *err);

#endif

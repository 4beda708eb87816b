/* A table of texts in columns as wide as they have to be.
 *
 *     struct ph_grid grid = {.align = "llrr"};
 *     ph_grid_cell(&grid, "table"); ... four cells make a row ...
 *     ph_grid_print(&grid, &out, "  ");    prints and frees
 *
 * Cells are made safe for terminals. Trailing empty cells leave no spaces.
 */
#ifndef PH_CLI_GRID_H
#define PH_CLI_GRID_H

#include "base/arena.h"
#include "base/buf.h"

struct ph_grid {
    const char *align; /* one letter a column: l or r */
    struct ph_arena arena;
    const char **cell;
    size_t n, room;
};

void ph_grid_cell(struct ph_grid *grid, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_grid_print(struct ph_grid *grid, struct ph_buf *out, const char *indent);

#endif

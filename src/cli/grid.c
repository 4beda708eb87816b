#include "cli/grid.h"

#include <stdarg.h>
#include <string.h>

#include "cli/term.h"

enum { MAX_COLUMNS = 16 };

void ph_grid_cell(struct ph_grid *grid, const char *fmt, ...)
{
    struct ph_buf raw = {0}, safe = {0};
    va_list ap;
    va_start(ap, fmt);
    ph_buf_vaddf(&raw, fmt, ap);
    va_end(ap);
    ph_term_safe(&safe, ph_buf_text(&raw));
    if (grid->n == grid->room) {
        grid->room = grid->room ? grid->room * 2 : 64;
        const char **bigger = ph_arena_calloc(&grid->arena, grid->room, sizeof *bigger);
        if (grid->n)
            memcpy(bigger, grid->cell, grid->n * sizeof *bigger);
        grid->cell = bigger;
    }
    grid->cell[grid->n++] = ph_arena_strdup(&grid->arena, ph_buf_text(&safe));
    ph_buf_fini(&raw);
    ph_buf_fini(&safe);
}

static void print_row(const struct ph_grid *grid, size_t row, const int *width, struct ph_buf *out,
                      const char *indent)
{
    size_t columns = strlen(grid->align), last = 0;
    const char **cell = grid->cell + row * columns;
    for (size_t c = 0; c < columns; c++)
        if (*cell[c])
            last = c;
    ph_buf_add(out, indent);
    for (size_t c = 0; c <= last; c++) {
        int pad = width[c] - ph_term_columns(cell[c]);
        bool right = grid->align[c] == 'r';
        if (right)
            ph_buf_addf(out, "%*s", pad, "");
        ph_buf_add(out, cell[c]);
        if (!right && c < last)
            ph_buf_addf(out, "%*s", pad, "");
        if (c < last)
            ph_buf_add(out, "  ");
    }
    ph_buf_addc(out, '\n');
}

void ph_grid_print(struct ph_grid *grid, struct ph_buf *out, const char *indent)
{
    size_t columns = strlen(grid->align);
    int width[MAX_COLUMNS] = {0};
    for (size_t i = 0; i < grid->n; i++) {
        int w = ph_term_columns(grid->cell[i]);
        if (w > width[i % columns])
            width[i % columns] = w;
    }
    for (size_t row = 0; row < grid->n / columns; row++)
        print_row(grid, row, width, out, indent);
    ph_arena_fini(&grid->arena);
    *grid = (struct ph_grid){.align = grid->align};
}

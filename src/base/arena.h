/* Memory that lives and dies together: a plan with its thousands of names.
 *
 * Everything allocated from an arena is freed by ph_arena_fini(), nothing before. Allocations are
 * zeroed and never NULL (out of memory ends the process, as in buf.h). Not for use from several
 * threads at once.
 */
#ifndef PH_BASE_ARENA_H
#define PH_BASE_ARENA_H

#include <stddef.h>

struct ph_arena {
    struct ph_arena_block *head;
};

void *ph_arena_alloc(struct ph_arena *arena, size_t size);

/* n zeroed elements of `size` bytes. */
void *ph_arena_calloc(struct ph_arena *arena, size_t n, size_t size);

/* A copy of the text; NULL stays NULL. */
char *ph_arena_strdup(struct ph_arena *arena, const char *text);
char *ph_arena_printf(struct ph_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void ph_arena_fini(struct ph_arena *arena);

#endif

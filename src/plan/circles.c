#include "plan/circles.h"

#include <stdlib.h>

/* The walk. A thing that is met gets the next number of `met`; `low` is the lowest number that it leads back to among
 * those whose circle is not known yet, which wait on the stack. One that leads back to nothing before itself is the first of
 * its circle: whatever is above it on the stack is the rest. */
struct walk {
    const struct ph_reference *references; /* by `from` */
    const int *begin;                      /* of each thing's references; one more at the end */
    int *next, *met, *low, *circle;
    int *path, *stack; /* from where we came; whose circle is not known */
    int n_path, n_stack, n_met, n_circles;
};

static void enter(struct walk *w, int thing)
{
    w->met[thing] = w->low[thing] = ++w->n_met;
    w->next[thing] = w->begin[thing];
    w->path[w->n_path++] = thing;
    w->stack[w->n_stack++] = thing;
}

static void lower(struct walk *w, int thing, int low)
{
    if (low < w->low[thing])
        w->low[thing] = low;
}

static void leave(struct walk *w, int thing)
{
    w->n_path--;
    if (w->n_path > 0)
        lower(w, w->path[w->n_path - 1], w->low[thing]);
    if (w->low[thing] < w->met[thing])
        return;
    w->n_circles++;
    for (int other = -1; other != thing;) {
        other = w->stack[--w->n_stack];
        w->circle[other] = w->n_circles;
    }
}

/* No recursion: a chain of foreign keys may be as long as there are tables. */
static void walk_from(struct walk *w, int thing)
{
    enter(w, thing);
    while (w->n_path > 0) {
        int here = w->path[w->n_path - 1];
        if (w->next[here] == w->begin[here + 1]) {
            leave(w, here);
            continue;
        }
        int to = w->references[w->next[here]++].to;
        if (!w->met[to])
            enter(w, to);
        else if (!w->circle[to])
            lower(w, here, w->met[to]);
    }
}

static int order_references(const void *a, const void *b)
{
    const struct ph_reference *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

const int *ph_circles_find(struct ph_arena *arena, int n, struct ph_reference *references,
                           int n_references)
{
    size_t room = (size_t)n + 1;
    int *begin = ph_arena_calloc(arena, room, sizeof *begin);
    struct walk w = {
        .references = references,
        .begin = begin,
        .next = ph_arena_calloc(arena, room, sizeof *w.next),
        .met = ph_arena_calloc(arena, room, sizeof *w.met),
        .low = ph_arena_calloc(arena, room, sizeof *w.low),
        .circle = ph_arena_calloc(arena, room, sizeof *w.circle),
        .path = ph_arena_calloc(arena, room, sizeof *w.path),
        .stack = ph_arena_calloc(arena, room, sizeof *w.stack),
    };
    if (n_references)
        qsort(references, (size_t)n_references, sizeof *references, order_references);
    for (int i = 0, at = 0; i <= n; i++) {
        while (at < n_references && references[at].from < i)
            at++;
        begin[i] = at;
    }
    for (int i = 0; i < n; i++)
        if (!w.met[i])
            walk_from(&w, i);
    return w.circle;
}

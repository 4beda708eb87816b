/* The tools that everybody uses who works on a plan: names for people, obstacles, warnings. */
#include "plan/make.h"

#include <string.h>

#include "base/buf.h"
#include "plan/quote.h"

const char *ph_plan_name(struct ph_plan *plan, const char *schema, const char *name)
{
    return ph_quote_name(&plan->arena, schema, name);
}

const char *ph_make_name(struct ph_make *make, const struct ph_relation *relation)
{
    return ph_plan_name(make->plan, relation->schema, relation->name);
}

bool ph_make_invents(const struct ph_make *make)
{
    return make->plan->spec->route == PH_ROUTE_EXTRACT || make->plan->spec->to_be_made;
}

const char *ph_make_side(const struct ph_make *make, int side)
{
    static const char *const servers[] = {"source", "target"};
    return make->side[side].conn ? servers[side] : "archive";
}

const char *ph_make_quote(struct ph_make *make, const char *name)
{
    return ph_quote_name(&make->plan->arena, NULL, name);
}

const char *ph_make_list(struct ph_make *make, const char *const *names, int n)
{
    enum { MOST = 8 };
    struct ph_buf buf = {0};
    int shown = n > MOST ? MOST : n;
    for (int i = 0; i < shown; i++)
        ph_buf_addf(&buf, "%s%s", i == 0 ? "" : i == n - 1 ? " and " : ", ", names[i]);
    if (n > shown)
        ph_buf_addf(&buf, " and %d more", n - shown);
    const char *out = ph_arena_strdup(&make->plan->arena, ph_buf_text(&buf));
    ph_buf_fini(&buf);
    return out;
}

/* Findings. */

void *ph_make_push(struct ph_arena *arena, void **items, int *n, int *room, size_t size)
{
    if (*n == *room) {
        int more = *room ? *room * 2 : 8;
        char *bigger = ph_arena_calloc(arena, (size_t)more, size);
        if (*n)
            memcpy(bigger, *items, (size_t)*n * size);
        *items = bigger;
        *room = more;
    }
    return (char *)*items + (size_t)(*n)++ * size;
}

static const char *vformat(struct ph_arena *arena, const char *fmt, va_list ap)
{
    struct ph_buf buf = {0};
    ph_buf_vaddf(&buf, fmt, ap);
    for (char *p = buf.data; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?'; /* names may hold anything; a terminal must not */
    const char *out = ph_arena_strdup(arena, ph_buf_text(&buf));
    ph_buf_fini(&buf);
    return out;
}

void ph_make_obstacle(struct ph_make *make, const char *hint, const char *fmt, ...)
{
    struct ph_plan *plan = make->plan;
    va_list ap;
    va_start(ap, fmt);
    const char *text = vformat(&plan->arena, fmt, ap);
    va_end(ap);
    /* leaves that share a root share its faults, and are neighbours mostly */
    enum { LOOK_BACK = 32 };
    for (int i = plan->n_obstacles; i > 0 && i > plan->n_obstacles - LOOK_BACK; i--)
        if (!strcmp(plan->obstacles[i - 1].text, text))
            return;
    void *items = make->obstacles;
    struct ph_obstacle *o =
        ph_make_push(&plan->arena, &items, &plan->n_obstacles, &make->room_obstacles, sizeof *o);
    make->obstacles = items;
    plan->obstacles = items;
    *o = (struct ph_obstacle){text, ph_arena_strdup(&plan->arena, hint)};
}

void ph_make_vwarn(struct ph_arena *arena, const char *const **list, int *n, const char *fmt,
                   va_list ap)
{
    const char **bigger = ph_arena_calloc(arena, (size_t)*n + 1, sizeof *bigger);
    for (int i = 0; i < *n; i++)
        bigger[i] = (*list)[i];
    bigger[(*n)++] = vformat(arena, fmt, ap);
    *list = bigger;
}

void ph_make_warning(struct ph_make *make, const char *fmt, ...)
{
    struct ph_plan *plan = make->plan;
    va_list ap;
    va_start(ap, fmt);
    ph_make_vwarn(&plan->arena, &plan->warnings, &plan->n_warnings, fmt, ap);
    va_end(ap);
}

void ph_plan_warn(struct ph_plan *plan, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ph_make_vwarn(&plan->arena, &plan->warnings, &plan->n_warnings, fmt, ap);
    va_end(ap);
}

void ph_plan_obstacle(struct ph_plan *plan, const char *text, const char *hint)
{
    int n = plan->n_obstacles;
    struct ph_obstacle *all = ph_arena_calloc(&plan->arena, (size_t)n + 1, sizeof *all);
    for (int i = 0; i < n; i++)
        all[i] = plan->obstacles[i];
    all[n].text = ph_arena_strdup(&plan->arena, text);
    all[n].hint = hint && *hint ? ph_arena_strdup(&plan->arena, hint) : NULL;
    plan->obstacles = all;
    plan->n_obstacles = n + 1;
}

void ph_make_table_warning(struct ph_make *make, struct ph_table *table, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ph_make_vwarn(&make->plan->arena, &table->warnings, &table->n_warnings, fmt, ap);
    va_end(ap);
}

/* The key by which verify tells rows apart: what was asked for, else the primary key of either side,
 * else a unique index of either side on columns that are never null. Uniqueness on one side is
 * enough: rows that the other has twice are counted.
 */
#include <string.h>

#include "plan/make.h"

/* The place of a planned column that stands for one of this side's; -1: none does. */
static int place_of(const struct ph_table *table, int side, const char *name)
{
    for (int i = 0; i < table->n_columns; i++) {
        const struct ph_plan_column *c = &table->columns[i];
        const char *here = side == PH_SOURCE ? c->source : c->name;
        if (!(side == PH_SOURCE && c->is_expression) && !strcmp(here, name))
            return i;
    }
    return -1;
}

static bool take(struct ph_make *make, struct ph_table *table, const int *places, int n)
{
    for (int i = 0; i < n; i++)
        if (places[i] < 0)
            return false;
    int *identity = ph_arena_calloc(&make->plan->arena, (size_t)n, sizeof *identity);
    for (int i = 0; i < n; i++)
        identity[i] = places[i];
    table->identity = identity;
    table->n_identity = n;
    return n > 0;
}

static bool take_index(struct ph_make *make, struct ph_table *table, int side,
                       const struct ph_relation *relation, const struct ph_index *index)
{
    enum { MOST = 32 };
    int places[MOST];
    if (!index->unique || !index->valid || index->partial || index->expression ||
        index->n_key > MOST)
        return false;
    for (int i = 0; i < index->n_key; i++) {
        const struct ph_column *c = ph_relation_column_number(relation, index->key[i]);
        places[i] = c && c->not_null ? place_of(table, side, c->name) : -1;
    }
    return take(make, table, places, index->n_key);
}

static bool take_request(struct ph_make *make, const struct ph_request *request,
                         struct ph_table *table)
{
    int *places = ph_arena_calloc(&make->plan->arena, (size_t)request->n_key, sizeof *places);
    for (int i = 0; i < request->n_key; i++) {
        places[i] = place_of(table, PH_TARGET, request->key[i]);
        if (places[i] < 0)
            places[i] = place_of(table, PH_SOURCE, request->key[i]);
    }
    return take(make, table, places, request->n_key);
}

void ph_match_identity(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    const struct ph_request *request = pair->pick->request;
    const struct ph_relation *sides[] = {[PH_SOURCE] = pair->source, [PH_TARGET] = pair->target};
    if (request && request->n_key && take_request(make, request, table))
        return;
    for (int primary = 1; primary >= 0; primary--)
        for (int side = PH_TARGET; side >= PH_SOURCE; side--)
            for (int i = 0; i < sides[side]->n_indexes; i++)
                if (sides[side]->indexes[i].primary == (primary == 1) &&
                    take_index(make, table, side, sides[side], &sides[side]->indexes[i]))
                    return;
}

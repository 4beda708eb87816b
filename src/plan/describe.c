#include "plan/describe.h"

#include <string.h>

#include "plan/quote.h"

static bool is_systems(const struct ph_type *type)
{
    return !strcmp(type->schema, "pg_catalog");
}

/* NULL when the catalog does not have it: the decoder then refuses what needs it. */
static const char *name_of(const struct ph_types *types, struct ph_arena *arena, uint32_t oid)
{
    const struct ph_type *type = ph_types_find(types, oid);
    if (!type)
        return NULL;
    if (!type->element)
        return ph_quote_name(arena, type->schema, type->name);
    const char *element = name_of(types, arena, type->element);
    return element ? ph_arena_printf(arena, "%s[]", element) : NULL;
}

static enum ph_decode_kind kind_of(const struct ph_type *type)
{
    switch (type->kind) {
    case 'e':
        return PH_DECODE_ENUM;
    case 'd':
        return PH_DECODE_DOMAIN;
    case 'r':
        return PH_DECODE_RANGE;
    case 'm':
        return PH_DECODE_MULTIRANGE;
    case 'c':
        return PH_DECODE_COMPOSITE;
    default:
        return PH_DECODE_BASE;
    }
}

static struct ph_decode_type describe(const struct ph_types *types, struct ph_arena *arena,
                                      const struct ph_type *type)
{
    const char **attributes =
        ph_arena_calloc(arena, (size_t)type->n_attributes + 1, sizeof *attributes);
    for (int i = 0; i < type->n_attributes; i++)
        attributes[i] = name_of(types, arena, type->attributes[i].type);
    uint32_t of = type->kind == 'd' ? type->base : type->subtype;
    return (struct ph_decode_type){
        .name = ph_quote_name(arena, type->schema, type->name),
        .kind = kind_of(type),
        .of = of ? name_of(types, arena, of) : NULL,
        .attributes = attributes,
        .n_attributes = type->n_attributes,
    };
}

const struct ph_decode_type *ph_describe_types(const struct ph_types *types, struct ph_arena *arena,
                                               int *n)
{
    struct ph_decode_type *out = ph_arena_calloc(arena, (size_t)types->n + 1, sizeof *out);
    *n = 0;
    for (int i = 0; i < types->n; i++)
        if (!types->items[i].element && !is_systems(&types->items[i]))
            out[(*n)++] = describe(types, arena, &types->items[i]);
    return out;
}

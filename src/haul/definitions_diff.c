#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "haul/definitions.h"
#include "plan/quote.h"

/* A fact as it is compared: names and texts of both sides are brought to the target's. */
struct item {
    const struct ph_fact *fact;
    int pair; /* -1: of no relation */
    const char *name, *value;
};

struct items {
    struct item *items;
    int n;
};

struct rename {
    const char *from, *to;
};

struct diff {
    struct ph_arena *arena;
    const struct ph_definitions_in *in;
    struct place {
        uint32_t oid;
        int pair;
    } * places[2]; /* by OID */
    int n_places[2];
    struct rename *renames;
    int n_renames;
    struct ph_verify_definitions *out;
    int room;
};

/* Names. */

static bool is_renamed(const struct ph_scope_pair *pair)
{
    const struct ph_relation *a = pair->side[0], *b = pair->side[1];
    return a && b && (strcmp(a->name, b->name) != 0 || strcmp(a->schema, b->schema) != 0);
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c == '"' || (unsigned char)c >= 0x80;
}

/* The length of the name that stands at `at` as a whole name; 0: it does not. */
static size_t name_at(const char *text, const char *at, const char *name)
{
    size_t n = strlen(name);
    bool inside = at > text && (is_name_byte(at[-1]) || at[-1] == '.');
    return !inside && !strncmp(at, name, n) && !is_name_byte(at[n]) ? n : 0;
}

static const char *in_new_names(const struct diff *d, const char *text)
{
    struct ph_buf out = {0};
    if (d->n_renames == 0)
        return text;
    for (const char *p = text; *p;) {
        size_t n = 0;
        for (int i = 0; i < d->n_renames && n == 0; i++)
            if ((n = name_at(text, p, d->renames[i].from)) > 0)
                ph_buf_add(&out, d->renames[i].to);
        if (n == 0)
            ph_buf_addc(&out, *p);
        p += n ? n : 1;
    }
    const char *result = ph_arena_strdup(d->arena, ph_buf_text(&out));
    ph_buf_fini(&out);
    return result;
}

/* a_pkey of a table a that is b in the target is b_pkey there, or still a_pkey. */
static const char *named_after(const struct diff *d, int pair, const char *name)
{
    if (pair < 0 || !is_renamed(&d->in->pairs[pair]))
        return name;
    const char *from = d->in->pairs[pair].side[0]->name;
    size_t n = strlen(from);
    if (strncmp(name, from, n) != 0 || name[n] != '_')
        return name;
    return ph_arena_printf(d->arena, "%s%s", d->in->pairs[pair].side[1]->name, name + n);
}

static void find_renames(struct diff *d)
{
    d->renames = ph_arena_calloc(d->arena, (size_t)d->in->n_pairs + 1, sizeof *d->renames);
    for (int i = 0; i < d->in->n_pairs; i++) {
        const struct ph_scope_pair *p = &d->in->pairs[i];
        if (is_renamed(p))
            d->renames[d->n_renames++] =
                (struct rename){ph_quote_name(d->arena, p->side[0]->schema, p->side[0]->name),
                                ph_quote_name(d->arena, p->side[1]->schema, p->side[1]->name)};
    }
}

/* Items. */

static int order_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}

static void find_places(struct diff *d, int side)
{
    struct place *places = ph_arena_calloc(d->arena, (size_t)d->in->n_pairs + 1, sizeof *places);
    int n = 0;
    for (int i = 0; i < d->in->n_pairs; i++)
        if (d->in->pairs[i].side[side])
            places[n++] = (struct place){d->in->pairs[i].side[side]->oid, i};
    qsort(places, (size_t)n, sizeof *places, order_places);
    d->places[side] = places;
    d->n_places[side] = n;
}

static int pair_of(const struct diff *d, int side, uint32_t oid)
{
    const struct place key = {.oid = oid}, *found = NULL;
    if (oid)
        found = bsearch(&key, d->places[side], (size_t)d->n_places[side], sizeof key, order_places);
    return found ? found->pair : -1;
}

static bool counts(const struct diff *d, const struct ph_fact *f, int pair)
{
    const struct ph_definitions_in *in = d->in;
    if (in->no_owner && !strcmp(f->property, "owner"))
        return false;
    if (in->no_privileges && (!strcmp(f->kind, "grant") || !strcmp(f->kind, "default privileges")))
        return false;
    if (in->no_comments && !strcmp(f->property, "comment"))
        return false;
    /* a sequence that belongs to a column is named after the table */
    return !(pair >= 0 && is_renamed(&in->pairs[pair]) && !strcmp(f->kind, "sequence") &&
             !strcmp(f->property, "name"));
}

/* Texts of the source are read in the target's names; those of the target have them already. */
static const char *value_of(const struct diff *d, const struct ph_fact *f, int pair, int side)
{
    static const char index[] = "index ";
    if (!strcmp(f->property, "part of") && d->n_renames)
        return "an index of its parent";
    if (!strcmp(f->property, "replica identity") && !strncmp(f->value, index, strlen(index)))
        return ph_arena_printf(d->arena, "%s%s", index,
                               named_after(d, pair, f->value + strlen(index)));
    return side == 0 ? in_new_names(d, f->value) : f->value;
}

static int compare_objects(const struct item *x, const struct item *y)
{
    int c = (x->pair > y->pair) - (x->pair < y->pair);
    c = c ? c : strcmp(x->fact->kind, y->fact->kind);
    return c ? c : strcmp(x->name, y->name);
}

static int compare_properties(const struct item *x, const struct item *y)
{
    int c = (x->fact->order > y->fact->order) - (x->fact->order < y->fact->order);
    return c ? c : strcmp(x->fact->property, y->fact->property);
}

static int order_items(const void *a, const void *b)
{
    int c = compare_objects(a, b);
    return c ? c : compare_properties(a, b);
}

static struct items make_items(struct diff *d, int side)
{
    const struct ph_facts *facts = &d->in->facts[side];
    struct items all = {ph_arena_calloc(d->arena, (size_t)facts->n + 1, sizeof *all.items), 0};
    for (int i = 0; i < facts->n; i++) {
        const struct ph_fact *f = &facts->items[i];
        int pair = pair_of(d, side, f->rel);
        bool after = !strcmp(f->kind, "constraint") || !strcmp(f->kind, "index") ||
                     !strcmp(f->kind, "statistics");
        if ((f->rel && pair < 0) || !counts(d, f, pair))
            continue;
        all.items[all.n++] = (struct item){.fact = f,
                                           .pair = pair,
                                           .name = after ? named_after(d, pair, f->name) : f->name,
                                           .value = value_of(d, f, pair, side)};
    }
    qsort(all.items, (size_t)all.n, sizeof *all.items, order_items);
    return all;
}

/* Differences. */

/* "public.orders", "public.orders.total", "orders_pkey on public.orders". */
static const char *shown(struct diff *d, const struct item *item, int side)
{
    const struct ph_fact *f = item->fact;
    if (item->pair < 0)
        return f->name;
    const struct ph_relation *r = d->in->pairs[item->pair].side[side];
    const char *table = ph_quote_name(d->arena, r->schema, r->name);
    if (!*f->name)
        return table;
    bool column = !strcmp(f->kind, "column"), sequence = !strcmp(f->kind, "sequence");
    const char *name = !strcmp(f->kind, "grant") ? f->name : ph_quote_name(d->arena, NULL, f->name);
    return column     ? ph_arena_printf(d->arena, "%s.%s", table, name)
           : sequence ? ph_arena_printf(d->arena, "of %s.%s", table, name)
                      : ph_arena_printf(d->arena, "%s on %s", name, table);
}

static const char *table_of(struct diff *d, const struct item *item)
{
    if (item->pair < 0)
        return "";
    const struct ph_scope_pair *p = &d->in->pairs[item->pair];
    const struct ph_relation *r = p->side[0] ? p->side[0] : p->side[1];
    return ph_quote_name(d->arena, r->schema, r->name);
}

static void add(struct diff *d, const struct item *source, const struct item *target)
{
    const struct item *one = source ? source : target;
    struct ph_verify_definitions *out = d->out;
    if (out->n_differences == d->room) {
        int room = d->room ? d->room * 2 : 16;
        struct ph_definition *more = ph_arena_calloc(d->arena, (size_t)room, sizeof *more);
        if (d->room)
            memcpy(more, out->differences, (size_t)d->room * sizeof *more);
        out->differences = more;
        d->room = room;
    }
    out->differences[out->n_differences++] = (struct ph_definition){
        .kind = PH_CHANGED,
        .type = one->fact->kind,
        .object = shown(d, one, source ? 0 : 1),
        .table = table_of(d, one),
        .property = one->fact->property,
        .source = source ? source->fact->value : NULL,
        .target = target ? target->fact->value : NULL,
    };
}

/* What is in an object that is not there is not there either. */
static void add_half(struct diff *d, const struct item *source, const struct item *target)
{
    const struct item *one = source ? source : target;
    bool within = one->pair >= 0 && *one->fact->name != '\0';
    if (within && !d->in->pairs[one->pair].side[source ? 1 : 0])
        return;
    add(d, source, target);
    d->out->differences[d->out->n_differences - 1].kind = source ? PH_MISSING : PH_EXTRA;
}

/* A sequence of its own must not be behind; that it is ahead does no harm. */
static bool is_same(const struct item *a, const struct item *b)
{
    static const char position[] = "position";
    const char *property = (a ? a : b)->fact->property;
    if (a && b && !strcmp(a->value, b->value))
        return true;
    if (strncmp(property, position, strlen(position)) != 0 || (b && b->pair >= 0))
        return false;
    if (!a || !b)
        return !a;
    long long x = strtoll(a->value, NULL, 10), y = strtoll(b->value, NULL, 10);
    return property[strlen(position)] == ',' ? y <= x : y >= x;
}

/* Nobody has refreshed it here: `copy --create` makes it without rows, unless asked. */
static bool is_unfilled(const struct item *a, const struct item *b)
{
    return a && b && !strcmp(a->fact->property, "populated") && !strcmp(a->value, "yes") &&
           !strcmp(b->value, "no");
}

static void add_unfilled(struct diff *d, const struct item *source)
{
    struct ph_verify_definitions *out = d->out;
    const char **more =
        ph_arena_calloc(d->arena, (size_t)out->n_unfilled + 1, sizeof *out->unfilled);
    if (out->n_unfilled)
        memcpy(more, out->unfilled, (size_t)out->n_unfilled * sizeof *more);
    more[out->n_unfilled++] = shown(d, source, 0);
    out->unfilled = more;
}

static int object_end(const struct items *all, int begin)
{
    int end = begin;
    while (end < all->n && compare_objects(&all->items[begin], &all->items[end]) == 0)
        end++;
    return end;
}

static void compare_facts(struct diff *d, struct item *a, int n_a, struct item *b, int n_b)
{
    for (int i = 0, k = 0; i < n_a || k < n_b;) {
        int c = i == n_a ? 1 : k == n_b ? -1 : compare_properties(&a[i], &b[k]);
        const struct item *x = c <= 0 ? &a[i++] : NULL, *y = c >= 0 ? &b[k++] : NULL;
        if (is_unfilled(x, y) && !d->in->exact)
            add_unfilled(d, x);
        else if (!is_same(x, y))
            add(d, x, y);
    }
}

static void compare_all(struct diff *d, struct items *a, struct items *b)
{
    for (int i = 0, k = 0; i < a->n || k < b->n; d->out->objects++) {
        int c = i == a->n ? 1 : k == b->n ? -1 : compare_objects(&a->items[i], &b->items[k]);
        int end_a = c <= 0 ? object_end(a, i) : i, end_b = c >= 0 ? object_end(b, k) : k;
        if (c == 0)
            compare_facts(d, &a->items[i], end_a - i, &b->items[k], end_b - k);
        else
            add_half(d, c < 0 ? &a->items[i] : NULL, c > 0 ? &b->items[k] : NULL);
        i = end_a;
        k = end_b;
    }
}

/* Whether a grant is on an object of no relation that is not there either ("to bob on type s.t"). */
static bool is_on_absent(const struct ph_verify_definitions *out, const struct ph_definition *grant)
{
    if (strcmp(grant->type, "grant") != 0 || *grant->table)
        return false;
    for (int i = 0; i < out->n_differences; i++) {
        const struct ph_definition *d = &out->differences[i];
        size_t n = strlen(grant->object), type = strlen(d->type), object = strlen(d->object);
        if (d->kind != grant->kind || *d->table || n < type + 1 + object)
            continue;
        const char *end = grant->object + n - object;
        if (!strcmp(end, d->object) && end[-1] == ' ' && !strncmp(end - 1 - type, d->type, type))
            return true;
    }
    return false;
}

static void drop_grants_on_absent(struct ph_verify_definitions *out)
{
    int n = 0;
    for (int i = 0; i < out->n_differences; i++) {
        struct ph_definition *d = &out->differences[i];
        if (d->kind == PH_CHANGED || !is_on_absent(out, d))
            out->differences[n++] = *d;
    }
    out->n_differences = n;
}

static int order_differences(const void *a, const void *b)
{
    const struct ph_definition *x = a, *y = b;
    int c = strcmp(x->table, y->table);
    if (!c) /* the table itself first */
        c = !strcmp(y->type, "table") - !strcmp(x->type, "table");
    c = c ? c : strcmp(x->type, y->type);
    c = c ? c : strcmp(x->object, y->object);
    return c ? c : strcmp(x->property, y->property);
}

void ph_definitions_diff(struct ph_arena *arena, const struct ph_definitions_in *in,
                         struct ph_verify_definitions *out)
{
    struct diff d = {.arena = arena, .in = in, .out = out};
    *out = (struct ph_verify_definitions){.compared = true};
    find_renames(&d);
    for (int side = 0; side < 2; side++)
        find_places(&d, side);
    struct items a = make_items(&d, 0), b = make_items(&d, 1);
    compare_all(&d, &a, &b);
    drop_grants_on_absent(out);
    if (out->n_differences)
        qsort(out->differences, (size_t)out->n_differences, sizeof *out->differences,
              order_differences);
    out->equal = out->n_differences == 0;
}

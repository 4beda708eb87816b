/* Columns, matched by name, and how the values of each get across.
 *
 * The order of columns may differ, dropped ones leave no trace, generated ones of the target
 * compute themselves. What is missing on either side is told all at once.
 */
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "pg/sql.h"
#include "plan/format.h"
#include "plan/make.h"
#include "plan/sqltext.h"

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

/* Money. */

static bool has_money(const struct ph_types *types)
{
    for (int i = 0; i < types->n; i++)
        if (!strcmp(types->items[i].name, "money") && !strcmp(types->items[i].schema, "pg_catalog"))
            return true;
    return false;
}

/* An archive's catalog brings the answer along. */
static bool probe_unit(struct ph_make *make, struct ph_catalog *catalog, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    if (!catalog->conn)
        return true;
    if (!ph_catalog_query(catalog->conn, "SELECT encode(cash_send('1'::money), 'hex')", &rows, err))
        return false;
    catalog->server.money_unit = ph_arena_strdup(arena_of(make), ph_rows_text(rows, 0, 0));
    ph_rows_free(rows);
    return true;
}

/* One unit as the server stores it: 100 where money has two decimals, 1 where it has none. */
bool ph_match_probe_money(struct ph_make *make, struct ph_err *err)
{
    struct ph_catalog *s = &make->side[PH_SOURCE], *t = &make->side[PH_TARGET];
    if (!has_money(&s->types) || !has_money(&t->types))
        return true;
    if (!probe_unit(make, s, err) || !probe_unit(make, t, err))
        return false;
    if (ph_make_invents(make)) {
        t->server.money_unit = s->server.money_unit;
        return true;
    }
    /* an archive that does not say its unit is not taken at its word */
    make->money_differs =
        !s->server.money_unit || strcmp(s->server.money_unit, t->server.money_unit) != 0;
    make->money_text_differs = strcmp(s->server.lc_monetary, t->server.lc_monetary) != 0;
    return true;
}

/* Which columns. */

static bool is_listed(const struct ph_request *request, const char *column)
{
    if (!request || !request->columns)
        return true;
    for (int i = 0; i < request->n_columns; i++)
        if (!strcmp(request->columns[i], column))
            return true;
    return false;
}

static const struct ph_make_mapping *mapping_of(const struct ph_pick *pick, const char *column)
{
    for (int i = 0; i < pick->n_mappings; i++)
        if (!strcmp(pick->mappings[i].column, column))
            return &pick->mappings[i];
    return NULL;
}

static bool is_mentioned(struct ph_make *make, const struct ph_pick *pick, const char *column)
{
    for (int i = 0; i < pick->n_mappings; i++)
        if (ph_sqltext_mentions(pick->mappings[i].expression, column, arena_of(make)))
            return true;
    return false;
}

static bool unknown_column(struct ph_make *make, const struct ph_relation *relation,
                           const char *column, const char *where, struct ph_err *err)
{
    const char **known =
        ph_arena_calloc(arena_of(make), (size_t)relation->n_columns, sizeof *known);
    for (int i = 0; i < relation->n_columns; i++)
        known[i] = relation->columns[i].name;
    ph_err_set(err, PH_WRONG, "column %s does not exist in the %s table %s",
               ph_make_quote(make, column), where, ph_make_name(make, relation));
    const char *nearest = ph_near(column, known, (size_t)relation->n_columns);
    if (nearest)
        return ph_err_hint(err, "did you mean %s?", ph_make_quote(make, nearest));
    return ph_err_hint(err, "it has %s", ph_make_list(make, known, relation->n_columns));
}

/* What the user named must be there: a typing error is not the same as a difference between the
 * tables. */
static bool check_request(struct ph_make *make, const struct ph_pair *pair, struct ph_err *err)
{
    const struct ph_request *request = pair->pick->request;
    bool invented = ph_make_invents(make); /* it has what it is given */
    for (int i = 0; request && !invented && i < request->n_mappings; i++) {
        const char *column = request->mappings[i].column;
        const struct ph_column *c = ph_relation_column(pair->target, column);
        if (!c)
            return unknown_column(make, pair->target, column, "target", err);
        if (c->generated) {
            ph_err_set(err, PH_WRONG,
                       "column %s of %s is generated, it cannot be given by an expression",
                       ph_make_quote(make, column), ph_make_name(make, pair->target));
            return ph_err_hint(err, "leave it out: the target computes it");
        }
    }
    for (int i = 0; request && i < request->n_columns; i++) {
        const char *column = request->columns[i];
        if (!invented && !ph_relation_column(pair->target, column))
            return unknown_column(make, pair->target, column, "target", err);
        if (!mapping_of(pair->pick, column) && !ph_relation_column(pair->source, column))
            return unknown_column(make, pair->source, column, "source", err);
    }
    for (int i = 0; request && i < request->n_key; i++)
        if (!ph_relation_column(pair->source, request->key[i]) &&
            !ph_relation_column(pair->target, request->key[i]))
            return unknown_column(make, pair->source, request->key[i], "source", err);
    return true;
}

static bool fills_itself(struct ph_make *make, const struct ph_column *c)
{
    const struct ph_type *t = ph_types_find(&make->side[PH_TARGET].types, c->type);
    bool domain_default = t && t->kind == 'd' && t->has_default;
    return c->has_default || c->identity || domain_default;
}

static bool must_be_given(struct ph_make *make, const struct ph_column *c)
{
    const struct ph_type *t = ph_types_find(&make->side[PH_TARGET].types, c->type);
    bool not_null = c->not_null || (t && t->kind == 'd' && t->not_null);
    return not_null && !fills_itself(make, c);
}

/* Names gathered for one sentence. */
struct names {
    const char **items;
    int n, room;
};

static void add_name(struct ph_make *make, struct names *names, const char *name)
{
    void *items = names->items;
    const char **slot = ph_make_push(arena_of(make), &items, &names->n, &names->room, sizeof *slot);
    *slot = ph_make_quote(make, name);
    names->items = items;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* Whether a column of the target gets its values from the source. */
static bool is_given(const struct ph_pair *pair, const struct ph_column *target)
{
    return mapping_of(pair->pick, target->name) ||
           (ph_relation_column(pair->source, target->name) &&
            is_listed(pair->pick->request, target->name));
}

/* Columns of the source that would be left behind. */
static void check_left_behind(struct ph_make *make, const struct ph_pair *pair,
                              struct ph_table *table)
{
    struct names missing = {0};
    const struct ph_request *request = pair->pick->request;
    bool load = make->plan->spec->route == PH_ROUTE_LOAD;
    if ((request && request->columns) || make->plan->spec->route == PH_ROUTE_EXTRACT)
        return; /* who names columns has left the others out on purpose */
    for (int i = 0; i < pair->source->n_columns; i++) {
        const char *name = pair->source->columns[i].name;
        if (!ph_relation_column(pair->target, name) && !is_mentioned(make, pair->pick, name))
            add_name(make, &missing, name);
    }
    table->only_source = missing.items;
    table->n_only_source = missing.n;
    if (missing.n && !make->plan->spec->verify)
        ph_make_obstacle(make,
                         load
                             ? "an archive is loaded with all its columns: add what is missing, or "
                               "name another table by -t NAME=TARGET; archive cat shows what is "
                               "in it"
                             : "name the columns to be copied by --columns, or add what is "
                               "missing",
                         "%s: the target has no column%s %s", ph_make_name(make, pair->source),
                         plural(missing.n), ph_make_list(make, missing.items, missing.n));
}

/* Columns of the target that the source has nothing for. */
static void check_surplus(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    struct names refused = {0}, filled = {0}, empty = {0};
    const struct ph_request *request = pair->pick->request;
    if (make->plan->spec->verify) {
        for (int i = 0; i < pair->target->n_columns; i++)
            if (!pair->target->columns[i].generated && !is_given(pair, &pair->target->columns[i]))
                add_name(make, &empty, pair->target->columns[i].name);
        table->only_target = request && request->columns ? NULL : empty.items;
        table->n_only_target = request && request->columns ? 0 : empty.n;
        return;
    }
    bool load = make->plan->spec->route == PH_ROUTE_LOAD;
    for (int i = 0; i < pair->target->n_columns; i++) {
        const struct ph_column *c = &pair->target->columns[i];
        if (c->generated || is_given(pair, c))
            continue;
        struct names *to = must_be_given(make, c)  ? &refused
                           : fills_itself(make, c) ? &filled
                                                   : &empty;
        add_name(make, to, c->name);
    }
    if (refused.n)
        ph_make_obstacle(make,
                         load ? "give them a default"
                              : "give them by expressions in a job file, or give them a default",
                         "%s: the target's column%s %s must not be null and would get no value",
                         ph_make_name(make, pair->target), plural(refused.n),
                         ph_make_list(make, refused.items, refused.n));
    if (filled.n)
        ph_make_table_warning(make, table, "%s: column%s %s will be filled by default",
                              ph_make_name(make, pair->target), plural(filled.n),
                              ph_make_list(make, filled.items, filled.n));
    if (empty.n)
        ph_make_table_warning(make, table, "%s: column%s %s will be null",
                              ph_make_name(make, pair->target), plural(empty.n),
                              ph_make_list(make, empty.items, empty.n));
}

/* One column. */

/* A column of the plan while the table's format is not known yet. */
struct candidate {
    struct ph_plan_column *column;
    struct ph_fit fit;
};

static const char *select_text(struct ph_make *make, const struct ph_plan_column *column,
                               const char *cast)
{
    struct ph_buf sql = {0};
    if (column->is_expression)
        ph_sql_add(&sql, "(%s)%s", column->source, cast);
    else
        ph_sql_add(&sql, "%I%s", column->source, cast);
    const char *text = ph_arena_strdup(arena_of(make), sql.data);
    ph_buf_fini(&sql);
    return text;
}

static void refuse_fit(struct ph_make *make, const struct ph_pair *pair,
                       const struct ph_plan_column *column, const char *why)
{
    const char *name = ph_make_quote(make, column->name);
    const char *hint = ph_arena_printf(
        arena_of(make),
        column->is_expression ? "let the expression yield it: %s: \"(%s)::%s\""
                              : "map it in a job file, for example: columns: {%s: \"%s::%s\"}",
        name, column->is_expression ? column->source : ph_make_quote(make, column->source),
        column->target_type);
    bool same_names = !strcmp(column->source_type, column->target_type);
    if (same_names)
        ph_make_obstacle(make, NULL, "%s, column %s: %s differs between the two databases: %s",
                         ph_make_name(make, pair->source), name, column->source_type, why);
    else
        ph_make_obstacle(make, hint, "%s, column %s: %s cannot become %s without changing values",
                         ph_make_name(make, pair->source), name, column->source_type,
                         column->target_type);
}

/* Both sides as the stream has them, or both as text. */
static void add_verify(struct ph_make *make, uint32_t source_type, const struct ph_column *target,
                       const struct ph_fit *fit, struct ph_plan_column *out)
{
    struct ph_arena *arena = arena_of(make);
    const struct ph_types *here = &make->side[PH_SOURCE].types;
    const struct ph_types *there = &make->side[PH_TARGET].types;
    struct ph_buf sql = {0};
    out->generated = target->generated != '\0';
    out->by_text = fit->kind == PH_FIT_NONE || fit->kind == PH_FIT_TEXT ||
                   (fit->money && make->money_differs) ||
                   !ph_format_is_portable(there, target->type) ||
                   (fit->kind != PH_FIT_CAST && !ph_format_is_portable(here, source_type));
    out->unfit = fit->kind == PH_FIT_NONE;
    out->verify_source = out->select;
    ph_sql_add(&sql, "%I", target->name);
    if (out->by_text) {
        const char *as_text = fit->kind == PH_FIT_CAST
                                  ? ph_arena_printf(arena, "%s::pg_catalog.text", fit->cast)
                                  : ph_format_as_text(arena, here, source_type);
        out->verify_source = select_text(make, out, as_text);
        ph_buf_add(&sql, ph_format_as_text(arena, there, target->type));
    }
    out->verify_target = ph_arena_strdup(arena, sql.data);
    ph_buf_fini(&sql);
}

static const char *one_money(const struct ph_make *make)
{
    return make->plan->spec->route == PH_ROUTE_LOAD
               ? "give the target's database the lc_monetary that the source had"
               : "map the column to numeric, or give both databases one lc_monetary";
}

/* Where an archive will be loaded is not known: nothing is held against it. */
static int target_version(const struct ph_make *make)
{
    bool extract = make->plan->spec->route == PH_ROUTE_EXTRACT;
    return extract ? make->plan->source.version : make->plan->target.version;
}

static struct candidate make_column(struct ph_make *make, const struct ph_pair *pair,
                                    const struct ph_column *target,
                                    const struct ph_make_mapping *mapping,
                                    struct ph_plan_column *out)
{
    const struct ph_column *source = ph_relation_column(pair->source, target->name);
    struct ph_format_sides format = {arena_of(make),
                                     &make->side[PH_SOURCE].types,
                                     &make->side[PH_TARGET].types,
                                     make->plan->source.version,
                                     target_version(make),
                                     target->name};
    struct candidate c = {.column = out};
    *out = (struct ph_plan_column){
        .name = target->name,
        .source = mapping ? mapping->expression : source->name,
        .is_expression = mapping != NULL,
        .source_type = mapping ? mapping->shown : source->shown,
        .target_type = target->shown,
        .compare = ph_format_compare(&make->side[PH_TARGET].types, target->type),
        .settable = target->identity != 'a',
    };
    ph_format_fit(&format, mapping ? mapping->type : source->type,
                  mapping ? mapping->typmod : source->typmod, target->type, target->typmod, &c.fit);
    bool verify = make->plan->spec->verify;
    if (make->plan->spec->route == PH_ROUTE_LOAD)
        ph_load_fit(make, pair, out, &c.fit);
    else if (c.fit.kind == PH_FIT_NONE && !verify)
        refuse_fit(make, pair, out, c.fit.why);
    if (c.fit.money && make->money_differs && !verify)
        ph_make_obstacle(make, one_money(make),
                         "%s, column %s: money has another unit in the target",
                         ph_make_name(make, pair->source), ph_make_quote(make, out->name));
    out->select = select_text(make, out, c.fit.cast);
    add_verify(make, mapping ? mapping->type : source->type, target, &c.fit, out);
    if (*c.fit.why)
        out->why = c.fit.why;
    else if (!strcmp(out->source_type, out->target_type))
        out->why = ph_arena_printf(arena_of(make), "same type %s", out->target_type);
    else
        out->why = ph_arena_printf(arena_of(make), "%s fits", out->source_type);
    return c;
}

/* The table. */

/* COPY has one format for all columns: the first that cannot be binary decides. */
static void settle_format(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table,
                          const struct candidate *candidates)
{
    const char *because = NULL;
    bool qualify = false, money = false, oid = false;
    for (int i = 0; i < table->n_columns; i++) {
        const struct ph_fit *fit = &candidates[i].fit;
        if (candidates[i].column->generated)
            continue;
        if (fit->needs_text && !because)
            because = ph_make_quote(make, candidates[i].column->name);
        qualify = qualify || fit->qualify;
        money = money || fit->money;
        oid = oid || fit->oid;
    }
    table->format = because ? PH_TEXT : PH_BINARY;
    if (make->plan->spec->route == PH_ROUTE_LOAD) /* also where there is no column at all */
        table->format = ph_load_format(make, pair->source);
    for (int i = 0; i < table->n_columns; i++) {
        struct ph_plan_column *c = candidates[i].column;
        const struct ph_fit *fit = &candidates[i].fit;
        c->format = fit->kind == PH_FIT_CAST ? "cast" : because ? "text" : "binary";
        if (because && !fit->needs_text && fit->kind == PH_FIT_BINARY)
            c->why = ph_arena_printf(arena_of(make), "%s; the table goes as text because of %s",
                                     c->why, because);
    }
    bool user_sql = table->filter || pair->pick->n_mappings;
    table->qualify = qualify && !user_sql;
    if (qualify && user_sql)
        ph_make_table_warning(make, table,
                              "%s: names in its reg* columns are written as the source role's "
                              "search_path shows them, since there is SQL of yours that needs it",
                              ph_make_name(make, pair->source));
    if (because && money && !make->plan->spec->verify && make->money_text_differs &&
        !make->money_differs)
        ph_make_obstacle(make, one_money(make),
                         "%s goes as text, and its money is written in another way in the target",
                         ph_make_name(make, pair->source));
    if (oid && make->side[PH_SOURCE].server.has_large_objects && !make->plan->spec->large_objects)
        ph_make_table_warning(make, table,
                              "%s has oid columns and the source has large objects: their content "
                              "is not copied without --large-objects",
                              ph_make_name(make, pair->source));
}

static void write_lists(struct ph_make *make, struct ph_table *table)
{
    struct ph_buf select = {0}, columns = {0};
    for (int i = 0; i < table->n_columns; i++) {
        if (table->columns[i].generated)
            continue;
        ph_sql_add(&select, select.len ? ", %s" : "%s", table->columns[i].select);
        ph_sql_add(&columns, columns.len ? ", %I" : "%I", table->columns[i].name);
    }
    table->select_list = ph_arena_strdup(arena_of(make), ph_buf_text(&select));
    table->target_columns = ph_arena_strdup(arena_of(make), ph_buf_text(&columns));
    ph_buf_fini(&select);
    ph_buf_fini(&columns);
}

/* An archive is loaded whole: what the target computes itself it cannot leave out. */
static void refuse_generated(struct ph_make *make, const struct ph_pair *pair,
                             const struct ph_column *target)
{
    ph_make_obstacle(make, "extract without it, or name another table by -t NAME=TARGET",
                     "%s, column %s: the archive holds values for it, and the target computes them",
                     ph_make_name(make, pair->source), ph_make_quote(make, target->name));
}

/* In the target's order; an archive's columns in their own, for that is how they were written. */
static void match_columns(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    bool load = make->plan->spec->route == PH_ROUTE_LOAD;
    const struct ph_relation *order = load ? pair->source : pair->target;
    size_t most = (size_t)order->n_columns;
    struct ph_plan_column *columns = ph_arena_calloc(arena_of(make), most, sizeof *columns);
    struct candidate *candidates = ph_arena_calloc(arena_of(make), most, sizeof *candidates);
    for (int i = 0; i < order->n_columns; i++) {
        const struct ph_column *target =
            load ? ph_relation_column(pair->target, order->columns[i].name) : &order->columns[i];
        if (!target)
            continue; /* see check_left_behind */
        if (target->generated && load)
            refuse_generated(make, pair, target);
        bool computed = target->generated && !make->plan->spec->verify; /* by itself */
        if (computed || !is_given(pair, target))
            continue;
        candidates[table->n_columns] = make_column(
            make, pair, target, mapping_of(pair->pick, target->name), &columns[table->n_columns]);
        table->n_columns++;
    }
    table->columns = columns;
    check_left_behind(make, pair, table);
    check_surplus(make, pair, table);
    settle_format(make, pair, table, candidates);
    write_lists(make, table);
}

static const char *number_columns(struct ph_make *make, const struct ph_relation *relation,
                                  const struct ph_table *table, bool source, bool all)
{
    struct ph_buf numbers = {0};
    for (int i = 0; i < relation->n_columns; i++) {
        const struct ph_column *column = &relation->columns[i];
        bool used = all;
        for (int k = 0; k < table->n_columns && !used; k++)
            used =
                !table->columns[k].generated &&
                !strcmp(column->name, source ? table->columns[k].source : table->columns[k].name);
        if (used)
            ph_buf_addf(&numbers, "%s%d", numbers.len ? "," : "", column->number);
    }
    const char *text = ph_arena_strdup(arena_of(make), ph_buf_text(&numbers));
    ph_buf_fini(&numbers);
    return text;
}

static void write_numbers(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    bool own_sql = table->filter != NULL;
    for (int i = 0; i < table->n_columns; i++)
        own_sql = own_sql || table->columns[i].is_expression;
    table->source_attnums = number_columns(make, pair->source, table, true, own_sql);
    table->target_attnums =
        ph_make_invents(make) ? "" : number_columns(make, pair->target, table, false, false);
}

/* The key that was asked for, by name alone: split.c and ph_match_conflict() make something of it.
 */
static void take_request(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    const struct ph_request *request = pair->pick->request;
    table->split = request ? request->split : PH_SPLIT_AUTO;
    if (!request || !request->n_key)
        return;
    struct ph_plan_key *key = ph_arena_calloc(arena_of(make), (size_t)request->n_key, sizeof *key);
    for (int i = 0; i < request->n_key; i++)
        key[i].column = request->key[i];
    table->key = key;
    table->n_key = request->n_key;
}

bool ph_match_table(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table,
                    struct ph_err *err)
{
    const struct ph_relation *s = pair->source, *d = pair->target;
    enum ph_route route = make->plan->spec->route;
    if (!check_request(make, pair, err))
        return false;
    if (route == PH_ROUTE_LOAD && !ph_load_archived(make, s)->table)
        return ph_err_set(err, PH_FAILED,
                          "the archive holds no rows of %s, which its catalog knows",
                          ph_make_name(make, s));
    table->source_schema = s->schema;
    table->source_name = s->name;
    table->source_oid = s->oid;
    table->source_filenode = s->filenode;
    table->source_kind = s->kind;
    table->source_unlogged = s->persistence == 'u';
    table->target_schema = d->schema;
    table->target_name = d->name;
    table->target_oid = ph_make_invents(make) ? 0 : d->oid;
    table->target_filenode = ph_make_invents(make) ? 0 : d->filenode;
    table->target_routes = d->kind == 'p';
    table->target_unlogged = d->persistence == 'u';
    table->root_source = ph_make_name(make, pair->pick->source);
    table->root_target = ph_make_name(make, pair->pick->target);
    table->filter = pair->pick->filter;
    table->rows_estimate = s->rows;
    table->bytes = s->heap + s->toast;
    table->blocks = s->blocks;
    take_request(make, pair, table);
    match_columns(make, pair, table);
    write_numbers(make, pair, table);
    ph_match_identity(make, pair, table);
    if (route == PH_ROUTE_EXTRACT && !make->plan->spec->create)
        ph_extract_warn(make, pair, table);
    if (route == PH_ROUTE_LOAD)
        ph_load_warn(make, pair, table);
    return true;
}

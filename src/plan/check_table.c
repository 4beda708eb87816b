/* What stands in the way of single tables: rights, row security, triggers, foreign keys, indexes,
 * sequences. */
#include <stdlib.h>
#include <string.h>

#include "plan/make.h"

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

/* Names gathered for one sentence. */
struct names {
    const char **items;
    int n, room;
};

static void add_name(struct ph_make *make, struct names *names, const char *name)
{
    for (int i = 0; i < names->n; i++)
        if (!strcmp(names->items[i], name))
            return;
    void *items = names->items;
    const char **slot = ph_make_push(arena_of(make), &items, &names->n, &names->room, sizeof *slot);
    *slot = name;
    names->items = items;
}

static const char *show_names(struct ph_make *make, const struct names *names)
{
    return ph_make_list(make, names->items, names->n);
}

static const char *plural(const struct names *names)
{
    return names->n == 1 ? "" : "s";
}

/* Rights. */

static void need_grant(struct ph_make *make, int side, const struct ph_relation *r,
                       const char *privilege, const char *verb)
{
    const char *name = ph_make_name(make, r);
    const char *role = ph_make_quote(make, make->side[side].server.role);
    ph_make_obstacle(
        make, ph_arena_printf(arena_of(make), "GRANT %s ON %s TO %s", privilege, name, role),
        "no permission to %s %s in the %s", verb, name, side == PH_SOURCE ? "source" : "target");
}

static bool check_schema(struct ph_make *make, int side, const struct ph_relation *r,
                         struct names *told)
{
    if (r->may_use_schema)
        return true;
    int before = told->n;
    add_name(make, told, r->schema); /* once per schema is enough */
    if (told->n == before)
        return false;
    const char *schema = ph_make_quote(make, r->schema);
    ph_make_obstacle(make,
                     ph_arena_printf(arena_of(make), "GRANT USAGE ON SCHEMA %s TO %s", schema,
                                     ph_make_quote(make, make->side[side].server.role)),
                     "no permission to use schema %s in the %s", schema,
                     side == PH_SOURCE ? "source" : "target");
    return false;
}

/* Row ids and the snapshot's proof need the table's own grant; single columns that are lacking are
 * worth naming. */
static void check_select(struct ph_make *make, const struct ph_relation *r)
{
    struct names lacking = {0};
    if (r->may_select)
        return;
    for (int i = 0; i < r->n_columns; i++)
        if (r->columns[i].no_select)
            add_name(make, &lacking, ph_make_quote(make, r->columns[i].name));
    if (lacking.n == r->n_columns) {
        need_grant(make, PH_SOURCE, r, "SELECT", "read");
        return;
    }
    const char *verb = "read more than single columns of";
    if (lacking.n)
        verb = ph_arena_printf(arena_of(make), "read column%s %s of", plural(&lacking),
                               show_names(make, &lacking));
    need_grant(make, PH_SOURCE, r, "SELECT", verb);
}

static bool may_insert_columns(const struct ph_relation *r, const struct ph_table *table)
{
    for (int i = 0; i < table->n_columns; i++) {
        const struct ph_column *c = ph_relation_column(r, table->columns[i].name);
        if (c && c->no_insert)
            return false;
    }
    return table->n_columns > 0;
}

static void check_rights(struct ph_make *make, const struct ph_pair *pair,
                         const struct ph_table *table, struct names told[2])
{
    const struct ph_job_spec *spec = make->plan->spec;
    const struct ph_relation *d = pair->target;
    if (check_schema(make, PH_SOURCE, pair->source, &told[PH_SOURCE]))
        check_select(make, pair->source);
    if (!check_schema(make, PH_TARGET, d, &told[PH_TARGET]))
        return;
    if (!d->may_insert && !may_insert_columns(d, table))
        need_grant(make, PH_TARGET, d, "INSERT", "insert into");
    bool must_look = spec->mode == PH_UPSERT || (spec->mode == PH_APPEND && !spec->allow_nonempty);
    if (!d->may_select && must_look)
        need_grant(make, PH_TARGET, d, "SELECT", "read");
    if (!d->may_update && spec->mode == PH_UPSERT)
        need_grant(make, PH_TARGET, d, "UPDATE", "update");
    if (!d->may_truncate && spec->mode == PH_REPLACE)
        need_grant(make, PH_TARGET, d, "TRUNCATE", "truncate");
}

static void check_row_security(struct ph_make *make, int side, const struct ph_relation *r)
{
    if (!r->row_security)
        return;
    ph_make_obstacle(make, "connect as the table's owner, or as a role with BYPASSRLS",
                     side == PH_SOURCE
                         ? "row security is in force on %s in the %s for role %s: rows would be "
                           "left out in silence"
                         : "row security is in force on %s in the %s for role %s: COPY refuses it",
                     ph_make_name(make, r), side == PH_SOURCE ? "source" : "target",
                     ph_make_quote(make, make->side[side].server.role));
}

/* Triggers. */

static int events_of(enum ph_mode mode)
{
    return PH_TRIGGER_INSERT | (mode == PH_UPSERT ? PH_TRIGGER_UPDATE : 0) |
           (mode == PH_REPLACE ? PH_TRIGGER_TRUNCATE : 0);
}

static void gather_triggers(struct ph_make *make, const struct ph_relation *r, struct names *fire,
                            struct names *always)
{
    int events = events_of(make->plan->spec->mode);
    for (int i = 0; i < r->n_triggers; i++) {
        const struct ph_trigger *t = &r->triggers[i];
        if (!(t->type & events))
            continue;
        if (t->enabled != 'R')
            add_name(make, fire, ph_make_quote(make, t->name));
        if (t->enabled != 'O')
            add_name(make, always, ph_make_quote(make, t->name));
    }
}

/* A row that goes through a root meets the triggers of the leaf it ends in. */
static void gather_below(struct ph_make *make, const struct ph_relation *r, struct names *fire,
                         struct names *always)
{
    int n = 0;
    const struct ph_inherit *children = ph_catalog_children(&make->side[PH_TARGET], r->oid, &n);
    gather_triggers(make, r, fire, always);
    for (int i = 0; r->kind == 'p' && i < n; i++) {
        const struct ph_relation *child =
            ph_catalog_relation(&make->side[PH_TARGET], children[i].child);
        if (child)
            gather_below(make, child, fire, always);
    }
}

static void check_triggers(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    struct names fire = {0}, always = {0};
    const char *name = ph_make_name(make, pair->target);
    gather_below(make, pair->target, &fire, &always);
    switch (make->plan->spec->triggers) {
    case PH_TRIGGERS_REFUSE:
        if (fire.n)
            ph_make_obstacle(make, "say --triggers fire or --triggers skip",
                             "trigger%s %s of the target %s would fire", plural(&fire),
                             show_names(make, &fire), name);
        break;
    case PH_TRIGGERS_FIRE:
        if (fire.n)
            ph_make_table_warning(make, table, "%s: trigger%s %s will fire", name, plural(&fire),
                                  show_names(make, &fire));
        break;
    case PH_TRIGGERS_SKIP:
        if (always.n)
            ph_make_obstacle(make, "disable them by ALTER TABLE, or say --triggers fire",
                             "trigger%s %s of the target %s fire%s even when triggers are skipped",
                             plural(&always), show_names(make, &always), name,
                             always.n == 1 ? "s" : "");
        break;
    }
}

/* Foreign keys. */

/* OIDs of all target relations of the job, roots included; sorted. */
struct members {
    uint32_t *oids;
    int n;
};

static int order_oids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static struct members gather_members(struct ph_make *make)
{
    struct members m = {
        ph_arena_calloc(arena_of(make), (size_t)make->n_pairs * 3 + 1, sizeof *m.oids), 0};
    for (int i = 0; i < make->n_pairs; i++) {
        struct ph_relation *d = make->pairs[i].target;
        m.oids[m.n++] = d->oid;
        m.oids[m.n++] = make->pairs[i].pick->target->oid;
        m.oids[m.n++] = ph_tree_root(&make->side[PH_TARGET], d)->oid;
    }
    qsort(m.oids, (size_t)m.n, sizeof *m.oids, order_oids);
    return m;
}

static bool is_member(const struct members *members, uint32_t oid)
{
    return bsearch(&oid, members->oids, (size_t)members->n, sizeof oid, order_oids) != NULL;
}

/* Every reference counts once, whatever the number of partitions on the other side. */
static struct ph_relation *other_root(struct ph_make *make, const struct ph_foreign_key *key)
{
    struct ph_relation *r = ph_catalog_relation(&make->side[PH_TARGET], key->other);
    return r ? ph_tree_root(&make->side[PH_TARGET], r) : NULL;
}

/* No order puts all of these first. */
static void refuse_circle(struct ph_make *make, const char *name, const struct names *within)
{
    ph_make_obstacle(make,
                     "--defer-indexes drops foreign keys and makes them again after the rows; "
                     "--triggers skip loads without checking them",
                     "%s refers to %s in a circle, or to itself from several shards: no order of "
                     "tables has every row behind those that it refers to",
                     name, show_names(make, within));
}

static void tell_references(struct ph_make *make, struct ph_table *table, const char *name,
                            const struct names *within, const struct names *outside)
{
    enum ph_triggers triggers = make->plan->spec->triggers;
    if (triggers == PH_TRIGGERS_SKIP && within->n + outside->n > 0) {
        ph_make_table_warning(
            make, table,
            "%s: its foreign keys are not checked, and VALIDATE CONSTRAINT will not "
            "notice: they count as valid already",
            name);
        return;
    }
    if (within->n && triggers == PH_TRIGGERS_REFUSE && make->plan->spec->fk_order)
        refuse_circle(make, name, within);
    else if (within->n && triggers == PH_TRIGGERS_REFUSE)
        ph_make_obstacle(
            make,
            "--fk-order loads what is referred to first; --defer-indexes drops foreign keys and "
            "makes them again after the rows; --triggers skip loads without checking them",
            "%s refers to %s, which this job loads at the same time: rows would come "
            "before those that they refer to",
            name, show_names(make, within));
    else if (within->n)
        ph_make_table_warning(
            make, table,
            "%s refers to %s, which this job loads at the same time: its shards may "
            "fail until that is there",
            name, show_names(make, within));
    if (outside->n)
        ph_make_table_warning(make, table, "%s: foreign keys to %s are checked for every row", name,
                              show_names(make, outside));
}

/* --mode replace: one TRUNCATE empties all tables, so those that point at each other can be emptied together. Of
 * partitions the server wants the roots named, too. */
static bool is_emptied_too(const struct ph_make *make, const struct ph_pair *pair,
                           const struct ph_relation *other, const struct members *members)
{
    return make->plan->spec->fk_order && other && other->kind == 'r' && pair->target->kind == 'r' &&
           !pair->target->is_partition && is_member(members, other->oid);
}

static void check_foreign_keys(struct ph_make *make, const struct ph_pair *pair,
                               struct ph_table *table, const struct members *members)
{
    struct names within = {0}, outside = {0}, pointing = {0};
    if (make->plan->spec->defer_indexes)
        return; /* they are dropped first */
    const struct ph_relation *mine = ph_tree_root(&make->side[PH_TARGET], pair->target);
    for (int i = 0; i < pair->target->n_foreign_keys; i++) {
        const struct ph_foreign_key *key = &pair->target->foreign_keys[i];
        const struct ph_relation *other = other_root(make, key);
        const char *name = other ? ph_make_name(make, other)
                                 : ph_plan_name(make->plan, key->other_schema, key->other_name);
        if (key->incoming) {
            if (other != mine && !is_emptied_too(make, pair, other, members))
                add_name(make, &pointing, name);
        } else if (other && ph_fk_order_has(table, other)) {
            add_name(make, &outside, name);
        } else if (other == mine) {
            /* within one statement a table may refer to itself in any order */
            add_name(make, table->n_shards > 1 || other->kind == 'p' ? &within : &outside, name);
        } else {
            add_name(make, other && is_member(members, other->oid) ? &within : &outside, name);
        }
    }
    const char *name = ph_make_name(make, pair->target);
    tell_references(make, table, name, &within, &outside);
    if (pointing.n && make->plan->spec->mode == PH_REPLACE)
        ph_make_obstacle(make,
                         "drop the foreign key and add it again after the copy, or use --mode "
                         "upsert",
                         "%s cannot be replaced: foreign keys of %s point at it", name,
                         show_names(make, &pointing));
}

/* The rest. */

static void check_indexes(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    int secondary = 0;
    bool has_primary = false, has_key = false;
    for (int i = 0; i < pair->target->n_indexes; i++)
        has_primary = has_primary || pair->target->indexes[i].primary;
    secondary = pair->target->n_indexes - has_primary;
    for (int i = 0; i < pair->source->n_indexes && !has_key; i++) {
        const struct ph_index *index = &pair->source->indexes[i];
        has_key = index->unique && index->valid && !index->partial && !index->expression;
        for (int k = 0; has_key && k < index->n_key; k++) {
            const struct ph_column *c = ph_relation_column_number(pair->source, index->key[k]);
            has_key = c && c->not_null;
        }
    }
    if (secondary > 0 && make->plan->spec->route != PH_ROUTE_EXTRACT &&
        !make->plan->spec->defer_indexes)
        ph_make_table_warning(make, table,
                              "%s has %d index%s%s, which every row has to enter: creating them "
                              "afterwards is faster (--defer-indexes)",
                              ph_make_name(make, pair->target), secondary,
                              secondary == 1 ? "" : "es",
                              has_primary ? " besides its primary key" : "");
    if (!has_key)
        ph_make_table_warning(
            make, table,
            "%s has no key: no primary key and no unique index on columns that are "
            "not null",
            ph_make_name(make, pair->source));
}

static void check_persistence(struct ph_make *make, const struct ph_pair *pair,
                              struct ph_table *table)
{
    if (pair->source->persistence == 'u' && make->side[PH_SOURCE].server.in_recovery)
        ph_make_obstacle(make, "read it from the primary",
                         "%s is unlogged and has no rows on a replica",
                         ph_make_name(make, pair->source));
    if (pair->target->persistence == 'u')
        ph_make_table_warning(
            make, table,
            "%s is unlogged: it is empty after a crash of the target, and is then "
            "copied again",
            ph_make_name(make, pair->target));
}

static bool is_planned(const struct ph_table *table, const char *column)
{
    for (int i = 0; i < table->n_columns; i++)
        if (!strcmp(table->columns[i].name, column))
            return true;
    return false;
}

/* Sequences of columns that get values from the source, and so fall behind them. */
static void check_sequences(struct ph_make *make, const struct ph_relation *target,
                            struct ph_table *table)
{
    struct names behind = {0};
    bool set = make->plan->spec->sequences;
    for (int i = 0; i < target->n_sequences; i++) {
        const struct ph_owned_sequence *s = &target->sequences[i];
        const struct ph_column *c = ph_relation_column_number(target, s->column);
        const char *name = ph_plan_name(make->plan, s->schema, s->name);
        if (!c || !is_planned(table, c->name))
            continue;
        if (!set)
            add_name(make, &behind, name);
        else if (!s->may_update)
            ph_make_obstacle(
                make,
                ph_arena_printf(arena_of(make), "GRANT SELECT, UPDATE ON SEQUENCE %s TO %s", name,
                                ph_make_quote(make, make->side[PH_TARGET].server.role)),
                "no permission to set sequence %s in the target", name);
    }
    if (behind.n)
        ph_make_table_warning(
            make, table,
            "%s: sequence%s %s will be behind the rows that were copied; "
            "%s %s",
            ph_make_name(make, target), plural(&behind), show_names(make, &behind),
            make->plan->spec->route == PH_ROUTE_LOAD ? "an archive has none, setval() sets"
                                                     : "--sequences sets",
            behind.n == 1 ? "it" : "them");
}

/* A root's sequences are told with the first of its leaves: the pairs of one pick need not be
 * neighbours. */
static void check_root_sequences(struct ph_make *make)
{
    for (int p = 0; p < make->n_picks; p++) {
        const struct ph_pick *pick = &make->picks[p];
        if (pick->target->n_sequences == 0)
            continue;
        for (int i = 0; i < make->n_pairs; i++)
            if (make->pairs[i].pick == pick) {
                check_sequences(make, pick->target, &make->plan->tables[i]);
                break;
            }
    }
}

/* Where the source's sequences are is asked last of all, when it is late to learn that we may not. */
static void check_source_sequences(struct ph_make *make)
{
    struct names closed = {0};
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    for (int i = 0; i < catalog->n_relations; i++)
        for (int k = 0; k < catalog->relations[i].n_sequences; k++) {
            const struct ph_owned_sequence *s = &catalog->relations[i].sequences[k];
            if (!s->may_select)
                add_name(make, &closed, ph_plan_name(make->plan, s->schema, s->name));
        }
    if (closed.n)
        ph_make_obstacle(make,
                         ph_arena_printf(arena_of(make), "GRANT SELECT ON SEQUENCE %s TO %s",
                                         show_names(make, &closed),
                                         ph_make_quote(make, make->side[PH_SOURCE].server.role)),
                         "no permission to read sequence%s %s in the source", plural(&closed),
                         show_names(make, &closed));
}

/* Not only faster: whoever reads the target meanwhile does so without them. */
static void tell_deferred(struct ph_make *make)
{
    int indexes = 0, tables = 0;
    for (int i = 0; i < make->n_pairs; i++) {
        indexes += make->pairs[i].target->n_indexes;
        tables += make->pairs[i].target->n_indexes > 0;
    }
    if (indexes > 0)
        ph_make_warning(
            make,
            "%d index%s of %d target table%s, with the constraints and foreign keys that "
            "rest on them, are dropped, and built again after the rows",
            indexes, indexes == 1 ? "" : "es", tables, tables == 1 ? "" : "s");
}

void ph_check_tables(struct ph_make *make)
{
    struct names told[2] = {{0}, {0}};
    struct members members = gather_members(make);
    for (int i = 0; i < make->n_pairs; i++) {
        const struct ph_pair *pair = &make->pairs[i];
        struct ph_table *table = &make->plan->tables[i];
        check_rights(make, pair, table, told);
        check_row_security(make, PH_SOURCE, pair->source);
        check_row_security(make, PH_TARGET, pair->target);
        check_persistence(make, pair, table);
        if (make->plan->spec->create)
            continue; /* whatever else is there was made by us, after the rows */
        check_triggers(make, pair, table);
        check_foreign_keys(make, pair, table, &members);
        check_indexes(make, pair, table);
        if (pair->target != pair->pick->target)
            check_sequences(make, pair->target, table);
    }
    if (!make->plan->spec->create)
        check_root_sequences(make);
    if (make->side[PH_SOURCE].conn && (make->plan->spec->create || make->plan->spec->sequences))
        check_source_sequences(make);
    if (make->plan->spec->defer_indexes)
        tell_deferred(make);
}

/* Which tables: from what the user named to pairs of relations with storage.
 *
 * A name without schema means on the source what the role's search_path says. On the target it is
 * looked for in the schema of the source table first, and then under the target role's path.
 *
 * Trees: a partitioned root stands for its leaves, an inheritance parent for itself (ONLY) and all
 * below it. A leaf goes to the leaf of the same name when the bounds agree all the way up to the
 * root, else through the target's root.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "plan/make.h"
#include "plan/pattern.h"

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

static bool is_table(const struct ph_relation *r)
{
    return (r->kind == 'r' || r->kind == 'p') && r->persistence != 't';
}

/* Exclusion. */

static bool parse_excludes(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    struct ph_arena *arena = arena_of(make);
    int n_tables = spec->n_exclude_tables, n_schemas = spec->n_exclude_schemas;
    make->exclude_tables = ph_arena_calloc(arena, (size_t)n_tables, sizeof(struct ph_pattern));
    make->exclude_schemas = ph_arena_calloc(arena, (size_t)n_schemas, sizeof(struct ph_pattern));
    for (int i = 0; i < n_tables; i++)
        if (!ph_pattern_parse(&make->exclude_tables[i], arena, spec->exclude_tables[i], err))
            return ph_err_prefix(err, "--exclude-table");
    for (int i = 0; i < n_schemas; i++)
        if (!ph_pattern_parse_schema(&make->exclude_schemas[i], arena, spec->exclude_schemas[i],
                                     err))
            return ph_err_prefix(err, "--exclude-schema");
    return true;
}

static bool matches(const struct ph_catalog *catalog, const struct ph_pattern *pattern,
                    const struct ph_relation *r)
{
    if (!ph_pattern_matches(&pattern->name, r->name) ||
        !ph_pattern_matches(&pattern->schema, r->schema))
        return false;
    return pattern->schema.text || ph_catalog_visible(catalog, r->name) == r;
}

bool ph_select_is_excluded_schema(const struct ph_make *make, const char *schema)
{
    for (int i = 0; i < make->plan->spec->n_exclude_schemas; i++)
        if (ph_pattern_matches(&make->exclude_schemas[i].name, schema))
            return true;
    return false;
}

static bool is_named_out(const struct ph_make *make, int side, const struct ph_relation *relation)
{
    for (int i = 0; i < make->plan->spec->n_exclude_tables; i++)
        if (matches(&make->side[side], &make->exclude_tables[i], relation))
            return true;
    return ph_select_is_excluded_schema(make, relation->schema);
}

bool ph_select_is_excluded(const struct ph_make *make, const struct ph_relation *relation)
{
    return ph_select_is_excluded_of(make, PH_SOURCE, relation);
}

/* Who leaves a partitioned table out means its partitions too. */
bool ph_select_is_excluded_of(const struct ph_make *make, int side,
                              const struct ph_relation *relation)
{
    const struct ph_catalog *catalog = &make->side[side];
    while (relation && !is_named_out(make, side, relation))
        relation = relation->is_partition
                       ? ph_catalog_relation(catalog, ph_catalog_parent(catalog, relation->oid))
                       : NULL;
    return relation != NULL;
}

/* Names. */

/* The nearest known name as a hint; the schema counts when it was given. */
static void hint_nearest(struct ph_make *make, int side, const struct ph_pattern *pattern,
                         struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[side];
    const char **known = calloc((size_t)catalog->n_relations + 1, sizeof *known);
    if (!known)
        return;
    const char *word = pattern->name.text;
    if (pattern->schema.text)
        word = ph_arena_printf(arena_of(make), "%s.%s", pattern->schema.text, word);
    for (int i = 0; i < catalog->n_relations; i++) {
        const struct ph_relation *r = &catalog->relations[i];
        if (is_table(r))
            known[i] = pattern->schema.text
                           ? ph_arena_printf(arena_of(make), "%s.%s", r->schema, r->name)
                           : r->name;
    }
    const char *nearest = ph_near(word, known, (size_t)catalog->n_relations);
    for (int i = 0; nearest && i < catalog->n_relations; i++)
        if (known[i] == nearest) {
            ph_err_hint(err, "did you mean %s?", ph_make_name(make, &catalog->relations[i]));
            break;
        }
    free(known);
}

static const char *shown_pattern(struct ph_make *make, const struct ph_pattern *pattern)
{
    return pattern->schema.text ? ph_plan_name(make->plan, pattern->schema.text, pattern->name.text)
                                : ph_make_quote(make, pattern->name.text);
}

static bool is_system_schema(const char *schema)
{
    return !strncmp(schema, "pg_", 3) || !strcmp(schema, "information_schema") ||
           !strcmp(schema, "pghaul");
}

static bool refuse_system(struct ph_make *make, const struct ph_pattern *pattern,
                          struct ph_err *err)
{
    const char *schema = pattern->schema.text;
    if (!schema || pattern->schema.is_wild || !is_system_schema(schema))
        return true;
    if (!strncmp(schema, "pg_temp", 7))
        ph_err_set(err, PH_WRONG, "%s is a temporary table, which only its own session can read",
                   shown_pattern(make, pattern));
    else
        ph_err_set(err, PH_WRONG, "%s is in a schema of the system's own, which is not copied",
                   shown_pattern(make, pattern));
    return ph_err_hint(err, "name tables of your own");
}

/* One relation by its exact name; PH_WRONG with the nearest name when it is not there or is not a
 * table. */
static bool find_exact(struct ph_make *make, int side, const struct ph_pattern *pattern,
                       struct ph_relation **out, struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[side];
    const char *where = ph_make_side(make, side);
    struct ph_relation *r =
        pattern->schema.text ? ph_catalog_named(catalog, pattern->schema.text, pattern->name.text)
                             : ph_catalog_visible(catalog, pattern->name.text);
    if (!r) {
        ph_err_set(err, PH_WRONG, "table %s does not exist in the %s", shown_pattern(make, pattern),
                   where);
        hint_nearest(make, side, pattern, err);
        if (!*err->hint && side == PH_TARGET)
            ph_err_hint(err, "%s; or name another by -t NAME=TARGET",
                        make->plan->spec->route == PH_ROUTE_LOAD
                            ? "create it first, for example by pg_dump --schema-only"
                            : "pghaul copy --create makes it as it is in the source");
        if (!*err->hint && !catalog->conn)
            ph_err_hint(err, "pghaul archive ls lists the tables that there are");
        return *err->hint ? false
                          : ph_err_hint(err, "\\dt in psql lists the tables that there are");
    }
    if (!is_table(r)) {
        ph_err_set(err, PH_WRONG, "%s in the %s is %s %s, not a table", ph_make_name(make, r),
                   where, strchr("iI", r->kind) ? "an" : "a", ph_relation_kind_name(r));
        return ph_err_hint(err, "name ordinary or partitioned tables");
    }
    *out = r;
    return true;
}

/* Picks. */

static bool has_settings(const struct ph_request *request)
{
    return request && (request->target || request->filter || request->n_columns ||
                       request->n_mappings || request->n_key || request->split);
}

/* Two requests for one table contradict each other, unless one merely swept it in with a wildcard.
 */
static bool contradict(const struct ph_pick *a, const struct ph_pick *b)
{
    if (!a->by_wildcard && !b->by_wildcard)
        return true;
    if (a->by_wildcard && b->by_wildcard)
        return has_settings(a->request) || has_settings(b->request);
    return false;
}

static bool add_pick(struct ph_make *make, struct ph_pick **taken, const struct ph_pick *pick,
                     struct ph_err *err)
{
    size_t slot = (size_t)(pick->source - make->side[PH_SOURCE].relations);
    const struct ph_pick *before = taken[slot];
    if (before && contradict(before, pick)) {
        ph_err_set(err, PH_WRONG, "table %s is named twice", ph_make_name(make, pick->source));
        return ph_err_hint(err, "name it once, with everything that concerns it");
    }
    if (before)
        return true;
    taken[slot] = ph_arena_alloc(arena_of(make), sizeof *pick);
    *taken[slot] = *pick;
    return true;
}

bool ph_select_target(struct ph_make *make, const struct ph_pick *pick, struct ph_pattern *out,
                      struct ph_err *err)
{
    if (!ph_pattern_parse(out, arena_of(make), pick->request->target, err))
        return ph_err_prefix(err, "target of %s", ph_make_name(make, pick->source));
    if (out->name.is_wild || out->schema.is_wild) {
        ph_err_set(err, PH_WRONG, "the target of %s is a pattern",
                   ph_make_name(make, pick->source));
        return ph_err_hint(err, "name one table, or quote a name with * or ? in it");
    }
    return refuse_system(make, out, err);
}

/* A target name without schema is looked for beside the source table's first. */
static bool find_target(struct ph_make *make, struct ph_pick *pick, struct ph_err *err)
{
    const struct ph_catalog *target = &make->side[PH_TARGET];
    if (ph_make_invents(make))
        return ph_extract_target(make, pick, err);
    struct ph_pattern pattern = {.schema.text = pick->source->schema,
                                 .name.text = pick->source->name};
    if (pick->request && pick->request->target) {
        if (!ph_select_target(make, pick, &pattern, err))
            return false;
        if (!pattern.schema.text &&
            ph_catalog_named(target, pick->source->schema, pattern.name.text))
            pattern.schema.text = pick->source->schema;
    }
    return find_exact(make, PH_TARGET, &pattern, &pick->target, err);
}

static bool pick_exact(struct ph_make *make, const struct ph_request *request,
                       const struct ph_pattern *pattern, struct ph_pick **taken, struct ph_err *err)
{
    struct ph_pick pick = {.request = request};
    if (!find_exact(make, PH_SOURCE, pattern, &pick.source, err))
        return false;
    if (ph_select_is_excluded(make, pick.source))
        return true;
    return add_pick(make, taken, &pick, err);
}

static bool pick_wild(struct ph_make *make, const struct ph_request *request,
                      const struct ph_pattern *pattern, struct ph_pick **taken, struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    if (request->target) {
        ph_err_set(err, PH_WRONG, "the pattern %s has a target name", request->pattern);
        return ph_err_hint(err, "a target can be named for a single table only");
    }
    int found = 0;
    for (int i = 0; i < catalog->n_relations; i++) {
        struct ph_relation *r = &catalog->relations[i];
        if (!is_table(r) || r->of_extension || !matches(catalog, pattern, r))
            continue;
        found++;
        struct ph_pick pick = {.request = request, .by_wildcard = true, .source = r};
        if (!ph_select_is_excluded(make, r) && !add_pick(make, taken, &pick, err))
            return false;
    }
    if (found)
        return true;
    ph_err_set(err, PH_WRONG, "no table of the %s matches %s", ph_make_side(make, PH_SOURCE),
               request->pattern);
    return ph_err_hint(err, "without a schema only tables in the role's search_path are looked at");
}

static bool pick_schema(struct ph_make *make, const char *text, struct ph_pick **taken,
                        struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    struct ph_pattern pattern;
    if (!ph_pattern_parse_schema(&pattern, arena_of(make), text, err))
        return ph_err_prefix(err, "--schema");
    const char **known =
        ph_arena_calloc(arena_of(make), (size_t)catalog->n_relations, sizeof *known);
    int found = 0;
    for (int i = 0; i < catalog->n_relations; i++) {
        struct ph_relation *r = &catalog->relations[i];
        known[i] = r->schema;
        if (!is_table(r) || r->of_extension || !ph_pattern_matches(&pattern.name, r->schema))
            continue;
        found++;
        struct ph_pick pick = {.by_wildcard = true, .source = r};
        if (!ph_select_is_excluded(make, r) && !add_pick(make, taken, &pick, err))
            return false;
    }
    if (found)
        return true;
    ph_err_set(err, PH_WRONG, "no schema of the %s with tables in it matches %s",
               ph_make_side(make, PH_SOURCE), text);
    const char *nearest = ph_near(pattern.name.text, known, (size_t)catalog->n_relations);
    return nearest ? ph_err_hint(err, "did you mean %s?", ph_make_quote(make, nearest))
                   : ph_err_hint(err, "\\dn in psql lists the schemas that there are");
}

static bool pick_all(struct ph_make *make, struct ph_pick **taken, struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    for (int i = 0; i < catalog->n_relations; i++) {
        struct ph_pick pick = {.by_wildcard = true, .source = &catalog->relations[i]};
        if (is_table(pick.source) && !pick.source->of_extension &&
            !ph_select_is_excluded(make, pick.source) && !add_pick(make, taken, &pick, err))
            return false;
    }
    return true;
}

static bool pick_requests(struct ph_make *make, struct ph_pick **taken, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    struct ph_pattern *patterns =
        ph_arena_calloc(arena_of(make), (size_t)spec->n_requests, sizeof *patterns);
    for (int i = 0; i < spec->n_requests; i++)
        if (!ph_pattern_parse(&patterns[i], arena_of(make), spec->requests[i].pattern, err) ||
            !refuse_system(make, &patterns[i], err))
            return false;
    /* exact names first: they win over a wildcard that would sweep the same table in */
    for (int wild = 0; wild < 2; wild++)
        for (int i = 0; i < spec->n_requests; i++) {
            const struct ph_pattern *p = &patterns[i];
            bool is_wild = p->name.is_wild || p->schema.is_wild;
            if (is_wild == (wild == 1) &&
                !(is_wild ? pick_wild : pick_exact)(make, &spec->requests[i], p, taken, err))
                return false;
        }
    return true;
}

/* Whether something above `r` was picked as well: then r comes with it. */
static bool below_a_pick(const struct ph_catalog *catalog, struct ph_pick *const *taken,
                         const struct ph_relation *r)
{
    uint32_t oid = r->oid;
    while ((oid = ph_catalog_parent(catalog, oid)) != 0) {
        const struct ph_relation *above = ph_catalog_relation(catalog, oid);
        if (!above)
            return false;
        if (taken[above - catalog->relations])
            return true;
    }
    return false;
}

/* Whatever was swept in by a wildcard and has no counterpart stands in the way, all of it named at
 * once. */
static bool settle_pick(struct ph_make *make, struct ph_pick *pick, struct ph_err *err)
{
    struct ph_err missing;
    if (!find_target(make, pick, &missing) && !make->half_picks) {
        if (!pick->by_wildcard) {
            *err = missing;
            return false;
        }
        ph_make_obstacle(
            make, *missing.hint ? missing.hint : "create it, or leave it out by --exclude-table",
            "%s", missing.text);
        return true;
    }
    void *items = make->picks;
    *(struct ph_pick *)ph_make_push(arena_of(make), &items, &make->n_picks, &make->room_picks,
                                    sizeof *pick) = *pick;
    make->picks = items;
    return true;
}

static bool settle_picks(struct ph_make *make, struct ph_pick **taken, struct ph_err *err)
{
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    for (int i = 0; i < catalog->n_relations; i++) {
        struct ph_pick *pick = taken[i];
        if (!pick || (pick->by_wildcard && below_a_pick(catalog, taken, pick->source)))
            continue;
        if (!settle_pick(make, pick, err))
            return false;
    }
    const struct ph_job_spec *spec = make->plan->spec;
    if (make->n_picks || make->half_picks || (spec->large_objects && !make->plan->n_obstacles) ||
        (spec->create && !spec->n_requests && !make->plan->n_obstacles))
        return true; /* a database without tables has a schema as well */
    if (make->plan->n_obstacles) {
        const struct ph_obstacle *first = &make->obstacles[0];
        ph_err_set(err, PH_WRONG, "%s", first->text);
        return first->hint ? ph_err_hint(err, "%s", first->hint) : false;
    }
    ph_err_set(err, PH_WRONG, "there is no table to copy");
    return ph_err_hint(err, "name tables by -t, --schema or --all; what is excluded stays out");
}

/* An exclusion that excludes nothing is likely misspelt, and something is copied that was not meant
 * to be. */
static void tell_idle_excludes(struct ph_make *make)
{
    const struct ph_job_spec *spec = make->plan->spec;
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    for (int i = 0; i < spec->n_exclude_tables + spec->n_exclude_schemas; i++) {
        int schema = i - spec->n_exclude_tables;
        bool found = false;
        for (int k = 0; k < catalog->n_relations && !found; k++) {
            const struct ph_relation *r = &catalog->relations[k];
            found = schema < 0 ? matches(catalog, &make->exclude_tables[i], r)
                               : ph_pattern_matches(&make->exclude_schemas[schema].name, r->schema);
        }
        if (!found && schema < 0)
            ph_make_warning(make, "--exclude-table %s matches nothing", spec->exclude_tables[i]);
        else if (!found)
            ph_make_warning(make, "--exclude-schema %s matches nothing",
                            spec->exclude_schemas[schema]);
    }
}

/* Whether --all or --schema would have swept it in, were it a table. */
static bool is_swept(struct ph_make *make, const struct ph_relation *r, bool all)
{
    struct ph_pattern pattern;
    struct ph_err ignored;
    const struct ph_job_spec *spec = make->plan->spec;
    bool swept = all;
    for (int i = 0; i < spec->n_schemas && !swept; i++)
        swept = ph_pattern_parse_schema(&pattern, arena_of(make), spec->schemas[i], &ignored) &&
                ph_pattern_matches(&pattern.name, r->schema);
    return swept && !r->of_extension && !ph_select_is_excluded(make, r);
}

/* What holds rows and is no table. Views have none of their own. */
static void tell_skipped(struct ph_make *make, bool all)
{
    static const char kinds[] = "mf";
    if (make->plan->spec->create) /* which says itself what becomes of them */
        return;
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    const char **names =
        ph_arena_calloc(arena_of(make), (size_t)catalog->n_relations + 1, sizeof *names);
    for (const char *kind = kinds; *kind; kind++) {
        int n = 0;
        for (int i = 0; i < catalog->n_relations; i++) {
            const struct ph_relation *r = &catalog->relations[i];
            if (r->kind == *kind && !r->is_partition && is_swept(make, r, all))
                names[n++] = ph_make_name(make, r);
        }
        if (n)
            ph_make_warning(make, "skipped: %s%s %s%s",
                            *kind == 'm' ? "materialized view" : "foreign table", n == 1 ? "" : "s",
                            ph_make_list(make, names, n),
                            *kind == 'm' ? "; REFRESH fills it in the target" : "");
    }
}

bool ph_select_tables(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    const struct ph_catalog *catalog = &make->side[PH_SOURCE];
    if (!parse_excludes(make, err))
        return false;
    struct ph_pick **taken =
        ph_arena_calloc(arena_of(make), (size_t)catalog->n_relations + 1, sizeof *taken);
    if (!pick_requests(make, taken, err))
        return false;
    for (int i = 0; i < spec->n_schemas; i++)
        if (!pick_schema(make, spec->schemas[i], taken, err))
            return false;
    /* who loads an archive and names nothing means what is in it */
    bool all = spec->all || (spec->route == PH_ROUTE_LOAD && !spec->n_requests && !spec->n_schemas);
    if (all && !pick_all(make, taken, err))
        return false;
    tell_idle_excludes(make);
    if (!spec->verify)
        tell_skipped(make, all);
    return settle_picks(make, taken, err);
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haul/create.h"
#include "pg/catalog.h"
#include "pg/sql.h"

/* Names, gathered from one side to be looked for on the other. */
struct names {
    struct ph_run *run;
    const char **items;
    int n, room;
};

static void add(struct names *names, const char *name)
{
    for (int i = 0; i < names->n; i++)
        if (!strcmp(names->items[i], name))
            return;
    if (names->n == names->room) {
        int room = names->room ? names->room * 2 : 16;
        const char **more = ph_arena_calloc(names->run->arena, (size_t)room, sizeof *more);
        for (int i = 0; i < names->n; i++)
            more[i] = names->items[i];
        names->items = more;
        names->room = room;
    }
    names->items[names->n++] = ph_arena_strdup(names->run->arena, name);
}

static void add_array(struct ph_buf *sql, const struct names *names)
{
    ph_buf_add(sql, "ARRAY[");
    for (int i = 0; i < names->n; i++)
        ph_sql_add(sql, "%s%L", i ? ", " : "", names->items[i]);
    ph_buf_add(sql, "]::text[]");
}

/* "a, b and 3 more" */
static const char *show(const struct names *names)
{
    enum { MOST = 5 };
    struct ph_buf text = {0};
    for (int i = 0; i < names->n && i < MOST; i++)
        ph_buf_addf(&text, "%s%s",
                    i == 0              ? ""
                    : i == names->n - 1 ? " and "
                                        : ", ",
                    names->items[i]);
    if (names->n > MOST)
        ph_buf_addf(&text, " and %d more", names->n - MOST);
    const char *out = ph_arena_strdup(names->run->arena, ph_buf_text(&text));
    ph_buf_fini(&text);
    return out;
}

/* Runs a query whose first column is names, and frees its text. Of the source it is a question. */
static bool ask(const struct ph_witness *witness, const char *question, struct ph_buf *sql,
                struct names *out, struct ph_err *err)
{
    struct ph_rows *rows = NULL;
    bool ok = ph_witness_catalog(witness, question, ph_buf_text(sql), &rows, err);
    for (int i = 0; i < ph_rows_count(rows); i++)
        add(out, ph_rows_text(rows, i, 0));
    ph_rows_free(rows);
    ph_buf_fini(sql);
    return ok;
}

static bool ask_source(struct ph_run *run, const char *question, struct ph_buf *sql,
                       struct names *out, struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    return ask(&source, question, sql, out, err);
}

static bool ask_target(struct ph_run *run, struct ph_buf *sql, struct names *out,
                       struct ph_err *err)
{
    const struct ph_witness target = {.conn = run->target};
    return ask(&target, "", sql, out, err);
}

/* Objects of the dump, as (catalog, OID) of the source; with a last one that is everywhere, so that there is one. */
static void add_objects(struct ph_buf *sql, const struct ph_create_look *look)
{
    const struct ph_toc *both[] = {&look->pre, &look->post};
    ph_buf_add(sql, "(VALUES ");
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < both[t]->n; i++)
            if (both[t]->items[i].catalog && both[t]->items[i].oid)
                ph_buf_addf(sql, "(%u::oid, %u::oid), ", both[t]->items[i].catalog,
                            both[t]->items[i].oid);
    ph_buf_add(sql, "(1259::oid, 1259::oid)) v(catalog, oid)");
}

static void obstacle(struct ph_create_look *look, struct ph_run *run, const char *hint,
                     const char *text, const struct names *names)
{
    ph_plan_obstacle(look->plan, ph_arena_printf(run->arena, "%s: %s", text, show(names)), hint);
}

/* Extensions: those of the dump must be at hand, those that types come from must be there. */

/* Those that the dump makes, and others that its tables have types of. */
static bool ask_extensions(struct ph_run *run, const struct ph_create_look *look,
                           struct names *made, struct names *used, struct ph_err *err)
{
    struct ph_buf sql = {0};
    for (int i = 0; i < look->pre.n; i++)
        if (ph_toc_is(&look->pre.items[i], "EXTENSION"))
            add(made, look->pre.items[i].tag);
    ph_buf_add(&sql, "SELECT DISTINCT e.extname FROM ");
    add_objects(&sql, look);
    ph_buf_add(&sql, " JOIN pg_attribute a ON a.attrelid = v.oid AND v.catalog = 1259"
                     " AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid"
                     " JOIN pg_depend d ON d.classid = 1247 AND d.deptype = 'e'"
                     " AND d.objid IN (t.oid, t.typelem, t.typbasetype)"
                     " JOIN pg_extension e ON d.refclassid = 3079 AND e.oid = d.refobjid"
                     " WHERE e.extname <> ALL (");
    add_array(&sql, made);
    ph_buf_add(&sql, ")");
    return ask_source(run, "extensions of types", &sql, used, err);
}

static bool check_extensions(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct names made = {.run = run}, used = {.run = run}, lacking = {.run = run},
                 absent = {.run = run};
    struct ph_buf sql = {0};
    if (!ask_extensions(run, look, &made, &used, err))
        return false;
    ph_buf_add(&sql, "SELECT x FROM unnest(");
    add_array(&sql, &used);
    ph_buf_add(&sql, ") x WHERE x NOT IN (SELECT extname FROM pg_extension)");
    if (!ask_target(run, &sql, &absent, err))
        return false;
    ph_buf_add(&sql, "SELECT x FROM unnest(");
    add_array(&sql, &made);
    ph_buf_add(&sql, " || ");
    add_array(&sql, &absent);
    ph_buf_add(&sql, ") x WHERE x NOT IN (SELECT extname FROM pg_extension)"
                     " AND x NOT IN (SELECT name FROM pg_available_extensions)");
    if (!ask_target(run, &sql, &lacking, err))
        return false;
    if (lacking.n)
        obstacle(look, run,
                 ph_arena_printf(run->arena,
                                 "install its package on the target's host (postgresql-contrib,"
                                 " postgresql-%d-...), so that CREATE EXTENSION %s works there",
                                 look->plan->target.version / 10000, lacking.items[0]),
                 "the target's server does not have the extension that the source uses", &lacking);
    else if (absent.n)
        obstacle(look, run,
                 ph_arena_printf(run->arena, "CREATE EXTENSION %s in the target", absent.items[0]),
                 "the target lacks the extension that columns have their types from", &absent);
    return true;
}

/* Rows that users have put into an extension's own tables (spatial_ref_sys): they lie among those that CREATE EXTENSION makes. */
static bool check_extension_rows(struct ph_run *run, struct ph_create_look *look,
                                 struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *tables = NULL;
    bool ok = ph_catalog_query(
        run->source,
        "SELECT e.extname, n.nspname, c.relname, coalesce(u.condition, '')"
        " FROM pg_extension e, unnest(e.extconfig, e.extcondition) u(oid, condition)"
        " JOIN pg_class c ON c.oid = u.oid AND c.relkind = 'r'"
        " JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2, 3",
        &tables, err);
    for (int i = 0; ok && i < ph_rows_count(tables); i++) {
        const char *schema = ph_rows_text(tables, i, 1), *name = ph_rows_text(tables, i, 2);
        struct ph_rows *count = NULL;
        struct ph_err ignored; /* a condition that does not work here, or no right to read it */
        ph_buf_clear(&sql);
        ph_sql_add(&sql, "SELECT count(*) FROM %I.%I ", schema, name);
        ph_buf_add(&sql, ph_rows_text(tables, i, 3));
        bool counted = ph_catalog_query(run->source, sql.data, &count, &ignored);
        if (counted && ph_rows_int(count, 0, 0) > 0)
            ph_plan_warn(look->plan,
                         "%s rows of %s do not come with extension %s, which owns it: copy -t %s"
                         " --allow-nonempty --where moves them",
                         ph_rows_text(count, 0, 0), ph_plan_name(look->plan, schema, name),
                         ph_rows_text(tables, i, 0), ph_plan_name(look->plan, schema, name));
        ph_rows_free(count);
        ok = counted || ph_conn_ok(run->source);
        if (!ok)
            *err = ignored;
    }
    ph_rows_free(tables);
    ph_buf_fini(&sql);
    return ok;
}

/* Roles. */

static bool missing_roles(struct ph_run *run, const struct names *wanted, struct names *missing,
                          struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT x FROM unnest(");
    add_array(&sql, wanted);
    ph_buf_add(&sql, ") x WHERE x NOT IN (SELECT rolname FROM pg_roles)");
    return ask_target(run, &sql, missing, err);
}

/* Who is in grants (a) or in policies (r). */
static bool ask_roles(struct ph_run *run, const struct ph_create_look *look, const char *why,
                      struct names *out, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT DISTINCT r.rolname FROM ");
    add_objects(&sql, look);
    ph_sql_add(&sql,
               " JOIN pg_shdepend d ON d.classid = v.catalog AND d.objid = v.oid AND d.deptype = %L"
               " AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
               " JOIN pg_roles r ON d.refclassid = 1260 AND r.oid = d.refobjid",
               why);
    return ask_source(run, *why == 'a' ? "roles in grants" : "roles in policies", &sql, out, err);
}

static bool check_roles(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    const struct ph_dump_without without = ph_create_without(run);
    struct names wanted = {.run = run}, in_policies = {.run = run}, missing = {.run = run},
                 nobody = {.run = run};
    const struct ph_toc *both[] = {&look->pre, &look->post};
    for (int t = 0; t < 2 && !without.owner; t++)
        for (int i = 0; i < both[t]->n; i++)
            if (*both[t]->items[i].owner)
                add(&wanted, both[t]->items[i].owner);
    if ((!without.privileges && !ask_roles(run, look, "a", &wanted, err)) ||
        !ask_roles(run, look, "r", &in_policies, err) ||
        !missing_roles(run, &wanted, &missing, err) ||
        !missing_roles(run, &in_policies, &nobody, err))
        return false;
    if (missing.n)
        obstacle(look, run,
                 "make them there (pg_dumpall --roles-only), or leave owners and grants out by"
                 " --no-owner --no-privileges",
                 "owners or grants are of roles that the target does not have", &missing);
    if (nobody.n)
        obstacle(look, run, "make them there (pg_dumpall --roles-only)",
                 "policies are for roles that the target does not have", &nobody);
    return true;
}

static bool ask_tablespaces(struct ph_run *run, const struct ph_create_look *look,
                            struct names *used, struct ph_err *err)
{
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT DISTINCT s.spcname FROM ");
    add_objects(&sql, look);
    ph_buf_add(&sql, " JOIN pg_class c ON v.catalog = 1259 AND c.oid = v.oid"
                     " JOIN pg_tablespace s ON s.oid = c.reltablespace");
    return ask_source(run, "tablespaces", &sql, used, err);
}

static bool check_tablespaces(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct names used = {.run = run}, missing = {.run = run};
    struct ph_buf sql = {0};
    if (!ask_tablespaces(run, look, &used, err))
        return false;
    ph_buf_add(&sql, "SELECT x FROM unnest(");
    add_array(&sql, &used);
    ph_buf_add(&sql, ") x WHERE x NOT IN (SELECT spcname FROM pg_tablespace)");
    if (!ask_target(run, &sql, &missing, err))
        return false;
    if (missing.n)
        obstacle(look, run, "CREATE TABLESPACE there",
                 "tables or indexes are in tablespaces that the target does not have", &missing);
    return true;
}

/* What is there already. */

/* Each catalog whose objects have names of their own. */
static const struct {
    unsigned catalog;
    const char *name;
} named[] = {
    {1259, "pg_class"},
    {1247, "pg_type"},
    {1255, "pg_proc"},
    {2617, "pg_operator"},
    {2616, "pg_opclass"},
    {2753, "pg_opfamily"},
    {3456, "pg_collation"},
    {2607, "pg_conversion"},
    {3600, "pg_ts_dict"},
    {3602, "pg_ts_config"},
    {2328, "pg_foreign_data_wrapper"},
    {1417, "pg_foreign_server"},
    {2612, "pg_language"},
    {2601, "pg_am"},
    {3381, "pg_statistic_ext"},
    {3466, "pg_event_trigger"},
    {6104, "pg_publication"},
};
enum { N_NAMED = sizeof named / sizeof *named, FIRST_USER_OID = 16384 };

static bool ask_identities(struct ph_run *run, const struct ph_create_look *look,
                           struct ph_rows **rows, struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT v.catalog || ' ' || i.identity FROM ");
    add_objects(&sql, look);
    ph_buf_add(&sql, ", LATERAL pg_identify_object(v.catalog, v.oid, 0) i"
                     " WHERE i.identity IS NOT NULL AND v.catalog IN (0");
    for (int i = 0; i < N_NAMED; i++)
        ph_buf_addf(&sql, ", %u", named[i].catalog);
    ph_buf_add(&sql, ")");
    bool ok = ph_witness_catalog(&source, "identities", sql.data, rows, err);
    ph_buf_fini(&sql);
    return ok;
}

static bool check_present(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct names there = {.run = run};
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool ok = ask_identities(run, look, &rows, err);
    ph_buf_add(&sql, "SELECT i.type || ' ' || i.identity FROM (");
    for (int i = 0; i < N_NAMED; i++)
        ph_buf_addf(&sql, "%sSELECT %u::oid AS catalog, oid FROM %s WHERE oid >= %d",
                    i ? " UNION ALL " : "", named[i].catalog, named[i].name, FIRST_USER_OID);
    ph_buf_add(&sql, ") o, LATERAL pg_identify_object(o.catalog, o.oid, 0) i"
                     " WHERE o.catalog || ' ' || i.identity = ANY (ARRAY[");
    for (int i = 0; i < ph_rows_count(rows); i++)
        ph_sql_add(&sql, "%s%L", i ? ", " : "", ph_rows_text(rows, i, 0));
    ph_buf_add(&sql, "]::text[]) ORDER BY 1");
    ph_rows_free(rows);
    if (!ok || !ask_target(run, &sql, &there, err))
        return false;
    const char *hint = there.n ? ph_create_others_hint(run) : NULL;
    if (there.n)
        obstacle(look, run,
                 hint ? hint
                      : "leave out --create to load the tables that are there, or name another "
                        "database",
                 "--create finds in the target what it would make", &there);
    return true;
}

static bool has(const struct names *names, const char *name)
{
    for (int i = 0; i < names->n; i++)
        if (!strcmp(names->items[i], name))
            return true;
    return false;
}

/* Who names tables gets no schema with them. */
static void check_schemas(struct ph_run *run, struct ph_create_look *look,
                          const struct names *there)
{
    struct names made = {.run = run}, missing = {.run = run};
    for (int i = 0; i < look->pre.n; i++)
        if (ph_toc_is(&look->pre.items[i], "SCHEMA"))
            add(&made, look->pre.items[i].tag);
    for (int i = 0; i < look->pre.n; i++) {
        const char *schema = look->pre.items[i].schema;
        if (schema && !has(there, schema) && !has(&made, schema))
            add(&missing, schema);
    }
    if (missing.n)
        obstacle(look, run, "CREATE SCHEMA there, or take the whole schema by --schema",
                 "the target does not have the schema that tables are to be made in", &missing);
}

/* A schema or an extension that is there will do as it is; its comment is then its owner's affair. */
static bool skip_present(struct ph_run *run, struct ph_create_look *look, bool *skip,
                         struct ph_err *err)
{
    struct names schemas = {.run = run}, extensions = {.run = run};
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT nspname FROM pg_namespace");
    if (!ask_target(run, &sql, &schemas, err))
        return false;
    ph_buf_add(&sql, "SELECT extname FROM pg_extension");
    if (!ask_target(run, &sql, &extensions, err))
        return false;
    check_schemas(run, look, &schemas);
    for (int i = 0; i < look->pre.n; i++) {
        const struct ph_toc_entry *e = &look->pre.items[i];
        for (int k = 0; k < schemas.n; k++)
            skip[i] = skip[i] || (ph_toc_is(e, "SCHEMA") && !strcmp(e->tag, schemas.items[k])) ||
                      (ph_toc_is(e, "COMMENT") && !strncmp(e->tag, "SCHEMA ", 7) &&
                       !strcmp(e->tag + 7, schemas.items[k]));
        for (int k = 0; k < extensions.n; k++)
            skip[i] = skip[i] ||
                      (ph_toc_is(e, "EXTENSION") && !strcmp(e->tag, extensions.items[k])) ||
                      (ph_toc_is(e, "COMMENT") && !strncmp(e->tag, "EXTENSION ", 10) &&
                       !strcmp(e->tag + 10, extensions.items[k]));
    }
    return true;
}

/* Foreign keys of what is made that refer to what is not: name, schema and table, referred. */
static bool ask_references(struct ph_run *run, const struct ph_create_look *look,
                           struct ph_rows **rows, struct ph_err *err)
{
    const struct ph_witness source = ph_run_witness(run);
    struct ph_buf sql = {0}, made = {0};
    for (int i = 0; i < look->pre.n; i++)
        if (look->pre.items[i].catalog == PH_CATALOG_CLASS)
            ph_buf_addf(&made, "%s%u", made.len ? "," : "", look->pre.items[i].oid);
    ph_sql_add(
        &sql,
        "SELECT k.conname, n.nspname, c.relname, format('%%I.%%I', m.nspname, o.relname)"
        " FROM pg_constraint k"
        " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_class o ON o.oid = k.confrelid JOIN pg_namespace m ON m.oid = o.relnamespace"
        " WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY ('{%s}'::oid[])"
        " AND k.confrelid <> ALL ('{%s}'::oid[]) ORDER BY 2, 3, 1",
        ph_buf_text(&made), ph_buf_text(&made));
    bool ok = ph_witness_catalog(&source, "references", sql.data, rows, err);
    ph_buf_fini(&made);
    ph_buf_fini(&sql);
    return ok;
}

/* A selection may leave out what a foreign key points at. It cannot come then, unless that is there already. */
static bool check_references(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    struct names others = {.run = run}, absent = {.run = run};
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    bool ok = ask_references(run, look, &rows, err);
    for (int i = 0; i < ph_rows_count(rows); i++)
        add(&others, ph_rows_text(rows, i, 3));
    ph_buf_add(&sql, "SELECT x FROM unnest(");
    add_array(&sql, &others);
    ph_buf_add(&sql, ") x WHERE to_regclass(x) IS NULL");
    ok = ok && ask_target(run, &sql, &absent, err);
    for (int i = 0; ok && i < ph_rows_count(rows); i++)
        if (has(&absent, ph_rows_text(rows, i, 3)))
            ph_plan_warn(
                look->plan, "foreign key %s of %s is left out, as is %s, which it refers to",
                ph_rows_text(rows, i, 0),
                ph_plan_name(look->plan, ph_rows_text(rows, i, 1), ph_rows_text(rows, i, 2)),
                ph_rows_text(rows, i, 3));
    ph_rows_free(rows);
    ph_buf_fini(&sql);
    return ok;
}

bool ph_create_check(struct ph_run *run, struct ph_create_look *look, bool *skip,
                     struct ph_err *err)
{
    return check_extensions(run, look, err) &&
           (!run->opts->spec->all || !run->source || check_extension_rows(run, look, err)) &&
           check_roles(run, look, err) && check_tablespaces(run, look, err) &&
           check_present(run, look, err) && check_references(run, look, err) &&
           skip_present(run, look, skip, err) && ph_create_check_needs(run, look, err);
}

/* Of "schemas" and "roles" ph_create_list has asked. */
bool ph_create_ask(struct ph_run *run, const struct ph_create_look *look, struct ph_err *err)
{
    struct names ignored = {.run = run};
    struct ph_rows *rows = NULL, *references = NULL;
    bool ok = ask_extensions(run, look, &ignored, &ignored, err) &&
              ask_roles(run, look, "a", &ignored, err) &&
              ask_roles(run, look, "r", &ignored, err) &&
              ask_tablespaces(run, look, &ignored, err) && ask_identities(run, look, &rows, err) &&
              ask_references(run, look, &references, err);
    ph_rows_free(rows);
    ph_rows_free(references);
    return ok;
}

bool ph_create_names(struct ph_run *run, struct ph_toc_names *names, struct ph_err *err)
{
    struct names schemas = {.run = run}, roles = {.run = run};
    struct ph_buf sql = {0};
    ph_buf_add(&sql, "SELECT translate(nspname, E'\\n\\r', '  ') FROM pg_namespace");
    if (!ask_source(run, "schemas", &sql, &schemas, err))
        return false;
    ph_buf_add(&sql, "SELECT translate(rolname, E'\\n\\r', '  ') FROM pg_roles");
    if (!ask_source(run, "roles", &sql, &roles, err))
        return false;
    *names = (struct ph_toc_names){
        .schemas = schemas.items, .roles = roles.items, .n_schemas = schemas.n, .n_roles = roles.n};
    return true;
}

/* Planning a load: there is no source server, an archive's catalog stands in for it (catalog_json.h).
 * What the archive holds is settled already: its columns, all of them and in their order, as binary
 * or as text, cut into its files. So nothing is chosen here; it is proven that the target takes the
 * stream as it was written, or refused.
 */
#include <inttypes.h>
#include <string.h>

#include "archive/manifest.h"
#include "pg/objects.h"
#include "plan/catalog_json.h"
#include "plan/make.h"

static struct ph_arena *arena_of(struct ph_make *make)
{
    return &make->plan->arena;
}

/* What cannot be asked of an archive. */

static bool refuse(const char *what, const char *why, const char *hint, struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "%s cannot be asked of an archive: %s", what, why);
    return ph_err_hint(err, "%s", hint);
}

static bool check_request(const struct ph_job_spec *spec, const struct ph_request *request,
                          struct ph_err *err)
{
    static const char rows[] = "its files hold the rows and columns that were extracted, and are "
                               "loaded as they are";
    static const char anew[] = "say it when the archive is extracted, or copy from the source";
    if (request->filter)
        return refuse("a filter (--where)", rows, anew, err);
    if (request->n_mappings)
        return refuse("an expression for a column", rows, anew, err);
    if (request->columns)
        return refuse("a choice of columns (--columns)", rows, anew, err);
    if (request->n_key && spec->mode != PH_UPSERT)
        return refuse("another cut (--key)", "its tables are cut into files already",
                      "a key is for --mode upsert", err);
    if (request->split)
        return refuse("another cut (--split)", "its tables are cut into files already",
                      "leave it out", err);
    return true;
}

/* The dump is one: which of its objects a table needs, nobody can say without the source. */
static bool check_create(const struct ph_job_spec *spec, struct ph_err *err)
{
    bool part =
        spec->n_requests || spec->n_schemas || spec->n_exclude_tables || spec->n_exclude_schemas;
    return !spec->create || !part ||
           refuse("a part of its schema (--create with tables or schemas named)",
                  "its schema is made as a whole",
                  "leave the names out; or make those tables yourself, and leave out --create",
                  err);
}

bool ph_load_check(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    if (!check_create(spec, err))
        return false;
    for (int i = 0; i < spec->n_requests; i++)
        if (!check_request(spec, &spec->requests[i], err))
            return false;
    if (spec->split || spec->shard_size || spec->shard_rows)
        return refuse("another cut (--split, --shard-size, --shard-rows)",
                      "its tables are cut into files already", "leave it out", err);
    if (spec->sequences)
        return refuse("a sequence's value (--sequences)", "it holds rows only",
                      "set sequences by setval() after the load", err);
    return true;
}

/* The catalog. */

static bool damaged(struct ph_make *make, const struct ph_archive_table *table, const char *why,
                    struct ph_err *err)
{
    return ph_err_set(err, PH_FAILED, "the archive contradicts itself: of %s its catalog %s",
                      ph_plan_name(make->plan, table->schema, table->name), why);
}

/* The files are described twice, and must be the same thing both times. */
static bool check_table(struct ph_make *make, const struct ph_archive_table *table,
                        const struct ph_relation *relation, struct ph_err *err)
{
    if (!relation || relation->kind != 'r')
        return damaged(make, table, "knows nothing", err);
    if (table->n_columns != relation->n_columns)
        return damaged(make, table, "has another number of columns", err);
    for (int i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i], relation->columns[i].name) != 0 ||
            strcmp(table->types[i], relation->columns[i].shown) != 0)
            return damaged(make, table, "has other columns", err);
    return true;
}

static bool is_objects(const struct ph_archive_table *table)
{
    return !strcmp(table->schema, PH_OBJECTS_SCHEMA) && !strcmp(table->name, PH_OBJECTS_TABLE);
}

/* What the archive has of a table of its own, where it is counted; NULL: it contradicts itself. The catalog does not speak
 * of large objects. */
static struct ph_archived *place_of(struct ph_make *make, const struct ph_archive_table *table,
                                    struct ph_err *err)
{
    struct ph_catalog *source = &make->side[PH_SOURCE];
    if (is_objects(table))
        return &make->objects;
    struct ph_relation *relation = ph_catalog_named(source, table->schema, table->name);
    return check_table(make, table, relation, err) ? &make->archived[relation - source->relations]
                                                   : NULL;
}

static bool connect_tables(struct ph_make *make, const struct ph_archive *archive,
                           struct ph_archived **by_id, struct ph_err *err)
{
    for (int i = 0; i < archive->n_tables; i++) {
        const struct ph_archive_table *table = &archive->tables[i];
        struct ph_archived *archived = place_of(make, table, err);
        if (!archived)
            return false;
        bool known = table->id >= 1 && table->id <= archive->n_tables;
        if (!known || archived->table || by_id[table->id])
            return damaged(make, table, "has it twice", err);
        archived->table = table;
        by_id[table->id] = archived;
    }
    return true;
}

/* Better than what the source estimated: what the files hold. */
static bool count_shards(struct ph_make *make, const struct ph_archive *archive,
                         struct ph_archived *const *by_id, struct ph_err *err)
{
    struct ph_catalog *source = &make->side[PH_SOURCE];
    for (int i = 0; i < archive->n_shards; i++) {
        const struct ph_archive_shard *shard = &archive->shards[i];
        if (shard->tab < 1 || shard->tab > archive->n_tables)
            return ph_err_set(err, PH_FAILED,
                              "the archive contradicts itself: its shard %" PRId64
                              " is of no table of it",
                              shard->id);
        struct ph_archived *archived = by_id[shard->tab];
        archived->n_shards++;
        archived->rows += shard->file ? shard->tally.rows : 0;
        archived->bytes += shard->file ? shard->tally.bytes : 0;
    }
    for (int i = 0; i < source->n_relations; i++)
        if (make->archived[i].table) {
            source->relations[i].rows = (double)make->archived[i].rows;
            source->relations[i].heap = (int64_t)make->archived[i].bytes;
            source->relations[i].toast = 0;
        }
    return true;
}

bool ph_load_catalog(struct ph_make *make, struct ph_err *err)
{
    const struct ph_job_spec *spec = make->plan->spec;
    const struct ph_archive *archive = spec->archive;
    struct ph_catalog *source = &make->side[PH_SOURCE];
    if (!ph_catalog_json_read(source, arena_of(make), archive->catalog, err))
        return false;
    source->server.shown = spec->archive_shown ? spec->archive_shown : "an archive";
    make->archived =
        ph_arena_calloc(arena_of(make), (size_t)source->n_relations, sizeof *make->archived);
    struct ph_archived **by_id =
        ph_arena_calloc(arena_of(make), (size_t)archive->n_tables + 1, sizeof(*by_id));
    return connect_tables(make, archive, by_id, err) && count_shards(make, archive, by_id, err);
}

const struct ph_archived *ph_load_archived(const struct ph_make *make,
                                           const struct ph_relation *relation)
{
    return &make->archived[relation - make->side[PH_SOURCE].relations];
}

enum ph_format ph_load_format(const struct ph_make *make, const struct ph_relation *relation)
{
    return ph_load_archived(make, relation)->table->format;
}

/* Columns. */

static const char other_table[] =
    "load into a table of the archive's types by -t NAME=TARGET, or copy from the source";

void ph_load_fit(struct ph_make *make, const struct ph_pair *pair,
                 const struct ph_plan_column *column, struct ph_fit *fit)
{
    bool binary = ph_load_format(make, pair->source) == PH_BINARY;
    const char *name = ph_make_name(make, pair->source);
    const char *quoted = ph_make_quote(make, column->name);
    if (fit->kind == PH_FIT_NONE && !strcmp(column->source_type, column->target_type))
        ph_make_obstacle(make, other_table,
                         "%s, column %s: %s differs between the archive and the target: %s", name,
                         quoted, column->source_type, fit->why);
    else if (fit->kind == PH_FIT_NONE || (fit->kind == PH_FIT_CAST && (binary || fit->rounds)))
        ph_make_obstacle(make, other_table,
                         "%s, column %s: the archive holds %s, the target wants %s: an archive is "
                         "loaded as it was written",
                         name, quoted, column->source_type, column->target_type);
    else if (fit->kind == PH_FIT_TEXT && binary && !fit->but_empty)
        ph_make_obstacle(make, "copy from the source, which then sends it as text",
                         "%s, column %s: the archive holds %s in binary form: %s", name, quoted,
                         column->source_type, fit->why);
    else if (fit->kind == PH_FIT_CAST)
        fit->why =
            ph_arena_printf(arena_of(make), "%s is read from its text form", column->target_type);
    fit->kind = binary ? PH_FIT_BINARY : PH_FIT_TEXT;
    fit->needs_text = !binary;
    fit->cast = "";
}

void ph_load_warn(struct ph_make *make, const struct ph_pair *pair, struct ph_table *table)
{
    const char *filter = ph_load_archived(make, pair->source)->table->filter;
    if (filter)
        ph_make_table_warning(make, table, "%s: the archive holds only rows where %s",
                              ph_make_name(make, pair->source), filter);
}

/* Shards. */

static enum ph_split split_named(const char *name)
{
    for (enum ph_split split = PH_SPLIT_BLOCK; split < PH_SPLIT_NONE; split++)
        if (!strcmp(name, ph_split_name(split)))
            return split;
    return PH_SPLIT_NONE;
}

void ph_load_split(struct ph_make *make)
{
    struct ph_plan *plan = make->plan;
    const struct ph_archive *archive = plan->spec->archive;
    for (int i = 0; i < plan->n_tables; i++) {
        struct ph_table *table = &plan->tables[i];
        const struct ph_archived *archived =
            table->objects ? &make->objects : ph_load_archived(make, make->pairs[i].source);
        table->split = split_named(archived->table->split);
        table->split_reason = "as it was archived";
        table->key = NULL;
        table->n_key = 0;
        table->n_shards = archived->n_shards;
    }
    for (int i = 0; i < archive->n_shards; i++)
        if (archive->shards[i].tally.bytes > plan->shard_size)
            plan->shard_size = archive->shards[i].tally.bytes;
}

/* Rows with the same upsert key are in one shard when it was cut by no more than columns of that key. */
static bool is_together(const struct ph_relation *source, const struct ph_table *table)
{
    for (int i = 0; i < source->n_cut_key; i++) {
        bool found = false;
        for (int k = 0; k < table->n_conflict && !found; k++)
            found = !strcmp(source->cut_key[i], table->conflict[k]);
        if (!found)
            return false;
    }
    return source->n_cut_key > 0;
}

void ph_load_conflict(struct ph_make *make, const struct ph_pair *pair,
                      const struct ph_table *table, bool shared)
{
    bool one = ph_load_archived(make, pair->source)->n_shards <= 1;
    if (table->source_key_unique || (!shared && (one || is_together(pair->source, table))))
        return;
    ph_make_obstacle(make,
                     "extract it anew with --split key and this --key, or load by --mode replace",
                     "the archive of %s was not cut by the upsert key, which its source did not "
                     "keep unique: a doubled key in two shards would go unseen",
                     ph_make_name(make, pair->source));
}

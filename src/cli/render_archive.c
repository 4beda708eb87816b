#include "cli/render.h"

#include <string.h>

#include "archive/receipt.h"
#include "base/num.h"
#include "cli/cli.h"
#include "cli/grid.h"
#include "pg/objects.h"
#include "plan/quote.h"

/* Large objects are a table like others there, and none that anybody would know by its name. */
static const char *show_table(struct ph_arena *arena, const struct ph_archive_table *t)
{
    bool objects = !strcmp(t->schema, PH_OBJECTS_SCHEMA) && !strcmp(t->name, PH_OBJECTS_TABLE);
    return objects ? "large objects" : ph_quote_name(arena, t->schema, t->name);
}

/* Sums
 * ------------------------------------------------------------------------------------------------------------
 */

struct sum {
    struct ph_tally tally;
    uint64_t stored; /* bytes of files */
    int shards, files;
};

static void add_shard(struct sum *sum, const struct ph_archive_shard *shard)
{
    sum->shards++;
    if (!shard->file)
        return;
    sum->files++;
    sum->tally.rows += shard->tally.rows;
    sum->tally.bytes += shard->tally.bytes;
    sum->stored += shard->sealed.size;
}

/* Of each table; free it. */
static struct sum *sum_up(struct ph_arena *arena, const struct ph_archive *a, struct sum *all)
{
    struct sum *sums = ph_arena_calloc(arena, (size_t)a->n_tables + 1, sizeof *sums);
    *all = (struct sum){0};
    for (int i = 0; i < a->n_shards; i++) {
        add_shard(&sums[a->shards[i].tab - 1], &a->shards[i]);
        add_shard(all, &a->shards[i]);
    }
    return sums;
}

static const struct ph_archive_snapshot *in_force(const struct ph_archive *a)
{
    return a->n_snapshots > 0 ? &a->snapshots[a->n_snapshots - 1] : NULL;
}

/* For people
 * ------------------------------------------------------------------------------------------------------
 */

static void add_size(struct ph_buf *out, const struct sum *all)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], stored[PH_NUM_TEXT];
    ph_buf_addf(out, "%s rows, %s in %s of files\n", ph_num_show_count(rows, all->tally.rows),
                ph_num_show_bytes(bytes, (double)all->tally.bytes),
                ph_num_show_bytes(stored, (double)all->stored));
}

static void add_head(struct ph_buf *out, const struct ph_archive *a, const char *dir, int files,
                     const struct sum *all)
{
    const struct ph_archive_snapshot *snapshot = in_force(a);
    ph_buf_add(out, "archive ");
    ph_term_safe(out, dir);
    if (a->sealed_at)
        ph_buf_addf(out, ": complete, %d table%s, ", a->n_tables, a->n_tables == 1 ? "" : "s");
    else
        ph_buf_addf(out, ": unfinished, %d of %d files are there, ", files, a->n_shards);
    add_size(out, all);
    ph_buf_add(out, "from      ");
    ph_term_safe(out, a->source);
    ph_buf_addf(out, " (PostgreSQL %d.%d, ", a->source_version / 10000, a->source_version % 10000);
    ph_term_safe(out, a->encoding);
    ph_buf_add(out, ")\n");
    if (a->schema)
        ph_render_counts(out, "schema    ", a->schema->counts);
    if (snapshot)
        ph_buf_addf(out, "snapshot  %s%s%s\n", snapshot->taken_at, snapshot->lsn ? ", at LSN " : "",
                    snapshot->lsn ? snapshot->lsn : "");
    ph_buf_addf(out, "begun     %s\n", a->created_at);
    if (a->sealed_at)
        ph_buf_addf(out, "sealed    %s\n", a->sealed_at);
    else
        ph_buf_add(out, "to finish it, run the extract that began it again\n");
}

static void add_row(struct ph_grid *grid, const char *name, const struct sum *sum, bool sealed,
                    const char *format)
{
    char text[PH_NUM_TEXT];
    ph_grid_cell(grid, "%s", name);
    ph_grid_cell(grid, "%s", ph_num_show_count(text, sum->tally.rows));
    ph_grid_cell(grid, "%s", ph_num_show_bytes(text, (double)sum->tally.bytes));
    ph_grid_cell(grid, "%s", ph_num_show_bytes(text, (double)sum->stored));
    if (sum->tally.bytes)
        ph_grid_cell(grid, "%.0f %%", (double)sum->stored / (double)sum->tally.bytes * 100);
    else
        ph_grid_cell(grid, "-");
    if (sealed)
        ph_grid_cell(grid, "%d", sum->shards);
    else
        ph_grid_cell(grid, "%d of %d", sum->files, sum->shards);
    ph_grid_cell(grid, "%s", format);
}

static void add_tables(struct ph_buf *out, const struct ph_archive *a, struct ph_arena *arena,
                       const struct sum *sums, const struct sum *all)
{
    static const char *const heads[] = {"table", "rows",   "bytes", "stored",
                                        "ratio", "shards", "format"};
    struct ph_grid grid = {.align = "lrrrrrl"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *t = &a->tables[i];
        add_row(&grid, show_table(arena, t), &sums[i], a->sealed_at, ph_format_names[t->format]);
    }
    if (a->n_tables > 1)
        add_row(&grid, "total", all, a->sealed_at, "");
    ph_buf_addc(out, '\n');
    ph_grid_print(&grid, out, "");
}

static void add_shards(struct ph_buf *out, const struct ph_archive *a, struct ph_arena *arena)
{
    static const char *const heads[] = {"shard", "table", "from",   "to",
                                        "rows",  "bytes", "stored", "file"};
    char text[PH_NUM_TEXT];
    struct ph_grid grid = {.align = "rlllrrrl"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < a->n_shards; i++) {
        const struct ph_archive_shard *s = &a->shards[i];
        const struct ph_archive_table *t = &a->tables[s->tab - 1];
        ph_grid_cell(&grid, "%lld", (long long)s->id);
        ph_grid_cell(&grid, "%s", show_table(arena, t));
        ph_grid_cell(&grid, "%s", s->lo ? s->lo : "open");
        ph_grid_cell(&grid, "%s", s->hi ? s->hi : "open");
        ph_grid_cell(&grid, "%s", s->file ? ph_num_show_count(text, s->tally.rows) : "-");
        ph_grid_cell(&grid, "%s", s->file ? ph_num_show_bytes(text, (double)s->tally.bytes) : "-");
        ph_grid_cell(&grid, "%s", s->file ? ph_num_show_bytes(text, (double)s->sealed.size) : "-");
        ph_grid_cell(&grid, "%s", s->file ? s->file : "not there yet");
    }
    ph_buf_addc(out, '\n');
    ph_grid_print(&grid, out, "");
}

void ph_render_archive(struct ph_buf *out, const struct ph_archive *archive, const char *dir,
                       int files, bool verbose)
{
    struct ph_arena arena = {0};
    struct sum all, *sums = sum_up(&arena, archive, &all);
    add_head(out, archive, dir, files, &all);
    add_tables(out, archive, &arena, sums, &all);
    if (verbose)
        add_shards(out, archive, &arena);
    ph_arena_fini(&arena);
}

void ph_render_check(struct ph_buf *out, const struct ph_archive_check *c, const char *dir,
                     bool quiet)
{
    char sound[PH_NUM_TEXT], files[PH_NUM_TEXT], rows[PH_NUM_TEXT], text[PH_NUM_TEXT];
    for (int i = 0; i < c->n_findings; i++) {
        ph_buf_add(out, "damaged: ");
        ph_term_safe(out, c->finding[i].text);
        ph_buf_addc(out, '\n');
    }
    if (c->damaged > (uint64_t)c->n_findings)
        ph_buf_addf(out, "damaged: %llu more\n",
                    (unsigned long long)(c->damaged - (uint64_t)c->n_findings));
    if (quiet)
        return;
    ph_buf_add(out, "archive ");
    ph_term_safe(out, dir);
    ph_buf_addf(out, ": %s of %s files sound, %s rows, %s",
                ph_num_show_count(sound, c->files - c->damaged), ph_num_show_count(files, c->files),
                ph_num_show_count(rows, c->rows), ph_num_show_bytes(text, (double)c->bytes));
    ph_buf_addf(out, "; %s by %d thread%s, %.2f GB/s of rows\n",
                ph_num_show_duration(text, c->seconds), c->jobs, c->jobs == 1 ? "" : "s",
                c->seconds > 0 ? (double)c->bytes / c->seconds / 1e9 : 0);
}

/* For programs
 * ----------------------------------------------------------------------------------------------------
 */

static json_t *columns_json(const struct ph_archive_table *t)
{
    json_t *list = json_array();
    for (int i = 0; i < t->n_columns; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "name", ph_json_text(t->columns[i]),
                                              "type", ph_json_text(t->types[i])));
    return list;
}

static json_t *tables_json(const struct ph_archive *a, struct ph_arena *arena,
                           const struct sum *sums)
{
    json_t *list = json_array();
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *t = &a->tables[i];
        const struct sum *sum = &sums[i];
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I, s:i, s:i, s:s, s:o, s:o}", "table",
                            ph_json_text(ph_quote_name(arena, t->schema, t->name)), "rows",
                            (json_int_t)sum->tally.rows, "bytes", (json_int_t)sum->tally.bytes,
                            "stored", (json_int_t)sum->stored, "shards", sum->shards, "files",
                            sum->files, "format", ph_format_names[t->format], "filter",
                            ph_json_text(t->filter), "columns", columns_json(t)));
    }
    return list;
}

static json_t *snapshot_json(const struct ph_archive *a)
{
    const struct ph_archive_snapshot *s = in_force(a);
    return s ? json_pack("{s:o, s:o, s:o}", "taken_at", ph_json_text(s->taken_at), "lsn",
                         ph_json_text(s->lsn), "pg_snapshot", ph_json_text(s->pg_snapshot))
             : json_null();
}

static json_t *shards_json(const struct ph_archive *a, struct ph_arena *arena)
{
    json_t *list = json_array();
    for (int i = 0; i < a->n_shards; i++) {
        const struct ph_archive_shard *s = &a->shards[i];
        const struct ph_archive_table *t = &a->tables[s->tab - 1];
        json_array_append_new(
            list, json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "shard", (json_int_t)s->id,
                            "table", ph_json_text(ph_quote_name(arena, t->schema, t->name)), "lo",
                            ph_json_text(s->lo), "hi", ph_json_text(s->hi), "file",
                            ph_json_text(s->file), "rows", (json_int_t)s->tally.rows, "bytes",
                            (json_int_t)s->tally.bytes, "stored", (json_int_t)s->sealed.size));
    }
    return list;
}

json_t *ph_render_archive_json(const struct ph_archive *a, const char *dir, int files, bool verbose)
{
    struct ph_arena arena = {0};
    struct sum all, *sums = sum_up(&arena, a, &all);
    json_t *o = json_object();
    json_object_set_new(o, "archive", ph_json_text(dir));
    json_object_set_new(o, "state", json_string(a->sealed_at ? "complete" : "unfinished"));
    json_object_set_new(o, "job", ph_json_text(a->name));
    json_object_set_new(o, "set", ph_json_text(a->set));
    json_object_set_new(o, "source", ph_json_text(a->source));
    json_object_set_new(o, "source_version", json_integer(a->source_version));
    json_object_set_new(o, "encoding", ph_json_text(a->encoding));
    json_object_set_new(o, "created", ph_json_text(a->created_at));
    json_object_set_new(o, "sealed", ph_json_text(a->sealed_at));
    json_object_set_new(o, "snapshot", snapshot_json(a));
    json_object_set_new(o, "schema",
                        a->schema ? json_pack("{s:i, s:o}", "pg_dump", a->schema->major, "counts",
                                              json_loads(a->schema->counts, 0, NULL))
                                  : json_null());
    json_object_set_new(o, "tables", tables_json(a, &arena, sums));
    json_object_set_new(o, "rows", json_integer((json_int_t)all.tally.rows));
    json_object_set_new(o, "bytes", json_integer((json_int_t)all.tally.bytes));
    json_object_set_new(o, "stored", json_integer((json_int_t)all.stored));
    json_object_set_new(o, "files", json_integer(files));
    if (verbose)
        json_object_set_new(o, "shards", shards_json(a, &arena));
    ph_arena_fini(&arena);
    return o;
}

static json_t *findings_json(const struct ph_archive_check *c)
{
    json_t *list = json_array();
    for (int i = 0; i < c->n_findings; i++) {
        const struct ph_archive_finding *f = &c->finding[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o}", "file", ph_json_text(f->file), "shard",
                            f->shard ? json_integer((json_int_t)f->shard->id) : json_null(),
                            "message", ph_json_text(f->text)));
    }
    return list;
}

json_t *ph_render_check_json(const struct ph_archive_check *c, const struct ph_archive *a,
                             const char *dir, bool interrupted)
{
    const char *state = interrupted ? "interrupted" : c->damaged ? "damaged" : "sound";
    json_t *o = json_object(), *strays = json_array();
    int kept = c->n_strays < PH_ARCHIVE_FINDINGS ? c->n_strays : PH_ARCHIVE_FINDINGS;
    for (int i = 0; i < kept; i++)
        json_array_append_new(strays, ph_json_text(c->stray[i]));
    json_object_set_new(o, "archive", ph_json_text(dir));
    json_object_set_new(o, "state", json_string(state));
    json_object_set_new(o, "set", ph_json_text(a->set));
    json_object_set_new(o, "files", json_integer((json_int_t)c->files));
    json_object_set_new(o, "damaged", json_integer((json_int_t)c->damaged));
    json_object_set_new(o, "findings", findings_json(c));
    json_object_set_new(o, "strays", strays);
    json_object_set_new(o, "rows", json_integer((json_int_t)c->rows));
    json_object_set_new(o, "bytes", json_integer((json_int_t)c->bytes));
    json_object_set_new(o, "stored", json_integer((json_int_t)c->stored));
    json_object_set_new(o, "seconds", json_real(c->seconds));
    json_object_set_new(o, "bytes_per_second",
                        json_real(c->seconds > 0 ? (double)c->bytes / c->seconds : 0));
    json_object_set_new(o, "jobs", json_integer(c->jobs));
    return o;
}

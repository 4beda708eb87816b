/* The schema in an archive. An extract dumps it as copy --create would, asks the source all that would be asked of it
 * later, and keeps both. A load reads the answers back: from then on it creates as copy does, with a
 * witness in the source's place (pg/witness.h).
 *
 * It is dumped while the keeper holds the tables, so what it says of them is what the rows are of; and sequences are read
 * then, behind the snapshot, so they are ahead of every row in it.
 */
#include <string.h>

#include "archive/schema.h"
#include "base/fault.h"
#include "haul/create.h"

static bool find_tools(struct ph_run *run, struct ph_tools *tools, struct ph_err *err)
{
    return ph_create_tools(run, run->plan->source.version / 10000, "source", tools, err);
}

bool ph_create_can_keep(struct ph_run *run, struct ph_err *err)
{
    struct ph_tools tools;
    return find_tools(run, &tools, err);
}

/* Everything that ph_create_look, the steps and the sequences will want to know. */
static bool ask_all(struct ph_run *run, struct ph_create_look *look, struct ph_err *err)
{
    ph_testimony_free(run->answers);
    run->answers = ph_testimony_new();
    if (!run->answers)
        return ph_err_nomem(err);
    const struct ph_witness source = ph_run_witness(run);
    return ph_create_list(run, look, err) && ph_create_ask(run, look, err) &&
           ph_create_ask_needs(run, err) && ph_create_ask_rest(run, &look->pre, err) &&
           ph_index_ask(run->plan, &source, err);
}

bool ph_create_keep(struct ph_run *run, struct ph_archive *archive, struct ph_err *err)
{
    struct ph_create_look look = {0};
    struct ph_buf facts = {0};
    const struct ph_dir *dir = &run->archive_dir;
    struct ph_archive_schema *schema = ph_arena_calloc(run->arena, 1, sizeof *schema);
    run->phase = "reading the schema";
    bool ok = find_tools(run, &look.tools, err) && ph_create_dump(run, run->plan, &look, err) &&
              ask_all(run, &look, err) && ph_testimony_text(run->answers, &facts, err) &&
              ph_schema_write(schema, PH_SCHEMA_DUMP, dir->fd, dir->shown, &look.dump, err);
    if (ok && PH_FAULT("create.kept"))
        ok = ph_err_set(err, PH_FAILED, "fault point create.kept");
    ok = ok && ph_schema_write(schema, PH_SCHEMA_FACTS, dir->fd, dir->shown, &facts, err);
    if (ok) {
        ph_create_count(run, &look);
        schema->major = look.tools.major;
        schema->counts = look.counts;
        archive->schema = schema;
    }
    ph_buf_fini(&facts);
    ph_create_look_fini(&look);
    return ok || ph_err_prefix(err, "keeping the schema");
}

bool ph_create_is_kept(struct ph_run *run, const struct ph_archive *archive, struct ph_err *err)
{
    bool ok = true;
    for (int i = 0; archive->schema && ok && i < PH_SCHEMA_FILES; i++) {
        struct ph_buf content = {0};
        ok = ph_schema_read(archive->schema, (enum ph_schema_file)i, run->archive_dir.fd,
                            run->archive_dir.shown, &content, err);
        ph_buf_fini(&content);
    }
    return ok;
}

bool ph_create_open(struct ph_run *run, struct ph_err *err)
{
    const struct ph_archive *archive = run->opts->spec->archive;
    const struct ph_dir *dir = &run->archive_dir;
    struct ph_buf facts = {0};
    if (!archive->schema) {
        ph_err_set(err, PH_WRONG, "the archive in %s has rows only, and --create wants a schema",
                   dir->shown);
        return ph_err_hint(err, "extract it with --create; or make the tables yourself, and leave"
                                " out --create");
    }
    bool ok = ph_schema_read(archive->schema, PH_SCHEMA_FACTS, dir->fd, dir->shown, &facts, err) &&
              ph_testimony_read(&run->answers, facts.data, facts.len, err);
    ph_buf_fini(&facts);
    if (ok)
        return true;
    ph_run_unchanged(err);
    return *err->hint ? false
                      : ph_err_hint(err, "restore the file from a copy; pghaul archive verify says"
                                         " what else is damaged");
}

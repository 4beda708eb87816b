/* Before --mode replace empties anything: whether what is to be loaded instead is whole. Every byte of it is read and compared
 * with its hash, as `archive verify` does, at a gigabyte of rows a second and core. The other modes take nothing away, so
 * they do without: there a damaged file parks its shard.
 */
#include <stdlib.h>

#include "base/num.h"
#include "haul/archive_check.h"
#include "haul/run.h"

static int order_files(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

/* The archive's shards that the plan loads: a plan's files are the archive's own texts. */
static void pick_shards(struct ph_run *run, struct ph_archive *part)
{
    const struct ph_plan *plan = run->plan;
    const struct ph_archive *whole = run->opts->spec->archive;
    const char **files = ph_arena_calloc(run->arena, (size_t)plan->n_shards + 1, sizeof *files);
    struct ph_archive_shard *shards =
        ph_arena_calloc(run->arena, (size_t)plan->n_shards + 1, sizeof *shards);
    for (int i = 0; i < plan->n_shards; i++)
        files[i] = plan->shards[i].file;
    if (plan->n_shards)
        qsort(files, (size_t)plan->n_shards, sizeof *files, order_files);
    part->n_shards = 0;
    for (int i = 0; i < whole->n_shards && part->n_shards < plan->n_shards; i++)
        if (bsearch(&whole->shards[i].file, files, (size_t)plan->n_shards, sizeof *files,
                    order_files))
            shards[part->n_shards++] = whole->shards[i];
    part->shards = shards;
}

bool ph_run_check_files(struct ph_run *run, struct ph_err *err)
{
    struct ph_archive part = *run->opts->spec->archive;
    struct ph_archive_check found;
    char bytes[PH_NUM_TEXT];
    run->phase = "checking the files";
    pick_shards(run, &part);
    const struct ph_archive_check_opts opts = {.dir = &run->archive_dir,
                                               .archive = &part,
                                               .rows_only = true,
                                               .jobs = run->opts->spec->jobs,
                                               .io = run->opts->spill.io,
                                               .log = run->opts->log,
                                               .interrupt = run->opts->interrupt};
    if (!ph_archive_check(&found, &opts, run->arena, err))
        return false;
    if (found.damaged == 0) {
        ph_log(run->opts->log, PH_LOG_INFO, "%d files hold what they should: %s in %.1f s",
               part.n_shards, ph_num_show_bytes(bytes, (double)found.stored), found.seconds);
        return true;
    }
    for (int i = 1; i < found.n_findings; i++)
        ph_log(run->opts->log, PH_LOG_ERROR, "%s", found.finding[i].text);
    ph_err_set(err, PH_WRONG, "%s; nothing was emptied for it", found.finding[0].text);
    return ph_err_hint(err, "restore the file from a copy, or leave its table out; pghaul archive "
                            "verify says what else is damaged");
}

/* pghaul plan: what copy would do. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/jobfile.h"
#include "cli/render.h"
#include "cli/term.h"
#include "cli/whole_file.h"
#include "pg/tag.h"

static bool write_file(struct ph_cli *cli, const struct ph_job_spec *spec,
                       const struct ph_plan *plan, struct ph_err *err)
{
    const char *path = cli->settings->write_file;
    struct ph_buf text = {0};
    bool ok = ph_jobfile_write(cli->settings, spec, plan, &text, err);
    if (ok && !strcmp(path, "-")) {
        ph_buf_clear(&cli->out); /* the file alone, so that it can be piped on */
        ph_buf_add(&cli->out, ph_buf_text(&text));
    } else if (ok) {
        ok = ph_whole_file(path, "job file", &text, true, err);
        if (ok)
            ph_log(cli->log, PH_LOG_NOTE, "the job is in %s", path);
    }
    ph_buf_fini(&text);
    return ok;
}

static bool obstacles_error(const struct ph_plan *plan, struct ph_err *err)
{
    static const char *const commands[] = {"copy", "extract", "load"};
    const char *command = commands[plan->spec->route];
    if (plan->n_obstacles == 1) {
        ph_err_set(err, PH_WRONG, "%s would refuse: %s", command, plan->obstacles[0].text);
        return plan->obstacles[0].hint ? ph_err_hint(err, "%s", plan->obstacles[0].hint) : false;
    }
    ph_err_set(err, PH_WRONG, "%s would refuse: %d things stand in the way, the first is: %s",
               command, plan->n_obstacles, plan->obstacles[0].text);
    return plan->obstacles[0].hint ? ph_err_hint(err, "%s", plan->obstacles[0].hint) : false;
}

/* Where files would be, if any. */
static void show_spill(struct ph_cli *cli, const struct ph_spill_opts *opts,
                       const struct ph_plan *plan)
{
    static const char *const when[] = {"auto", "never", "always"};
    char tag[9], cap[PH_NUM_TEXT];
    ph_tag_of_job(plan->job_name, plan->target.system_id, plan->target.database_oid, tag);
    char *path = ph_spill_path(opts, plan->job_name, tag);
    if (cli->json) {
        json_object_set_new(cli->json, "spill",
                            json_pack("{s:s, s:o}", "when", when[opts->when], "directory",
                                      ph_json_text(opts->when == PH_SPILL_NEVER ? NULL : path)));
    } else if (opts->when != PH_SPILL_NEVER && path && !cli->settings->quiet) {
        ph_buf_addf(&cli->out, "spill: %s, to ",
                    opts->when == PH_SPILL_ALWAYS
                        ? "always"
                        : "while the target is slow, held back or out of reach");
        ph_term_safe(&cli->out, path);
        ph_buf_addf(&cli->out, ", at most %s\n",
                    opts->cap ? ph_num_show_bytes(cap, (double)opts->cap)
                              : "half of what is free there and 50 GiB");
    }
    free(path);
}

bool ph_cmd_plan(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    struct ph_job_spec spec;
    struct ph_job_opts opts;
    struct ph_plan *plan = NULL;
    struct ph_term term;
    if (!ph_cli_job(cli, &spec, &opts, err))
        return false;
    if (!ph_job_plan(&opts, &plan, err)) {
        if (err->code == PH_CONNECTION) /* nothing was begun: the environment is wrong */
            err->code = PH_WRONG;
        return false;
    }
    ph_term_look(&term, STDOUT_FILENO);
    if (s->json)
        cli->json = ph_render_plan_json(plan);
    else if (!s->quiet)
        ph_render_plan(&cli->out, plan, &term, s->verbose);
    if (spec.route == PH_ROUTE_COPY)
        show_spill(cli, &opts.spill, plan);
    bool ok = !s->write_file || write_file(cli, &spec, plan, err);
    if (ok && plan->n_obstacles > 0)
        ok = obstacles_error(plan, err);
    ph_plan_free(plan);
    return ok;
}

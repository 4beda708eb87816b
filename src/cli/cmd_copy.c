/* pghaul copy, and its two halves extract and load: runs the job, or goes on with it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/metrics.h"
#include "cli/progress.h"
#include "cli/render.h"
#include "cli/whole_file.h"

/* --dry-run: the plan, in copy's clothes. */
static bool dry_run(struct ph_cli *cli, const struct ph_job_opts *opts, struct ph_err *err)
{
    struct ph_plan *plan = NULL;
    struct ph_term term;
    if (!ph_job_plan(opts, &plan, err)) {
        if (err->code == PH_CONNECTION)
            err->code = PH_WRONG;
        return false;
    }
    ph_term_look(&term, STDOUT_FILENO);
    if (cli->settings->json) {
        struct ph_job_result nothing = {.job = plan->job_name, .state = "pending"};
        cli->json = ph_render_copy_json(&nothing);
        json_object_set_new(cli->json, "dry_run", json_true());
        json_object_set_new(cli->json, "plan", ph_render_plan_json(plan));
    } else if (!cli->settings->quiet) {
        ph_render_plan(&cli->out, plan, &term, cli->settings->verbose);
        ph_buf_add(&cli->out, "\ndry run: nothing was changed\n");
    }
    bool ok = plan->n_obstacles == 0;
    if (!ok) {
        ph_err_set(err, PH_WRONG, "copy would refuse: %s", plan->obstacles[0].text);
        if (plan->obstacles[0].hint)
            ph_err_hint(err, "%s", plan->obstacles[0].hint);
    }
    ph_plan_free(plan);
    return ok;
}

/* Where the job was refused there is nothing to sum up. */
static bool was_refused(const struct ph_err *err)
{
    return err->code == PH_WRONG || err->code == PH_HELD || err->code == PH_OTHER_JOB ||
           err->code == PH_RELATION;
}

static void render(struct ph_cli *cli, const struct ph_job_result *result, bool ok,
                   const struct ph_err *err)
{
    struct ph_term term;
    ph_term_look(&term, STDOUT_FILENO);
    if (cli->settings->json) {
        cli->json = ph_render_copy_json(result);
        if (!result->state)
            json_object_del(cli->json, "state"); /* main.c puts in the one of a failure */
    } else if (cli->settings->quiet) {
        return;
    } else if (ok && result->was_complete) {
        ph_buf_addf(&cli->out,
                    cli->target_archive ? "nothing to do: the archive is complete\n"
                                        : "nothing to do: job %s completed before; --again starts a"
                                          " new round\n",
                    result->job);
    } else if (result->job && result->n_tables > 0 && (ok || !was_refused(err))) {
        ph_render_copy(&cli->out, result, &term);
    }
}

/* After the summary, on stderr as the last line: how to go on. */
static void hint_again(const struct ph_cli *cli, struct ph_err *err)
{
    struct ph_buf command = {0};
    if (err->code != PH_INTERRUPTED && (err->hint[0] || err->code != PH_FAILED))
        return;
    ph_cli_same_command(cli, &command);
    if (command.len + 40 < sizeof err->hint)
        ph_err_hint(err, "go on with: %s", ph_buf_text(&command));
    else
        ph_err_hint(err, "the same command goes on with it");
    ph_buf_fini(&command);
}

/* Who wants to hear of the progress. */
struct audience {
    struct ph_view *view;
    struct ph_metrics *metrics;
};

static void tick(void *arg, const struct ph_progress *now)
{
    struct audience *audience = arg;
    ph_view_tick(audience->view, now);
    if (!now->making_schema)
        ph_metrics_tick(audience->metrics, now);
}

/* --verify: what has landed is read back while its pages are still in memory. */
static bool read_back(struct ph_cli *cli, const struct ph_job_opts *job, struct ph_err *err)
{
    struct ph_verify_result result = {0};
    struct ph_term term;
    struct ph_job_opts shown = *job;
    const struct ph_verify_opts opts = {
        .job = &shown, .level = PH_VERIFY_READBACK, .show_data = cli->settings->show_data};
    struct ph_view *view = ph_view_new(cli->log, cli->settings, cli->interrupt);
    shown.progress = ph_view_tick;
    shown.arg = view;
    bool ok = ph_verify_run(&opts, &result, err);
    ph_view_free(view);
    if (ok || err->code == PH_DIFFERS) {
        ph_term_look(&term, STDOUT_FILENO);
        if (cli->settings->json) {
            json_object_set_new(cli->json, "verify", ph_render_verify_json(&result));
        } else if (!cli->settings->quiet) {
            ph_buf_addc(&cli->out, '\n');
            ph_render_verify(&cli->out, &result, &term);
        }
    }
    ph_verify_result_free(&result);
    return ok;
}

/* What was left out is written down whenever it is known, and where nothing was, the file is empty. */
static bool write_rejects(struct ph_cli *cli, const struct ph_job_result *result,
                          struct ph_err *err)
{
    const char *path = cli->settings->reject_file;
    if (result->rejected && !path)
        ph_log(cli->log, PH_LOG_WARN,
               "%llu rows were left out; the same command with --reject-file FILE writes them down",
               (unsigned long long)result->rejected);
    if (!path || !result->n_tables ||
        ph_whole_file_private(path, "reject file", &result->rejects, err))
        return true;
    err->code = PH_FAILED;
    return ph_err_hint(err, "the ledger has them too: the same command with another file");
}

/* Known to be writable before hours of work, not after. */
static bool may_write_rejects(const struct ph_cli *cli, struct ph_err *err)
{
    const char *path = cli->settings->reject_file;
    const struct ph_buf nothing = {0};
    return !path || access(path, W_OK) == 0 ||
           ph_whole_file_private(path, "reject file", &nothing, err);
}

static bool run(struct ph_cli *cli,
                bool (*job)(const struct ph_job_opts *, struct ph_job_result *, struct ph_err *),
                struct ph_err *err)
{
    struct ph_job_spec spec;
    struct ph_job_opts opts;
    struct ph_job_result result = {0};
    if (!ph_cli_job(cli, &spec, &opts, err))
        return false;
    if (cli->settings->dry_run)
        return dry_run(cli, &opts, err);
    struct audience audience = {0};
    if (!may_write_rejects(cli, err) ||
        !ph_metrics_open(&audience.metrics, cli->log, cli->settings->metrics_file,
                         cli->settings->metrics_listen, err))
        return false;
    audience.view = ph_view_new(cli->log, cli->settings, cli->interrupt);
    opts.progress = tick;
    opts.arg = &audience;
    bool ok = job(&opts, &result, err);
    ph_view_free(audience.view);
    ph_metrics_end(audience.metrics, &result);
    ph_metrics_close(audience.metrics);
    if (!ok && err->code == PH_CONNECTION && !result.job)
        err->code = PH_WRONG; /* no server at all: nothing was changed */
    struct ph_err unwritten;
    if (!write_rejects(cli, &result, ok ? err : &unwritten))
        ok = false;
    render(cli, &result, ok, err);
    if (!ok)
        hint_again(cli, err);
    else if (cli->settings->verify)
        ok = read_back(cli, &opts, err);
    ph_job_result_free(&result);
    return ok;
}

bool ph_cmd_copy(struct ph_cli *cli, struct ph_err *err)
{
    return run(cli, ph_job_copy, err);
}

static bool wants_archive(const char *command, const char *side, const char *option,
                          struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "the %s of %s is an archive", side, command);
    return ph_err_hint(err, "name it as %s archive:DIR", option);
}

bool ph_cmd_extract(struct ph_cli *cli, struct ph_err *err)
{
    return cli->target_archive ? run(cli, ph_job_extract, err)
                               : wants_archive("extract", "target", "-d", err);
}

bool ph_cmd_load(struct ph_cli *cli, struct ph_err *err)
{
    return cli->source_archive ? run(cli, ph_job_copy, err)
                               : wants_archive("load", "source", "-s", err);
}

/* pghaul tune: the best settings for these two servers and this table. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/jobfile.h"
#include "cli/render.h"
#include "cli/report.h"
#include "cli/whole_file.h"

enum { TIME_S = 120 };

/* What was found, as if it had been said. */
static bool adopt(struct ph_cli *cli, const struct ph_tune_result *result, struct ph_err *err)
{
    for (int i = 0; i < result->n_settings; i++) {
        const struct ph_tune_setting *s = &result->settings[i];
        const struct ph_tune_point *best = &s->points[s->best];
        const char *text = best->label;
        if (s->best == s->start)
            continue;
        if (s->number)
            text = ph_arena_printf(&cli->settings->arena, "%.0f", best->value);
        if (!ph_option_set(cli->settings, ph_option_find(s->name), text, PH_FROM_ARGUMENTS, err))
            return false;
    }
    return true;
}

static bool write_job(struct ph_cli *cli, const struct ph_job_spec *spec,
                      const struct ph_tune_result *result, struct ph_err *err)
{
    const char *path = cli->settings->write_file;
    struct ph_buf text = {0};
    if (!adopt(cli, result, err))
        return false;
    bool ok = ph_jobfile_write(cli->settings, spec, NULL, &text, err);
    if (ok && !strcmp(path, "-")) {
        ph_buf_clear(&cli->out); /* the file alone, so that it can be piped on */
        ph_buf_add(&cli->out, ph_buf_text(&text));
    } else if (ok) {
        ok = ph_whole_file(path, "job file", &text, true, err);
    }
    ph_buf_fini(&text);
    return ok;
}

static bool write_report(struct ph_cli *cli, const struct ph_tune_result *result, bool interrupted,
                         struct ph_err *err)
{
    const char *path = cli->settings->output;
    struct ph_buf html = {0};
    bool ok = true;
    ph_report_tune_html(&html, result, interrupted);
    if (!strcmp(path, "-")) {
        ph_buf_clear(&cli->out);
        ph_buf_add(&cli->out, ph_buf_text(&html));
    } else {
        ok = ph_whole_file(path, "report", &html, false, err);
    }
    ph_buf_fini(&html);
    return ok;
}

static void show(struct ph_cli *cli, const struct ph_tune_result *result, bool interrupted)
{
    const struct ph_settings *s = cli->settings;
    struct ph_term term;
    ph_term_look(&term, STDOUT_FILENO);
    if (s->json) {
        cli->json = ph_render_tune_json(result);
        json_object_set_new(cli->json, "state",
                            json_string(interrupted ? "interrupted" : "completed"));
        json_object_set_new(cli->json, "file", ph_json_text(s->write_file));
        json_object_set_new(cli->json, "report", ph_json_text(s->output));
    } else if (!s->quiet) {
        ph_render_tune(&cli->out, result, &term, s->verbose);
    }
}

/* Also of what an interrupt has left unfinished, as far as anything was measured. */
static bool deliver(struct ph_cli *cli, const struct ph_job_spec *spec,
                    const struct ph_tune_result *result, bool ok, struct ph_err *err)
{
    struct ph_err other;
    bool interrupted = !ok && err->code == PH_INTERRUPTED;
    if ((!ok && !interrupted) || result->trials == 0)
        return ok;
    struct ph_err *why = ok ? err : &other;
    show(cli, result, interrupted);
    bool written = (!cli->settings->write_file || write_job(cli, spec, result, why)) &&
                   (!cli->settings->output || write_report(cli, result, interrupted, why));
    if (interrupted && !written)
        ph_log_err(cli->log, PH_LOG_ERROR, why);
    return ok && written;
}

bool ph_cmd_tune(struct ph_cli *cli, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    struct ph_job_spec spec;
    struct ph_job_opts job;
    struct ph_tune_result result;
    if (!ph_cli_job(cli, &spec, &job, err))
        return false;
    const struct ph_tune_opts opts = {
        .job = &job,
        .time_s = s->time_s > 0 ? s->time_s : TIME_S,
        .seed = s->sample_seed ? (uint64_t)s->sample_seed : 1,
        .fixed_jobs = s->jobs > 0,
        .fixed_split = ph_option_given(s, "split"),
        .fixed_shard = ph_option_given(s, "shard-size") || ph_option_given(s, "shard-rows"),
        .fixed_spill = ph_option_given(s, "spill"),
    };
    bool ok = ph_tune_run(&opts, &result, err);
    if (!ok && err->code == PH_INTERRUPTED)
        ph_err_set(err, PH_INTERRUPTED,
                   result.trials
                       ? "interrupted; nothing is left behind, and this is what is known so far"
                       : "interrupted before anything was measured; nothing is left behind");
    ok = deliver(cli, &spec, &result, ok, err);
    ph_tune_result_free(&result);
    return ok;
}

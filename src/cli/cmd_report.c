/* pghaul report: how a job went, as one HTML file. */
#include "cli/cli.h"

#include <string.h>

#include "cli/report.h"
#include "cli/whole_file.h"

static bool deliver(struct ph_cli *cli, const struct ph_status *status, const struct ph_buf *html,
                    struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    const char *path =
        s->output ? s->output : ph_arena_printf(&cli->settings->arena, "%s.html", status->job);
    if (!strcmp(path, "-")) {
        ph_buf_add(&cli->out, ph_buf_text(html)); /* the page alone, so that it can be piped on */
        return true;
    }
    if (!ph_whole_file(path, "report", html, false, err))
        return false;
    if (s->json)
        cli->json = json_pack("{s:o, s:o, s:o}", "job", ph_json_text(status->job), "state",
                              ph_json_text(status->state), "report", ph_json_text(path));
    else if (!s->quiet)
        ph_buf_addf(&cli->out, "the report of job %s is in %s\n", status->job, path);
    return true;
}

static bool by_ledger(struct ph_cli *cli, struct ph_status **status, struct ph_history **history,
                      struct ph_err *err)
{
    struct ph_conn *conn = NULL;
    bool ok = ph_cli_connect(cli, &conn, err) &&
              ph_status_read(status, conn, cli->settings->job, false, false, err) &&
              ph_history_read(history, conn, (*status)->job_id, err);
    ph_conn_close(conn);
    return ok;
}

bool ph_cmd_report(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_status *status = NULL;
    struct ph_history *history = NULL;
    struct ph_buf html = {0};
    bool ok = cli->target_archive ? ph_report_archive(cli, &status, &history, err)
                                  : by_ledger(cli, &status, &history, err);
    if (ok) {
        ph_report_html(&html, status, history);
        ok = deliver(cli, status, &html, err);
    }
    ph_buf_fini(&html);
    ph_history_free(history);
    ph_status_free(status);
    return ok;
}

/* pghaul status: what the ledger says. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#include "cli/render.h"
#include "ledger/creation.h"

static bool interrupted(struct ph_err *err)
{
    return ph_err_set(err, PH_INTERRUPTED, "interrupted; the job itself was not touched");
}

static bool is_over(const struct ph_status *status)
{
    return strcmp(status->state, "running") != 0 && strcmp(status->state, "paused") != 0;
}

/* Draws over what was drawn before; elsewhere than on a terminal one after the other. */
static bool draw(struct ph_cli *cli, const struct ph_status *status, int *lines, struct ph_err *err)
{
    struct ph_buf text = {0}, screen = {0};
    struct ph_term term;
    ph_term_look(&term, STDOUT_FILENO);
    ph_render_status(&text, status, &term, cli->settings->shards);
    if (term.living && *lines > 0)
        ph_buf_addf(&screen, "\r\033[%dA\033[J", *lines);
    else if (*lines > 0)
        ph_buf_addc(&screen, '\n');
    int room = term.height - 1;
    *lines = 0;
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (term.living && *lines == room)
            break;
        ph_term_fit(&screen, line, term.living ? term.width - 1 : 10000, false, term.utf8);
        if (term.color)
            ph_buf_add(&screen, "\033[0m");
        ph_buf_addc(&screen, '\n');
        (*lines)++;
    }
    bool ok = ph_cli_print(ph_buf_text(&screen), screen.len, err);
    ph_buf_fini(&text);
    ph_buf_fini(&screen);
    return ok;
}

/* Shows it every second until it is over; what was read last is left in *status. */
static bool watch(struct ph_cli *cli, struct ph_conn *conn, struct ph_status **status,
                  struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    const char *job = ph_arena_strdup(&cli->settings->arena, (*status)->job);
    for (int lines = 0;;) {
        if (!s->json && !draw(cli, *status, &lines, err))
            return false;
        if (is_over(*status))
            return true;
        if (!ph_interrupt_sleep(cli->interrupt, 1, 1.0))
            return interrupted(err);
        ph_status_free(*status);
        *status = NULL;
        if (!ph_status_read(status, conn, job, s->shards, s->show_data, err))
            return false;
    }
}

/* While copy --create makes a schema there is no job yet. *told: that was all there was to tell. */
static bool tell_creation(struct ph_cli *cli, struct ph_conn *conn, bool *told, struct ph_err *err)
{
    struct ph_creation_left left = {0};
    char **jobs = NULL;
    int n = 0;
    if (cli->settings->job || !ph_status_jobs(conn, &jobs, &n, err))
        return cli->settings->job != NULL;
    ph_status_jobs_free(jobs, n);
    if (n == 0 && !ph_creation_left(conn, &left, err))
        return false;
    *told = left.n > 0;
    if (*told && cli->settings->json)
        cli->json = json_pack("{s:n, s:s, s:s, s:i, s:i}", "job", "state",
                              left.live ? "running" : "pending", "phase", "creating the schema",
                              "parts", left.parts, "parts_done", left.done);
    else if (*told)
        ph_buf_addf(&cli->out,
                    "no job yet: its schema is in the making, %d of %d parts are there%s\n",
                    left.done, left.parts,
                    left.live ? "" : "; nobody is at it: the same copy --create goes on");
    return true;
}

bool ph_cmd_status(struct ph_cli *cli, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    struct ph_conn *conn = NULL;
    struct ph_status *status = NULL;
    struct ph_term term;
    if (!ph_cli_connect(cli, &conn, err))
        return false;
    bool told = false, ok = tell_creation(cli, conn, &told, err);
    if (!ok || told) {
        ph_conn_close(conn);
        return ok;
    }
    ok = ph_status_read(&status, conn, s->job, s->shards, s->show_data, err);
    if (ok && s->watch)
        ok = watch(cli, conn, &status, err);
    if (status && s->json)
        cli->json = ph_render_status_json(status, s->shards);
    ph_term_look(&term, STDOUT_FILENO);
    if (ok && !s->json && !s->watch)
        ph_render_status(&cli->out, status, &term, s->shards);
    ph_status_free(status);
    ph_conn_close(conn);
    return ok;
}

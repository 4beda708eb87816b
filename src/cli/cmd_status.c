/* pghaul status: what the ledger says. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/grid.h"
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

/* Several jobs, and none was named. */

static void list_one(struct ph_grid *grid, const struct ph_status *status)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT];
    ph_grid_cell(grid, "%s", status->job);
    ph_grid_cell(grid, "%s", status->state);
    ph_grid_cell(grid, "%s", status->mode);
    ph_grid_cell(grid, "%d", status->n_tables);
    ph_grid_cell(grid, "%s", ph_num_show_count(rows, status->rows));
    ph_grid_cell(grid, "%s", ph_num_show_bytes(bytes, (double)status->bytes));
    ph_grid_cell(grid, "%s", status->created ? status->created : "");
}

static json_t *one_json(const struct ph_status *status)
{
    return json_pack("{s:o, s:o, s:o, s:i, s:I, s:I, s:o, s:o}", "job", ph_json_text(status->job),
                     "state", ph_json_text(status->state), "mode", ph_json_text(status->mode),
                     "tables", status->n_tables, "rows", (json_int_t)status->rows, "bytes",
                     (json_int_t)status->bytes, "created", ph_json_text(status->created),
                     "finished", ph_json_text(status->finished));
}

/* As JSON the object is that of one job all the same: the newest that is live, or else the newest. */
static bool list_json(struct ph_cli *cli, struct ph_status *const *all, int n)
{
    const struct ph_status *chosen = all[0];
    json_t *jobs = json_array();
    for (int i = n - 1; i >= 0; i--)
        if (!is_over(all[i]))
            chosen = all[i];
    for (int i = 0; i < n; i++)
        json_array_append_new(jobs, one_json(all[i]));
    cli->json = ph_render_status_json(chosen, cli->settings->shards);
    json_object_set_new(cli->json, "jobs", jobs);
    return true;
}

static bool list_text(struct ph_cli *cli, struct ph_status *const *all, int n)
{
    static const char *const heads[] = {"job",  "state", "mode",   "tables",
                                        "rows", "bytes", "created"};
    struct ph_grid grid = {.align = "lllrrrl"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        ph_grid_cell(&grid, "%s", heads[i]);
    for (int i = 0; i < n; i++)
        list_one(&grid, all[i]);
    ph_grid_print(&grid, &cli->out, "");
    ph_buf_add(&cli->out, "\npghaul status -d ... JOB shows one of them\n");
    return true;
}

static bool list(struct ph_cli *cli, struct ph_conn *conn, char **names, int n, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    struct ph_status **all = ph_arena_calloc(&cli->settings->arena, (size_t)n, sizeof(*all));
    int read = 0;
    while (read < n && ph_status_read(&all[read], conn, names[read], s->shards, s->show_data, err))
        read++;
    bool ok = read == n && (s->json ? list_json(cli, all, n) : list_text(cli, all, n));
    for (int i = 0; i < n; i++)
        ph_status_free(all[i]);
    return ok;
}

/* Without a name: one, or several, which are listed. */
static bool list_several(struct ph_cli *cli, struct ph_conn *conn, int *n, struct ph_err *err)
{
    char **names = NULL;
    *n = 0;
    if (cli->settings->job || cli->settings->watch)
        return true;
    bool ok = ph_status_jobs(conn, &names, n, err);
    ok = ok && (*n < 2 || list(cli, conn, names, *n, err));
    ph_status_jobs_free(names, *n);
    return ok;
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
    int jobs = 0;
    if (!ph_cli_connect(cli, &conn, err))
        return false;
    bool told = false;
    bool ok = tell_creation(cli, conn, &told, err) && (told || list_several(cli, conn, &jobs, err));
    if (!ok || told || jobs > 1) {
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

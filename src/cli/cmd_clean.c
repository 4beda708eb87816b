/* pghaul clean: takes away what a job left behind in the target, and its spill files here. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/num.h"
#include "haul/tune.h"
#include "ledger/creation.h"
#include "ledger/pg.h"
#include "ledger/scratch.h"
#include "ledger/status.h"

/* Reads one line from the terminal; anything but y or yes is a no. */
static bool is_agreed(void)
{
    char answer[16] = "";
    ssize_t n = read(STDIN_FILENO, answer, sizeof answer - 1);
    if (n <= 0)
        return false;
    answer[strcspn(answer, "\r\n")] = '\0';
    return !strcasecmp(answer, "y") || !strcasecmp(answer, "yes");
}

static bool can_ask(const char *what, const char *name, struct ph_err *err)
{
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
        return true;
    ph_err_set(err, PH_WRONG,
               "clean asks before it removes %s%s, and there is no terminal to ask on", what, name);
    return ph_err_hint(err, "--yes removes it without asking");
}

static bool ask(struct ph_cli *cli, const struct ph_status *status, struct ph_err *err)
{
    char rows[PH_NUM_TEXT];
    if (cli->settings->yes)
        return true;
    if (!can_ask("job ", status->job, err))
        return false;
    fprintf(
        stderr,
        "Job %s is %s: %d tables, %s rows landed. Its ledger is removed from the target, and its "
        "spill files from this host; the rows stay.\n"
        "%sRemove it? [y/N] ",
        status->job, status->state, status->n_tables, ph_num_show_count(rows, status->rows),
        strcmp(status->state, "completed") == 0 ? "" : "It cannot go on afterwards. ");
    if (is_agreed())
        return true;
    return ph_err_set(err, PH_FAILED, "nothing was removed");
}

/* Scratch tables of tunes that died are nobody's, so nobody is asked. *done: that was all there was to do. */
static bool sweep(struct ph_cli *cli, struct ph_conn *conn, bool *done, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    const struct ph_spill_opts spill = {
        .state_dir = s->state_dir, .dir = s->spill_dir, .state_base = ph_cli_state_base(cli)};
    struct ph_scratch_left *left = NULL;
    char **jobs = NULL;
    int n = 0, n_jobs = 0;
    bool present = false;
    *done = false;
    if (s->dry_run || !ph_ledger_present(conn, &present, err))
        return s->dry_run;
    if (!present)
        return true;
    if (!ph_tune_sweep(conn, &spill, &cli->settings->arena, &left, &n, err) ||
        !ph_status_jobs(conn, &jobs, &n_jobs, err))
        return false;
    ph_status_jobs_free(jobs, n_jobs);
    json_t *names = s->json ? json_array() : NULL;
    for (int i = 0; i < n; i++) {
        *done = *done || (s->job ? !strcmp(s->job, left[i].job) : n_jobs == 0);
        if (names)
            json_array_append_new(names,
                                  ph_json_text(ph_arena_printf(&cli->settings->arena, "%s.%s",
                                                               left[i].schema, left[i].name)));
        else if (!s->quiet)
            ph_buf_addf(&cli->out, "scratch table %s.%s, left by a tune that died, is removed\n",
                        left[i].schema, left[i].name);
    }
    if (*done && names)
        cli->json = json_pack("{s:o, s:b, s:O}", "job", ph_json_text(left->job), "removed", true,
                              "scratch_tables", names);
    json_decref(names);
    return true;
}

/* What copy --create has begun, where it came to no job. *done: that was all there was to do. */
static bool forget_creation(struct ph_cli *cli, struct ph_conn *conn, bool *done,
                            struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    struct ph_creation_left left = {0};
    char **jobs = NULL;
    int n = 0;
    if (!ph_status_jobs(conn, &jobs, &n, err))
        return false;
    ph_status_jobs_free(jobs, n);
    if (s->job || n > 0)
        return true;
    if (!ph_creation_left(conn, &left, err))
        return false;
    if (left.n == 0)
        return true;
    *done = true;
    if (!s->dry_run && !s->yes) {
        if (!can_ask("what --create has written down", "", err))
            return false;
        fprintf(stderr,
                "A schema is in the making: %d of %d parts. What is made stays, and stands in the "
                "way of the next --create.\nForget it? [y/N] ",
                left.done, left.parts);
        if (!is_agreed())
            return ph_err_set(err, PH_FAILED, "nothing was removed");
    }
    if (!s->dry_run && !ph_creation_forget(conn, err))
        return false;
    if (s->json)
        cli->json = json_pack("{s:n, s:s, s:b, s:b}", "job", "state", "pending", "removed",
                              !s->dry_run, "dry_run", s->dry_run);
    else if (!s->quiet)
        ph_buf_addf(&cli->out,
                    "a schema in the making %s forgotten; the %d of %d parts that are "
                    "there stay\n",
                    s->dry_run ? "would be" : "is", left.done, left.parts);
    return true;
}

bool ph_cmd_clean(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_conn *conn = NULL;
    struct ph_status *status = NULL;
    bool dry = cli->settings->dry_run, done = false;
    int restored = 0;
    if (!ph_cli_connect(cli, &conn, err))
        return false;
    bool ok = sweep(cli, conn, &done, err) && (done || forget_creation(cli, conn, &done, err));
    if (!ok || done) {
        ph_conn_close(conn);
        return ok;
    }
    ok = ph_status_read(&status, conn, cli->settings->job, false, false, err) &&
         (dry || ask(cli, status, err)) &&
         (dry || ph_ledger_clean(conn, status->job, &restored, err));
    if (!ok && err->code == PH_HELD)
        ph_err_hint(err, "it has to end first: pghaul control %s stop", status->job);
    if (ok && !dry)
        ph_cli_clean_spill(cli, status->job, status->tag);
    if (status && cli->settings->json) {
        cli->json = json_pack("{s:o, s:o, s:b, s:b, s:i}", "job", ph_json_text(status->job),
                              "state", ph_json_text(status->state), "removed", ok && !dry,
                              "dry_run", dry, "restored", restored);
    } else if (ok && !cli->settings->quiet) {
        ph_buf_addf(&cli->out, "job %s (%s) %s removed from the ledger\n", status->job,
                    status->state, dry ? "would be" : "is");
        if (restored)
            ph_buf_addf(&cli->out,
                        "%d steps were done first, for the indexes and constraints that "
                        "it had dropped\n",
                        restored);
    }
    ph_status_free(status);
    ph_conn_close(conn);
    return ok;
}

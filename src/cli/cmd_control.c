/* pghaul control: steers a live run, by its socket or by way of the ledger. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "cli/render.h"
#include "haul/control.h"
#include "ledger/control.h"
#include "ledger/status.h"

static const double patience_s = 3; /* that movers are given to hear of it */

/* What is asked, behind the job's name. */
struct asked {
    const char *job;
    const char *const *words;
    int n;
    bool only_status;
};

static struct asked read_asked(const struct ph_settings *s)
{
    int first = s->job ? 0 : 1;
    struct asked a = {.job = s->job ? s->job : s->operands.item[0],
                      .words = s->operands.item + first,
                      .n = s->operands.n - first,
                      .only_status = true};
    for (int i = 0; i < a.n; i++)
        a.only_status = a.only_status && !strcmp(a.words[i], "status");
    return a;
}

/* By the socket. */

static void say_rate(struct ph_buf *out, const char *name, const json_t *rate, bool bytes)
{
    char text[PH_NUM_TEXT];
    if (!json_is_integer(rate))
        return;
    uint64_t n = (uint64_t)json_integer_value(rate);
    ph_buf_addf(out, "; %s %s%s", name,
                bytes ? ph_num_show_bytes(text, (double)n) : ph_num_show_count(text, n), "/s");
}

static void say_answer(struct ph_buf *out, const json_t *answer)
{
    const json_t *set = json_object_get(answer, "settings");
    const char *by = json_string_value(json_object_get(answer, "throttled_by"));
    ph_buf_addf(out, "job %s: %s", json_string_value(json_object_get(answer, "job")),
                json_string_value(json_object_get(answer, "state")));
    if (by)
        ph_buf_addf(out, ", held back by %s", by);
    say_rate(out, "source", json_object_get(set, "source_rate"), true);
    say_rate(out, "target", json_object_get(set, "target_rate"), true);
    say_rate(out, "source rows", json_object_get(set, "source_rows"), false);
    say_rate(out, "target rows", json_object_get(set, "target_rows"), false);
    ph_buf_addf(out, "; %lld of %lld workers busy\n",
                (long long)json_integer_value(json_object_get(answer, "workers_busy")),
                (long long)json_integer_value(json_object_get(answer, "workers")));
}

static bool by_socket(struct ph_cli *cli, const struct asked *a, struct ph_err *err)
{
    char *text = NULL;
    const struct ph_settings *s = cli->settings;
    if (!ph_control_ask(s->state_dir, ph_cli_state_base(cli), a->job, s->keep, a->words, a->n,
                        &text, err))
        return false;
    json_t *answer = json_loads(text, 0, NULL);
    const char *refused = json_string_value(json_object_get(answer, "error"));
    free(text);
    bool ok = answer && !refused;
    if (!answer)
        ph_err_set(err, PH_FAILED, "the run of job %s gave no answer that can be read", a->job);
    if (refused) {
        ph_err_set(err, PH_WRONG, "%s", refused);
        ph_err_hint(err, "%s", json_string_value(json_object_get(answer, "hint")));
    }
    if (ok && s->json)
        cli->json = json_incref(answer);
    else if (ok && !s->quiet)
        say_answer(&cli->out, answer);
    json_decref(answer);
    return ok;
}

/* By way of the ledger. */

static bool await_heard(struct ph_cli *cli, struct ph_conn *conn, int64_t job, int64_t no,
                        int *live, int *heard, struct ph_err *err)
{
    double until = ph_clock_s() + patience_s;
    do {
        if (!ph_ledger_heard(conn, job, no, live, heard, err))
            return false;
    } while (*heard < *live && ph_clock_s() < until && ph_interrupt_sleep(cli->interrupt, 1, 0.05));
    return true;
}

static bool wish(struct ph_cli *cli, struct ph_conn *conn, const struct ph_status *status,
                 const struct asked *a, struct ph_err *err)
{
    bool keep = cli->settings->keep;
    int live = 0, heard = 0;
    int64_t no = 0;
    char host[256] = "", who[512];
    if (!ph_ledger_heard(conn, status->job_id, 0, &live, &heard, err))
        return false;
    if (live == 0 && !keep) {
        ph_err_set(err, PH_WRONG, "no live run of job %s", a->job);
        return ph_err_hint(err, "--keep writes it down for the next one");
    }
    int were = live;
    gethostname(host, sizeof host - 1);
    ph_control_who(who, sizeof who, geteuid(), (int)getpid(), host);
    if (!ph_ledger_wish(conn, status->job_id, 0, who, keep, a->words, a->n, &no, err) ||
        !await_heard(cli, conn, status->job_id, no, &live, &heard, err))
        return false;
    if (heard < live) {
        ph_err_set(err, PH_FAILED, "%d of %d movers have not heard of it yet", live - heard, live);
        return ph_err_hint(err, "they look twice a second while they reach the target");
    }
    if (cli->settings->json || cli->settings->quiet)
        return true;
    const char *kept = keep ? ", and kept for later runs" : "";
    if (were > 0 && live == 0) /* a stop is not waited for */
        ph_buf_addf(&cli->out, "job %s: its run has ended%s\n", a->job, kept);
    else
        ph_buf_addf(&cli->out, "job %s: heard by %d mover%s%s\n", a->job, live,
                    live == 1 ? "" : "s", kept);
    return true;
}

static bool by_ledger(struct ph_cli *cli, const struct asked *a, struct ph_err *err)
{
    struct ph_conn *conn = NULL;
    struct ph_status *status = NULL;
    struct ph_term term;
    if (!ph_cli_connect(cli, &conn, err))
        return false;
    bool ok = ph_status_read(&status, conn, a->job, false, false, err) &&
              (a->only_status || wish(cli, conn, status, a, err));
    if (ok && cli->settings->json) {
        ph_status_free(status);
        status = NULL;
        ok = ph_status_read(&status, conn, a->job, false, false, err);
        cli->json = ok ? ph_render_status_json(status, false) : NULL;
    } else if (ok && a->only_status) {
        ph_term_look(&term, STDOUT_FILENO);
        ph_render_status(&cli->out, status, &term, false);
    }
    ph_status_free(status);
    ph_conn_close(conn);
    return ok;
}

/* By the directory of an extract, for whoever goes on with it; the words are those that its next run will understand. */
static bool by_archive(struct ph_cli *cli, const struct asked *a, struct ph_err *err)
{
    struct ph_dir dir;
    struct ph_archive *archive;
    struct ph_wish ignored;
    char host[256] = "", who[512];
    if (!cli->settings->keep) {
        ph_err_set(err, PH_WRONG, "no live run of job %s on this host", a->job);
        return ph_err_hint(err, "--keep writes it down for the next one");
    }
    for (int i = 0; i < a->n; i++)
        if (!ph_wish_parse(a->words[i], &ignored, err))
            return false;
    gethostname(host, sizeof host - 1);
    ph_control_who(who, sizeof who, geteuid(), (int)getpid(), host);
    if (!ph_cli_open_archive(cli, cli->target_archive, &dir, &archive, err))
        return false;
    bool ok = !strcmp(archive->name, a->job) ||
              ph_err_set(err, PH_WRONG, "the archive in %s is of job %s", dir.shown, archive->name);
    ok = ok && ph_journal_wish(dir.fd, dir.shown, who, a->words, a->n, err);
    if (ok && !cli->settings->json && !cli->settings->quiet)
        ph_buf_addf(&cli->out, "job %s: kept for later runs\n", a->job);
    if (ok && cli->settings->json)
        cli->json = json_pack("{s:o, s:b}", "job", ph_json_text(a->job), "kept", true);
    ph_dir_close(&dir);
    return ok;
}

bool ph_cmd_control(struct ph_cli *cli, struct ph_err *err)
{
    struct asked a = read_asked(cli->settings);
    cli->settings->job = a.job; /* also for the object of a failure */
    bool named = cli->settings->origin[ph_option_find("target") - ph_options] == PH_FROM_ARGUMENTS;
    if (cli->target && named)
        return by_ledger(cli, &a, err);
    if (by_socket(cli, &a, err))
        return true;
    if (cli->target_archive)
        return err->code == PH_WRONG && by_archive(cli, &a, err);
    /* nobody on this host; the environment may know the ledger */
    return cli->target && err->code == PH_WRONG && by_ledger(cli, &a, err);
}

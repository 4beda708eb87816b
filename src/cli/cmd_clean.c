/* pghaul clean: takes away what a job left behind in the target, and its spill files here. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/num.h"
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

static bool ask(struct ph_cli *cli, const struct ph_status *status, struct ph_err *err)
{
    char rows[PH_NUM_TEXT];
    if (cli->settings->yes)
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        ph_err_set(err, PH_WRONG,
                   "clean asks before it removes job %s, and there is no terminal to ask on",
                   status->job);
        return ph_err_hint(err, "--yes removes it without asking");
    }
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

bool ph_cmd_clean(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_conn *conn = NULL;
    struct ph_status *status = NULL;
    bool dry = cli->settings->dry_run;
    int restored = 0;
    if (!ph_cli_connect(cli, &conn, err))
        return false;
    bool ok = ph_status_read(&status, conn, cli->settings->job, false, false, err) &&
              (dry || ask(cli, status, err)) &&
              (dry || ph_ledger_clean(conn, status->job, &restored, err));
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

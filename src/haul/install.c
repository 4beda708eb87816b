/* The ledger is made while the job is planned.
 *
 * To make some forty relations and functions takes the target as long as to plan a table takes both servers, and neither
 * needs the other. So where there is no ledger yet, a second connection begins the transaction that writes the job down as soon
 * as there is a target, and makes the ledger in it; it becomes the control connection once the job is planned. If nothing
 * comes of the job, the connection is closed, and nothing was changed.
 */
#include "haul/run.h"

void ph_run_install_ahead(struct ph_run *run)
{
    struct ph_err ignored; /* whatever it is, the ordinary way will meet it again, and say so */
    bool present = false;
    if (!ph_ledger_present(run->target, &present, &ignored) || present)
        return;
    if (!ph_run_open_control(run, false, run->opts->interrupt, &run->installer, &ignored) ||
        !ph_ledger_send_begin(run->installer, &ignored))
        ph_run_install_drop(run);
}

void ph_run_install_drop(struct ph_run *run)
{
    if (run->installer)
        ph_conn_recover(run->installer); /* or the server would go on with it for a moment */
    ph_conn_close(run->installer);
    run->installer = NULL;
}

bool ph_run_begin_writing(struct ph_run *run, struct ph_err *err)
{
    if (run->installer && ph_ledger_await_begin(run->installer, run->tag, err)) {
        ph_conn_close(run->target);
        run->target = run->installer;
        run->installer = NULL;
        return true;
    }
    ph_run_install_drop(run); /* somebody else was faster, or it may not be: */
    return ph_ledger_begin(run->target, true, err);
}

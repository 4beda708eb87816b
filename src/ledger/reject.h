/* What was left out of a job (see pg/reject.h), as the ledger has it. */
#ifndef PH_LEDGER_REJECT_H
#define PH_LEDGER_REJECT_H

#include "base/buf.h"
#include "pg/conn.h"

struct ph_ledger_rejected {
    int tab;
    uint64_t rows;
};

/* Tables of which rows were left out, and how many; malloc'ed. None where the ledger knows no such thing. */
bool ph_ledger_rejected(struct ph_conn *target, int64_t job, struct ph_ledger_rejected **out,
                        int *n, struct ph_err *err);

/* Puts a script into `out` that psql can run once its rows are mended: COPY … FROM stdin, a table after the
 * other. All of it is in the source's encoding, and the rows in its own bytes. */
bool ph_ledger_reject_script(struct ph_conn *target, int64_t job, const char *encoding,
                             struct ph_buf *out, struct ph_err *err);

#endif

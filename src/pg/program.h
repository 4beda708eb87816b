/* Another program, run to its end: pg_dump and pg_restore.
 *
 * What it writes is gathered; it reads nothing from the terminal, gets no signal of ours from the
 * keyboard, and ends when we are interrupted. Nothing that is given to it as a file touches a disk:
 * such bytes lie in anonymous memory, which it opens as ph_program_file(). Secrets go by the
 * environment, which only its owner can see, never by the arguments, which everybody can.
 */
#ifndef PH_PG_PROGRAM_H
#define PH_PG_PROGRAM_H

#include "base/buf.h"
#include "base/interrupt.h"
#include "pghaul/err.h"

enum { PH_PROGRAM_FILES = 2 };

struct ph_program {
    const char *path;        /* absolute */
    const char *const *argv; /* [0] is its name; ends with NULL */
    const char *const *env;  /* NAME=VALUE over our own environment; ends with NULL; NULL: none */
    const struct ph_buf *files[PH_PROGRAM_FILES]; /* what it may read; NULL: nothing */
    struct ph_interrupt *interrupt;               /* may be NULL; the first level ends it */
};

/* The name under which the program finds files[n]. */
const char *ph_program_file(int n);

/* Adds what it prints on standard output to `out`. PH_FAILED when it cannot be run or its exit status is not 0: the text
 * is the first error that it complains of. */
bool ph_program_run(const struct ph_program *program, struct ph_buf *out, struct ph_err *err);

#endif

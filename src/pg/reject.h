/* Rejects: rows of one shard that cannot be written in the target's encoding, and are left out on purpose
 * (--max-rejects). The source does not read them, the sink keeps them in the ledger, in the transaction
 * of the shard's other rows; so read = landed + rejected, whoever dies. Found by haul/misfit.h. */
#ifndef PH_PG_REJECT_H
#define PH_PG_REJECT_H

#include <stdint.h>

struct ph_reject {
    const char *place; /* its ctid; or "row 57 of FILE" */
    uint64_t row;      /* of a file: its number there, from 1 */
    const char *key;   /* "id=7", where there is a key that can be shown; else NULL */
    const char *line;  /* of COPY text, in the source's own bytes; hexadecimal */
};

struct ph_rejects {
    struct ph_reject *item; /* of a file: in its order */
    int n;
    int64_t most; /* of the whole job */
};

#endif

/* Whether to compress the next block.
 *
 * Compressing trades time of a core, which the servers may want, for bytes of the medium. It pays while what the saved bytes
 * would have made us wait for the medium is more than what compressing them costs. Both are measured, as machines
 * differ by a factor of a hundred, and again and again, as others use the medium too.
 *
 *                       ┌──────────────── no waiting ───────────────┐
 *                       ▼                                           │
 *       ──► STORE, 64 blocks: how long do the stored bytes wait? ───┤
 *               ▲       ▲                                      waiting
 *               │       │                                           ▼
 *               │       └── it costs more ─── TEST, 4 blocks: what does compressing cost, what does it save?
 *               │                                                   │
 *         no waiting now:                                       it pays
 *         is it still true?                                         ▼
 *               └────────────────────────── COMPRESS, 64 blocks, twice as many each time up to 1024
 *                                               ▲         │
 *                                               └─────────┘ waits even so, and it still pays
 *
 * The first half of a STORE stage is not counted: it fills the ring, which waits for nothing until it is full.
 * What syncing a file costs is not counted either: much of it does not depend on the number of bytes.
 *
 * The state may outlive a file: it is knowledge about the medium. One thread.
 */
#ifndef PH_ARCHIVE_PAYS_H
#define PH_ARCHIVE_PAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "archive/shardfile.h"

enum {
    PH_PAYS_STAGE = 64,  /* blocks of a stage */
    PH_PAYS_TRIAL = 4,   /* blocks of a trial */
    PH_PAYS_MOST = 1024, /* blocks until the medium is looked at again */
    PH_PAYS_DULL = 4,    /* blocks that did not shrink, until it is not tried any more … */
    PH_PAYS_REST = 16,   /* … for so many */
};

/* Whether the next block shall be compressed. */
bool ph_pays_ask(struct ph_pays *pays, enum ph_compress policy);

/* What became of a block that was asked for. */
struct ph_pays_block {
    bool tried;           /* the answer */
    uint32_t raw, stored; /* its bytes, and how many became of them */
    uint64_t cpu_ns;      /* of this thread, for making it; 0 when it was not tried */
    uint64_t waited_ns;   /* total that the ring has waited until now (ph_ring_wait_ns) */
};

void ph_pays_note(struct ph_pays *pays, const struct ph_pays_block *block);

/* A file begins on a ring that has waited so long already. */
void ph_pays_begin(struct ph_pays *pays, uint64_t waited_ns);

#endif

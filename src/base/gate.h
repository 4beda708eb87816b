/* One wide row at a time.
 *
 * libpq needs a whole row in memory before it hands out its first byte. Ordinary rows fit into
 * buffers that are known at start; a row of hundreds of megabytes does not. So a worker whose row
 * turns out to be wide must hold the gate while it reads on, until the memory has been given back.
 * The others wait, and their servers with them. What the gate's holder may use is what --memory
 * leaves.
 *
 * Threads: any. Owners are told apart by address.
 */
#ifndef PH_BASE_GATE_H
#define PH_BASE_GATE_H

#include <pthread.h>
#include <stdint.h>

#include "base/interrupt.h"

struct ph_gate {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    const void *holder;
    uint64_t limit; /* resident bytes of the process that must not be passed; 0: no limit */
};

void ph_gate_init(struct ph_gate *gate, uint64_t limit);
void ph_gate_fini(struct ph_gate *gate);

/* Waits for the gate; at once when `owner` holds it already. PH_INTERRUPTED when told to stop
 * meanwhile. */
bool ph_gate_enter(struct ph_gate *gate, const void *owner, const struct ph_interrupt *interrupt,
                   struct ph_err *err);

/* Nothing happens when `owner` does not hold it. */
void ph_gate_leave(struct ph_gate *gate, const void *owner);

/* Whether the process has grown beyond the limit. */
bool ph_gate_exceeded(const struct ph_gate *gate);

#endif

/* A hop: one shard from one source to one sink. The heart of pghaul; read it first. */
#ifndef PGHAUL_HOP_H
#define PGHAUL_HOP_H

#include <stdatomic.h>

#include "pghaul/sink.h"
#include "pghaul/source.h"

/* What has passed one way, all hops together, for as long as anybody counts. */
struct ph_flow {
    _Atomic uint64_t bytes, rows;
};

/* What a hop tells others while it runs; written by its thread, read by anyone. */
struct ph_hop_gauge {
    _Atomic uint64_t rows;                  /* of the shard in hand */
    _Atomic uint64_t bytes;                 /* of the shard in hand */
    _Atomic uint64_t stage_ns[PH_N_STAGES]; /* of all hops so far, up to begun_ns */
    _Atomic uint64_t begun_ns;              /* when the call in hand began; 0: there is none */
    _Atomic int waits;                      /* what it counts as while it lasts: enum ph_stage */
    struct ph_flow *flow;                   /* may be NULL */
};

/* Adds where the time of this gauge's hops has gone, in ns. With now_ns (ph_clock_ns) the call in hand counts as a wait so far:
 * whoever hangs is seen. Without it (0) the sums never shrink. */
void ph_hop_stages(const struct ph_hop_gauge *gauge, uint64_t now_ns, uint64_t ns[PH_N_STAGES]);

/* What holds a hop back: asked before every batch is put, it returns when it may pass. An error gives the hop up. */
struct ph_brake {
    bool (*wait)(void *arg, uint64_t bytes, uint64_t rows, struct ph_err *err);
    void *arg;
};

/* Opens both, moves batch after batch through the tally, commits, closes both. On failure both have
 * been abandoned and can be used again, and *err says whether to try again; *tally holds what had
 * passed. gauge and brake may be NULL. */
bool ph_hop_run(struct ph_source *source, struct ph_sink *sink, const struct ph_shard *shard,
                struct ph_tally *tally, struct ph_hop_gauge *gauge, const struct ph_brake *brake,
                struct ph_err *err);

#endif

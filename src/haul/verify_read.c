/* Reading what adds up: through pauses, and from where a verify was stopped. */
#include <stdlib.h>

#include "haul/verify_run.h"

bool ph_verify_read(struct ph_verify *v, const struct ph_reading *r, struct ph_err *err)
{
    struct ph_readout_cut cut = {0};
    struct ph_note note;
    struct ph_readout_opts opts = ph_verify_readout(v);
    bool ok = ph_readout_cut(&opts, r->rels, r->n, &cut, err);
    while (ok && !ph_note_open(&note, v, r, &cut, err))
        ok = err->code == PH_PAUSED && ph_verify_rest(v, err);
    while (ok) {
        opts = ph_verify_readout(v); /* the snapshots are others after a pause */
        opts.ended = ph_note_ended;
        opts.ended_arg = &note;
        if (ph_readout_go_on(&opts, r->rels, &cut, r->visit, r->arg, err))
            break;
        ok = err->code == PH_PAUSED && ph_verify_rest(v, err);
    }
    free(cut.items);
    return ok;
}

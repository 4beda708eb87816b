/* The lines of the living block: what to show where room is short. Pure text, no terminal. */
#ifndef PH_CLI_PROGRESS_BLOCK_H
#define PH_CLI_PROGRESS_BLOCK_H

#include "base/buf.h"
#include "cli/term.h"
#include "haul/job.h"

/* What is remembered of a table from tick to tick. */
struct ph_track {
    uint64_t bytes;
    int64_t weight;
    double rate;     /* bytes per second, smoothed */
    double pace;     /* weight per second, smoothed */
    double seen;     /* of the time that they smooth over, from 0 to 1 */
    double moved_at; /* when its bytes last grew */
};

/* Takes a new moment into account; `track` has n_tables elements, `dt` is the time since the last
 * one. */
void ph_track_update(struct ph_track *track, const struct ph_progress *now, double dt);

/* Appends the block, each line ending in a newline and narrower than the terminal, fewer lines than
 * it is high. Returns the number of lines. */
int ph_block_render(struct ph_buf *out, const struct ph_progress *now, const struct ph_track *track,
                    const struct ph_term *term);

/* The same in one line for logs: "61 %: 12,345,678 rows, ...". */
void ph_block_line(struct ph_buf *out, const struct ph_progress *now);

#endif

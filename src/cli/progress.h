/* Progress while a job runs: one living block on a terminal, redrawn in place, or a line now and
 * then elsewhere.
 *
 *     struct ph_view *view = ph_view_new(log, settings, interrupt);
 *     opts.progress = ph_view_tick;  opts.arg = view;      ... the job runs ...
 *     ph_view_free(view);                                  takes the block away
 *
 * Ticks come from one thread. Lines of the log may come from any: the log's hook takes the block
 * aside for them.
 */
#ifndef PH_CLI_PROGRESS_H
#define PH_CLI_PROGRESS_H

#include "base/interrupt.h"
#include "base/log.h"
#include "cli/settings.h"
#include "haul/job.h"

struct ph_view;

struct ph_view *ph_view_new(struct ph_log *log, const struct ph_settings *settings,
                            const struct ph_interrupt *interrupt);
void ph_view_tick(void *view, const struct ph_progress *now);
void ph_view_free(struct ph_view *view);

#endif

/* Watches a crew at work and tells the caller how far it is. */
#ifndef PH_HAUL_PROGRESS_H
#define PH_HAUL_PROGRESS_H

#include "haul/run.h"

/* Runs in the main thread until no worker is left; calls opts->progress every 200 ms. */
void ph_progress_watch(struct ph_run *run);

#endif

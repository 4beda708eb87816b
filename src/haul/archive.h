/* A run's archive directory: what an extract fills and a load reads. */
#ifndef PH_HAUL_ARCHIVE_H
#define PH_HAUL_ARCHIVE_H

#include "haul/run.h"

/* Opens the directory and makes run->place of it. */
bool ph_run_open_archive(struct ph_run *run, enum ph_dir_make make, struct ph_err *err);

#endif

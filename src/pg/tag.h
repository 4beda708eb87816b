/* The job's tag: 8 hexadecimal digits that stand in application_name on both servers, so that the
 * keeper finds its movers and a worker the backends that a dead one left behind. */
#ifndef PH_PG_TAG_H
#define PH_PG_TAG_H

#include <stdint.h>

void ph_tag_of_job(const char *job, uint64_t target_system, uint32_t target_database,
                   char out[static 9]);

#endif

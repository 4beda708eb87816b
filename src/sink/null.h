/* A sink that lands nothing: for measuring what reading alone costs. */
#ifndef PH_SINK_NULL_H
#define PH_SINK_NULL_H

#include "pghaul/sink.h"

bool ph_sink_null_new(struct ph_sink **out, struct ph_err *err);

#endif

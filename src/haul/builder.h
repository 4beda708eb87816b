/* One builder, for build.c and build_step.c. */
#ifndef PH_HAUL_BUILDER_H
#define PH_HAUL_BUILDER_H

#include "haul/build.h"

struct ph_builder {
    struct ph_build *build;
    pthread_t thread;
    bool started;
    int slot;
    struct ph_conn *conn;
    struct ph_step_claim claim;
    bool have_claim; /* it came with the last commit */
    bool has_place;
    int empty;           /* times in a row that there was nothing, now or later */
    double looked_at;    /* when it was last found out what can begin */
    double outage_since; /* 0: all is well */
    unsigned failures;   /* in a row, for the back-off */
    unsigned seed;
};

/* build_step.c: does what was claimed, and takes the claim that comes along. False: the builder ends. */
bool ph_builder_work(struct ph_builder *builder);

/* build.c: the target is lost, or an error is not the step's own. False when that has gone on for too long. */
bool ph_builder_bear_outage(struct ph_builder *builder, struct ph_err *err);

void ph_builder_disconnect(struct ph_builder *builder);

/* Seconds to wait after another failure in a row. */
double ph_builder_back_off(struct ph_builder *builder);

#endif

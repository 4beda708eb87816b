/* Definitions of both sides, compared: what only one has, and what is otherwise.
 *
 *     ph_definitions_compare   asks both servers (pg/definitions.h) about what the job names
 *     ph_definitions_diff      compares what they said; pure
 *
 * Names are matched where the job renames a table: texts that name it are read as if they named the
 * other one, and what is named after it (a_pkey) may be named after the other one (b_pkey). Of an
 * object that one side lacks only the object is told, not what is in it.
 */
#ifndef PH_HAUL_DEFINITIONS_H
#define PH_HAUL_DEFINITIONS_H

#include "haul/verify.h"
#include "pg/definitions.h"
#include "plan/scope.h"

struct ph_definitions_in {
    const struct ph_scope_pair *pairs;
    int n_pairs;
    struct ph_facts facts[2];                  /* source, target */
    bool no_owner, no_privileges, no_comments; /* these do not count */
    bool exact; /* that a materialized view is not filled in the target does */
};

/* *out: in the arena, by the names of tables. */
void ph_definitions_diff(struct ph_arena *arena, const struct ph_definitions_in *in,
                         struct ph_verify_definitions *out);

/* Both connections are idle before and after; nothing is changed. */
bool ph_definitions_compare(const struct ph_verify_opts *opts, const struct ph_job_spec *spec,
                            struct ph_conn *source, struct ph_conn *target, struct ph_arena *arena,
                            struct ph_verify_definitions *out, struct ph_err *err);

#endif

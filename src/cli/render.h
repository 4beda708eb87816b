/* Results as people and programs read them. Texts go to a buffer, objects have the keys of the
 * command line's contract; nothing is printed here. */
#ifndef PH_CLI_RENDER_H
#define PH_CLI_RENDER_H

#include <jansson.h>

#include "base/buf.h"
#include "cli/term.h"
#include "haul/archive_check.h"
#include "haul/job.h"
#include "haul/queries.h"
#include "haul/tune.h"
#include "haul/verify.h"
#include "ledger/status.h"

/* With `verbose`, every column and every table. */
void ph_render_plan(struct ph_buf *out, struct ph_plan *plan, const struct ph_term *term,
                    int verbose);
json_t *ph_render_plan_json(struct ph_plan *plan);

/* What --create makes, as JSON counts it: "creates 3 schemas, 14 tables", a line; nothing where it makes nothing. */
void ph_render_counts(struct ph_buf *out, const char *before, const char *counts);

/* The summary of a finished, failed or interrupted copy. */
void ph_render_copy(struct ph_buf *out, const struct ph_job_result *result,
                    const struct ph_term *term);
json_t *ph_render_copy_json(const struct ph_job_result *result);

/* "12.3 s of workers' time: rate 10.0 s, pause 2.3 s" */
void ph_render_throttled(struct ph_buf *out, double all_s, const double seconds[static PH_N_HOLDS]);

/* The object of throttled_seconds: by reason, those that held at all. */
json_t *ph_render_throttled_json(const double seconds[static PH_N_HOLDS]);

/* What was proven, table by table, and what differs. */
void ph_render_verify(struct ph_buf *out, const struct ph_verify_result *result,
                      const struct ph_term *term);
json_t *ph_render_verify_json(const struct ph_verify_result *result);

/* Answers of both sides to the same questions, with both latencies. */
void ph_render_queries(struct ph_buf *out, const struct ph_query *queries, int n,
                       const struct ph_queries_result *result);
json_t *ph_render_queries_json(const struct ph_query *queries, int n,
                               const struct ph_queries_result *result);

/* `shards`: list them too. */
void ph_render_status(struct ph_buf *out, const struct ph_status *status,
                      const struct ph_term *term, bool shards);
json_t *ph_render_status_json(const struct ph_status *status, bool shards);

/* An archive, complete or not; `files`: shards whose files are there. `verbose`: list the shards too. */
void ph_render_archive(struct ph_buf *out, const struct ph_archive *archive, const char *dir,
                       int files, bool verbose);
json_t *ph_render_archive_json(const struct ph_archive *archive, const char *dir, int files,
                               bool verbose);

/* What a check of an archive has found. */
void ph_render_check(struct ph_buf *out, const struct ph_archive_check *check, const char *dir,
                     bool quiet);
json_t *ph_render_check_json(const struct ph_archive_check *check, const struct ph_archive *archive,
                             const char *dir, bool interrupted);

/* What a tune has found, also one that was interrupted; verbose: every point of every curve. */
void ph_render_tune(struct ph_buf *out, const struct ph_tune_result *result,
                    const struct ph_term *term, int verbose);
json_t *ph_render_tune_json(const struct ph_tune_result *result);

/* "+8 % (5 to 11)"; "" when nothing was measured. */
const char *ph_render_gain(char out[static 48], const struct ph_estimate *gain);

/* Appends a bar of `width` columns, `share` (0 to 1) of it filled. */
void ph_render_bar(struct ph_buf *out, const struct ph_term *term, double share, int width);

/* "source 61 %, target 30 %, mover 9 %"; "" when nothing was measured. */
void ph_render_shares(struct ph_buf *out, double source, double target, double self);

#endif

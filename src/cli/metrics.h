/* Figures of a run for Prometheus, in its text format: a file that is replaced every few seconds, as node_exporter's textfile
 * collector reads it; and a page on loopback (listener.h) for who asks.
 *
 *     ph_metrics_open → ph_metrics_tick(progress) … → ph_metrics_end(result) → ph_metrics_close
 *
 * A file that cannot be written is said once, and tried again; the job does not care. A port that is taken is an error, as it is
 * known before anything has begun.
 */
#ifndef PH_CLI_METRICS_H
#define PH_CLI_METRICS_H

#include "base/buf.h"
#include "base/log.h"
#include "haul/job.h"

struct ph_metrics;

/* path, listen: NULL: none; without both *metrics is NULL, with which the others do nothing. PH_WRONG. */
bool ph_metrics_open(struct ph_metrics **metrics, struct ph_log *log, const char *path,
                     const char *listen, struct ph_err *err);
void ph_metrics_close(struct ph_metrics *metrics);

/* Writes when it is time to, and answers who has asked. */
void ph_metrics_tick(struct ph_metrics *metrics, const struct ph_progress *now);

/* Writes how it has ended. */
void ph_metrics_end(struct ph_metrics *metrics, const struct ph_job_result *result);

/* What the file says, see metrics.c for the names. */
struct ph_metrics_table {
    const char *source;
    uint64_t rows, bytes;
    int shards, landed, parked;
};
struct ph_metrics_values {
    const char *job;
    bool running;
    const char *state; /* "running", or as in status */
    double seconds;
    uint64_t rows, bytes; /* of the job */
    double stages[PH_N_STAGES];
    uint64_t spilled_bytes;
    double throttled_s, snapshot_held_s, cpu_s;
    bool snapshot_held;
    int workers, workers_busy, retries, parked, shards, landed;
    double eta_s; /* < 0: not known */
    double time;  /* Unix time */
    const struct ph_metrics_table *tables;
    int n_tables;
};
void ph_metrics_render(struct ph_buf *out, const struct ph_metrics_values *values);

#endif

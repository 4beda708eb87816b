/* The report of a job: one self-contained HTML file, made of what the ledger remembers. Nothing in it is fetched from anywhere,
 * no script is in it, and no row's value.
 *
 *     report.c          the page and its tables           report_chart.c    throughput, workers' time, shards by worker
 *     report_axis.c     time, without the gaps between runs      report_style.c    how it looks
 *     report_tune.c     another page: what tune has measured
 */
#ifndef PH_CLI_REPORT_H
#define PH_CLI_REPORT_H

#include "base/buf.h"
#include "haul/tune.h"
#include "ledger/history.h"
#include "ledger/status.h"

/* The whole file. */
void ph_report_html(struct ph_buf *out, const struct ph_status *status,
                    const struct ph_history *history);

struct ph_cli;
/* What there is to tell of the extract into cli->target_archive, as a ledger would tell it; the archive's texts are the settings'
 * arena's. PH_WRONG where there is none, or one of another job than was asked for. */
bool ph_report_archive(struct ph_cli *cli, struct ph_status **status, struct ph_history **history,
                       struct ph_err *err);

/* Everything up to the text of the first heading, which is left open. */
void ph_report_begin(struct ph_buf *out, const char *title);

/* Appends a text as HTML: escaped, control characters and broken UTF-8 replaced. NULL is nothing. */
void ph_report_text(struct ph_buf *out, const char *text);

/* What a tune has found, with its curves. */
void ph_report_tune_html(struct ph_buf *out, const struct ph_tune_result *result, bool interrupted);

extern const char *const ph_report_style[]; /* CSS, NULL-terminated */

/* Time as it is drawn: the hours between two runs of a job are a narrow gap. */
struct ph_axis {
    struct ph_arena arena;
    struct ph_axis_run {
        double from, to; /* seconds since the round began */
        double at;       /* where it begins, in seconds of the axis */
    } * runs;
    int n;
    double length; /* of all, gaps included; > 0 */
};
void ph_axis_init(struct ph_axis *axis, const struct ph_history *history);
void ph_axis_fini(struct ph_axis *axis);

/* The place of a time, 0 to 1; and the time of a place. */
double ph_axis_place(const struct ph_axis *axis, double time);
double ph_axis_time(const struct ph_axis *axis, double place);

/* The charts, each a <figure>; nothing where there is nothing to show. */
void ph_report_throughput(struct ph_buf *out, const struct ph_history *h,
                          const struct ph_axis *axis);
void ph_report_stages(struct ph_buf *out, const struct ph_history *h, const struct ph_axis *axis);
void ph_report_shards(struct ph_buf *out, const struct ph_status *status,
                      const struct ph_history *h, const struct ph_axis *axis);

/* Seconds of all workers by stage, all runs together. */
void ph_report_sum_stages(const struct ph_history *h, double stages[PH_N_STAGES]);

#endif

#include "cli/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/listener.h"
#include "cli/names.h"
#include "cli/whole_file.h"

enum { MOST_TABLES = 200 /* that have figures of their own: each is a time series */ };
static const double interval_s = 5;

/* The text format. */

/* A label's value: backslash, quote and newline are escaped, and it is UTF-8. */
static void add_label(struct ph_buf *out, const char *name, const char *text)
{
    ph_buf_addf(out, "%s=\"", name);
    for (size_t n; text && *text; text += n) {
        n = ph_text_char(text, strlen(text));
        if (n == 0) {
            ph_buf_add(out, "\ufffd");
            n = 1;
        } else if (*text == '\\' || *text == '"') {
            ph_buf_addf(out, "\\%c", *text);
        } else if (*text == '\n') {
            ph_buf_add(out, "\\n");
        } else {
            ph_buf_addn(out, text, n);
        }
    }
    ph_buf_addc(out, '"');
}

static void add_head(struct ph_buf *out, const char *name, const char *type, const char *help)
{
    ph_buf_addf(out, "# HELP pghaul_%s %s\n# TYPE pghaul_%s %s\n", name, help, name, type);
}

static void add_one(struct ph_buf *out, const struct ph_metrics_values *v, const char *name,
                    const char *type, const char *help, double value)
{
    add_head(out, name, type, help);
    ph_buf_addf(out, "pghaul_%s{", name);
    add_label(out, "job", v->job);
    ph_buf_addf(out, "} %.15g\n", value);
}

static void add_stages(struct ph_buf *out, const struct ph_metrics_values *v)
{
    add_head(out, "worker_seconds_total", "counter", "Time of all workers of this run, by stage.");
    for (int i = 0; i < PH_N_STAGES; i++) {
        ph_buf_add(out, "pghaul_worker_seconds_total{");
        add_label(out, "job", v->job);
        ph_buf_addf(out, ",stage=\"%s\"} %.15g\n", ph_stage_names[i], v->stages[i]);
    }
}

enum figure { ROWS, BYTES, SHARDS, LANDED, PARKED };

static void add_table_figure(struct ph_buf *out, const struct ph_metrics_values *v,
                             const char *name, const char *help, enum figure figure)
{
    add_head(out, name, "gauge", help);
    for (int i = 0; i < v->n_tables && i < MOST_TABLES; i++) {
        const struct ph_metrics_table *t = &v->tables[i];
        const double values[] = {(double)t->rows, (double)t->bytes, t->shards, t->landed,
                                 t->parked};
        ph_buf_addf(out, "pghaul_%s{", name);
        add_label(out, "job", v->job);
        ph_buf_addc(out, ',');
        add_label(out, "table", t->source);
        ph_buf_addf(out, "} %.15g\n", values[figure]);
    }
}

static void add_state(struct ph_buf *out, const struct ph_metrics_values *v)
{
    add_head(out, "job_state", "gauge", "1 for the state that the job is in.");
    ph_buf_add(out, "pghaul_job_state{");
    add_label(out, "job", v->job);
    ph_buf_addc(out, ',');
    add_label(out, "state", v->state);
    ph_buf_add(out, "} 1\n");
}

void ph_metrics_render(struct ph_buf *out, const struct ph_metrics_values *v)
{
    add_one(out, v, "up", "gauge", "Whether the run was at work when this was written.",
            v->running);
    add_state(out, v);
    add_one(out, v, "written_timestamp_seconds", "gauge", "When this was written.", v->time);
    add_one(out, v, "run_seconds", "gauge", "How long the run has lasted.", v->seconds);
    add_one(out, v, "rows", "gauge", "Rows of the job that have landed or are on their way.",
            (double)v->rows);
    add_one(out, v, "bytes", "gauge", "Likewise, bytes of COPY data.", (double)v->bytes);
    add_one(out, v, "shards", "gauge", "Shards of the job.", v->shards);
    add_one(out, v, "shards_landed", "gauge", "Shards that have landed.", v->landed);
    add_one(out, v, "shards_parked", "gauge", "Shards that were given up for this run.", v->parked);
    add_one(out, v, "retries_total", "counter", "Failures of this run that were got over.",
            v->retries);
    add_one(out, v, "workers", "gauge", "Workers of this run.", v->workers);
    add_one(out, v, "workers_busy", "gauge", "Workers with a shard in hand.", v->workers_busy);
    add_one(out, v, "spilled_bytes_total", "counter", "Bytes that this run has put into files.",
            (double)v->spilled_bytes);
    add_one(out, v, "throttled_seconds_total", "counter",
            "Time for which workers were held back, all together.", v->throttled_s);
    add_one(out, v, "snapshot_held", "gauge", "Whether the source keeps a snapshot for the job.",
            v->snapshot_held);
    add_one(out, v, "snapshot_held_seconds", "gauge", "For how long it has.", v->snapshot_held_s);
    add_one(out, v, "cpu_seconds_total", "counter", "CPU that the run has used.", v->cpu_s);
    if (v->eta_s >= 0)
        add_one(out, v, "eta_seconds", "gauge", "How long it will take still, at this pace.",
                v->eta_s);
    add_stages(out, v);
    add_table_figure(out, v, "table_rows", "Rows by table.", ROWS);
    add_table_figure(out, v, "table_bytes", "Bytes of COPY data by table.", BYTES);
    add_table_figure(out, v, "table_shards", "Shards by table.", SHARDS);
    add_table_figure(out, v, "table_shards_landed", "Landed shards by table.", LANDED);
    add_table_figure(out, v, "table_shards_parked", "Parked shards by table.", PARKED);
}

/* The file, and the page. */

struct ph_metrics {
    struct ph_log *log;
    const char *path;
    struct ph_listener *listener;
    const struct ph_progress *now; /* within a tick */
    double next_s;
    bool said;
    bool snapshot_held;
    struct ph_arena arena;
    struct ph_metrics_table *tables;
    int n_tables;
};

static void page(void *metrics, struct ph_buf *out);

bool ph_metrics_open(struct ph_metrics **metrics, struct ph_log *log, const char *path,
                     const char *listen, struct ph_err *err)
{
    *metrics = NULL;
    if (!path && !listen)
        return true;
    struct ph_metrics *m = calloc(1, sizeof *m);
    if (!m)
        return ph_err_nomem(err);
    m->log = log;
    m->path = path;
    if (listen && !ph_listener_open(&m->listener, listen, page, m, err)) {
        free(m);
        return false;
    }
    if (listen)
        ph_log_event(log, PH_LOG_INFO, &(struct ph_log_fields){.event = "metrics"},
                     "metrics are at %s", ph_listener_url(m->listener));
    *metrics = m;
    return true;
}

void ph_metrics_close(struct ph_metrics *m)
{
    if (!m)
        return;
    ph_listener_close(m->listener);
    ph_arena_fini(&m->arena);
    free(m);
}

static double unix_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)(now.tv_nsec / 1000000) / 1e3;
}

static void render(struct ph_buf *out, struct ph_metrics_values *v)
{
    v->time = unix_time();
    v->cpu_s = ph_clock_cpu_s();
    ph_metrics_render(out, v);
}

static void write_out(struct ph_metrics *m, struct ph_metrics_values *v)
{
    struct ph_buf text = {0};
    struct ph_err err;
    render(&text, v);
    bool ok = ph_whole_file(m->path, "metrics file", &text, false, &err);
    if (!ok && !m->said)
        ph_log_event(m->log, PH_LOG_WARN, &(struct ph_log_fields){.event = "metrics"},
                     "%s; the job goes on without", err.text);
    m->said = !ok;
    ph_buf_fini(&text);
}

static struct ph_metrics_table *room(struct ph_metrics *m, int n)
{
    if (n > m->n_tables) {
        m->tables = ph_arena_calloc(&m->arena, (size_t)n, sizeof *m->tables);
        m->n_tables = n;
    }
    return m->tables;
}

static struct ph_metrics_values values_of(struct ph_metrics *m, const struct ph_progress *now)
{
    struct ph_metrics_table *tables = room(m, now->n_tables);
    struct ph_metrics_values v = {.job = now->job,
                                  .running = true,
                                  .state = "running",
                                  .seconds = now->seconds,
                                  .rows = now->rows,
                                  .bytes = now->bytes,
                                  .spilled_bytes = now->spilled_bytes,
                                  .throttled_s = now->throttled_s,
                                  .snapshot_held_s = now->snapshot_held_s,
                                  .snapshot_held = !now->snapshot_released,
                                  .workers = now->workers,
                                  .workers_busy = now->workers_busy,
                                  .retries = now->retries,
                                  .parked = now->parked,
                                  .eta_s = now->eta_s,
                                  .tables = tables,
                                  .n_tables = now->n_tables};
    memcpy(v.stages, now->stages, sizeof v.stages);
    for (int i = 0; i < now->n_tables; i++) {
        const struct ph_progress_table *t = &now->tables[i];
        tables[i] = (struct ph_metrics_table){.source = t->source,
                                              .rows = t->rows,
                                              .bytes = t->bytes,
                                              .shards = t->shards,
                                              .landed = t->shards_landed,
                                              .parked = t->shards_parked};
        v.shards += t->shards;
        v.landed += t->shards_landed;
    }
    m->snapshot_held = v.snapshot_held;
    return v;
}

static void page(void *metrics, struct ph_buf *out)
{
    struct ph_metrics *m = metrics;
    struct ph_metrics_values v = values_of(m, m->now);
    render(out, &v);
}

void ph_metrics_tick(struct ph_metrics *m, const struct ph_progress *now)
{
    if (!m)
        return;
    m->now = now;
    ph_listener_serve(m->listener);
    m->now = NULL;
    if (!m->path || now->seconds < m->next_s)
        return;
    m->next_s = now->seconds + interval_s;
    struct ph_metrics_values v = values_of(m, now);
    write_out(m, &v);
}

void ph_metrics_end(struct ph_metrics *m, const struct ph_job_result *r)
{
    if (!m || !m->path || !r->job)
        return;
    bool complete = r->state && !strcmp(r->state, "completed");
    struct ph_metrics_table *tables = room(m, r->n_tables);
    struct ph_metrics_values v = {.job = r->job,
                                  .state = r->state,
                                  .seconds = r->seconds,
                                  .rows = r->rows,
                                  .bytes = r->bytes,
                                  .spilled_bytes = r->spilled_bytes,
                                  .throttled_s = r->throttled_s,
                                  .snapshot_held_s = r->snapshot_held_s,
                                  .snapshot_held = !complete && m->snapshot_held,
                                  .workers = r->workers,
                                  .retries = r->retries,
                                  .parked = r->parked,
                                  .shards = r->shards,
                                  .eta_s = complete ? 0 : -1,
                                  .tables = tables,
                                  .n_tables = r->n_tables};
    memcpy(v.stages, r->stages, sizeof v.stages);
    for (int i = 0; i < r->n_tables; i++) {
        const struct ph_job_table *t = &r->tables[i];
        tables[i] = (struct ph_metrics_table){.source = t->source,
                                              .rows = t->rows,
                                              .bytes = t->bytes,
                                              .shards = t->shards,
                                              .landed = t->landed,
                                              .parked = t->parked};
        v.landed += t->landed;
    }
    write_out(m, &v);
}

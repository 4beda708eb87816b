/* How a verify is steered: by a socket in the state directory, as any run (haul/control.h), and, where there is a ledger with its job
 * that it may read, by way of that. A thread of its own listens there, on a connection of its own: the main one looks at the target
 * as it was, and may have to wait long for an answer.
 */
#include <stdio.h>
#include <unistd.h>

#include "haul/verify_run.h"
#include "ledger/control.h"

static const double look_s = 0.5, again_s = 5;

struct line {
    struct ph_conn *conn;
    int64_t job;
    int mover;
};

/* false: nobody will be heard here, now or later. */
static bool call(struct ph_verify *v, struct line *line)
{
    struct ph_err err;
    char name[64];
    snprintf(name, sizeof name, "pghaul/%s/control", v->run.tag);
    const struct ph_conn_opts how = {.dsn = v->job.target,
                                     .application_name = name,
                                     .interrupt = &v->ear.end,
                                     .interrupt_level = 1};
    ph_conn_close(line->conn);
    line->conn = NULL;
    if (!ph_conn_open(&line->conn, &how, &err))
        return true;
    return !ph_ledger_listen(line->conn, v->result->job, v->run.tag, &line->job, &line->mover,
                             &err) ||
           line->job;
}

static void *listen(void *arg)
{
    struct ph_verify *v = arg;
    struct line line = {0};
    struct ph_err err;
    bool heard;
    do {
        if ((!line.conn || !ph_conn_ok(line.conn)) && !call(v, &line))
            break;
        heard = line.conn &&
                ph_control_exchange(&v->run.control, line.conn, line.job, line.mover, &err);
    } while (ph_interrupt_sleep(&v->ear.end, 1, heard ? look_s : again_s));
    ph_conn_close(line.conn);
    return NULL;
}

void ph_verify_listen(struct ph_verify *v)
{
    struct ph_err ignored;
    struct ph_run *run = &v->run;
    gethostname(run->host, sizeof run->host - 1);
    ph_control_begin(&run->control, &(struct ph_control_opts){
                                        .job = v->result->job,
                                        .host = run->host,
                                        .state_dir = v->job.spill.state_dir,
                                        .state_base = v->job.spill.state_base,
                                        .most_workers = v->most_jobs,
                                        .verify_tag = run->tag,
                                        .throttle = &run->throttle,
                                        .interrupt = v->job.interrupt,
                                        .log = v->job.log,
                                    });
    ph_control_serve(&run->control);
    if (ph_interrupt_init(&v->ear.end, &ignored))
        v->ear.threaded = pthread_create(&v->ear.thread, NULL, listen, v) == 0;
}

void ph_verify_deafen(struct ph_verify *v)
{
    if (v->ear.threaded) {
        ph_interrupt_raise(&v->ear.end);
        pthread_join(v->ear.thread, NULL);
        ph_interrupt_fini(&v->ear.end);
    }
    ph_control_end(&v->run.control);
}

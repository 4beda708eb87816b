/* Making what comes before the rows, chunk by chunk, wave by wave.
 *
 *     wave of one chunk      by the connection that has the lock
 *     wave of several        by makers, threads with connections of their own, each chunk by whoever is free;
 *                            the main thread watches. What a maker has failed at is left
 *     what is left of it     by the connection that has the lock: what stood in its way (a name that another
 *                            chunk was making at the same time) is over by then; if not, that is the error
 *
 * A chunk and its mark are one transaction, so whatever dies leaves chunks that are made or are not.
 * Nobody waits for the disk at their commits: rows that come later are flushed later, and both are lost
 * together in a crash of the target.
 */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/create.h"

enum { MOST_MAKERS = 8 };

struct makers {
    struct ph_run *run;
    const struct ph_tools *tools;
    const struct ph_buf *dump;
    struct ph_creation *creation;
    int wave;
    atomic_int next; /* chunk to be looked at by who is free */
    int running;     /* makers; the lock's */
    pthread_mutex_t lock;
    pthread_cond_t bell; /* one of them has ended */
    atomic_int made;     /* objects */
    int objects;
    int n;
    struct maker {
        struct makers *all;
        pthread_t thread;
        bool started;
        struct ph_conn *conn;
    } makers[MOST_MAKERS];
};

/* Chunks. */

/* Fills sql with the script of a list, with the settings in front. */
static bool write_script(const struct makers *all, const char *list, struct ph_buf *sql,
                         struct ph_err *err)
{
    const struct ph_dump_without without = ph_create_without(all->run);
    struct ph_buf script = {0};
    bool ok = ph_dump_script(all->tools, all->dump, &without, list, &script, err);
    ph_buf_clear(sql);
    ph_buf_add(sql, "SET LOCAL lock_timeout = '60s';" PH_DUMP_SETTINGS);
    ph_buf_add(sql, ph_buf_text(&script));
    ph_buf_fini(&script);
    return ok;
}

/* The first n lines of a list. */
static char *first_lines(struct ph_run *run, const char *list, int n)
{
    const char *end = list;
    for (int i = 0; i < n && *end; i++) {
        end += strcspn(end, "\n");
        end += *end == '\n';
    }
    return ph_arena_printf(run->arena, "%.*s", (int)(end - list), list);
}

static int count_lines(const char *list)
{
    int n = 0;
    for (; *list; list++)
        n += *list == '\n';
    return n;
}

/* Which entry of a chunk fails, by halves; each attempt is rolled back. Its line's index, or -1. */
static int find_culprit(const struct makers *all, struct ph_conn *conn, const char *list)
{
    struct ph_err ignored;
    struct ph_buf sql = {0};
    int good = 0, bad = count_lines(list); /* the first `good` work, the first `bad` do not */
    while (bad - good > 1) {
        int middle = (good + bad) / 2;
        if (!write_script(all, first_lines(all->run, list, middle), &sql, &ignored) ||
            !ph_conn_exec(conn, "BEGIN", &ignored)) {
            bad = 0;
            break;
        }
        bool works = ph_conn_exec(conn, sql.data, &ignored);
        if (!ph_conn_recover(conn)) {
            bad = 0;
            break;
        }
        *(works ? &good : &bad) = middle;
    }
    ph_buf_fini(&sql);
    return bad - 1;
}

/* Names the entry in the error of a chunk. */
static void blame(const struct makers *all, struct ph_conn *conn, const char *list,
                  struct ph_err *err)
{
    struct ph_run *run = all->run;
    struct ph_toc_names names;
    struct ph_toc toc;
    struct ph_err ignored;
    if (err->code == PH_CONNECTION || err->code == PH_INTERRUPTED || !ph_conn_recover(conn))
        return;
    int culprit = find_culprit(all, conn, list);
    if (culprit >= 0 && ph_create_names(run, &names, &ignored)) {
        ph_toc_parse(&toc, run->arena, list, &names);
        if (culprit < toc.n)
            ph_err_prefix(err, "%s", ph_toc_shown(run->arena, &toc.items[culprit]));
    }
}

/* *sql_failed: it was a statement of the chunk's. */
static bool make_chunk(struct makers *all, struct ph_conn *conn, int i, bool *sql_failed,
                       struct ph_err *err)
{
    struct ph_creation *c = all->creation;
    struct ph_buf sql = {0};
    bool ok = write_script(all, c->chunks[i], &sql, err) &&
              ph_conn_exec(conn, "BEGIN;SET LOCAL synchronous_commit = off", err);
    *sql_failed = ok && !ph_conn_exec(conn, sql.data, err);
    ok = ok && !*sql_failed;
    ph_buf_fini(&sql);
    if (ok && PH_FAULT("create.chunk"))
        ok = ph_err_set(err, PH_FAILED, "fault point create.chunk");
    ok = ok && ph_creation_mark(conn, c, i, err) && ph_conn_exec(conn, "COMMIT", err);
    if (ok && PH_FAULT("create.chunk.done"))
        ok = ph_err_set(err, PH_FAILED, "fault point create.chunk.done");
    c->done[i] = ok;
    if (ok)
        atomic_fetch_add(&all->made, count_lines(c->chunks[i]));
    return ok;
}

/* Makers. */

int ph_create_makers(const struct ph_run *run, const struct ph_create_look *look)
{
    int wanted = run->opts->spec->jobs, chosen = look->plan ? look->plan->builders : 2;
    int n = wanted > 0 ? wanted : chosen;
    return n > MOST_MAKERS ? MOST_MAKERS : n > 0 ? n : 1;
}

bool ph_create_connect(const struct ph_run *run, struct ph_conn **conn, struct ph_err *err)
{
    const struct ph_conn_opts how = {
        .dsn = run->opts->target,
        .application_name = "pghaul/create",
        .encoding = run->encoding,
        .interrupt = run->opts->interrupt,
        .interrupt_level = 2,
    };
    return ph_conn_open(conn, &how, err);
}

static bool connect_maker(struct maker *m, struct ph_err *err)
{
    return m->conn ||
           (ph_create_connect(m->all->run, &m->conn, err) && ph_creation_help(m->conn, err));
}

/* Its errors are found again by who has the lock. */
static void *maker_main(void *arg)
{
    struct maker *m = arg;
    struct makers *all = m->all;
    struct ph_creation *c = all->creation;
    struct ph_err err;
    bool ok = connect_maker(m, &err), ignored;
    while (ok && !ph_interrupt_at(all->run->opts->interrupt, 1)) {
        int i = atomic_fetch_add(&all->next, 1);
        if (i >= c->n_chunks || c->waves[i] > all->wave)
            break;
        if (c->waves[i] < all->wave || c->done[i])
            continue;
        if (!make_chunk(all, m->conn, i, &ignored, &err))
            ok = ph_conn_recover(m->conn);
    }
    if (!ok) {
        ph_conn_close(m->conn);
        m->conn = NULL;
    }
    pthread_mutex_lock(&all->lock);
    all->running--;
    pthread_cond_signal(&all->bell);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

void ph_create_tell(struct ph_run *run, const char *phase, int made, int objects)
{
    run->phase = phase;
    if (run->opts->progress)
        run->opts->progress(run->opts->arg,
                            &(struct ph_progress){.seconds = ph_clock_s() - run->begin_s,
                                                  .phase = phase,
                                                  .making_schema = true,
                                                  .eta_s = -1,
                                                  .objects = objects,
                                                  .objects_made = made});
}

static void tell(struct makers *all)
{
    ph_create_tell(all->run, "creating the schema", atomic_load(&all->made), all->objects);
}

/* Shows how far they are, until the last of them has ended: a small schema does not wait for that to be seen. */
static void watch(struct makers *all)
{
    static const long look_ns = 200000000;
    pthread_mutex_lock(&all->lock);
    while (all->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += look_ns;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_cond_timedwait(&all->bell, &all->lock, &until) == 0)
            continue;
        pthread_mutex_unlock(&all->lock);
        tell(all);
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
}

/* n of them at work on the wave; comes back when they are not. */
static void make_beside(struct makers *all, int n)
{
    atomic_store(&all->next, 0);
    pthread_mutex_lock(&all->lock);
    for (int i = 0; i < n; i++) {
        struct maker *m = &all->makers[i];
        m->all = all;
        m->started = pthread_create(&m->thread, NULL, maker_main, m) == 0;
        all->running += m->started;
    }
    pthread_mutex_unlock(&all->lock);
    watch(all);
    for (int i = 0; i < n; i++)
        if (all->makers[i].started)
            pthread_join(all->makers[i].thread, NULL);
}

static int count_open(const struct ph_creation *c, int wave)
{
    int n = 0;
    for (int i = 0; i < c->n_chunks; i++)
        n += c->waves[i] == wave && !c->done[i];
    return n;
}

static bool make_wave(struct makers *all, struct ph_conn *conn, struct ph_err *err)
{
    struct ph_creation *c = all->creation;
    int open = count_open(c, all->wave), n = open < all->n ? open : all->n;
    if (n > 1)
        make_beside(all, n);
    for (int i = 0; i < c->n_chunks; i++) {
        if (c->waves[i] != all->wave || c->done[i])
            continue;
        if (ph_interrupt_at(all->run->opts->interrupt, 1))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        bool sql_failed = false, ok = make_chunk(all, conn, i, &sql_failed, err);
        if (sql_failed)
            blame(all, conn, c->chunks[i], err);
        if (!ok)
            return false;
        tell(all);
    }
    return true;
}

static void count_objects(struct makers *all)
{
    struct ph_creation *c = all->creation;
    for (int i = 0; i < c->n_chunks; i++) {
        int n = count_lines(c->chunks[i]);
        all->objects += n;
        atomic_fetch_add(&all->made, c->done[i] ? n : 0);
    }
}

bool ph_create_make(struct ph_run *run, struct ph_conn *conn, struct ph_creation *creation,
                    struct ph_create_look *look, struct ph_err *err)
{
    struct makers all = {.lock = PTHREAD_MUTEX_INITIALIZER,
                         .bell = PTHREAD_COND_INITIALIZER,
                         .run = run,
                         .tools = &look->tools,
                         .dump = &look->dump,
                         .creation = creation,
                         .n = ph_create_makers(run, look)};
    bool ok = true;
    count_objects(&all);
    tell(&all);
    if (creation->n_done)
        ph_log(run->opts->log, PH_LOG_NOTE, "going on with the schema: %d of %d parts are there",
               creation->n_done, creation->n_chunks);
    if (!look->tools.major &&
        (!ph_create_tools(run, creation->major, "dump in the ledger", &look->tools, err) ||
         !ph_creation_dump(conn, creation->id, &look->dump, err)))
        return false;
    for (int i = 0; i < creation->n_chunks && ok; i++)
        if (i == 0 || creation->waves[i] != creation->waves[i - 1]) {
            all.wave = creation->waves[i];
            ok = make_wave(&all, conn, err);
        }
    for (int i = 0; i < MOST_MAKERS; i++)
        ph_conn_close(all.makers[i].conn);
    pthread_cond_destroy(&all.bell);
    pthread_mutex_destroy(&all.lock);
    creation->made = ok;
    return ok;
}

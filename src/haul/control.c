#include "haul/control.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/num.h"
#include "haul/control_socket.h"
#include "haul/job.h"
#include "ledger/control.h"

struct ph_saying {
    struct ph_saying *next;
    char *word, *who;
    bool keep;
};

void ph_control_who(char *out, size_t room, unsigned uid, int pid, const char *host)
{
    struct passwd entry, *found = NULL;
    char text[1024];
    if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found)
        snprintf(out, room, "%s on %s (pid %d)", found->pw_name, host, pid);
    else
        snprintf(out, room, "uid %u on %s (pid %d)", uid, host, pid);
}

/* What a wish does. */

static void set_rates(struct ph_throttle *t, const struct ph_wish *wish)
{
    struct ph_rates *r = &t->rates;
    enum ph_wish_kind k = wish->kind;
    pthread_mutex_lock(&t->lock);
    if (k == PH_WISH_RATE || k == PH_WISH_SOURCE_RATE)
        r->source_bytes = wish->n;
    if (k == PH_WISH_RATE || k == PH_WISH_TARGET_RATE)
        r->target_bytes = wish->n;
    if (k == PH_WISH_ROWS || k == PH_WISH_SOURCE_ROWS)
        r->source_rows = wish->n;
    if (k == PH_WISH_ROWS || k == PH_WISH_TARGET_ROWS)
        r->target_rows = wish->n;
    pthread_mutex_unlock(&t->lock);
    ph_throttle_settle(t);
}

static void set_jobs(struct ph_control *c, uint64_t wished)
{
    int jobs = (int)wished;
    if (jobs > c->opts.most_workers) {
        ph_log(c->opts.log, PH_LOG_WARN, "%s room for %d worker%s, not for %d",
               c->opts.verify_tag ? "--memory and free connections have" : "--memory has",
               c->opts.most_workers, c->opts.most_workers == 1 ? "" : "s", jobs);
        jobs = c->opts.most_workers;
    }
    ph_throttle_ask_jobs(c->opts.throttle, jobs);
}

static void heed(struct ph_control *c, const char *word, const struct ph_wish *wish,
                 const char *who, const char *way)
{
    struct ph_throttle *t = c->opts.throttle;
    ph_log(c->opts.log, PH_LOG_NOTE, "control: %s, by %s, through the %s", word, who, way);
    switch (wish->kind) {
    case PH_WISH_PAUSE:
        ph_throttle_hold(t, &t->pause, PH_AT_BOTH, 1, "pause by %s", who);
        break;
    case PH_WISH_RESUME:
        ph_throttle_hold(t, &t->pause, 0, 1, "%s", "");
        break;
    case PH_WISH_STOP:
        if (!ph_interrupt_at(c->opts.interrupt, 1))
            ph_interrupt_raise(c->opts.interrupt);
        break;
    case PH_WISH_JOBS:
        set_jobs(c, wish->n);
        break;
    case PH_WISH_STATUS:
        break;
    default:
        set_rates(t, wish);
        break;
    }
}

/* By the socket. */

void ph_control_saw(struct ph_control *c, const struct ph_progress *now)
{
    if (!c->begun)
        return;
    pthread_mutex_lock(&c->lock);
    c->seen = (struct ph_seen){.rows = now->rows,
                               .bytes = now->bytes,
                               .seconds = now->seconds,
                               .rate_bytes = now->rate_bytes,
                               .eta_s = now->eta_s,
                               .workers = now->workers,
                               .busy = now->workers_busy};
    pthread_mutex_unlock(&c->lock);
}

static json_t *rate_json(uint64_t rate)
{
    return rate ? json_integer((json_int_t)rate) : json_null();
}

static json_t *settings_json(struct ph_throttle *t)
{
    pthread_mutex_lock(&t->lock);
    json_t *o =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:i}", "source_rate", rate_json(t->rates.source_bytes),
                  "target_rate", rate_json(t->rates.target_bytes), "source_rows",
                  rate_json(t->rates.source_rows), "target_rows", rate_json(t->rates.target_rows),
                  "jobs", t->jobs ? json_integer(t->jobs) : json_null(), "movers", t->movers);
    pthread_mutex_unlock(&t->lock);
    return o;
}

static json_t *status_json(struct ph_control *c)
{
    char why[PH_REASON_TEXT];
    enum ph_hold_kind kind;
    bool paused = false;
    bool held = ph_throttle_reason(c->opts.throttle, why, &kind, &paused);
    pthread_mutex_lock(&c->lock);
    struct ph_seen seen = c->seen;
    pthread_mutex_unlock(&c->lock);
    return json_pack("{s:s, s:s, s:o, s:s, s:i, s:I, s:I, s:f, s:f, s:o, s:i, s:i, s:o}", "job",
                     c->opts.job, "state", paused ? "paused" : "running", "throttled_by",
                     held ? json_string(why) : json_null(), "host", c->opts.host, "pid",
                     (int)getpid(), "rows", (json_int_t)seen.rows, "bytes", (json_int_t)seen.bytes,
                     "seconds", seen.seconds, "bytes_per_second", seen.rate_bytes, "eta_seconds",
                     seen.eta_s >= 0 ? json_real(seen.eta_s) : json_null(), "workers", seen.workers,
                     "workers_busy", seen.busy, "settings", settings_json(c->opts.throttle));
}

static char *error_json(const struct ph_err *err)
{
    json_t *o = json_pack("{s:s, s:s}", "error", err->text, "hint", err->hint);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static void say_to_ledger(struct ph_control *c, const char *word, const char *who, bool keep)
{
    struct ph_saying *s = calloc(1, sizeof *s);
    if (!s)
        return;
    *s = (struct ph_saying){.word = strdup(word), .who = strdup(who), .keep = keep};
    pthread_mutex_lock(&c->lock);
    struct ph_saying **at = &c->saying;
    while (*at)
        at = &(*at)->next;
    *at = s;
    pthread_mutex_unlock(&c->lock);
}

/* All words are understood before the first is heeded. */
char *ph_control_answer(struct ph_control *c, const char *const *words, int n, bool keep,
                        const char *who)
{
    struct ph_wish wish[PH_CONTROL_WORDS];
    struct ph_err err;
    for (int i = 0; i < n; i++)
        if (!ph_wish_parse(words[i], &wish[i], &err))
            return error_json(&err);
    const struct ph_journal *journal = c->opts.journal;
    if (keep && journal && !ph_journal_wish(journal->dir, journal->shown, who, words, n, &err)) {
        ph_err_prefix(&err, "it cannot be kept");
        return error_json(&err);
    }
    for (int i = 0; i < n; i++) {
        if (wish[i].kind == PH_WISH_STATUS)
            continue;
        heed(c, words[i], &wish[i], who, "socket");
        if (!journal)
            say_to_ledger(c, words[i], who, keep);
    }
    json_t *status = status_json(c);
    char *text = json_dumps(status, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(status);
    return text;
}

/* By the ledger. */

static bool tell(struct ph_control *c, struct ph_conn *target, int64_t job, int mover,
                 struct ph_err *err)
{
    for (;;) {
        pthread_mutex_lock(&c->lock);
        struct ph_saying *s = c->saying;
        pthread_mutex_unlock(&c->lock);
        if (!s)
            return true;
        const char *word = s->word;
        int64_t no;
        if (!ph_ledger_wish(target, job, mover, s->who, s->keep, &word, 1, &no, err)) {
            if (!c->opts.verify_tag || !ph_conn_ok(target))
                return false;
            /* whoever verifies need not be one who may write */
            if (s->keep)
                ph_log(c->opts.log, PH_LOG_WARN, "control: %s cannot be kept: %s", word, err->text);
        }
        pthread_mutex_lock(&c->lock);
        c->saying = s->next;
        pthread_mutex_unlock(&c->lock);
        free(s->word);
        free(s->who);
        free(s);
    }
}

/* Of a wish that was said before this run the last of its kind counts, if it was to be kept or the run that heard it lives. */
static bool still_counts(const struct ph_ledger_wish *wishes, int n, int i)
{
    struct ph_wish wish, later;
    if (!(wishes[i].keep || wishes[i].current) || !ph_wish_parse(wishes[i].word, &wish, NULL) ||
        wish.kind == PH_WISH_STOP)
        return false;
    for (int k = i + 1; k < n; k++) {
        if (!ph_wish_parse(wishes[k].word, &later, NULL))
            continue;
        bool pauses = wish.kind <= PH_WISH_RESUME && later.kind <= PH_WISH_RESUME;
        if (pauses || later.kind == wish.kind)
            return false;
    }
    return true;
}

static void heed_ledger(struct ph_control *c, const struct ph_ledger_wish *wishes, int n)
{
    bool first = c->heard < 0;
    for (int i = 0; i < n; i++) {
        struct ph_wish wish;
        struct ph_err err;
        if (first && !still_counts(wishes, n, i))
            continue;
        if (ph_wish_parse(wishes[i].word, &wish, &err))
            heed(c, wishes[i].word, &wish, wishes[i].who, "ledger");
        else
            ph_log(c->opts.log, PH_LOG_WARN, "control through the ledger: %s", err.text);
    }
    if (first)
        c->heard = 0;
    if (n > 0)
        c->heard = wishes[n - 1].no;
}

void ph_control_recall(struct ph_control *c, const struct ph_ledger_wish *wishes, int n)
{
    if (c->begun && n > 0)
        heed_ledger(c, wishes, n);
}

bool ph_control_exchange(struct ph_control *c, struct ph_conn *target, int64_t job, int mover,
                         struct ph_err *err)
{
    struct ph_arena arena = {0};
    struct ph_ledger_wish *wishes;
    int n = 0, others = 0;
    char why[PH_REASON_TEXT] = "";
    enum ph_hold_kind kind;
    bool paused = false;
    if (!c->begun || !tell(c, target, job, mover, err))
        return !c->begun;
    bool held = ph_throttle_reason(c->opts.throttle, why, &kind, &paused);
    struct ph_ledger_look look = {
        .job = job,
        .mover = mover,
        .verify_tag = c->opts.verify_tag,
        .heard = c->heard,
        .paused = paused,
        .held = held ? why : NULL,
        .changed = c->unsaid || paused != c->said_paused || strcmp(held ? why : "", c->said) != 0,
    };
    bool ok = ph_ledger_look(target, &arena, &look, &wishes, &n, &others, err);
    if (ok) {
        c->said_paused = paused;
        snprintf(c->said, sizeof c->said, "%s", held ? why : "");
        ph_throttle_share(c->opts.throttle, others + 1);
        heed_ledger(c, wishes, n);
        c->unsaid = n > 0;
    }
    ph_arena_fini(&arena);
    return ok;
}

/* Beginning and end. */

void ph_control_begin(struct ph_control *c, const struct ph_control_opts *opts)
{
    *c = (struct ph_control){.opts = *opts, .dir = -1, .listener = -1, .heard = -1, .begun = true};
    struct ph_err err;
    pthread_mutex_init(&c->lock, NULL);
    if (!opts->state_dir && !opts->state_base)
        return;
    if (!ph_control_socket_open(c, &err))
        ph_log(opts->log, PH_LOG_INFO, "no control socket: %s", err.text);
}

void ph_control_serve(struct ph_control *c)
{
    struct ph_err err;
    if (!c->begun || c->dir < 0 || !ph_interrupt_init(&c->end, &err))
        return;
    c->threaded = pthread_create(&c->thread, NULL, ph_control_socket_main, c) == 0;
}

void ph_control_still(struct ph_control *c)
{
    if (!c->threaded)
        return;
    ph_interrupt_raise(&c->end);
    pthread_join(c->thread, NULL);
    ph_interrupt_fini(&c->end);
    c->threaded = false;
}

void ph_control_end(struct ph_control *c)
{
    if (!c->begun)
        return;
    ph_control_still(c);
    ph_control_socket_close(c);
    for (struct ph_saying *s = c->saying, *next; s; s = next) {
        next = s->next;
        if (s->keep)
            ph_log(c->opts.log, PH_LOG_WARN,
                   "control: %s is not kept: no ledger was there to write it down", s->word);
        free(s->word);
        free(s->who);
        free(s);
    }
    pthread_mutex_destroy(&c->lock);
    *c = (struct ph_control){0};
}

#include "haul/ahead.h"

#include <stdio.h>

/* The first word to stop ends the waiting: nobody has a shard in hand yet. */
static struct ph_conn *connect(const struct ph_ahead_pair *pair, bool source)
{
    const struct ph_ahead_opts *opts = &pair->ahead->opts;
    char name[64];
    struct ph_conn *conn = NULL;
    struct ph_err ignored;
    snprintf(name, sizeof name, "pghaul/%s/%d", opts->tag, pair->slot);
    const struct ph_conn_opts how = {
        .dsn = source ? opts->source : opts->target,
        .application_name = name,
        .encoding = opts->encoding,
        .read_only = source,
        .interrupt = opts->interrupt,
        .interrupt_level = 1,
    };
    return ph_conn_open(&conn, &how, &ignored) ? conn : NULL;
}

static void *make_pair(void *arg)
{
    struct ph_ahead_pair *pair = arg;
    if (!pair->has_target)
        pair->target = connect(pair, false);
    pair->source = connect(pair, true);
    return NULL;
}

void ph_ahead_begin(struct ph_ahead *ahead, const struct ph_ahead_opts *opts, bool spared)
{
    *ahead = (struct ph_ahead){.opts = *opts};
    for (int i = 0; i < opts->workers && i < PH_AHEAD_MAX; i++) {
        struct ph_ahead_pair *pair = &ahead->pair[i];
        pair->ahead = ahead;
        pair->slot = i + 1;
        pair->has_target = spared && i == 0;
        pair->started = pthread_create(&pair->thread, NULL, make_pair, pair) == 0;
    }
}

static void join(struct ph_ahead_pair *pair)
{
    if (pair->started)
        pthread_join(pair->thread, NULL);
    pair->started = false;
}

void ph_ahead_spare(struct ph_ahead *ahead, struct ph_conn *target)
{
    struct ph_ahead_pair *first = &ahead->pair[0];
    if (first->has_target && !first->target && ph_conn_ok(target) &&
        !ph_conn_in_transaction(target))
        first->target = target;
    else
        ph_conn_close(target);
}

static struct ph_conn *hand_over(struct ph_ahead *ahead, struct ph_conn **conn)
{
    struct ph_conn *given = *conn;
    *conn = NULL;
    if (given)
        ph_conn_set_interrupt(given, ahead->opts.interrupt, 2);
    return given;
}

void ph_ahead_take(struct ph_ahead *ahead, int slot, struct ph_conn **source,
                   struct ph_conn **target)
{
    *source = *target = NULL;
    if (slot < 1 || slot > PH_AHEAD_MAX)
        return;
    struct ph_ahead_pair *pair = &ahead->pair[slot - 1];
    join(pair);
    *source = hand_over(ahead, &pair->source);
    *target = hand_over(ahead, &pair->target);
}

void ph_ahead_end(struct ph_ahead *ahead)
{
    for (int i = 0; i < PH_AHEAD_MAX; i++) {
        struct ph_ahead_pair *pair = &ahead->pair[i];
        join(pair);
        ph_conn_close(pair->source);
        ph_conn_close(pair->target);
        pair->source = pair->target = NULL;
    }
}

#include "haul/climb.h"

static const double settle_s =
    0.4; /* until who goes has ended his shard, and who comes has begun one */
static const double window_s = 1, glance_s = 0.3, first_pause_s = 2, longest_pause_s = 120;
static const double better = 1.04, worse = 0.85;
static const double affordable = 0.02, price_up_s = 0.1, price_down_s = 0.35;

void ph_climb_begin(struct ph_climb *c, int workers, int least, int most)
{
    *c = (struct ph_climb){.least = least,
                           .most = most > least ? most : least,
                           .at = workers,
                           .direction = 1,
                           .pause_s = first_pause_s};
}

static void enter(struct ph_climb *c, enum ph_climb_state state)
{
    c->state = state;
    c->since_s = 0;
    c->settled = false;
}

/* Half as many more, or a third fewer: the same steps up and down. */
static int neighbour(const struct ph_climb *c)
{
    int n = c->direction > 0 ? c->at + (c->at + 1) / 2 : c->at - (c->at + 2) / 3;
    return n > c->most ? c->most : n < c->least ? c->least : n;
}

/* Chooses what to try next; false: there is nothing on either side. */
static bool choose(struct ph_climb *c)
{
    c->other = neighbour(c);
    if (c->other == c->at) {
        c->direction = -c->direction;
        c->other = neighbour(c);
    }
    return c->other != c->at;
}

static bool can_afford(const struct ph_climb *c, double now_s)
{
    double price = c->direction > 0 ? price_up_s : price_down_s;
    return c->lost_s + price <= affordable * (now_s - c->begun_s);
}

/* The number stays. What the trial has cost is remembered, and the other side is next. */
static void refuse(struct ph_climb *c, double lasted_s)
{
    if (c->rate > 0 && c->tried < c->rate)
        c->lost_s += (settle_s + lasted_s) * (1 - c->tried / c->rate);
    c->direction = -c->direction;
    c->wins = 0;
    c->pause_s = c->pause_s * 2 > longest_pause_s ? longest_pause_s : c->pause_s * 2;
    enter(c, PH_CLIMB_REST);
}

/* The other number is the one from now on; what it gains pays for the trials. */
static void accept(struct ph_climb *c)
{
    c->at = c->other;
    c->wins = 0;
    c->pause_s = first_pause_s;
    c->lost_s = 0;
    enter(c, PH_CLIMB_RATE);
}

/* A window has ended in which so much was moved a second. */
static void judge(struct ph_climb *c, double rate, double now_s)
{
    switch (c->state) {
    case PH_CLIMB_REST:
        if (choose(c) && can_afford(c, now_s))
            enter(c, PH_CLIMB_RATE);
        break;
    case PH_CLIMB_RATE:
        c->rate = rate;
        enter(c, choose(c) ? PH_CLIMB_TRY : PH_CLIMB_REST);
        break;
    case PH_CLIMB_TRY:
        c->tried = rate;
        if (rate < worse * c->rate)
            refuse(c, now_s - c->since_s);
        else
            enter(c, PH_CLIMB_CHECK);
        break;
    case PH_CLIMB_CHECK:
        if (c->tried <= better * (rate > c->rate ? rate : c->rate)) {
            refuse(c, window_s);
        } else if (++c->wins == 2) {
            accept(c);
        } else {
            c->rate = rate;
            enter(c, PH_CLIMB_TRY);
        }
        break;
    }
}

/* Whether the window may end: also after a glance, when that is enough to see that the trial is none. */
static bool is_over(const struct ph_climb *c, double lasts_s, double rate)
{
    if (c->state == PH_CLIMB_REST)
        return lasts_s >= c->pause_s;
    bool hopeless = c->state == PH_CLIMB_TRY && rate < worse * c->rate;
    return lasts_s >= (hopeless ? glance_s : window_s);
}

int ph_climb_look(struct ph_climb *c, double now_s, uint64_t bytes, bool steady)
{
    if (c->begun_s <= 0)
        c->begun_s = now_s;
    if (!steady && c->state != PH_CLIMB_REST) {
        c->wins = 0;
        enter(c, PH_CLIMB_REST);
    }
    if (c->since_s <= 0 || !steady)
        c->since_s = now_s;
    double lasts_s = now_s - c->since_s;
    if (!c->settled && lasts_s >= (c->state == PH_CLIMB_REST ? 0 : settle_s)) {
        c->settled = true;
        c->since_s = now_s;
        c->since_bytes = bytes;
    } else if (c->settled && lasts_s > 0) {
        double rate = (double)(bytes - c->since_bytes) / lasts_s;
        if (is_over(c, lasts_s, rate))
            judge(c, rate, now_s);
    }
    return c->state == PH_CLIMB_TRY ? c->other : c->at;
}

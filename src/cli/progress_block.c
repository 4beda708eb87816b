#include "cli/progress_block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/render.h"

enum { MOST_TABLES = 12, LINES_BELOW = 3, ACTIVE_S = 3 };

/* A mean of the last seconds. What was before the table began to move is no part of it, or the first
 * seconds would show a fraction of the speed and many times the time that is left. */
static void smooth(struct ph_track *k, double alpha, double bytes, double weight)
{
    if (k->rate <= 0 && k->pace <= 0)
        k->seen = 0;
    k->seen += alpha * (1 - k->seen);
    k->rate += alpha / k->seen * (bytes - k->rate);
    k->pace += alpha / k->seen * (weight - k->pace);
}

void ph_track_update(struct ph_track *track, const struct ph_progress *now, double dt)
{
    if (!(dt > 0.02))
        return;
    double alpha = 1 - exp(-dt / 3);
    for (int i = 0; i < now->n_tables; i++) {
        const struct ph_progress_table *t = &now->tables[i];
        struct ph_track *k = &track[i];
        bool first = k->moved_at <= 0 && k->bytes == 0 && k->weight == 0;
        double bytes = t->bytes > k->bytes ? (double)(t->bytes - k->bytes) / dt : 0;
        double weight = t->weight_done > k->weight ? (double)(t->weight_done - k->weight) / dt : 0;
        if (t->bytes != k->bytes)
            k->moved_at = now->seconds;
        /* What earlier runs landed comes with the first tick: that is no rate. */
        if (!first)
            smooth(k, alpha, bytes, weight);
        k->bytes = t->bytes;
        k->weight = t->weight_done;
    }
}

static double share_of(const struct ph_progress_table *t)
{
    if (t->shards > 0 && t->shards_landed >= t->shards)
        return 1;
    return t->weight > 0 ? (double)t->weight_done / (double)t->weight : 0;
}

static double share_of_all(const struct ph_progress *now)
{
    double weight = 0, done = 0;
    int shards = 0, landed = 0;
    for (int i = 0; i < now->n_tables; i++) {
        weight += (double)now->tables[i].weight;
        done += (double)now->tables[i].weight_done;
        shards += now->tables[i].shards;
        landed += now->tables[i].shards_landed;
    }
    if (shards > 0 && landed >= shards)
        return 1;
    double share = weight > 0 ? done / weight : 0;
    return share > 1 ? 1 : share;
}

/* What a line of figures is made of. */
struct figures {
    const char *name;
    double share;
    uint64_t rows, bytes;
    double rate, eta_s;
    bool done;
    int parked;
};

static int percent(double share, bool done)
{
    int p = (int)(share * 100);
    return done ? 100 : p > 99 ? 99 : p;
}

static void add_figures(struct ph_buf *out, const struct figures *f, const struct ph_term *term,
                        int name_width)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], rate[PH_NUM_TEXT], eta[PH_NUM_TEXT];
    struct ph_buf safe = {0}, line = {0};
    int width = term->width - 1;
    int bar = width - name_width - 60 >= 10 ? 20 : width - name_width - 36 >= 8 ? 10 : 0;
    ph_term_safe(&safe, f->name);
    ph_term_fit(&line, ph_buf_text(&safe), name_width, true, term->utf8);
    if (bar) {
        ph_buf_addc(&line, ' ');
        ph_render_bar(&line, term, f->share, bar);
    }
    ph_buf_addf(&line, " %3d %% %7s rows %9s", percent(f->share, f->done),
                ph_num_show_short(rows, (double)f->rows),
                ph_num_show_bytes(bytes, (double)f->bytes));
    if (f->parked)
        ph_buf_addf(&line, "  %d parked", f->parked);
    else if (f->done)
        ph_buf_add(&line, "  done");
    else if (f->rate > 0)
        ph_buf_addf(&line, " %9s/s", ph_num_show_bytes(rate, f->rate));
    if (!f->done && f->eta_s >= 0)
        ph_buf_addf(&line, "  ETA %s", ph_num_show_duration(eta, f->eta_s));
    ph_term_fit(out, ph_buf_text(&line), width, false, term->utf8);
    if (term->color)
        ph_buf_add(out, "\033[0m"); /* the bar may have been cut within its colour */
    ph_buf_addc(out, '\n');
    ph_buf_fini(&safe);
    ph_buf_fini(&line);
}

/* Which tables
 * ------------------------------------------------------------------------------------------------------
 */

enum rank { MOVING, HURT, BEGUN, WAITING, DONE };

static enum rank rank_of(const struct ph_progress *now, const struct ph_track *track, int i)
{
    const struct ph_progress_table *t = &now->tables[i];
    if (t->shards > 0 && t->shards_landed >= t->shards)
        return DONE;
    if (track[i].moved_at > 0 && now->seconds - track[i].moved_at < ACTIVE_S)
        return MOVING;
    if (t->shards_parked > 0)
        return HURT;
    return t->shards_landed > 0 || t->bytes > 0 ? BEGUN : WAITING;
}

/* The `room` tables that matter most, in the plan's order. Returns how many. */
static int choose(const struct ph_progress *now, const struct ph_track *track, int room,
                  int *chosen)
{
    int n = 0;
    for (int rank = MOVING; rank <= DONE && n < room; rank++)
        for (int i = 0; i < now->n_tables && n < room; i++)
            if (rank_of(now, track, i) == (enum rank)rank)
                chosen[n++] = i;
    for (int i = 1; i < n; i++) /* insertion sort: a dozen at most */
        for (int j = i; j > 0 && chosen[j - 1] > chosen[j]; j--) {
            int swap = chosen[j];
            chosen[j] = chosen[j - 1];
            chosen[j - 1] = swap;
        }
    return n;
}

static void add_rest(struct ph_buf *out, const struct ph_progress *now,
                     const struct ph_track *track, const int *chosen, int n,
                     const struct ph_term *term)
{
    int count[DONE + 1] = {0}, next = 0;
    for (int i = 0; i < now->n_tables; i++) {
        if (next < n && chosen[next] == i)
            next++;
        else
            count[rank_of(now, track, i)]++;
    }
    struct ph_buf line = {0};
    int running = count[MOVING] + count[BEGUN];
    ph_buf_addf(&line, "and %d more: %d done", now->n_tables - n, count[DONE]);
    if (running)
        ph_buf_addf(&line, ", %d begun", running);
    if (count[WAITING])
        ph_buf_addf(&line, ", %d waiting", count[WAITING]);
    if (count[HURT])
        ph_buf_addf(&line, ", %d with parked shards", count[HURT]);
    ph_term_fit(out, ph_buf_text(&line), term->width - 1, false, term->utf8);
    ph_buf_addc(out, '\n');
    ph_buf_fini(&line);
}

static int name_width(const struct ph_progress *now, const int *chosen, int n, int width)
{
    int widest = 5, most = width / 3 > 40 ? 40 : width / 3;
    for (int i = 0; i < n; i++) {
        int w = ph_term_columns(now->tables[chosen[i]].source);
        if (w > widest)
            widest = w;
    }
    return widest > most ? most : widest;
}

/* Below the tables
 * ------------------------------------------------------------------------------------------------
 */

static void add_limit(struct ph_buf *out, const struct ph_progress *now)
{
    if (now->throttled_by) {
        ph_buf_addf(out, ", held back by %s", now->throttled_by);
        return;
    }
    if (now->limit && *now->limit)
        ph_buf_addf(out, ", %s", now->limit);
}

static void add_steps(struct ph_buf *out, const struct ph_progress *now, const char *before)
{
    if (now->steps == 0)
        return;
    ph_buf_addf(out, "%s%d of %d indexes and constraints", before, now->steps_done, now->steps);
    if (now->steps_failed)
        ph_buf_addf(out, ", %d failed", now->steps_failed);
}

/* Before there is a job: nobody moves rows yet. */
static void add_schema(struct ph_buf *out, const struct ph_progress *now)
{
    ph_buf_add(out, now->phase);
    if (now->objects)
        ph_buf_addf(out, ", %d of %d objects", now->objects_made, now->objects);
}

static void add_status(struct ph_buf *out, const struct ph_progress *now,
                       const struct ph_term *term)
{
    char held[PH_NUM_TEXT], passed[PH_NUM_TEXT], rows[PH_NUM_TEXT];
    struct ph_buf line = {0};
    if (!now->making_schema)
        ph_buf_addf(&line, "%s: %d of %d workers busy", now->phase ? now->phase : "working",
                    now->workers_busy, now->workers);
    else
        add_schema(&line, now);
    add_steps(&line, now, ", ");
    add_limit(&line, now);
    ph_term_fit(out, ph_buf_text(&line), term->width - 1, false, term->utf8);
    ph_buf_addc(out, '\n');
    ph_buf_clear(&line);
    if (now->making_schema)
        ph_buf_addf(&line, "%s passed", ph_num_show_duration(passed, now->seconds));
    else
        ph_buf_addf(&line, "%s passed, snapshot held %s%s, %s rows/s",
                    ph_num_show_duration(passed, now->seconds),
                    ph_num_show_duration(held, now->snapshot_held_s),
                    now->snapshot_released ? " and let go" : "",
                    ph_num_show_short(rows, now->rate_rows));
    if (now->spilled_bytes)
        ph_buf_addf(&line, ", %s into files",
                    ph_num_show_bytes(passed, (double)now->spilled_bytes));
    if (now->throttled_s > 0)
        ph_buf_addf(&line, ", held back %s", ph_num_show_duration(held, now->throttled_s));
    if (now->retries)
        ph_buf_addf(&line, ", %d retr%s", now->retries, now->retries == 1 ? "y" : "ies");
    if (now->parked)
        ph_buf_addf(&line, ", %d parked", now->parked);
    ph_term_fit(out, ph_buf_text(&line), term->width - 1, false, term->utf8);
    ph_buf_addc(out, '\n');
    ph_buf_fini(&line);
}

int ph_block_render(struct ph_buf *out, const struct ph_progress *now, const struct ph_track *track,
                    const struct ph_term *term)
{
    int chosen[MOST_TABLES], room = term->height - LINES_BELOW - 2;
    room = room > MOST_TABLES ? MOST_TABLES : room < 0 ? 0 : room;
    int n = choose(now, track, room, chosen), lines = n + 2;
    int names = name_width(now, chosen, n, term->width);
    for (int i = 0; i < n; i++) {
        const struct ph_progress_table *t = &now->tables[chosen[i]];
        const struct ph_track *k = &track[chosen[i]];
        double left = (double)(t->weight - t->weight_done);
        struct figures f = {.name = t->source,
                            .share = share_of(t),
                            .rows = t->rows,
                            .bytes = t->bytes,
                            .rate = k->rate,
                            .eta_s = k->pace > 0 && left > 0 ? left / k->pace : -1,
                            .done = t->shards > 0 && t->shards_landed >= t->shards,
                            .parked = t->shards_parked};
        add_figures(out, &f, term, names);
    }
    if (n < now->n_tables && n > 0) {
        add_rest(out, now, track, chosen, n, term);
        lines++;
    }
    if (now->n_tables > 1) {
        struct figures total = {.name = "total",
                                .share = share_of_all(now),
                                .rows = now->rows,
                                .bytes = now->bytes,
                                .rate = now->rate_bytes,
                                .eta_s = now->eta_s,
                                .done = share_of_all(now) >= 1};
        add_figures(out, &total, term, names);
        lines++;
    }
    add_status(out, now, term);
    return lines;
}

void ph_block_line(struct ph_buf *out, const struct ph_progress *now)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], rate[PH_NUM_TEXT], eta[PH_NUM_TEXT], r[PH_NUM_TEXT];
    double share = share_of_all(now);
    if (now->making_schema) {
        add_schema(out, now);
        return;
    }
    ph_buf_addf(out, "%s, %d %%: %s rows, %s; %s rows/s, %s/s", now->phase ? now->phase : "working",
                percent(share, share >= 1), ph_num_show_count(rows, now->rows),
                ph_num_show_bytes(bytes, (double)now->bytes), ph_num_show_short(r, now->rate_rows),
                ph_num_show_bytes(rate, now->rate_bytes));
    if (now->eta_s >= 0)
        ph_buf_addf(out, "; ETA %s", ph_num_show_duration(eta, now->eta_s));
    ph_buf_addf(out, "; %d of %d workers busy", now->workers_busy, now->workers);
    add_steps(out, now, "; ");
    add_limit(out, now);
    if (now->spilled_bytes)
        ph_buf_addf(out, "; %s into files", ph_num_show_bytes(bytes, (double)now->spilled_bytes));
    if (now->snapshot_released)
        ph_buf_add(out, "; snapshot let go");
    if (now->retries)
        ph_buf_addf(out, "; %d retries", now->retries);
    if (now->parked)
        ph_buf_addf(out, "; %d parked", now->parked);
}

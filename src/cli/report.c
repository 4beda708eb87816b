#include "cli/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/num.h"
#include "cli/names.h"
#include "haul/limit.h"

enum { MOST_TABLES = 500, MOST_EVENTS = 300 };

void ph_report_text(struct ph_buf *out, const char *text)
{
    for (size_t n; text && *text; text += n) {
        n = ph_text_char(text, strlen(text));
        if (n == 0 || (n == 1 && ((unsigned char)*text < 0x20 || *text == 0x7f))) {
            bool blank = *text == '\n' || *text == '\t';
            ph_buf_add(out, blank ? " " : "\ufffd");
            n = 1;
            continue;
        }
        switch (*text) {
        case '&':
            ph_buf_add(out, "&amp;");
            break;
        case '<':
            ph_buf_add(out, "&lt;");
            break;
        case '>':
            ph_buf_add(out, "&gt;");
            break;
        case '"':
            ph_buf_add(out, "&quot;");
            break;
        case '\'':
            ph_buf_add(out, "&#39;");
            break;
        default:
            ph_buf_addn(out, text, n);
        }
    }
}

/* A name may turn the direction of writing; what stands beside it is not to turn with it. */
static void add_name(struct ph_buf *out, const char *name)
{
    ph_buf_add(out, "<bdi>");
    ph_report_text(out, name);
    ph_buf_add(out, "</bdi>");
}

/* The head. */

static const char *mood_of(const char *state)
{
    return !strcmp(state, "completed") ? "good" : !strcmp(state, "failed") ? "bad" : "busy";
}

/* A pending job whose last run has not said goodbye has died. */
static const char *state_of(const struct ph_status *st, const struct ph_history *h)
{
    const struct ph_history_mover *last = h->n_movers ? &h->movers[h->n_movers - 1] : NULL;
    if (!strcmp(st->state, "pending") && last)
        return last->ended ? "interrupted" : "died";
    return st->state;
}

void ph_report_begin(struct ph_buf *out, const char *title)
{
    ph_buf_add(out, "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
                    "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
                    "<meta http-equiv=Content-Security-Policy content=\"default-src 'none';"
                    "style-src 'unsafe-inline'\"><title>");
    ph_report_text(out, title);
    ph_buf_add(out, " - pghaul</title>\n<style>\n");
    for (int i = 0; ph_report_style[i]; i++)
        ph_buf_add(out, ph_report_style[i]);
    ph_buf_add(out, "</style></head><body><main><header><h1>");
}

static void add_head(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h)
{
    const char *state = state_of(st, h);
    ph_report_begin(out, st->job);
    ph_report_text(out, st->job);
    ph_buf_addf(out, "<span class=\"pill %s\">%s</span></h1>\n<p>",
                !strcmp(state, "died") ? "bad" : mood_of(st->state), state);
    add_name(out, st->source);
    ph_buf_add(out, " &rarr; ");
    add_name(out, st->target);
    ph_buf_add(out, "</p><p>");
    ph_report_text(out, st->mode);
    ph_buf_addf(out, ", round %d, began ", st->round);
    ph_report_text(out, h->started);
    if (st->finished) {
        ph_buf_add(out, ", complete ");
        ph_report_text(out, st->finished);
    }
    ph_buf_addf(out, ", %d run%s</p></header>\n", h->n_movers, h->n_movers == 1 ? "" : "s");
}

static void add_tile(struct ph_buf *out, const char *value, const char *words)
{
    ph_buf_addf(out, "<div class=tile><b>%s</b><span>%s</span></div>\n", value, words);
}

/* Seconds in which at least one mover ran. */
static double active_s(const struct ph_axis *axis)
{
    double sum = 0;
    for (int i = 0; i < axis->n; i++)
        sum += axis->runs[i].to - axis->runs[i].from;
    return sum;
}

struct counts {
    int shards, landed, parked, retries;
};

static struct counts count(const struct ph_status *st, const struct ph_history *h)
{
    struct counts c = {0};
    for (int i = 0; i < st->n_tables; i++) {
        const struct ph_status_table *t = &st->tables[i];
        c.landed += t->landed + t->verified;
        c.parked += t->parked;
        c.shards += t->planned + t->spilled + t->landed + t->verified + t->parked;
    }
    for (int i = 0; i < h->n_moments; i++)
        c.retries +=
            !strcmp(h->moments[i].event, "retry") || !strcmp(h->moments[i].event, "outage");
    return c;
}

static void add_tiles(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h,
                      const struct ph_axis *axis)
{
    char text[PH_NUM_TEXT], other[PH_NUM_TEXT], both[80];
    struct counts c = count(st, h);
    double seconds = active_s(axis);
    ph_buf_add(out, "<div class=tiles>");
    add_tile(out, ph_num_show_count(text, st->rows), "rows landed");
    add_tile(out, ph_num_show_bytes(text, (double)st->bytes), "as COPY data");
    add_tile(out, ph_num_show_duration(text, seconds), "of running");
    if (seconds > 0) {
        snprintf(both, sizeof both, "%s/s", ph_num_show_bytes(text, (double)st->bytes / seconds));
        add_tile(out, both, "on the average");
    }
    snprintf(both, sizeof both, "%s of %s", ph_num_show_count(text, (uint64_t)c.landed),
             ph_num_show_count(other, (uint64_t)c.shards));
    add_tile(out, both, "shards landed");
    add_tile(out, ph_num_show_duration(text, st->snapshot_held_seconds),
             st->snapshot_released ? "snapshot held" : "snapshot held, still is");
    if (c.retries)
        add_tile(out, ph_num_show_count(text, (uint64_t)c.retries), "failures got over");
    if (c.parked)
        add_tile(out, ph_num_show_count(text, (uint64_t)c.parked), "shards parked");
    ph_buf_add(out, "</div>\n");
}

static void add_sayings(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h)
{
    double stages[PH_N_STAGES];
    char words[160];
    if (st->error) {
        ph_buf_add(out, "<p class=\"say bad\">");
        ph_report_text(out, st->error);
        ph_buf_add(out, "</p>\n");
    }
    ph_report_sum_stages(h, stages);
    ph_limit_words(stages, h->n_points ? h->points[h->n_points - 1].waits : NULL, words,
                   sizeof words);
    if (!*words)
        return;
    ph_buf_add(out, "<p class=say>");
    ph_report_text(out, words);
    ph_buf_add(out, "</p>\n");
}

/* Tables. */

struct span {
    double from, to, work_s;
};

static void measure(const struct ph_status *st, const struct ph_history *h, struct span *spans)
{
    for (int i = 0; i < st->n_tables; i++)
        spans[i] = (struct span){.from = -1};
    for (int i = 0; i < h->n_bars; i++) {
        const struct ph_history_bar *b = &h->bars[i];
        if (b->tab < 0 || b->tab >= st->n_tables || b->kind == PH_BAR_OPEN)
            continue;
        struct span *s = &spans[b->tab];
        if (s->from < 0 || b->from < s->from)
            s->from = b->from;
        if (b->to > s->to)
            s->to = b->to;
        s->work_s += b->to > b->from ? b->to - b->from : 0;
    }
}

static void add_table(struct ph_buf *out, const struct ph_status_table *t, const struct span *s)
{
    char rows[PH_NUM_TEXT], bytes[PH_NUM_TEXT], time[PH_NUM_TEXT], rate[PH_NUM_TEXT];
    int shards = t->planned + t->spilled + t->landed + t->verified + t->parked;
    ph_buf_add(out, "<tr><td class=name>");
    add_name(out, t->source);
    if (strcmp(t->source, t->target) != 0) {
        ph_buf_add(out, " <span class=soft>&rarr; ");
        add_name(out, t->target);
        ph_buf_add(out, "</span>");
    }
    ph_buf_addf(out, "</td><td class=n>%s</td><td class=n>%s</td><td class=n>%d of %d",
                ph_num_show_count(rows, t->rows), ph_num_show_bytes(bytes, (double)t->bytes),
                t->landed + t->verified, shards);
    if (t->parked)
        ph_buf_addf(out, ", <span class=bad>%d parked</span>", t->parked);
    if (t->spilled)
        ph_buf_addf(out, ", %d in files", t->spilled);
    ph_buf_addf(out, "</td><td class=n>%s</td><td class=n>%s%s</td><td>",
                s->work_s > 0 ? ph_num_show_duration(time, s->work_s) : "-",
                s->work_s > 0 ? ph_num_show_bytes(rate, (double)t->bytes / s->work_s) : "-",
                s->work_s > 0 ? "/s" : "");
    ph_report_text(out, t->split);
    ph_buf_add(out, "</td></tr>\n");
}

static void add_tables(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h)
{
    struct span *spans = calloc((size_t)st->n_tables + 1, sizeof *spans);
    if (!spans)
        return;
    measure(st, h, spans);
    ph_buf_add(out, "<h2>Tables</h2><div class=\"card scroll\"><table><thead><tr><th>table<th "
                    "class=n>rows<th class=n>bytes<th class=n>shards<th class=n>work<th "
                    "class=n>per worker<th>cut by</tr></thead><tbody>\n");
    for (int i = 0; i < st->n_tables && i < MOST_TABLES; i++)
        add_table(out, &st->tables[i], &spans[i]);
    ph_buf_add(out, "</tbody></table></div>\n");
    if (st->n_tables > MOST_TABLES)
        ph_buf_addf(out, "<p class=note>and %d tables more</p>", st->n_tables - MOST_TABLES);
    free(spans);
}

/* Runs. */

static void add_run(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h,
                    int i)
{
    const struct ph_history_mover *m = &h->movers[i];
    const char *end = m->ended ? "ended" : m->live ? "running" : "died";
    char time[PH_NUM_TEXT];
    int shards = 0;
    /* an extract ends in files */
    int last = !strcmp(st->mode, "extract") ? PH_BAR_SPILLED : PH_BAR_LANDED;
    for (int k = 0; k < h->n_bars; k++)
        shards += h->bars[k].mover == i && h->bars[k].kind == last;
    for (int k = 0; k < h->n_moments; k++) {
        const char *event = h->moments[k].event;
        if (h->moments[k].mover == i && (!strcmp(event, "completed") ||
                                         !strcmp(event, "interrupted") || !strcmp(event, "failed")))
            end = event;
    }
    if (!strcmp(end, "ended") && i == h->n_movers - 1 && !strcmp(st->state, "completed"))
        end = "completed";
    ph_buf_addf(out, "<tr><td class=n>%d</td><td class=key>", i + 1);
    ph_report_text(out, m->started);
    ph_buf_addf(out, "</td><td class=n>%s</td><td class=key>",
                ph_num_show_duration(time, m->end - m->start));
    add_name(out, m->host);
    ph_buf_addf(out, ", pid %d</td><td class=n>%d</td><td class=%s>%s</td></tr>\n", m->pid, shards,
                !strcmp(end, "died") || !strcmp(end, "failed") ? "bad" : "soft", end);
}

static void add_runs(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h)
{
    if (h->n_movers == 0)
        return;
    ph_buf_add(out, "<h2>Runs</h2><div class=\"card scroll\"><table><thead><tr><th class=n>run"
                    "<th>began<th class=n>lasted<th>where<th class=n>shards landed<th>and then</tr>"
                    "</thead><tbody>\n");
    for (int i = 0; i < h->n_movers; i++)
        add_run(out, st, h, i);
    ph_buf_add(out, "</tbody></table></div>\n");
}

/* Events. */

static void add_events(struct ph_buf *out, const struct ph_history *h)
{
    char time[PH_NUM_TEXT];
    int first = h->n_moments > MOST_EVENTS ? h->n_moments - MOST_EVENTS : 0;
    if (h->n_moments == 0)
        return;
    ph_buf_add(out,
               "<h2>What happened</h2><div class=\"card scroll\"><table><thead><tr>"
               "<th class=\"n key\">after<th class=key>event<th>in words</tr></thead><tbody>\n");
    for (int i = first; i < h->n_moments; i++) {
        const struct ph_history_moment *m = &h->moments[i];
        ph_buf_addf(out, "<tr><td class=n>%s</td><td class=key>",
                    ph_num_show_duration(time, m->at > 0 ? m->at : 0));
        ph_report_text(out, m->event);
        ph_buf_add(out, "</td><td class=words>");
        ph_report_text(out, m->text);
        ph_buf_add(out, "</td></tr>\n");
    }
    ph_buf_add(out, "</tbody></table></div>\n");
    if (first)
        ph_buf_addf(out, "<p class=note>%d earlier events are left out</p>", first);
}

/* Queries of the user's. */

static void add_answer(struct ph_buf *out, const struct ph_answers *a)
{
    int bad = a->differing + a->failed;
    ph_buf_add(out, "<tr><td class=name>");
    add_name(out, a->query);
    ph_buf_addf(out, "</td><td class=n>%d</td><td class=\"n %s\">%d</td>", a->rounds,
                bad ? "bad" : "soft", bad);
    for (int side = 0; side < 2; side++)
        ph_buf_addf(out, "<td class=n>%.1f ms</td><td class=n>%.1f ms</td>",
                    a->median_s[side] * 1000, a->most_s[side] * 1000);
    ph_buf_add(out, "<td class=key>");
    ph_report_text(out, a->last);
    ph_buf_addf(out, "</td><td class=%s>", strcmp(a->verdict, "equal") != 0 ? "bad" : "soft");
    ph_report_text(out, a->verdict);
    ph_buf_add(out, "</td><td class=words>");
    ph_report_text(out, a->trouble);
    ph_buf_add(out, "</td></tr>\n");
}

static void add_answers(struct ph_buf *out, const struct ph_status *st)
{
    if (st->n_answers == 0)
        return;
    ph_buf_add(out, "<h2>Queries</h2><div class=\"card scroll\"><table><thead><tr><th>query"
                    "<th class=n>rounds<th class=n>not equal<th class=n>source<th class=n>at most"
                    "<th class=n>target<th class=n>at most<th>last asked<th>verdict<th>in words"
                    "</tr></thead><tbody>\n");
    for (int i = 0; i < st->n_answers; i++)
        add_answer(out, &st->answers[i]);
    ph_buf_add(out, "</tbody></table></div>\n<p class=note>Latencies are medians.</p>\n");
}

/* Settings and servers. */

static void add_value(struct ph_buf *out, const char *key, const json_t *value)
{
    char number[PH_NUM_TEXT];
    if (json_is_string(value)) {
        ph_report_text(out, json_string_value(value));
    } else if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        bool rate = strstr(key, "max_") != NULL,
             bytes = strstr(key, "rate") || !strcmp(key, "memory");
        if (n == 0)
            ph_buf_addf(out, "<span class=soft>%s</span>", rate ? "no limit" : "default");
        else
            ph_buf_addf(out, "%s%s",
                        bytes ? ph_num_show_bytes(number, (double)n)
                              : ph_num_show_count(number, (uint64_t)n),
                        rate ? "/s" : "");
    } else {
        ph_buf_add(out, "<span class=soft>not known</span>");
    }
}

static void add_settings(struct ph_buf *out, json_t *facts)
{
    const char *key;
    json_t *value;
    ph_buf_add(out,
               "<div class=pair><div><h2>Settings</h2><div class=\"card scroll\"><table><tbody>\n");
    json_object_foreach(facts, key, value)
    {
        if (json_is_object(value) || json_is_null(value))
            continue;
        ph_buf_add(out, "<tr><td class=key>");
        ph_report_text(out, key);
        ph_buf_add(out, "</td><td>");
        add_value(out, key, value);
        ph_buf_add(out, "</td></tr>\n");
    }
    ph_buf_add(out, "</tbody></table></div></div>\n");
}

static void add_servers(struct ph_buf *out, const json_t *facts)
{
    json_t *source = json_object_get(facts, "source"), *target = json_object_get(facts, "target");
    json_t *either = json_is_object(target) ? target : source, *value;
    const char *key;
    if (!json_is_object(either))
        return;
    ph_buf_add(out, "<div><h2>Servers</h2><div class=\"card scroll\"><table><thead><tr><th>setting"
                    "<th>source<th>target</tr></thead><tbody>\n");
    json_object_foreach(either, key, value)
    {
        ph_buf_add(out, "<tr><td class=key>");
        ph_report_text(out, key);
        ph_buf_add(out, "</td><td>");
        add_value(out, key, json_object_get(source, key));
        ph_buf_add(out, "</td><td>");
        add_value(out, key, json_object_get(target, key));
        ph_buf_add(out, "</td></tr>\n");
    }
    ph_buf_add(out, "</tbody></table></div></div>\n");
}

/* Those of the last run that has told. */
static void add_facts(struct ph_buf *out, const struct ph_history *h)
{
    json_t *facts = NULL;
    for (int i = h->n_movers - 1; i >= 0 && !facts; i--)
        facts = h->movers[i].facts ? json_loads(h->movers[i].facts, 0, NULL) : NULL;
    if (!facts)
        return;
    add_settings(out, facts);
    add_servers(out, facts);
    ph_buf_add(out, "</div>\n");
    json_decref(facts);
}

void ph_report_html(struct ph_buf *out, const struct ph_status *st, const struct ph_history *h)
{
    struct ph_axis axis;
    ph_axis_init(&axis, h);
    add_head(out, st, h);
    add_tiles(out, st, h, &axis);
    add_sayings(out, st, h);
    ph_report_throughput(out, h, &axis);
    ph_report_stages(out, h, &axis);
    ph_report_shards(out, st, h, &axis);
    add_tables(out, st, h);
    add_runs(out, st, h);
    add_events(out, h);
    add_answers(out, st);
    add_facts(out, h);
    ph_buf_add(out, "<h2>Definition</h2><details class=card><summary>what the job is, as the "
                    "ledger has it</summary><pre>");
    ph_report_text(out, st->definition);
    ph_buf_add(out, "</pre></details>\n<p class=note>Made by pghaul " PGHAUL_VERSION
                    " from the ledger; times are the target's clock. &ldquo;Work&rdquo; is the "
                    "time of all workers together.</p></main></body></html>\n");
    ph_axis_fini(&axis);
}

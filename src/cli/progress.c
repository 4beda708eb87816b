#include "cli/progress.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/progress_block.h"

enum { FIRST_INTERVAL_S = 10, LAST_INTERVAL_S = 60 };

struct ph_view {
    struct ph_log *log;
    const struct ph_interrupt *interrupt;
    bool living; /* draws a block; else lines, unless `silent` */
    bool silent;
    int said_level;            /* the interrupt's level that was spoken of */
    double next_s, interval_s; /* of lines */
    double last_s;             /* the last tick's time */
    struct ph_track *track;
    int n_track;

    pthread_mutex_t lock; /* what follows: a log line of another thread moves the block aside */
    struct ph_buf block;  /* as it stands on the screen */
    int lines;            /* 0: nothing stands there */
};

/* Appends what takes the block away. A terminal that became narrower has wrapped its lines. */
static void add_erase(struct ph_view *view, struct ph_buf *out)
{
    if (view->lines == 0)
        return;
    struct ph_term term;
    ph_term_look(&term, STDERR_FILENO);
    int rows = 0;
    char *text = view->block.data;
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        int columns = ph_term_columns(text);
        *end = '\n';
        rows += columns <= term.width ? 1 : (columns + term.width - 1) / term.width;
    }
    if (rows > term.height - 1)
        rows = term.height - 1;
    ph_buf_addf(out, "\r\033[%dA\033[J", rows);
    view->lines = 0;
}

static void write_screen(const struct ph_buf *text)
{
    if (text->len)
        ph_term_write(STDERR_FILENO, text->data, text->len);
}

/* The log's hook: away before the line, back after it. */
static void step_aside(void *arg, bool before)
{
    struct ph_view *view = arg;
    struct ph_buf out = {0};
    if (before) {
        pthread_mutex_lock(&view->lock);
        int lines = view->lines;
        add_erase(view, &out);
        write_screen(&out);
        view->lines = -lines; /* to be drawn again */
    } else {
        if (view->lines < 0) {
            view->lines = -view->lines;
            write_screen(&view->block);
        }
        pthread_mutex_unlock(&view->lock);
    }
    ph_buf_fini(&out);
}

struct ph_view *ph_view_new(struct ph_log *log, const struct ph_settings *settings,
                            const struct ph_interrupt *interrupt)
{
    struct ph_view *view = calloc(1, sizeof *view);
    struct ph_term term;
    if (!view)
        return NULL;
    ph_term_look(&term, STDERR_FILENO);
    view->log = log;
    view->interrupt = interrupt;
    view->silent = settings->no_progress || settings->quiet;
    view->living = term.living && !view->silent && settings->log_format == 0;
    view->interval_s = view->next_s = FIRST_INTERVAL_S;
    pthread_mutex_init(&view->lock, NULL);
    if (view->living)
        ph_log_set_around(log, step_aside, view);
    return view;
}

static void draw(struct ph_view *view, const struct ph_progress *now)
{
    struct ph_buf out = {0};
    struct ph_term term;
    pthread_mutex_lock(&view->lock);
    add_erase(view, &out);
    ph_term_look(&term, STDERR_FILENO);
    ph_buf_clear(&view->block);
    view->lines = ph_block_render(&view->block, now, view->track, &term);
    ph_buf_add(&out, ph_buf_text(&view->block));
    write_screen(&out); /* one write: no flicker */
    pthread_mutex_unlock(&view->lock);
    ph_buf_fini(&out);
}

static void say_line(struct ph_view *view, const struct ph_progress *now)
{
    struct ph_buf line = {0};
    if (now->seconds < view->next_s)
        return;
    view->interval_s *= 1.5;
    if (view->interval_s > LAST_INTERVAL_S)
        view->interval_s = LAST_INTERVAL_S;
    view->next_s = now->seconds + view->interval_s;
    ph_block_line(&line, now);
    ph_log_event(
        view->log, PH_LOG_NOTE,
        &(struct ph_log_fields){.event = "progress", .rows = now->rows, .bytes = now->bytes}, "%s",
        ph_buf_text(&line));
    ph_buf_fini(&line);
}

/* The signal handler may not speak; the next tick does. */
static void say_interrupt(struct ph_view *view)
{
    if (view->said_level < 1 && ph_interrupt_at(view->interrupt, 1)) {
        ph_log_event(view->log, PH_LOG_NOTE, &(struct ph_log_fields){.event = "interrupt"},
                     "interrupted: the shards in hand are being finished; once more stops at once");
        view->said_level = 1;
    }
    if (view->said_level < 2 && ph_interrupt_at(view->interrupt, 2)) {
        ph_log_event(view->log, PH_LOG_NOTE, &(struct ph_log_fields){.event = "interrupt"},
                     "stopping at once: the shards in hand are given up");
        view->said_level = 2;
    }
}

void ph_view_tick(void *arg, const struct ph_progress *now)
{
    struct ph_view *view = arg;
    if (!view)
        return;
    say_interrupt(view);
    if (view->silent)
        return;
    if (view->n_track != now->n_tables) {
        free(view->track);
        view->track = calloc((size_t)now->n_tables + 1, sizeof *view->track);
        view->n_track = view->track ? now->n_tables : 0;
        if (!view->track)
            return;
    }
    ph_track_update(view->track, now, now->seconds - view->last_s);
    view->last_s = now->seconds;
    if (view->living)
        draw(view, now);
    else
        say_line(view, now);
}

void ph_view_free(struct ph_view *view)
{
    if (!view)
        return;
    struct ph_buf out = {0};
    ph_log_set_around(view->log, NULL, NULL);
    add_erase(view, &out);
    write_screen(&out);
    ph_buf_fini(&out);
    ph_buf_fini(&view->block);
    pthread_mutex_destroy(&view->lock);
    free(view->track);
    free(view);
}

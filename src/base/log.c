#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

struct ph_log {
    struct ph_log_opts opts;
    int fd;
    char job[64];
    pthread_mutex_t lock;
};

static const char *const level_names[] = {"error", "warning", "note", "info", "debug"};

bool ph_log_open(struct ph_log **out, const struct ph_log_opts *opts, struct ph_err *err)
{
    struct ph_log *log = calloc(1, sizeof *log);
    if (!log)
        return ph_err_nomem(err);
    log->opts = *opts;
    log->fd = STDERR_FILENO;
    if (opts->file) {
        log->fd = open(opts->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log->fd < 0) {
            int e = errno;
            free(log);
            return ph_err_set(err, PH_WRONG, "cannot open log file \"%s\": %s", opts->file,
                              strerror(e));
        }
    }
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return true;
}

void ph_log_close(struct ph_log *log)
{
    if (!log)
        return;
    if (log->fd != STDERR_FILENO)
        close(log->fd);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

void ph_log_set_around(struct ph_log *log, void (*around)(void *arg, bool before), void *arg)
{
    pthread_mutex_lock(&log->lock);
    log->opts.around = around;
    log->opts.arg = arg;
    pthread_mutex_unlock(&log->lock);
}

static void stamp(char *out, size_t size)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, size - n, ".%03ldZ", now.tv_nsec / 1000000);
}

/* One line, one write(2): lines of several processes in one file do not mix. */
static void emit(struct ph_log *log, const char *line, size_t n)
{
    bool aside = log->opts.around && log->fd == STDERR_FILENO;
    if (aside)
        log->opts.around(log->opts.arg, true);
    while (n > 0) {
        ssize_t done = write(log->fd, line, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        line += done;
        n -= (size_t)done;
    }
    if (aside)
        log->opts.around(log->opts.arg, false);
}

/* A server's message may be in any encoding; JSON is UTF-8. */
static json_t *json_text(char *text)
{
    json_t *value = json_string(text);
    if (value)
        return value;
    for (char *p = text; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return json_string(text);
}

/* "time" is "ts" by its first name: lines of 0.1 had it. */
static json_t *make_object(const struct ph_log *log, enum ph_log_level level,
                           const struct ph_log_fields *f, char *text)
{
    char when[40], table[256];
    stamp(when, sizeof when);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "ts", when, "time", when, "level",
                               level_names[level], "event", f->event ? f->event : "message");
    if (!object)
        return NULL;
    if (*log->job)
        json_object_set_new(object, "job", json_string(log->job));
    if (f->shard)
        json_object_set_new(object, "shard", json_integer(f->shard));
    if (f->table) {
        snprintf(table, sizeof table, "%s", f->table);
        json_object_set_new(object, "table", json_text(table));
    }
    if (f->attempt)
        json_object_set_new(object, "attempt", json_integer(f->attempt));
    if (f->rows || f->bytes) {
        json_object_set_new(object, "rows", json_integer((json_int_t)f->rows));
        json_object_set_new(object, "bytes", json_integer((json_int_t)f->bytes));
    }
    json_object_set_new(object, "message", json_text(text));
    return object;
}

static void emit_json(struct ph_log *log, enum ph_log_level level, const struct ph_log_fields *f,
                      char *text)
{
    json_t *object = make_object(log, level, f, text);
    char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (line) {
        size_t n = strlen(line);
        line[n] = '\n'; /* in place of the terminator: json_dumps gave n + 1 bytes */
        emit(log, line, n + 1);
    }
    free(line);
}

static void write_line(struct ph_log *log, enum ph_log_level level,
                       const struct ph_log_fields *fields, const char *fmt, va_list ap)
{
    char line[2048];
    size_t head = 0;
    if (!log->opts.json) {
        if (log->opts.file) {
            stamp(line, sizeof line);
            head = strlen(line);
            line[head++] = ' ';
        }
        head += (size_t)snprintf(line + head, sizeof line - head, "pghaul: %s%s",
                                 level <= PH_LOG_WARN ? level_names[level] : "",
                                 level <= PH_LOG_WARN ? ": " : "");
    }
    int n = vsnprintf(line + head, sizeof line - head - 1, fmt, ap);
    if (n < 0)
        return;
    size_t len = head + (size_t)n;
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    for (size_t i = head; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = line[i] == '\n' ? ' ' : '?';
    pthread_mutex_lock(&log->lock);
    if (log->opts.json) {
        line[len] = '\0';
        emit_json(log, level, fields, line + head);
    } else {
        line[len] = '\n';
        emit(log, line, len + 1);
    }
    pthread_mutex_unlock(&log->lock);
}

void ph_log(struct ph_log *log, enum ph_log_level level, const char *fmt, ...)
{
    static const struct ph_log_fields plain = {0};
    if (!log || level > log->opts.level)
        return;
    va_list ap;
    va_start(ap, fmt);
    write_line(log, level, &plain, fmt, ap);
    va_end(ap);
}

void ph_log_event(struct ph_log *log, enum ph_log_level level, const struct ph_log_fields *fields,
                  const char *fmt, ...)
{
    if (!log || level > log->opts.level)
        return;
    va_list ap;
    va_start(ap, fmt);
    write_line(log, level, fields, fmt, ap);
    va_end(ap);
}

void ph_log_set_job(struct ph_log *log, const char *job)
{
    if (log)
        snprintf(log->job, sizeof log->job, "%s", job);
}

void ph_log_err(struct ph_log *log, enum ph_log_level level, const struct ph_err *err)
{
    static const struct ph_log_fields fields = {.event = "error"};
    ph_log_event(log, level, &fields, "%s%s%s", err->text, err->hint[0] ? "; hint: " : "",
                 err->hint);
}

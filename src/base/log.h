/* The log: what the program tells a person while it works, on stderr or into a file, as text or one
 * JSON object a line. Only whoever decides about an event logs it; a function that returns an error
 * does not.
 *
 * Threads: every function but open and close may be called from any thread. A hook lets the living
 * progress block step aside while a line is written.
 */
#ifndef PH_BASE_LOG_H
#define PH_BASE_LOG_H

#include <stdint.h>

#include "pghaul/err.h"

struct ph_log;

enum ph_log_level { PH_LOG_ERROR, PH_LOG_WARN, PH_LOG_NOTE, PH_LOG_INFO, PH_LOG_DEBUG };

struct ph_log_opts {
    enum ph_log_level level; /* the finest that is written */
    bool json;
    const char *file; /* NULL: stderr */
    void (*around)(void *arg,
                   bool before); /* called before and after each line on stderr; may be NULL */
    void *arg;
};

/* PH_WRONG when the file cannot be opened for appending. */
bool ph_log_open(struct ph_log **out, const struct ph_log_opts *opts, struct ph_err *err);
void ph_log_close(struct ph_log *log);

/* NULL log: nothing is written. Control characters are replaced. */
void ph_log(struct ph_log *log, enum ph_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What a line is about, for those who read them as JSON; zero where it is about nothing of the kind. Text has the message only. */
struct ph_log_fields {
    const char *event; /* a stable name; NULL: "message" */
    int64_t shard;
    const char *table;
    int attempt;
    uint64_t rows, bytes;
};
void ph_log_event(struct ph_log *log, enum ph_log_level level, const struct ph_log_fields *fields,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* From now on JSON lines name the job; before there are other threads. The text is copied. */
void ph_log_set_job(struct ph_log *log, const char *job);

/* Logs an error's text, and its hint where there is one. */
void ph_log_err(struct ph_log *log, enum ph_log_level level, const struct ph_err *err);

/* Changes the hook; for the progress block, which comes and goes. */
void ph_log_set_around(struct ph_log *log, void (*around)(void *arg, bool before), void *arg);

#endif

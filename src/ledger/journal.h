/* The history of an extract, whose ledger is its directory: journal.jsonl, what `report` tells of and what `control --keep` has kept.
 *
 * JSON objects, one a line, only ever put behind the others:
 *
 *     {"run": {...}}       a run begins: when (by the calendar), who, under what settings
 *     {"sample"|"event"|"file": {...}}   what happens in it, in seconds since it began, by a clock that does not jump
 *     {"end": {...}}       how it ended; a run without one has died
 *     {"wish": {...}}      what is to be kept for later runs
 *
 * Nothing but people's curiosity and their wishes depends on it: a line that is broken is skipped, and an archive without it is as
 * good as one with it. Who writes runs holds the directory's lock; wishes come from anybody.
 */
#ifndef PH_LEDGER_JOURNAL_H
#define PH_LEDGER_JOURNAL_H

#include "ledger/control.h"
#include "ledger/history.h"

/* Where a run writes. */
struct ph_journal {
    int dir; /* descriptor of the directory */
    const char *shown;
    double begin_s; /* ph_clock_s() when the run began */
};

/* facts: a JSON object or NULL. */
bool ph_journal_begin(const struct ph_journal *journal, int pid, const char *host,
                      const char *facts, struct ph_err *err);

/* What ph_history_write takes; bars are of files of the set that begins with these digits, their times by ph_clock_s(). */
bool ph_journal_write(const struct ph_journal *journal, const char *set,
                      const struct ph_history_sample *samples, int n_samples,
                      const struct ph_history_event *events, int n_events,
                      const struct ph_history_bar *bars, int n_bars, struct ph_err *err);

/* error: NULL when there was none. */
bool ph_journal_end(const struct ph_journal *journal, const char *error, struct ph_err *err);

/* Keeps wishes, durably. */
bool ph_journal_wish(int dir, const char *shown, const char *who, const char *const *words, int n,
                     struct ph_err *err);

/* Those that were kept, in their order. */
bool ph_journal_wishes(int dir, const char *shown, struct ph_arena *arena,
                       struct ph_ledger_wish **wishes, int *n, struct ph_err *err);

/* All of it, with the bars of that set; ph_history_free. live: the last run is at work. *error: of the last run, in the history's
 * arena, or NULL. */
bool ph_journal_read(struct ph_history **out, const char **error, int dir, const char *shown,
                     const char *set, bool live, struct ph_err *err);

#endif

/* What a run leaves for `pghaul report` besides its samples: under what settings it ran, what the servers were, how it ended. */
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "haul/run.h"

/* Before there is a crew, nobody remembers: the log hears of it all the same. */
void ph_run_event(struct ph_run *run, enum ph_log_level level, const char *event, const char *text)
{
    if (run->crew.sight)
        ph_sight_event(&run->crew, level, event, 0, 0, "%s", text);
    else
        ph_log_event(run->opts->log, level, &(struct ph_log_fields){.event = event}, "%s", text);
}

static void ask_settings(struct ph_run *run, struct ph_conn *conn, const char **text)
{
    struct ph_err ignored;
    if (!*text && ph_conn_ok(conn) && !ph_history_server(conn, run->arena, text, &ignored))
        ph_conn_recover(conn);
}

void ph_run_ask_settings(struct ph_run *run)
{
    ask_settings(run, run->source, &run->settings[0]);
    ask_settings(run, run->target, &run->settings[1]);
}

/* The settings of a server, as an object; null where it could not be asked, or is none. */
static json_t *settings_of(const char *text)
{
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    return object ? object : json_null();
}

static json_t *facts_of(struct ph_run *run)
{
    static const char *const spills[] = {"auto", "never", "always"};
    const struct ph_job_opts *opts = run->opts;
    const struct ph_rates *r = &opts->rates;
    ph_run_ask_settings(run);
    return json_pack(
        "{s:s, s:i, s:i, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "pghaul", PGHAUL_VERSION,
        "workers", run->result->workers ? run->result->workers : run->plan->jobs, "source_jobs",
        opts->source_jobs, "target_jobs", opts->target_jobs, "spill", spills[opts->spill.when % 3],
        "memory", (json_int_t)opts->memory, "source_max_rate", (json_int_t)r->source_bytes,
        "target_max_rate", (json_int_t)r->target_bytes, "source_max_rows",
        (json_int_t)r->source_rows, "target_max_rows", (json_int_t)r->target_rows, "source",
        settings_of(run->settings[0]), "target", settings_of(run->settings[1]));
}

void ph_run_remember_facts(struct ph_run *run)
{
    struct ph_err err;
    json_t *facts = facts_of(run);
    char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
    json_decref(facts);
    if (text && !ph_history_facts(run->target, run->mover, text, &err)) {
        ph_log(run->opts->log, PH_LOG_INFO, "%s", err.text);
        ph_conn_recover(run->target);
    }
    free(text);
}

/* An extract remembers in its directory, from when it holds that. */
void ph_run_begin_journal(struct ph_run *run)
{
    struct ph_err err;
    struct ph_ledger_wish *kept;
    int n = 0;
    run->journal = (struct ph_journal){
        .dir = run->archive_dir.fd, .shown = run->archive_dir.shown, .begin_s = run->begin_s};
    json_t *facts = facts_of(run);
    char *text = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
    json_decref(facts);
    if (!ph_journal_begin(&run->journal, (int)getpid(), run->host, text, &err))
        ph_log(run->opts->log, PH_LOG_INFO, "what happens is not remembered: %s", err.text);
    free(text);
    ph_run_begin_control(run);
    if (ph_journal_wishes(run->journal.dir, run->journal.shown, run->arena, &kept, &n, &err))
        ph_control_recall(&run->control, kept, n);
    else
        ph_log(run->opts->log, PH_LOG_WARN, "what was to be kept cannot be read: %s", err.text);
}

static void end_journal(struct ph_run *run, bool ok, const struct ph_err *why)
{
    struct ph_err err;
    bool failed = !ok && why->code != PH_INTERRUPTED;
    if (!ph_journal_end(&run->journal, failed ? why->text : NULL, &err))
        ph_log(run->opts->log, PH_LOG_DEBUG, "%s", err.text);
}

void ph_run_remember_end(struct ph_run *run, bool ok, const struct ph_err *why)
{
    struct ph_crew *crew = &run->crew;
    bool journal = run->journal.shown != NULL;
    if (!crew->sight) {
        if (journal)
            end_journal(run, ok, why);
        return;
    }
    ph_sight_look(crew, true);
    if (ok)
        ph_sight_event(crew, PH_LOG_INFO, "completed", 0, 0, "job %s is complete",
                       run->result->job);
    else if (why->code == PH_INTERRUPTED)
        ph_sight_event(crew, PH_LOG_INFO, "interrupted", 0, 0, "job %s was interrupted",
                       run->result->job);
    else
        ph_sight_event(crew, PH_LOG_INFO, "failed", 0, 0, "%s", why->text);
    ph_sight_write(crew, run->target);
    if (journal)
        end_journal(run, ok, why);
}

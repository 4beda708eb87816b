/* One run of a job: what its stages share. Lives on the stack of ph_job_copy.
 *
 *     begin.c    find or make the job, take hold of it     recover.c  when the snapshot is gone
 *     phases.c   the crew at work                          finish.c   the end, and the result
 *     steps.c    what is to be done besides rows           sequences.c  where they stand
 *     remember.c what report will tell of it               install.c    what is made meanwhile: ledger, connections
 */
#ifndef PH_HAUL_RUN_H
#define PH_HAUL_RUN_H

#include "haul/crew.h"
#include "haul/job.h"
#include "ledger/creation.h"
#include "ledger/pg.h"
#include "ledger/step.h"
#include "pg/dump.h"
#include "pg/snapshot.h"
#include "pg/witness.h"
#include "plan/index.h"

struct ph_run {
    const struct ph_job_opts *opts;
    struct ph_job_result *result;
    struct ph_arena *arena; /* the result's */
    struct ph_plan *plan;
    struct ph_conn *source, *target; /* control connections */
    struct ph_tools tools;           /* of --create, once they have been looked for */
    struct ph_conn *installer;       /* makes the ledger meanwhile, see install.c; or NULL */
    struct ph_ahead ahead;           /* connections of workers, made meanwhile */
    const char *settings[2];         /* of source and target, for report; NULL: not asked yet */
    char encoding[64];
    char tag[9]; /* 8 hexadecimal digits of the job */
    char host[256];
    int64_t job;
    int mover;
    struct ph_testimony *answers; /* --create from or into an archive: of the source's catalog */
    struct ph_creation *creation; /* --create: what was made before the job */
    struct ph_steps steps;        /* of a new job: what there is to do besides rows */
    struct ph_index_cover cover;  /* what of the source's indexes and constraints is among them */
    struct ph_ledger_snapshot *snapshot;
    struct ph_ledger_tab *tabs; /* as in the ledger when the phase began */
    int n_tabs;
    const struct ph_table **tables; /* by the ledger's table number - 1 */
    const char *set; /* 32 hexadecimal digits: of this round, or of the archive that is loaded */
    struct ph_place place; /* load, extract: the archive */
    struct ph_dir archive_dir;
    struct ph_spill spill;
    struct ph_roster *roster;
    struct ph_journal journal; /* extract */
    struct ph_throttle throttle;
    struct ph_control control;
    struct ph_guards guards;
    struct ph_crew crew;
    struct ph_build build;
    struct ph_step_counts counts; /* of the job's steps, as in the ledger when the phase began */
    struct ph_gate gate;
    double begin_s;
    const char *phase;
    struct ph_job_phase passed[8];
    int n_passed;
};

enum { PH_WORKERS_MAX = 256 };
enum { PH_KEEP_S = 15 * 60, PH_OUTAGE_S = 30 * 60 }; /* defaults */

/* run.c */

/* Notes for the result that a phase is over, which began then. */
void ph_run_passed(struct ph_run *run, const char *phase, double begin_s);

/* A run from its beginning; opts and result are borrowed. fini closes what is open, and says in the result what it took. */
void ph_run_init(struct ph_run *run, const struct ph_job_opts *opts, struct ph_job_result *result);
void ph_run_fini(struct ph_run *run);

/* 128 random bits, hexadecimal: what the files of a round, or of an archive, have in common. */
const char *ph_run_new_set(struct ph_run *run);

/* Opens (or opens again) a control connection; or one like it, of the caller's. */
bool ph_run_connect(struct ph_run *run, bool source, struct ph_err *err);
bool ph_run_open_control(struct ph_run *run, bool source, struct ph_interrupt *interrupt,
                         struct ph_conn **conn, struct ph_err *err);

/* Makes sure that a control connection really works, waiting for a lost server until --max-outage: it
 * may have died unnoticed while the crew was at work. It cannot be interrupted afterwards, since it
 * serves the end of a run that was. Who has been told to stop does not wait. */
bool ph_run_reach(struct ph_run *run, bool source, struct ph_err *err);

/* Starts a keeper for the job's tables, see pg/snapshot.h. */
bool ph_run_start_keeper(struct ph_run *run, struct ph_snapshot *snapshot, struct ph_err *err);

/* Waits until a crash of the source could not take back what the snapshot shows: commits that do not wait for a
 * flush (synchronous_commit = off) are visible before it. Rows of theirs that had landed would look unchanged after
 * the crash. Three rounds of the WAL writer, or as long as it is seen at work; mostly it is flushed already. */
bool ph_run_await_flush(struct ph_run *run, const struct ph_snapshot *snapshot, struct ph_err *err);

/* Turns an error that came before anything was changed into PH_WRONG. Returns false. */
bool ph_run_unchanged(struct ph_err *err);

/* Reads where the job's tables stand into run->tabs. */
bool ph_run_load_tabs(struct ph_run *run, struct ph_err *err);

/* Whether every shard had landed when the tables were read; whether none is to be read from the source any more. */
bool ph_run_is_whole(const struct ph_run *run);
bool ph_run_is_read(const struct ph_run *run);

/* Plans those shards of unlogged targets again that a crash of the target has taken back. */
bool ph_run_reopen_lost(struct ph_run *run, int64_t *lost, struct ph_err *err);

/* Knows what is to be guarded. PH_WRONG for a guard of a server that the run has not. */
bool ph_run_know_guards(struct ph_run *run, struct ph_err *err);

/* The run can be steered from now on. */
void ph_run_begin_control(struct ph_run *run);

/* Lets the snapshot go: nobody needs the source any more. */
void ph_run_end_keeper(struct ph_run *run);

/* The same as the crew's let_go, from the pulse, which has the control connections then. */
void ph_run_let_go(void *run, double ago_s, bool target);

/* Leaves a job that goes on, and writes down how the run ended. */
void ph_run_leave(struct ph_run *run, const struct ph_err *why);

/* job.c: connects and plans; then the job has its name. */
bool ph_run_plan(struct ph_run *run, struct ph_err *err);
void ph_run_name(struct ph_run *run);

/* run.c: who speaks for the source's catalog. */
struct ph_witness ph_run_witness(const struct ph_run *run);

/* install.c: has the ledger made, where there is none, while the caller plans; the run is connected to the target, and is
 * afterwards. begin_writing begins the transaction that writes the job down (on the connection that made the ledger: run->target
 * is another one then); drop changes nothing. */
bool ph_run_install_ahead(struct ph_run *run, struct ph_err *err);
bool ph_run_begin_writing(struct ph_run *run, struct ph_err *err);
void ph_run_install_drop(struct ph_run *run);

/* install.c: has the connections of the workers made, while the job is written down. The plan is cut. */
void ph_run_connect_ahead(struct ph_run *run);

/* begin.c: afterwards the job is ours and has a snapshot; or *done: it is complete. */
bool ph_run_begin(struct ph_run *run, bool *done, struct ph_err *err);

/* begin.c: the ledger's tables are those of the plan, to the file and the column; sets run->tables. */
bool ph_run_same_relations(struct ph_run *run, struct ph_err *err);

/* begin.c: what stands in the plan's way is an error. */
bool ph_run_refuse(const struct ph_run *run, const struct ph_plan *plan, struct ph_err *err);

/* begin.c: what stands in the way is an error, and so is too little memory or too few
 * descriptors; warnings are logged. */
bool ph_run_may_begin(struct ph_run *run, struct ph_err *err);

/* load_check.c: --mode replace: every file that is to be loaded is whole, or nothing is begun. PH_WRONG. */
bool ph_run_check_files(struct ph_run *run, struct ph_err *err);

/* descriptors.c: raises the soft limit where it must; PH_WRONG when there are too few. */
bool ph_run_check_descriptors(const struct ph_run *run, struct ph_err *err);

/* begin.c: so many workers --memory has room for. */
int ph_run_most_workers(const struct ph_run *run);

/* create.c: makes the target's schema, or goes on with it; afterwards run->creation is made. The run is
 * connected and has no plan yet. */
bool ph_create_schema(struct ph_run *run, struct ph_err *err);

/* create.c: for who changes nothing: the plan of a job whose tables are not there yet, with what stands in the
 * way of making them; *plan is NULL when they were made. *counts: what is made, JSON. */
bool ph_create_plan(struct ph_run *run, struct ph_plan **plan, const char **counts,
                    struct ph_err *err);

/* create_rest.c: adds what comes after the rows, and is not among the steps yet. */
bool ph_create_steps(struct ph_run *run, struct ph_err *err);

/* create_rest.c: sets every sequence that was made to where the source's is. The source can be reached. */
bool ph_create_sequences(struct ph_run *run, struct ph_err *err);

/* create_archive.c: an extract keeps the schema in its archive: what job.json is to say of it goes into `archive`. */
bool ph_create_keep(struct ph_run *run, struct ph_archive *archive, struct ph_err *err);

/* create_archive.c: whether pg_dump for it is at hand. PH_WRONG. */
bool ph_create_can_keep(struct ph_run *run, struct ph_err *err);

/* create_archive.c: whether both files are there and sound. PH_DAMAGED. */
bool ph_create_is_kept(struct ph_run *run, const struct ph_archive *archive, struct ph_err *err);

/* create_archive.c: a load reads from its archive what the source would be asked for. PH_WRONG when the archive
 * has no schema, or not as it was written. */
bool ph_create_open(struct ph_run *run, struct ph_err *err);

/* steps.c: plans the steps of a new job, or of a new round, into run->steps; they are written down with it. */
bool ph_run_plan_steps(struct ph_run *run, struct ph_err *err);

/* steps.c: reads where the steps stand into run->counts; starts builders for those that are planned. */
bool ph_run_count_steps(struct ph_run *run, struct ph_err *err);
bool ph_run_start_builders(struct ph_run *run, struct ph_err *err);

/* steps.c: whether all are done; the error names the first that is not. */
bool ph_run_steps_done(struct ph_run *run, struct ph_err *err);

/* phases.c: makes the crew ready; tells it how far the tables are; lets it work to the end. */
bool ph_run_prepare(struct ph_run *run, struct ph_err *err);
void ph_run_crew_opts(struct ph_run *run, int open_shards, struct ph_crew_opts *out);
bool ph_run_brief(struct ph_run *run, struct ph_err *err);
bool ph_run_phases(struct ph_run *run, struct ph_err *err);

/* remember.c: for report. Under what settings it runs, when the workers are known; how it has ended. Nothing of it can fail the
 * job. */
void ph_run_event(struct ph_run *run, enum ph_log_level level, const char *event, const char *text);
void ph_run_remember_facts(struct ph_run *run);
void ph_run_ask_settings(struct ph_run *run);  /* for them, when there is time for it */
void ph_run_begin_journal(struct ph_run *run); /* extract: and it can be steered from now on */
void ph_run_remember_end(struct ph_run *run, bool ok, const struct ph_err *why);

/* recover.c: the snapshot is gone. Does what can be done so that the job may go on under a new one,
 * or says why it cannot. Afterwards run->snapshot is the new one. The process must have one thread. */
bool ph_run_recover(struct ph_run *run, struct ph_err *err);

/* sequences.c: sets those of the job's columns, and with --create all that were made. Waits for both servers. */
bool ph_run_set_sequences(struct ph_run *run, struct ph_err *err);

/* finish.c: sequences, the mark, the barrier; parked shards are no error yet. */
bool ph_run_finish(struct ph_run *run, struct ph_err *err);

/* finish.c: what the result says, from the ledger and from this run; the error for parked shards. */
bool ph_run_fill_result(struct ph_run *run, struct ph_err *err);
void ph_run_add_figures(struct ph_run *run);
bool ph_run_parked(struct ph_run *run, struct ph_err *err);

#endif

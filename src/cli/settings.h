/* What the user asked for: command line, environment and job file, put together.
 *
 *     ph_settings_init → ph_opts_parse (args) → ph_opts_environment → ph_jobfile_read →
 * ph_settings_check → ph_settings_spec
 *
 * Each source of settings writes through ph_option_set(), which keeps to the order of precedence,
 * so they may come in any order. All texts live in the settings' arena. This is the one options
 * struct of the whole program; layers below get their own small ones.
 */
#ifndef PH_CLI_SETTINGS_H
#define PH_CLI_SETTINGS_H

#include "base/arena.h"
#include "plan/plan.h"

/* Who said it; a later one wins over an earlier one. */
enum ph_origin { PH_FROM_DEFAULT, PH_FROM_FILE, PH_FROM_ENVIRONMENT, PH_FROM_ARGUMENTS };

struct ph_words {
    const char **item;
    int n;
};

enum { PH_OPTIONS_MAX = 128, PH_JOB_NAME_MAX = 63, PH_JOBS_AUTO = -1 };

struct ph_settings {
    struct ph_arena arena;
    unsigned char origin[PH_OPTIONS_MAX]; /* enum ph_origin, by place in the option table */
    const char
        *raw[PH_OPTIONS_MAX]; /* the text that was given, to tell twice from twice the same */

    const char *source, *target;
    struct ph_words tables; /* texts of -t */
    struct ph_words schemas, exclude_tables, exclude_schemas;
    bool all;
    const char *file;
    const char *job;
    const char *where;
    struct ph_words columns, key;

    int mode, split, triggers; /* enum ph_mode, ph_split, ph_triggers */
    uint64_t shard_size, shard_rows;
    bool allow_nonempty, sequences, large_objects, strict, defer_indexes, fk_order;
    uint64_t index_memory;

    bool create, schema_only, data_only;
    bool no_owner, no_privileges, no_comments;
    bool analyze, no_analyze, vacuum, refresh_matviews;
    const char *pg_bin;

    int spill; /* enum ph_spill_when */
    const char *spill_dir;
    uint64_t spill_size;
    bool keep_spill, forget_spill;
    int compress; /* enum ph_compress */
    int io;       /* of ph_place_choices */

    uint64_t max_rate, source_max_rate, target_max_rate; /* bytes a second; 0: no limit */
    const char *timetable;
    double max_lag_s, max_xact_age_s, full_in_s;
    struct ph_words lag_of, canaries;
    int max_load;
    uint64_t max_slot_wal, min_free;
    const char *canary_limit, *pause_query, *pause_file, *pause_url, *max_checkpoints;
    uint64_t max_rows, source_max_rows, target_max_rows; /* rows a second */

    bool join, again, dry_run;
    int jobs, source_jobs, target_jobs; /* jobs: or PH_JOBS_AUTO */
    uint64_t memory;
    double keep_snapshot_s, max_outage_s;
    double time_s; /* of tune; 0: the default */

    bool json, quiet, no_progress, show_data;
    int verbose;
    int log_format; /* 0 text, 1 json */
    const char *log_file, *state_dir;

    int level; /* 1 + enum ph_verify_level; 0: the default */
    bool in_server, exact, repair, verify;
    const char *source_encoding, *reject_file;
    int max_rejects, max_delete, max_differences, sample_rows, sample_seed;
    double recheck_s;
    bool sums;
    bool definitions;
    const char *queries;
    double every_s, for_s, statement_timeout_s;

    const char *write_file;
    struct ph_words
        operands; /* of archive: what to do, the directory, a table; of control: the job, words */
    bool keep;
    int cat_format;     /* 0 binary, 1 text, 2 csv */
    const char *output; /* of report */
    const char *metrics_file, *metrics_listen;
    bool shards, watch, yes;
    bool help, version;
    int generate; /* 1 man, 2 bash */

    struct ph_request *requests; /* `tables:` of the job file */
    int n_requests;
};

void ph_settings_init(struct ph_settings *s);
void ph_settings_fini(struct ph_settings *s);

void ph_words_add(struct ph_arena *arena, struct ph_words *words, const char *text);

/* What no single option can tell: settings that exclude each other, and what `commands` (the
 * command's bit, see opts.h) cannot do without. PH_WRONG. */
bool ph_settings_check(const struct ph_settings *s, unsigned command, struct ph_err *err);

/* Tables, filters and the rest as the planner wants them; borrows from the settings. PH_WRONG when
 * no table is named (unless everything is meant then), or when --where, --columns or --key would have more than one table to choose
 * from. */
bool ph_settings_spec(struct ph_settings *s, struct ph_job_spec *spec, bool everything,
                      struct ph_err *err);

/* Whether a text is a job's name: letters, digits, dot, underscore and dash, at most 63 of them.
 * PH_WRONG. */
bool ph_job_name_check(const char *text, struct ph_err *err);

#endif

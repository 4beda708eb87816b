/* What the commands share: settings, sides, log, and where results go.
 *
 * A command fills `out` (for people) or `json` (with --json) as far as it came, and returns false
 * with an error when it failed. main.c delivers both, adds state and error to the JSON object, and
 * turns the error into an exit status; commands neither print nor exit, but for the living block
 * and `status --watch`.
 */
#ifndef PH_CLI_CLI_H
#define PH_CLI_CLI_H

#include <jansson.h>

#include "base/buf.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "cli/opts.h"
#include "cli/term.h"
#include "haul/job.h"

struct ph_cli {
    struct ph_settings *settings;
    const struct ph_command_line *line;
    int argc;
    char **argv;
    struct ph_log *log;
    struct ph_interrupt *interrupt;
    struct ph_dsn *source, *target;              /* NULL where not given, or an archive */
    const char *source_archive, *target_archive; /* the directory of archive:DIR, else NULL */
    struct ph_archive *archive; /* what source_archive holds; in the settings' arena */
    struct ph_buf out;
    json_t *json; /* an object, or NULL */
};

bool ph_cmd_plan(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_copy(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_verify(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_extract(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_load(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_archive(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_status(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_control(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_report(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_tune(struct ph_cli *cli, struct ph_err *err);
bool ph_cmd_clean(struct ph_cli *cli, struct ph_err *err);

/* Parses the connection strings; a password on the command line is overwritten in argv and warned
 * of. */
bool ph_cli_sides(struct ph_cli *cli, struct ph_err *err);

/* The directory of "archive:DIR"; NULL when the text is a connection string or NULL. */
const char *ph_cli_archive(const char *text);

/* Connects to the target for reading the ledger. A server that cannot be reached is PH_WRONG here.
 */
bool ph_cli_connect(struct ph_cli *cli, struct ph_conn **out, struct ph_err *err);

/* What the command is about: the settings' tables, and the route that source and target make; opts of haul/job.h, all but
 * the progress. An archive that is a source is read here. */
bool ph_cli_job(struct ph_cli *cli, struct ph_job_spec *spec, struct ph_job_opts *opts,
                struct ph_err *err);

/* Where jobs keep their files when nobody says; NULL: nowhere. */
const char *ph_cli_state_base(const struct ph_cli *cli);

/* Takes away the spill files that the job has on this host. */
void ph_cli_clean_spill(const struct ph_cli *cli, const char *job, const char *tag);

/* Opens an archive directory and reads its manifest, or the job.json of an unfinished one. PH_WRONG when there is none, PH_FAILED
 * when it is damaged, PH_OTHER_JOB when it is of a newer version. */
bool ph_cli_open_archive(struct ph_cli *cli, const char *path, struct ph_dir *dir,
                         struct ph_archive **archive, struct ph_err *err);

/* PH_WRONG when it is unfinished. */
bool ph_cli_need_sealed(const struct ph_archive *archive, const struct ph_dir *dir,
                        struct ph_err *err);

/* Both, for a load: whatever is wrong is PH_WRONG or PH_OTHER_JOB. */
bool ph_cli_read_archive(struct ph_cli *cli, const char *path, struct ph_archive **archive,
                         struct ph_err *err);

/* The command as it was typed, quoted for a shell, to be run again: without --again and without
 * secrets. */
void ph_cli_same_command(const struct ph_cli *cli, struct ph_buf *out);

/* Writes to standard output. PH_FAILED: a full disk or a closed pipe is said, not passed over. */
bool ph_cli_print(const char *text, size_t n, struct ph_err *err);

/* A text as JSON whatever its bytes are; NULL becomes null. */
json_t *ph_json_text(const char *text);

#endif

/* pghaul: the program. Reads what the user wants, runs one command, delivers its result. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/jobfile.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* The process
 * ---------------------------------------------------------------------------------------------------
 */

static struct ph_interrupt interrupt;
static volatile sig_atomic_t signals_seen;
static volatile sig_atomic_t
    at_once; /* the command has no shards to finish: one signal is enough */

static void on_signal(int number)
{
    (void)number;
    if (++signals_seen > 2)
        _exit(130); /* something waits where it cannot be asked to stop, as name resolution does */
    ph_interrupt_raise(&interrupt);
    if (at_once)
        ph_interrupt_raise(&interrupt);
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    sigemptyset(&ours.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        /* nohup stays in force. An ignored SIGINT is only how shells start jobs in the background.
         */
        bool nohup =
            numbers[i] == SIGHUP && sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
        if (!nohup)
            sigaction(numbers[i], &ours, NULL);
    }
}

/* A file that happened to get number 1 would be written into as if it were the output. What stands
 * in for a closed output cannot be written to, so that a result is not lost without a word. */
static void keep_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            int got = open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
            if (got >= 0 && got != fd) {
                dup2(got, fd);
                close(got);
            }
        }
}

static void set_process_up(void)
{
    keep_standard_files();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
#if !defined(PGHAUL_FAULTS) && !defined(SANITIZED)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* passwords in memory do not go into a core file */
#endif
}

/* Results
 * ---------------------------------------------------------------------------------------------------------
 */

static void say_error(const struct ph_cli *cli, const struct ph_err *err)
{
    bool as_json = cli->settings->log_format == 1, to_file = cli->settings->log_file != NULL;
    if (cli->log && (as_json || to_file))
        ph_log_err(cli->log, PH_LOG_ERROR, err);
    if (cli->log && as_json && !to_file)
        return;
    fprintf(stderr, "pghaul: %s\n", err->text);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
}

/* The one object of --json: what the command filled in, and on failure what went wrong. */
static bool print_json(struct ph_cli *cli, const struct ph_err *failure, struct ph_err *err)
{
    json_t *object = cli->json ? cli->json : json_object();
    cli->json = NULL;
    if (failure) {
        if (!json_object_get(object, "job"))
            json_object_set_new(object, "job", ph_json_text(cli->settings->job));
        if (!json_object_get(object, "state"))
            json_object_set_new(object, "state", json_string("failed"));
        json_t *what = json_object();
        json_object_set_new(what, "message", ph_json_text(failure->text));
        json_object_set_new(what, "hint", ph_json_text(failure->hint[0] ? failure->hint : NULL));
        json_object_set_new(object, "error", what);
    }
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    if (!text)
        return ph_err_nomem(err);
    size_t n = strlen(text);
    text[n] = '\n'; /* in the terminator's place */
    bool ok = ph_cli_print(text, n + 1, err);
    free(text);
    return ok;
}

/* Prints result and error, and returns the exit status. */
static int deliver(struct ph_cli *cli, bool ok, bool json, struct ph_err *err)
{
    struct ph_err print_err = {0};
    bool printed = true;
    if (json)
        printed = print_json(cli, ok ? NULL : err, &print_err);
    else if (cli->out.len)
        printed = ph_cli_print(cli->out.data, cli->out.len, &print_err);
    if (!ok)
        say_error(cli, err);
    if (!printed)
        say_error(cli, &print_err);
    if (!ok)
        return err->code == PH_OK ? 1 : ph_err_exit_status(err->code);
    return printed ? 0 : 1;
}

/* Commands
 * --------------------------------------------------------------------------------------------------------
 */

static bool run_command(struct ph_cli *cli, struct ph_err *err)
{
    switch (cli->line->command->bit) {
    case PH_CMD_PLAN:
        return ph_cmd_plan(cli, err);
    case PH_CMD_COPY:
        return ph_cmd_copy(cli, err);
    case PH_CMD_VERIFY:
        return ph_cmd_verify(cli, err);
    case PH_CMD_EXTRACT:
        return ph_cmd_extract(cli, err);
    case PH_CMD_LOAD:
        return ph_cmd_load(cli, err);
    case PH_CMD_ARCHIVE:
        return ph_cmd_archive(cli, err);
    case PH_CMD_CONTROL:
        return ph_cmd_control(cli, err);
    case PH_CMD_STATUS:
        return ph_cmd_status(cli, err);
    case PH_CMD_REPORT:
        return ph_cmd_report(cli, err);
    case PH_CMD_TUNE:
        return ph_cmd_tune(cli, err);
    default:
        return ph_cmd_clean(cli, err);
    }
}

static bool open_log(struct ph_cli *cli, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    enum ph_log_level level = s->quiet         ? PH_LOG_WARN
                              : s->verbose > 1 ? PH_LOG_DEBUG
                              : s->verbose     ? PH_LOG_INFO
                                               : PH_LOG_NOTE;
    return ph_log_open(
        &cli->log,
        &(struct ph_log_opts){.level = level, .json = s->log_format == 1, .file = s->log_file},
        err);
}

/* A misspelt variable would be silent otherwise; its value may be a secret. */
static void warn_of_variables(struct ph_log *log)
{
    char name[64], meant[64];
    for (char **v = environ; *v; v++) {
        size_t len = strcspn(*v, "=");
        if (len >= sizeof name)
            continue;
        memcpy(name, *v, len);
        name[len] = '\0';
        if (ph_opts_stray_variable(name, meant))
            ph_log(log, PH_LOG_WARN, "environment variable %s is not known; did you mean %s?", name,
                   meant);
    }
}

static bool settle(struct ph_cli *cli, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    unsigned command = cli->line->command->bit;
    if (!ph_opts_environment(s, command, err) || (s->file && !ph_jobfile_read(s, s->file, err)) ||
        !open_log(cli, err))
        return false;
    warn_of_variables(cli->log); /* before it is said what is missing */
    ph_conn_show_data(s->show_data);
    return ph_settings_check(s, command, err) && ph_interrupt_init(&interrupt, err);
}

/* Help and the like need nothing but the table. */
static bool show_text(struct ph_cli *cli)
{
    const struct ph_settings *s = cli->settings;
    if (s->help)
        ph_help_text(&cli->out, cli->line->command);
    else if (s->version)
        ph_buf_addf(&cli->out, "pghaul %s\n", PGHAUL_VERSION);
    else if (s->generate == 1)
        ph_help_man(&cli->out);
    else if (s->generate == 2)
        ph_help_bash(&cli->out);
    return cli->out.len > 0;
}

static int run(struct ph_cli *cli, struct ph_command_line *line, struct ph_err *err)
{
    struct ph_settings *s = cli->settings;
    if (!ph_opts_parse(s, line, cli->argc, cli->argv, err))
        return deliver(cli, false, line->wants_json, err);
    if (show_text(cli))
        return deliver(cli, true, false, err);
    if (!line->command && line->wants_json) {
        ph_err_set(err, PH_WRONG, "no command is given");
        return deliver(cli, false, true, err);
    }
    if (!line->command) {
        struct ph_buf usage = {0};
        ph_help_usage(&usage);
        fputs(ph_buf_text(&usage), stderr);
        ph_buf_fini(&usage);
        return 2;
    }
    if (!settle(cli, err))
        return deliver(cli, false, line->wants_json || s->json, err);
    cli->interrupt = &interrupt;
    at_once = !(line->command->bit & (PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_LOAD | PH_CMD_TUNE)) ||
              s->dry_run;
    catch_signals();
    bool ok = ph_cli_sides(cli, err) && run_command(cli, err);
    return deliver(cli, ok, s->json, err);
}

int main(int argc, char **argv)
{
    struct ph_settings settings;
    struct ph_command_line line;
    struct ph_err err = {0};
    set_process_up();
    ph_settings_init(&settings);
    struct ph_cli cli = {.settings = &settings, .line = &line, .argc = argc, .argv = argv};
    int status = run(&cli, &line, &err);
    json_decref(cli.json);
    ph_dsn_free(cli.source);
    ph_dsn_free(cli.target);
    ph_log_close(cli.log);
    ph_buf_fini(&cli.out);
    ph_settings_fini(&settings);
    return status;
}

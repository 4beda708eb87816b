#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/names.h"
#include "haul/verify.h"

static const char letters_safe_in_shells[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+";

/* Every -s (or -d) that was given: the same thing may have been said twice. */
static void hide_arguments(const struct ph_cli *cli, const struct ph_option *side)
{
    for (int i = 0; i < cli->line->n_secrets; i++)
        if (cli->line->secrets[i].option == side)
            memset(cli->line->secrets[i].value, '*', strlen(cli->line->secrets[i].value));
}

const char *ph_cli_archive(const char *text)
{
    static const char prefix[] = "archive:";
    bool is_archive = text && !strncmp(text, prefix, strlen(prefix));
    return is_archive ? text + strlen(prefix) : NULL;
}

static bool parse_archive(struct ph_cli *cli, const char *side, const char *directory,
                          const char **out, struct ph_err *err)
{
    *out = directory;
    if (!*directory) {
        ph_err_set(err, PH_WRONG, "the %s is an archive without a directory", side);
        return ph_err_hint(err, "archive:DIR, for example archive:/backup/orders");
    }
    const unsigned looks_on = PH_CMD_STATUS | PH_CMD_REPORT | PH_CMD_CLEAN | PH_CMD_CONTROL;
    unsigned fit =
        PH_CMD_PLAN | (!strcmp(side, "target") ? PH_CMD_EXTRACT | PH_CMD_REPORT | PH_CMD_CONTROL
                                               : PH_CMD_LOAD | looks_on);
    if (cli->line->command->bit & fit)
        return true;
    ph_err_set(err, PH_WRONG, "%s does not take an archive for the %s", cli->line->command->name,
               side);
    if (cli->line->command->bit == PH_CMD_COPY)
        ph_err_hint(err, "pghaul extract writes archives, pghaul load reads them");
    return false;
}

static bool parse_side(struct ph_cli *cli, const char *side, const char *text, struct ph_dsn **out,
                       const char **archive, struct ph_err *err)
{
    if (!text)
        return true;
    if (ph_cli_archive(text))
        return parse_archive(cli, side, ph_cli_archive(text), archive, err);
    if (!ph_dsn_parse(out, side, text, err))
        return false;
    if (!ph_dsn_has_password(*out) ||
        cli->settings->origin[ph_option_find(side) - ph_options] != PH_FROM_ARGUMENTS)
        return true;
    hide_arguments(cli, ph_option_find(side));
    ph_log(cli->log, PH_LOG_WARN,
           "the password of the %s was on the command line, where others may have seen it; "
           "use a service file, .pgpass or PGPASSWORD",
           side);
    return true;
}

bool ph_cli_sides(struct ph_cli *cli, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    return parse_side(cli, "source", s->source, &cli->source, &cli->source_archive, err) &&
           parse_side(cli, "target", s->target, &cli->target, &cli->target_archive, err);
}

bool ph_cli_connect(struct ph_cli *cli, struct ph_conn **out, struct ph_err *err)
{
    struct ph_conn_opts opts = {.dsn = cli->target,
                                .application_name = "pghaul",
                                .encoding = "UTF8",
                                .interrupt = cli->interrupt,
                                .interrupt_level = 1};
    if (ph_conn_open(out, &opts, err))
        return true;
    if (err->code == PH_CONNECTION)
        err->code = PH_WRONG;
    return false;
}

bool ph_cli_open_archive(struct ph_cli *cli, const char *path, struct ph_dir *dir,
                         struct ph_archive **archive, struct ph_err *err)
{
    struct ph_arena *arena = &cli->settings->arena;
    *archive = NULL;
    if (!ph_dir_open(dir, path, PH_DIR_EXISTS, err)) {
        if (!err->hint[0])
            ph_err_hint(err, "name the directory that pghaul extract has written");
        return false;
    }
    bool ok = ph_manifest_read(archive, arena, dir->fd, dir->shown, true, err) &&
              (*archive || ph_manifest_read(archive, arena, dir->fd, dir->shown, false, err));
    if (!ok && err->code == PH_OTHER_JOB) {
        ph_err_hint(err, "use a newer version of pghaul");
    } else if (!ok) {
        ph_err_hint(err, "without it nothing of the archive can be trusted: restore the file from "
                         "a copy, or extract again");
    } else if (!*archive) {
        ok = ph_err_set(err, PH_WRONG, "there is no archive in %s", dir->shown);
        ph_err_hint(err, "an archive has a job.json: pghaul extract -d archive:DIR writes one");
    }
    if (!ok)
        ph_dir_close(dir);
    return ok;
}

bool ph_cli_need_sealed(const struct ph_archive *archive, const struct ph_dir *dir,
                        struct ph_err *err)
{
    if (archive->sealed_at)
        return true;
    ph_err_set(err, PH_WRONG, "the archive in %s is not complete", dir->shown);
    return ph_err_hint(err, "the extract that began it has to be run to its end");
}

/* What job.json says stands in the manifest as well, so it may be missing; but not be wrong. */
static bool confirm(const struct ph_archive *archive, const struct ph_dir *dir, struct ph_err *err)
{
    bool there;
    if (ph_manifest_confirm(archive, dir->fd, dir->shown, &there, err))
        return true;
    return ph_err_hint(err, "pghaul archive verify tells what else is damaged; manifest.json says "
                            "the same, so without that file the archive can be loaded");
}

bool ph_cli_read_archive(struct ph_cli *cli, const char *path, struct ph_archive **archive,
                         struct ph_err *err)
{
    struct ph_dir dir;
    bool ok = ph_cli_open_archive(cli, path, &dir, archive, err);
    if (ok) {
        ok = ph_cli_need_sealed(*archive, &dir, err) && confirm(*archive, &dir, err);
        ph_dir_close(&dir);
    }
    if (!ok && err->code == PH_FAILED)
        err->code = PH_WRONG; /* nothing was changed */
    return ok;
}

/* Where a job keeps its files when nobody says: the XDG base directory for state. */
const char *ph_cli_state_base(const struct ph_cli *cli)
{
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct ph_arena *arena = &cli->settings->arena;
    if (xdg && *xdg == '/')
        return ph_arena_printf(arena, "%s/pghaul", xdg);
    return home && *home == '/' ? ph_arena_printf(arena, "%s/.local/state/pghaul", home) : NULL;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

static void fill_opts(const struct ph_cli *cli, const struct ph_job_spec *spec,
                      struct ph_job_opts *opts)
{
    const struct ph_settings *s = cli->settings;
    struct ph_timetable *timetable = NULL;
    if (s->timetable) { /* it was checked when it was read */
        timetable = ph_arena_calloc(&cli->settings->arena, 1, sizeof *timetable);
        ph_timetable_parse(timetable, s->timetable, NULL);
    }
    struct ph_guard_limits *guards = ph_arena_calloc(&cli->settings->arena, 1, sizeof *guards);
    *guards = (struct ph_guard_limits){
        .max_lag_s = s->max_lag_s,
        .lag_of = s->lag_of.item,
        .n_lag_of = s->lag_of.n,
        .max_load = s->max_load,
        .max_xact_age_s = s->max_xact_age_s,
        .max_slot_wal = s->max_slot_wal,
        .min_free = s->min_free,
        .full_in_s = s->full_in_s,
        .canary = s->canaries.item,
        .n_canary = s->canaries.n,
        .canary_limit = s->canary_limit ? strtod(s->canary_limit, NULL) : 0,
        .pause_query = s->pause_query,
        .pause_file = s->pause_file,
        .pause_url = s->pause_url,
    };
    if (s->max_checkpoints) /* likewise */
        ph_guard_often(s->max_checkpoints, &guards->max_checkpoints, &guards->checkpoints_s, NULL);
    *opts = (struct ph_job_opts){
        .guards = guards,
        .source = cli->source,
        .target = cli->target,
        .spec = spec,
        .join = s->join,
        .again = s->again,
        .index_memory = s->index_memory,
        .memory = s->memory,
        .keep_snapshot_s = s->keep_snapshot_s,
        .max_outage_s = s->max_outage_s,
        .climbs = s->jobs == PH_JOBS_AUTO,
        .source_jobs = s->source_jobs,
        .target_jobs = s->target_jobs,
        .rates = {.source_bytes = lower(s->max_rate, s->source_max_rate),
                  .source_rows = lower(s->max_rows, s->source_max_rows),
                  .target_bytes = lower(s->max_rate, s->target_max_rate),
                  .target_rows = lower(s->max_rows, s->target_max_rows)},
        .timetable = timetable,
        .spill = {.when = (enum ph_spill_when)s->spill,
                  .dir = s->spill_dir,
                  .state_dir = s->state_dir,
                  .state_base = ph_cli_state_base(cli),
                  .cap = s->spill_size,
                  .keep = s->keep_spill,
                  .io = s->io,
                  .compress = (enum ph_compress)s->compress},
        .max_rejects = s->max_rejects,
        .create = {.pg_bin = s->pg_bin,
                   .no_owner = s->no_owner,
                   .no_privileges = s->no_privileges,
                   .no_comments = s->no_comments,
                   .no_analyze = s->no_analyze,
                   .vacuum = s->vacuum,
                   .refresh = s->refresh_matviews},
        .forget_spill = s->forget_spill,
        .archive_dir = cli->target_archive ? cli->target_archive : cli->source_archive,
        .log = cli->log,
        .interrupt = cli->interrupt,
    };
    /* an archive is kept, so its size counts whatever the medium */
    if (cli->target_archive && s->compress == PH_COMPRESS_PAYS)
        opts->spill.compress = PH_COMPRESS_ALWAYS;
}

void ph_cli_clean_spill(const struct ph_cli *cli, const char *job, const char *tag)
{
    struct ph_spill spill;
    const struct ph_spill_opts opts = {.when = PH_SPILL_NEVER,
                                       .state_dir = cli->settings->state_dir,
                                       .dir = cli->settings->spill_dir,
                                       .state_base = ph_cli_state_base(cli)};
    struct ph_err ignored;
    ph_verify_clean(&opts, job);
    if (*tag && ph_spill_init(&spill, &opts, "", job, tag, "", cli->log, &ignored)) {
        ph_spill_end(&spill);
        ph_spill_fini(&spill);
    }
}

bool ph_cli_job(struct ph_cli *cli, struct ph_job_spec *spec, struct ph_job_opts *opts,
                struct ph_err *err)
{
    if (cli->source_archive && cli->target_archive)
        return ph_err_set(err, PH_WRONG, "source and target are both archives");
    if (cli->source_archive && !ph_cli_read_archive(cli, cli->source_archive, &cli->archive, err))
        return false;
    if (!ph_settings_spec(cli->settings, spec, cli->archive != NULL, err))
        return false;
    spec->route = cli->target_archive   ? PH_ROUTE_EXTRACT
                  : cli->source_archive ? PH_ROUTE_LOAD
                                        : PH_ROUTE_COPY;
    spec->archive = cli->archive;
    spec->archive_shown = cli->target_archive   ? cli->settings->target
                          : cli->source_archive ? cli->settings->source
                                                : NULL;
    fill_opts(cli, spec, opts);
    return true;
}

static void add_quoted(struct ph_buf *out, const char *arg)
{
    if (*arg && strspn(arg, letters_safe_in_shells) == strlen(arg)) {
        ph_buf_add(out, arg);
        return;
    }
    ph_buf_addc(out, '\'');
    for (; *arg; arg++)
        ph_buf_add(out, *arg == '\'' ? "'\\''" : (const char[]){*arg, '\0'});
    ph_buf_addc(out, '\'');
}

void ph_cli_same_command(const struct ph_cli *cli, struct ph_buf *out)
{
    ph_buf_add(out, "pghaul");
    for (int i = 1; i < cli->argc; i++) {
        const char *arg = cli->argv[i];
        if (!strcmp(arg, "--again"))
            continue;
        ph_buf_addc(out, ' ');
        size_t stars = strlen(arg) - strspn(arg, "*");
        const char *value = strrchr(arg, '=');
        if (*arg && stars == 0)
            ph_buf_add(out, "DSN"); /* overwritten: it held a password */
        else if (value && value[1] && strspn(value + 1, "*") == strlen(value + 1))
            ph_buf_addf(out, "%.*sDSN", (int)(value + 1 - arg), arg);
        else
            add_quoted(out, arg);
    }
}

bool ph_cli_print(const char *text, size_t n, struct ph_err *err)
{
    if (ph_term_write(STDOUT_FILENO, text, n))
        return true;
    return ph_err_set(err, PH_FAILED, "cannot write to standard output: %s", strerror(errno));
}

json_t *ph_json_text(const char *text)
{
    if (!text)
        return json_null();
    json_t *json = json_string(text);
    if (json)
        return json;
    struct ph_buf safe = {0}; /* bytes of another encoding */
    for (size_t n; *text; text += n ? n : 1) {
        n = ph_text_char(text, strlen(text));
        if (n)
            ph_buf_addn(&safe, text, n);
        else
            ph_buf_add(&safe, "\xef\xbf\xbd");
    }
    json = json_string(ph_buf_text(&safe));
    ph_buf_fini(&safe);
    return json;
}

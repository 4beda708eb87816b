#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/names.h"

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
    if (cli->line->command->bit == PH_CMD_PLAN && !strcmp(side, "target"))
        return true;
    return ph_err_set(err, PH_WRONG, "%s does not take an archive for the %s",
                      cli->line->command->name, side);
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

void ph_cli_job_opts(const struct ph_cli *cli, const struct ph_job_spec *spec,
                     struct ph_job_opts *opts)
{
    const struct ph_settings *s = cli->settings;
    *opts = (struct ph_job_opts){.source = cli->source,
                                 .target = cli->target,
                                 .spec = spec,
                                 .join = s->join,
                                 .again = s->again,
                                 .memory = s->memory,
                                 .keep_snapshot_s = s->keep_snapshot_s,
                                 .max_outage_s = s->max_outage_s,
                                 .log = cli->log,
                                 .interrupt = cli->interrupt};
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

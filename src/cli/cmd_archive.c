/* pghaul archive: ls, verify and cat of an archive directory; no database is needed. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/near.h"
#include "cli/render.h"
#include "haul/archive_cat.h"
#include "plan/pattern.h"
#include "plan/quote.h"

/* What the three share. */
struct opened {
    struct ph_dir dir;
    struct ph_archive *archive;
};

/* ls */

static bool list(struct ph_cli *cli, struct opened *o, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    int files = o->archive->n_shards;
    if (!o->archive->sealed_at &&
        !ph_archive_survey(o->archive, &o->dir, s->io, &cli->settings->arena, &files, err))
        return false;
    if (s->json)
        cli->json = ph_render_archive_json(o->archive, o->dir.shown, files, s->verbose > 0);
    else
        ph_render_archive(&cli->out, o->archive, o->dir.shown, files, s->verbose > 0);
    return true;
}

/* verify */

static void warn_of_strays(struct ph_cli *cli, const struct ph_archive_check *check)
{
    enum { SHOWN = 3 };
    for (int i = 0; i < check->n_strays && i < SHOWN; i++)
        ph_log(cli->log, PH_LOG_WARN,
               "%s is not named by the manifest, and so no part of the archive", check->stray[i]);
    if (check->n_strays > SHOWN)
        ph_log(cli->log, PH_LOG_WARN, "nor are %d more files", check->n_strays - SHOWN);
}

static bool verify(struct ph_cli *cli, struct opened *o, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    struct ph_archive_check check;
    if (!ph_cli_need_sealed(o->archive, &o->dir, err))
        return false;
    bool ok = ph_archive_check(&check,
                               &(struct ph_archive_check_opts){.dir = &o->dir,
                                                               .archive = o->archive,
                                                               .jobs = s->jobs > 0 ? s->jobs : 0,
                                                               .io = s->io,
                                                               .log = cli->log,
                                                               .interrupt = cli->interrupt},
                               &cli->settings->arena, err);
    if (!ok && err->code != PH_INTERRUPTED)
        return false;
    if (s->json)
        cli->json = ph_render_check_json(&check, o->archive, o->dir.shown, !ok);
    else
        ph_render_check(&cli->out, &check, o->dir.shown, s->quiet);
    warn_of_strays(cli, &check);
    if (!ok || check.damaged == 0)
        return ok;
    ph_err_set(err, PH_DAMAGED, "%llu of %llu files of the archive in %s %s damaged",
               (unsigned long long)check.damaged, (unsigned long long)check.files, o->dir.shown,
               check.damaged == 1 ? "is" : "are");
    return ph_err_hint(err, "restore them from a copy, or extract again into another directory");
}

/* cat */

static const char *shown(struct ph_cli *cli, const struct ph_archive_table *table, bool schema)
{
    return ph_quote_name(&cli->settings->arena, schema ? table->schema : NULL, table->name);
}

static bool has_no(struct ph_cli *cli, const struct opened *o, const char *text, bool schema,
                   struct ph_err *err)
{
    const struct ph_archive *a = o->archive;
    const char **known =
        ph_arena_calloc(&cli->settings->arena, (size_t)a->n_tables + 1, sizeof *known);
    for (int i = 0; i < a->n_tables; i++)
        known[i] = shown(cli, &a->tables[i], schema);
    const char *near = ph_near(text, known, (size_t)a->n_tables);
    ph_err_set(err, PH_WRONG, "the archive in %s has no table %s", o->dir.shown, text);
    if (near)
        return ph_err_hint(err, "did you mean %s?", near);
    return ph_err_hint(err, "pghaul archive ls %s lists its tables", o->dir.shown);
}

static bool is_ambiguous(struct ph_cli *cli, const struct ph_archive_table *a,
                         const struct ph_archive_table *b, struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "the archive has more than one table %s", shown(cli, a, false));
    return ph_err_hint(err, "name its schema too: %s or %s", shown(cli, a, true),
                       shown(cli, b, true));
}

static bool find_table(struct ph_cli *cli, const struct opened *o, const char *text,
                       const struct ph_archive_table **found, struct ph_err *err)
{
    struct ph_pattern pattern;
    if (!ph_pattern_parse(&pattern, &cli->settings->arena, text, err))
        return false;
    if (pattern.name.is_wild || pattern.schema.is_wild) {
        ph_err_set(err, PH_WRONG, "%s is a pattern, and cat writes one table", text);
        return ph_err_hint(err, "a * or ? that belongs to the name stands in double quotes");
    }
    *found = NULL;
    for (int i = 0; i < o->archive->n_tables; i++) {
        const struct ph_archive_table *table = &o->archive->tables[i];
        if (!ph_pattern_matches(&pattern.schema, table->schema) ||
            !ph_pattern_matches(&pattern.name, table->name))
            continue;
        if (*found)
            return is_ambiguous(cli, *found, table, err);
        *found = table;
    }
    return *found || has_no(cli, o, text, pattern.schema.text != NULL, err);
}

struct output {
    struct ph_interrupt *interrupt;
    bool may_wait; /* a pipe or a terminal, whose reader may be slow */
};

/* A reader that does not read must not keep us from being interrupted. A pipe that poll() calls writable takes PIPE_BUF
 * bytes without waiting. */
static bool await_reader(const struct output *output, struct ph_err *err)
{
    struct pollfd fds[] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                           {.fd = ph_interrupt_fd(output->interrupt, 1), .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return !ph_interrupt_at(output->interrupt, 1) || ph_err_set(err, PH_INTERRUPTED, "interrupted");
}

static bool put(void *arg, const char *data, size_t len, struct ph_err *err)
{
    const struct output *output = arg;
    while (len > 0) {
        if (output->may_wait && !await_reader(output, err))
            return false;
        size_t n = output->may_wait && len > PIPE_BUF ? PIPE_BUF : len;
        if (!ph_cli_print(data, n, err))
            return false;
        data += n;
        len -= n;
    }
    return true;
}

static bool cat(struct ph_cli *cli, struct opened *o, struct ph_err *err)
{
    const struct ph_settings *s = cli->settings;
    const struct ph_archive_table *table = NULL;
    struct output output = {.interrupt = cli->interrupt};
    struct stat st;
    if (!ph_cli_need_sealed(o->archive, &o->dir, err) ||
        !find_table(cli, o, s->operands.item[2], &table, err))
        return false;
    if (s->cat_format == PH_CAT_BINARY && isatty(STDOUT_FILENO)) {
        ph_err_set(err, PH_WRONG, "binary rows are not written to a terminal");
        return ph_err_hint(err, "--format text or csv can be read; > FILE and | take any");
    }
    output.may_wait = fstat(STDOUT_FILENO, &st) == 0 && !S_ISREG(st.st_mode);
    return ph_archive_cat(&(struct ph_archive_cat_opts){.dir = &o->dir,
                                                        .archive = o->archive,
                                                        .table = table,
                                                        .as = (enum ph_cat_as)s->cat_format,
                                                        .io = s->io,
                                                        .log = cli->log,
                                                        .interrupt = cli->interrupt,
                                                        .put = put,
                                                        .arg = &output},
                          err);
}

bool ph_cmd_archive(struct ph_cli *cli, struct ph_err *err)
{
    const char *verb = cli->settings->operands.item[0], *path = cli->settings->operands.item[1];
    const char *dir = ph_cli_archive(path) ? ph_cli_archive(path) : path;
    struct opened o;
    if (!ph_cli_open_archive(cli, dir, &o.dir, &o.archive, err))
        return false;
    bool ok = !strcmp(verb, "ls")       ? list(cli, &o, err)
              : !strcmp(verb, "verify") ? verify(cli, &o, err)
                                        : cat(cli, &o, err);
    ph_dir_close(&o.dir);
    return ok;
}

#include "pg/dump.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pg/internal.h"
#include "pg/program.h"

static const char *const plain_words[] = {"LC_ALL=C", NULL};

/* Finding them. */

/* "pg_dump (PostgreSQL) 15.18 (Debian ...)", "... 18devel" */
static int read_version(struct ph_arena *arena, const char *text, const char **shown)
{
    const char *at = strstr(text, "(PostgreSQL) ");
    if (!at)
        return 0;
    at += strlen("(PostgreSQL) ");
    *shown = ph_arena_printf(arena, "%.*s", (int)strcspn(at, " \n"), at);
    return (int)strtol(at, NULL, 10);
}

/* Takes the pair in a directory if it is newer than what we have. */
static bool try_directory(struct ph_tools *out, struct ph_arena *arena, const char *dir,
                          struct ph_err *err)
{
    const char *pg_dump = ph_arena_printf(arena, "%s/pg_dump", dir);
    const char *pg_restore = ph_arena_printf(arena, "%s/pg_restore", dir), *shown = "";
    if (access(pg_dump, X_OK) != 0 || access(pg_restore, X_OK) != 0)
        return true;
    struct ph_buf text = {0};
    const char *argv[] = {"pg_dump", "--version", NULL};
    struct ph_program program = {
        .path = pg_dump, .argv = argv, .env = plain_words, .interrupt = out->interrupt};
    bool ok = ph_program_run(&program, &text, err);
    int major = ok ? read_version(arena, ph_buf_text(&text), &shown) : 0;
    ph_buf_fini(&text);
    if (major > out->major) {
        out->major = major;
        out->pg_dump = pg_dump;
        out->pg_restore = pg_restore;
        out->shown = shown;
    }
    return ok || err->code != PH_INTERRUPTED; /* one that does not run is none */
}

static bool try_debian(struct ph_tools *out, struct ph_arena *arena, struct ph_err *err)
{
    glob_t found = {0};
    bool ok = true;
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0)
        for (size_t i = 0; ok && i < found.gl_pathc; i++)
            ok = try_directory(out, arena, found.gl_pathv[i], err);
    globfree(&found);
    return ok;
}

static bool try_path(struct ph_tools *out, struct ph_arena *arena, struct ph_err *err)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t n = strcspn(at, ":");
        if (n > 0 && !try_directory(out, arena, ph_arena_printf(arena, "%.*s", (int)n, at), err))
            return false;
        at += n + (at[n] == ':');
    }
    return true;
}

bool ph_tools_find(struct ph_tools *out, struct ph_arena *arena, const char *dir, int need,
                   const char *side, struct ph_interrupt *interrupt, struct ph_err *err)
{
    *out = (struct ph_tools){.interrupt = interrupt};
    /* Debian's first: what it has on the PATH is a wrapper around the same */
    bool ok =
        dir ? try_directory(out, arena, dir, err)
            : try_debian(out, arena, err) && (out->major >= need || try_path(out, arena, err));
    if (!ok || out->major >= need)
        return ok;
    if (out->major)
        ph_err_set(err, PH_WRONG, "pg_dump is of version %s, and the %s is of %d", out->shown, side,
                   need);
    else if (dir)
        ph_err_set(err, PH_WRONG, "there are no pg_dump and pg_restore in %s", dir);
    else
        ph_err_set(err, PH_WRONG, "pg_dump and pg_restore are not on this host");
    return ph_err_hint(err,
                       "--create needs those of the newer server: install postgresql-client-%d, or"
                       " say where they are by --pg-bin DIR",
                       need);
}

/* Running them. */

static void add_option(struct ph_buf *text, const char *keyword, const char *value)
{
    ph_buf_addf(text, "%s%s='", text->len ? " " : "", keyword);
    for (const char *p = value; *p; p++) {
        if (*p == '\'' || *p == '\\')
            ph_buf_addc(text, '\\');
        ph_buf_addc(text, *p);
    }
    ph_buf_addc(text, '\'');
}

/* Everybody can read a program's arguments: what is secret goes by the environment, and what has no variable there
 * (sslpassword) by a service file that only the program sees. */
static void split_dsn(const struct ph_dsn *dsn, struct ph_buf *conninfo, struct ph_buf *secret,
                      struct ph_buf *service)
{
    bool has_service = ph_dsn_get(dsn, "service") != NULL;
    for (const PQconninfoOption *o = dsn->given; o && o->keyword; o++) {
        if (!o->val || !*o->val)
            continue;
        if (!strcmp(o->keyword, "password"))
            ph_buf_addf(secret, "PGPASSWORD=%s", o->val);
        else if (*o->dispchar != '*')
            add_option(conninfo, o->keyword, o->val);
        else if (!has_service)
            ph_buf_addf(service, "%s%s=%s\n", service->len ? "" : "[pghaul]\n", o->keyword, o->val);
    }
    if (service->len)
        add_option(conninfo, "service", "pghaul");
    if (!conninfo->len) /* libpq's defaults; an empty text would be the name of a database */
        add_option(conninfo, "fallback_application_name", "pghaul");
}

static void forget(struct ph_buf *secret)
{
    if (secret->data)
        explicit_bzero(secret->data, secret->len);
    ph_buf_fini(secret);
}

bool ph_dump_schema(const struct ph_tools *tools, const struct ph_dsn *dsn, const char *encoding,
                    const char *const *select, int n, struct ph_buf *dump, struct ph_err *err)
{
    struct ph_buf conninfo = {0}, secret = {0}, service = {0}, file = {0};
    const char **argv = calloc((size_t)n + 10, sizeof *argv);
    if (!argv)
        return ph_err_nomem(err);
    split_dsn(dsn, &conninfo, &secret, &service);
    ph_buf_addf(&file, "PGSERVICEFILE=%s", ph_program_file(0));
    int at = 0;
    argv[at++] = "pg_dump";
    argv[at++] = "--schema-only";
    argv[at++] = "--format=custom";
    argv[at++] = "--no-password";
    argv[at++] = "--lock-wait-timeout=30s";
    argv[at++] = "--encoding";
    argv[at++] = encoding;
    for (int i = 0; i < n; i++)
        argv[at++] = select[i];
    argv[at++] = "-d";
    argv[at++] = ph_buf_text(&conninfo);
    const char *env[6] = {"LC_ALL=C", "PGOPTIONS=-c standard_conforming_strings=on",
                          "PGAPPNAME=pghaul/create/pg_dump"};
    int more = 3;
    if (secret.len)
        env[more++] = secret.data;
    if (service.len)
        env[more++] = file.data;
    struct ph_program program = {.path = tools->pg_dump,
                                 .argv = argv,
                                 .env = env,
                                 .files = {service.len ? &service : NULL},
                                 .interrupt = tools->interrupt};
    bool ok = ph_program_run(&program, dump, err);
    ph_buf_fini(&conninfo);
    ph_buf_fini(&file);
    forget(&secret);
    forget(&service);
    free(argv);
    if (!ok && !*err->hint && err->code != PH_INTERRUPTED)
        ph_err_hint(err,
                    "pg_dump has to be let in as this program is, to read all that is to be "
                    "made (a member of pg_read_all_data may), and to get its locks within 30 s");
    return ok;
}

static bool restore(const struct ph_tools *tools, const struct ph_buf *dump,
                    const struct ph_dump_without *without, const char *const *what,
                    const struct ph_buf *list, struct ph_buf *out, struct ph_err *err)
{
    const char *argv[12];
    int at = 0;
    argv[at++] = "pg_restore";
    if (without->owner)
        argv[at++] = "--no-owner";
    if (without->privileges)
        argv[at++] = "--no-privileges";
    if (without->comments)
        argv[at++] = "--no-comments";
    for (int i = 0; what[i]; i++)
        argv[at++] = what[i];
    argv[at++] = ph_program_file(0);
    argv[at] = NULL;
    struct ph_program program = {.path = tools->pg_restore,
                                 .argv = argv,
                                 .env = plain_words,
                                 .files = {dump, list},
                                 .interrupt = tools->interrupt};
    return ph_program_run(&program, out, err);
}

bool ph_dump_list(const struct ph_tools *tools, const struct ph_buf *dump,
                  const struct ph_dump_without *without, const char *section, struct ph_buf *list,
                  struct ph_err *err)
{
    const char *const what[] = {"-l", "--section", section, NULL};
    return restore(tools, dump, without, what, NULL, list, err);
}

/* Takes a line out wherever it stands alone. */
static void strip_line(struct ph_buf *sql, const char *line)
{
    size_t n = strlen(line);
    char *at = sql->data;
    while (at && (at = strstr(at, line)) != NULL) {
        bool alone = (at == sql->data || at[-1] == '\n') && (at[n] == '\n' || !at[n]);
        if (alone) {
            memmove(at, at + n, sql->len - (size_t)(at - sql->data) - n + 1);
            sql->len -= n;
        } else {
            at += n;
        }
    }
}

/* Newer ones begin and end a script with words for psql; the key is made by dice, so nothing of the
 * schema's is taken for them. */
static void strip_restrict(struct ph_buf *sql, const char *body)
{
    char begin[160], end[160];
    const char *at = strstr(sql->data, "\n\\restrict ");
    if (!at || at > body)
        return;
    int n = (int)strcspn(at + 1, "\n");
    snprintf(begin, sizeof begin, "%.*s", n, at + 1);
    snprintf(end, sizeof end, "\\un%.*s", n - 1, at + 2);
    strip_line(sql, begin);
    strip_line(sql, end);
}

/* The head that sets a session up has a known last line. Behind it already stands what the first entry needs: its
 * tablespace, its access method. */
static const char *end_of_head(const char *sql, const char *body)
{
    static const char last[] = "\nSET row_security = ";
    const char *at = strstr(sql, last);
    at = at && at < body ? strchr(at + 1, '\n') : NULL;
    return at && at < body ? at : body;
}

bool ph_dump_script(const struct ph_tools *tools, const struct ph_buf *dump,
                    const struct ph_dump_without *without, const char *list, struct ph_buf *sql,
                    struct ph_err *err)
{
    static const char first_entry[] = "\n--\n-- Name: ";
    const struct ph_buf lines = {.data = (char *)list, .len = strlen(list)};
    const char *const what[] = {"-L", ph_program_file(1), "-f", "-", NULL};
    if (!restore(tools, dump, without, what, &lines, sql, err))
        return false;
    const char *body = sql->data ? strstr(sql->data, first_entry) : NULL;
    if (!body) { /* nothing but a head */
        ph_buf_clear(sql);
        return true;
    }
    strip_restrict(sql, body);
    body = end_of_head(sql->data, strstr(sql->data, first_entry));
    sql->len -= (size_t)(body - sql->data);
    memmove(sql->data, body, sql->len + 1);
    return true;
}

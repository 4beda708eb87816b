#include "cli/opts.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "cli/names.h"

/* Commands that the contract names and that come with later releases. */
static const char *const later_commands[] = {"stage",   "mirror",  "cutover",
                                             "backout", "runbook", "sync"};

enum { OPERANDS_MAX = 16 };

struct parser {
    struct ph_settings *s;
    struct ph_command_line *line;
    int argc;
    char **argv;
    int at; /* the argument in hand */
    bool given[PH_OPTIONS_MAX];
    const char *operand[OPERANDS_MAX];
    int n_operands;
};

/* Whether an argument is, by its looks, an option that we know: then it is hardly meant as another
 * one's value. */
static bool is_known_option(const char *arg)
{
    char name[64];
    if (arg[0] != '-' || !arg[1])
        return false;
    if (arg[1] != '-')
        return !arg[2] && ph_option_find_letter(arg[1]);
    size_t len = strcspn(arg + 2, "=");
    if (len >= sizeof name)
        return false;
    memcpy(name, arg + 2, len);
    name[len] = '\0';
    return ph_option_find(name) != NULL;
}

/* What an option means that stands without a value: another one, for some commands. */
static const struct ph_option *bare(const struct parser *p, const struct ph_option *o)
{
    const char *next = p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL;
    const struct ph_command *command = p->n_operands ? ph_command_find(p->operand[0]) : NULL;
    bool alone = !next || next[0] == '-';
    return o->bare && alone && command && command->bit & o->bare_for ? ph_option_find(o->bare) : o;
}

/* Takes over option o, shown to the user as `shown`; value is what stuck to it, or NULL. */
static bool take(struct parser *p, const struct ph_option *o, const char *shown, char *value,
                 struct ph_err *err)
{
    p->given[o - ph_options] = true;
    if (!o->arg) {
        if (value) {
            ph_err_set(err, PH_WRONG, "option %s takes no value", shown);
            return false;
        }
        if (!ph_option_set(p->s, o, o->type == PH_OPT_COUNT ? "1" : "yes", PH_FROM_ARGUMENTS, err))
            return ph_err_prefix(err, "option %s", shown);
        return true;
    }
    if (!value) {
        char *next = p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL;
        if (!next || is_known_option(next)) {
            ph_err_set(err, PH_WRONG, "option %s needs a value: %s", shown, o->arg);
            if (next && !(o->flags & PH_OPT_SECRET))
                ph_err_hint(err, "if \"%.40s\" is the value, write --%s=%.40s", next, o->name,
                            next);
            return false;
        }
        value = next;
        p->at++;
    }
    if ((o->flags & PH_OPT_SECRET) && p->line->n_secrets < 16)
        p->line->secrets[p->line->n_secrets++] = (struct ph_secret){o, value};
    if (!ph_option_set(p->s, o, value, PH_FROM_ARGUMENTS, err))
        return ph_err_prefix(err, "option %s", shown);
    return true;
}

static bool take_long(struct parser *p, char *arg, struct ph_err *err)
{
    char *eq = strchr(arg, '=');
    const char *name =
        ph_arena_printf(&p->s->arena, "%.*s", eq ? (int)(eq - arg - 2) : 80, arg + 2);
    const struct ph_option *o = strchr(name, '_') ? NULL : ph_option_find(name);
    if (!o) {
        ph_err_set(err, PH_WRONG, "unknown option --%s", name);
        return ph_opts_hint_near(err, name, PH_CMD_ALL, false, "try pghaul --help");
    }
    const char *shown = ph_arena_printf(&p->s->arena, "--%s", o->name);
    return take(p, eq ? o : bare(p, o), shown, eq ? eq + 1 : NULL, err);
}

static bool take_letters(struct parser *p, char *letters, struct ph_err *err)
{
    const char *word = ph_arena_printf(&p->s->arena, "%.*s", (int)strcspn(letters, "="), letters);
    if (strlen(word) > 2 && ph_option_find(word)) {
        ph_err_set(err, PH_WRONG, "unknown option -%s", word);
        return ph_err_hint(err, "did you mean --%s?", word);
    }
    for (char *c = letters; *c; c++) {
        const struct ph_option *o = ph_option_find_letter(*c);
        if (!o) {
            size_t n = ph_text_char(c, strlen(c));
            ph_err_set(err, PH_WRONG, "unknown option -%.*s", n ? (int)n : 1, n ? c : "?");
            return ph_opts_hint_near(err, letters, PH_CMD_ALL, false, "try pghaul --help");
        }
        char shown[3] = {'-', *c, '\0'};
        bool sticks = o->arg && c[1];
        if (!take(p, o, shown, sticks ? c + 1 : NULL, err))
            return false;
        if (o->arg)
            break;
    }
    return true;
}

static bool too_many(struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "too many arguments");
    return ph_err_hint(err, "tables are named with -t, connection strings with -s and -d");
}

static bool take_operand(struct parser *p, const char *arg, struct ph_err *err)
{
    if (p->n_operands == OPERANDS_MAX)
        return too_many(err);
    p->operand[p->n_operands++] = arg;
    return true;
}

static bool hint_commands(struct ph_err *err, const char *words)
{
    struct ph_buf list = {0};
    for (size_t i = 0; i < ph_n_commands; i++)
        ph_buf_addf(&list, "%s%s",
                    i == 0                  ? ""
                    : i + 1 < ph_n_commands ? ", "
                                            : " and ",
                    ph_commands[i].name);
    ph_err_hint(err, "%s%s; see pghaul --help", words, ph_buf_text(&list));
    ph_buf_fini(&list);
    return false;
}

static bool find_command(struct parser *p, struct ph_err *err)
{
    const char *name = p->operand[0];
    p->line->command = ph_command_find(name);
    if (p->line->command)
        return true;
    const char *known[16] = {"help"};
    for (size_t i = 0; i < ph_n_commands; i++)
        known[i + 1] = ph_commands[i].name;
    for (size_t i = 0; i < sizeof later_commands / sizeof *later_commands; i++)
        if (!strcmp(later_commands[i], name)) {
            ph_err_set(err, PH_WRONG, "%s is not in this release", name);
            return hint_commands(err, "this one has ");
        }
    bool is_dsn = strchr(name, '=') || strstr(name, "://");
    ph_err_set(err, PH_WRONG, is_dsn ? "no command is given" : "unknown command \"%.40s\"", name);
    const char *near = is_dsn ? NULL : ph_near(name, known, ph_n_commands + 1);
    if (near)
        return ph_err_hint(err, "did you mean %s?", near);
    return hint_commands(err, "commands are ");
}

/* Options that the command does not take are refused, and where they belong is said. */
static bool check_options(const struct parser *p, struct ph_err *err)
{
    const struct ph_command *command = p->line->command;
    for (size_t i = 0; i < ph_n_options; i++) {
        const struct ph_option *o = &ph_options[i];
        if (!p->given[i] || ph_option_is_taken(o, command->bit))
            continue;
        struct ph_buf who = {0};
        for (size_t c = 0; c < ph_n_commands; c++)
            if (o->commands & ph_commands[c].bit)
                ph_buf_addf(&who, "%s%s", who.len ? ", " : "", ph_commands[c].name);
        ph_err_set(err, PH_WRONG, "%s does not take option --%s", command->name, o->name);
        ph_err_hint(err, "--%s is for %s; see pghaul %s --help", o->name, ph_buf_text(&who),
                    command->name);
        ph_buf_fini(&who);
        return false;
    }
    return true;
}

static bool take_operands(struct parser *p, struct ph_err *err)
{
    if (p->n_operands == 0)
        return true;
    if (!strcmp(p->operand[0], "help")) {
        p->s->help = true;
        p->line->help_topic = p->operand[1];
        p->operand[0] = p->operand[1];
        return p->n_operands == 1 || find_command(p, err);
    }
    if (!find_command(p, err))
        return false;
    if (p->s->help || p->s->version || p->s->generate)
        return true;
    if (!check_options(p, err))
        return false;
    if (p->line->command->bit & (PH_CMD_ARCHIVE | PH_CMD_CONTROL)) {
        for (int i = 1; i < p->n_operands; i++)
            ph_words_add(&p->s->arena, &p->s->operands, p->operand[i]);
        return true;
    }
    if (p->n_operands > 2)
        return too_many(err);
    if (p->n_operands == 2 &&
        !ph_option_set(p->s, ph_option_find("job"), p->operand[1], PH_FROM_ARGUMENTS, err))
        return ph_err_prefix(err, "argument after %s", p->operand[0]);
    return true;
}

static bool wants_json(int argc, char **argv)
{
    bool flag = false;
    const char *variable = getenv("PGHAUL_JSON");
    if (variable && ph_flag_read(variable, &flag, NULL) && flag)
        return true;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--json"))
            return true;
    return false;
}

bool ph_opts_parse(struct ph_settings *s, struct ph_command_line *line, int argc, char **argv,
                   struct ph_err *err)
{
    *line = (struct ph_command_line){.wants_json = wants_json(argc, argv)};
    struct parser p = {.s = s, .line = line, .argc = argc, .argv = argv};
    bool only_operands = false;
    for (p.at = 1; p.at < argc; p.at++) {
        char *arg = argv[p.at];
        bool ok;
        if (only_operands || arg[0] != '-' || !arg[1])
            ok = take_operand(&p, arg, err);
        else if (!strcmp(arg, "--"))
            ok = only_operands = true;
        else if (arg[1] == '-')
            ok = take_long(&p, arg, err);
        else
            ok = take_letters(&p, arg + 1, err);
        if (!ok)
            return false;
    }
    return take_operands(&p, err);
}

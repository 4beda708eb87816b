/* The man page and the bash completion. */
#include "cli/help.h"

#include <string.h>

/* roff
 * -----------------------------------------------------------------------------------------------------------
 */

/* Text with what roff would read as a request or an escape made harmless. */
static void roff(struct ph_buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        ph_buf_add(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            ph_buf_add(out, "\\e");
        else if (*text == '-')
            ph_buf_add(out, "\\-");
        else if (*text == '\'')
            ph_buf_add(out, "\\(aq");
        else
            ph_buf_addc(out, *text);
    }
}

static void man_option(struct ph_buf *out, const struct ph_option *o)
{
    char variable[64];
    ph_buf_add(out, ".TP\n");
    if (o->letter)
        ph_buf_addf(out, "\\fB\\-%c\\fR, ", o->letter);
    ph_buf_add(out, "\\fB\\-\\-");
    roff(out, o->name);
    ph_buf_add(out, "\\fR");
    if (o->arg) {
        ph_buf_add(out, " \\fI");
        roff(out, o->arg);
        ph_buf_add(out, "\\fR");
    }
    ph_buf_addc(out, '\n');
    roff(out, o->help);
    ph_buf_add(out, ".\n");
    if (!(o->flags & PH_OPT_NOT_ENV))
        ph_buf_addf(out, "Environment: %s.", ph_option_variable(o, variable));
    if (o->commands != PH_CMD_ALL) {
        const char *joint = " For ";
        for (size_t i = 0; i < ph_n_commands; i++) {
            if (!(o->commands & ph_commands[i].bit))
                continue;
            ph_buf_addf(out, "%s%s", joint, ph_commands[i].name);
            joint = ", ";
        }
        ph_buf_addc(out, '.');
    }
    ph_buf_addc(out, '\n');
}

static void man_commands(struct ph_buf *out)
{
    ph_buf_add(out, ".SH COMMANDS\n");
    for (size_t i = 0; i < ph_n_commands; i++) {
        ph_buf_addf(out, ".TP\n\\fB%s\\fR [\\fIOPTION\\fR]... \\fI%s\\fR\n", ph_commands[i].name,
                    ph_commands[i].operands);
        roff(out, ph_commands[i].about);
        ph_buf_addc(out, '\n');
    }
    ph_buf_add(out, ".TP\n\\fBhelp\\fR [\\fICOMMAND\\fR]\nThe options of a command.\n");
}

static void man_options(struct ph_buf *out)
{
    ph_buf_add(out,
               ".SH OPTIONS\nThe command line wins over the environment, the environment over the "
               "job file. Sizes are written 64MiB, 64MB or 200k, times 10s, 5m or 1h.\n");
    for (int section = 0; section < PH_N_SECTIONS; section++) {
        ph_buf_addf(out, ".SS %s\n", ph_section_titles[section]);
        for (size_t i = 0; i < ph_n_options; i++)
            if ((int)ph_options[i].section == section && !(ph_options[i].flags & PH_OPT_HIDDEN))
                man_option(out, &ph_options[i]);
    }
}

static const char man_job_file[] = ".SH JOB FILE\n"
                                   "YAML: a map of options by their long names. Repeatable ones "
                                   "take a list. Tables can say more:\n"
                                   ".PP\n.nf\n.RS 4\n"
                                   "source: service=old\n"
                                   "target: service=new\n"
                                   "mode: upsert\n"
                                   "tables:\n"
                                   "  \\- public.orders\n"
                                   "  \\- table: public.users\n"
                                   "    target: crm.people\n"
                                   "    filter: not deleted\n"
                                   "    columns:\n"
                                   "      email_norm: lower(trim(email))\n"
                                   "    key: [id]\n"
                                   "    split: key\n"
                                   ".RE\n.fi\n.PP\n"
                                   "A list of \\fBcolumns\\fR moves these only; a map gives the "
                                   "columns it names an expression over the "
                                   "source's columns, and the others stay. \\fBpghaul plan "
                                   "\\-\\-write\\-file\\fR prints a job as such a file.\n";

static const char man_queries[] =
    ".SH QUERIES FILE\n"
    "What \\fB\\-\\-queries\\fR reads, YAML: a query has a name and \\fBsql\\fR for both sides, or "
    "\\fBsource\\fR and \\fBtarget\\fR. Answers are equal, or numbers within the tolerance.\n"
    ".PP\n.nf\n.RS 4\n"
    "queries:\n"
    "  \\- name: orders by day\n"
    "    sql: select day, count(*) from orders group by day order by day\n"
    "  \\- name: revenue\n"
    "    source: select sum(amount) from orders\n"
    "    target: select sum(total) from sales\n"
    "    tolerance: 0.1%\n"
    ".RE\n.fi\n";

static const char man_end[] =
    ".SH EXIT STATUS\n"
    ".TP\n\\fB0\\fR\ndone, or nothing left to do\n"
    ".TP\n\\fB1\\fR\nfailed; the job can go on\n"
    ".TP\n\\fB2\\fR\nthe command, the job file or the environment is wrong; nothing was changed\n"
    ".TP\n\\fB3\\fR\nverify: differences were found\n"
    ".TP\n\\fB4\\fR\nthe job is held by another live run\n"
    ".TP\n\\fB5\\fR\nthe ledger is of another definition or a newer version\n"
    ".TP\n\\fB130\\fR\ninterrupted; the job can go on\n"
    ".SH NOTES\n"
    "Passwords are taken the ways of libpq: service files, \\fI~/.pgpass\\fR, \\fBPGPASSWORD\\fR. "
    "One on the command "
    "line is overwritten as soon as it was read, yet others may have seen it.\n"
    ".SH SEE ALSO\n\\fBpsql\\fR(1), \\fBpg_dump\\fR(1)\n";

void ph_help_man(struct ph_buf *out)
{
    ph_buf_addf(out, ".TH PGHAUL 1 \"\" \"pghaul %s\" \"User Commands\"\n", PGHAUL_VERSION);
    ph_buf_add(
        out, ".SH NAME\npghaul \\- parallel, exactly\\-once bulk mover for PostgreSQL\n"
             ".SH SYNOPSIS\n\\fBpghaul\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIJOB\\fR]\n"
             ".SH DESCRIPTION\nMoves tables between PostgreSQL servers in parallel. Rows and their "
             "receipt are committed together, so that every row arrives exactly once, and the same "
             "command goes on after any crash.\n");
    man_commands(out);
    man_options(out);
    ph_buf_add(out, man_job_file);
    ph_buf_add(out, man_queries);
    ph_buf_add(out, ".SH EXAMPLES\n.nf\n");
    for (size_t i = 0; i < ph_n_commands; i++)
        for (int e = 0; e < 4 && ph_commands[i].example[e]; e++) {
            roff(out, ph_commands[i].example[e]);
            ph_buf_addc(out, '\n');
        }
    ph_buf_add(out, ".fi\n");
    ph_buf_add(out, man_end);
}

/* bash
 * ------------------------------------------------------------------------------------------------------------
 */

/* What completes an option's value: a case branch, or none for free texts. */
static void bash_value(struct ph_buf *out, const struct ph_option *o)
{
    if (!o->arg || !(o->choices || (o->flags & (PH_OPT_PATH | PH_OPT_DIR))))
        return;
    ph_buf_addf(out, "        --%s", o->name);
    if (o->letter)
        ph_buf_addf(out, "|-%c", o->letter);
    ph_buf_add(out, ")\n            ");
    if (o->choices) {
        ph_buf_add(out, "COMPREPLY=($(compgen -W '");
        for (size_t i = 0; o->choices[i]; i++)
            ph_buf_addf(out, "%s%s", i ? " " : "", o->choices[i]);
        ph_buf_add(out, "' -- \"$cur\"))\n");
    } else {
        ph_buf_addf(out,
                    "compopt -o filenames\n            COMPREPLY=($(compgen -%c -- \"$cur\"))\n",
                    o->flags & PH_OPT_DIR ? 'd' : 'f');
    }
    ph_buf_add(out, "            return ;;\n");
}

static void bash_options(struct ph_buf *out, const struct ph_command *command)
{
    ph_buf_addf(out, "        %s) words='%s", command->name,
                command->bit == PH_CMD_ARCHIVE   ? "ls verify cat "
                : command->bit == PH_CMD_CONTROL ? "pause resume stop status "
                                                 : "");
    for (size_t i = 0; i < ph_n_options; i++) {
        const struct ph_option *o = &ph_options[i];
        if (!(o->commands & command->bit) || (o->flags & PH_OPT_HIDDEN))
            continue;
        if (o->letter)
            ph_buf_addf(out, "-%c ", o->letter);
        ph_buf_addf(out, "--%s ", o->name);
    }
    ph_buf_add(out, "' ;;\n");
}

/* Options that take any value: nothing is offered behind them. */
static void bash_free_values(struct ph_buf *out)
{
    const char *joint = "        ";
    for (size_t i = 0; i < ph_n_options; i++) {
        const struct ph_option *o = &ph_options[i];
        if (!o->arg || o->choices || (o->flags & (PH_OPT_PATH | PH_OPT_DIR | PH_OPT_HIDDEN)))
            continue;
        ph_buf_addf(out, "%s--%s", joint, o->name);
        if (o->letter)
            ph_buf_addf(out, "|-%c", o->letter);
        joint = "|";
    }
    ph_buf_add(out, ")\n            return ;;\n");
}

void ph_help_bash(struct ph_buf *out)
{
    ph_buf_add(out, "# bash completion for pghaul, made by pghaul --generate bash\n"
                    "_pghaul()\n{\n"
                    "    local cur prev command words i commands='");
    for (size_t i = 0; i < ph_n_commands; i++)
        ph_buf_addf(out, "%s ", ph_commands[i].name);
    ph_buf_add(out, "help'\n"
                    "    COMPREPLY=()\n"
                    "    cur=${COMP_WORDS[COMP_CWORD]}\n"
                    "    prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                    "    # --option=value comes in three words\n"
                    "    if [[ $cur == = ]]; then\n"
                    "        cur=\n"
                    "    elif [[ $prev == = ]]; then\n"
                    "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                    "    fi\n"
                    "    case $prev in\n");
    for (size_t i = 0; i < ph_n_options; i++)
        if (!(ph_options[i].flags & PH_OPT_HIDDEN))
            bash_value(out, &ph_options[i]);
    bash_free_values(out);
    ph_buf_add(out, "    esac\n"
                    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "        case ${COMP_WORDS[i]} in\n"
                    "        -*) ;;\n"
                    "        *) case \" $commands \" in\n"
                    "            *\" ${COMP_WORDS[i]} \"*) command=${COMP_WORDS[i]}; break ;;\n"
                    "            esac ;;\n"
                    "        esac\n"
                    "    done\n"
                    "    case $command in\n");
    for (size_t i = 0; i < ph_n_commands; i++)
        bash_options(out, &ph_commands[i]);
    ph_buf_add(out, "        help) words=\"${commands% help}\" ;;\n"
                    "        *) words=\"$commands --help --version\" ;;\n"
                    "    esac\n"
                    "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                    "}\n"
                    "complete -F _pghaul pghaul\n");
}

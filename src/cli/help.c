#include "cli/help.h"

#include <string.h>

enum { WIDTH = 96, INDENT = 30 };

/* Breaks text into lines; the cursor stands at `column`, following lines begin at `indent`. */
static void add_wrapped(struct ph_buf *out, const char *text, size_t column, size_t indent)
{
    bool begun = false;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (begun && column + 1 + len > WIDTH) {
            ph_buf_addf(out, "\n%*s", (int)indent, "");
            column = indent;
            begun = false;
        }
        if (begun)
            ph_buf_addc(out, ' ');
        ph_buf_addn(out, text, len);
        column += len + begun;
        begun = true;
        text += len + strspn(text + len, " ");
    }
    ph_buf_addc(out, '\n');
}

void ph_help_usage(struct ph_buf *out)
{
    ph_buf_add(out, "usage: pghaul COMMAND [OPTION]...\n");
    for (size_t i = 0; i < ph_n_commands; i++)
        ph_buf_addf(out, "       pghaul %-8s %s\n", ph_commands[i].name, ph_commands[i].summary);
    ph_buf_add(out, "hint: pghaul --help says more, pghaul COMMAND --help all about one command\n");
}

static void add_option(struct ph_buf *out, const struct ph_option *o)
{
    size_t from = out->len;
    if (o->letter)
        ph_buf_addf(out, "  -%c, --%s", o->letter, o->name);
    else
        ph_buf_addf(out, "      --%s", o->name);
    if (o->arg)
        ph_buf_addf(out, " %s", o->arg);
    size_t column = out->len - from;
    if (column + 2 > INDENT) {
        ph_buf_addc(out, '\n');
        column = 0;
    }
    ph_buf_addf(out, "%*s", (int)(INDENT - column), "");
    add_wrapped(out, o->help, INDENT, INDENT);
}

static void add_sections(struct ph_buf *out, unsigned commands)
{
    for (int section = 0; section < PH_N_SECTIONS; section++) {
        bool titled = false;
        for (size_t i = 0; i < ph_n_options; i++) {
            const struct ph_option *o = &ph_options[i];
            if ((int)o->section != section || !(o->commands & commands) ||
                (o->flags & PH_OPT_HIDDEN))
                continue;
            if (!titled)
                ph_buf_addf(out, "\n%s:\n", ph_section_titles[section]);
            titled = true;
            add_option(out, o);
        }
    }
}

static void add_examples(struct ph_buf *out, const struct ph_command *command)
{
    for (int i = 0; i < 4 && command->example[i]; i++)
        ph_buf_addf(out, "  %s\n", command->example[i]);
}

static void program_text(struct ph_buf *out)
{
    ph_buf_add(out, "pghaul moves tables between PostgreSQL servers: in parallel, every row "
                    "exactly once, and it\n"
                    "goes on after any crash when the same command is run again.\n\n"
                    "usage: pghaul COMMAND [OPTION]...\n\nCommands:\n");
    for (size_t i = 0; i < ph_n_commands; i++)
        ph_buf_addf(out, "  %-9s %s\n", ph_commands[i].name, ph_commands[i].summary);
    add_sections(out, PH_CMD_ALL);
    ph_buf_add(out, "\nThe first minute:\n");
    ph_buf_addf(out, "  %s\n  %s\n  %s\n", ph_commands[0].example[0], ph_commands[1].example[0],
                ph_commands[2].example[0]);
    ph_buf_add(
        out,
        "\nSizes are 64MiB, 64MB, 200k; times 10s, 5m, 1h. Every option is also an environment "
        "variable\n"
        "(--shard-size: PGHAUL_SHARD_SIZE) and a key of the job file. Exit status: 0 done, 1 "
        "failed, 2 wrong\n"
        "command or environment, 3 verify found differences, 4 held by a live run, 5 another "
        "job's\n"
        "ledger, 130 interrupted.\n");
}

void ph_help_text(struct ph_buf *out, const struct ph_command *command)
{
    if (!command) {
        program_text(out);
        return;
    }
    ph_buf_addf(out, "usage: pghaul %s [OPTION]...%s%s\n\n", command->name,
                *command->operands ? " " : "", command->operands);
    add_wrapped(out, command->about, 0, 0);
    add_sections(out, command->bit);
    ph_buf_add(out, "\nExamples:\n");
    add_examples(out, command);
}

/* Texts made from the option table: --help, the man page, the bash completion. */
#ifndef PH_CLI_HELP_H
#define PH_CLI_HELP_H

#include "base/buf.h"
#include "cli/opts.h"

/* A few lines for `pghaul` without anything. */
void ph_help_usage(struct ph_buf *out);

/* All of it; command NULL: the program as a whole. At most 100 columns wide. */
void ph_help_text(struct ph_buf *out, const struct ph_command *command);

/* pghaul(1) in roff. */
void ph_help_man(struct ph_buf *out);

/* Completion for bash. */
void ph_help_bash(struct ph_buf *out);

#endif

/* The option table and the commands: the one place from which parsing, the environment, job files,
 * --help, the man page and the bash completion are made.
 *
 * To add an option: a field in settings.h, a line in opts_table.c. Nothing else.
 */
#ifndef PH_CLI_OPTS_H
#define PH_CLI_OPTS_H

#include <stddef.h>

#include "cli/settings.h"

enum {
    PH_CMD_PLAN = 1,
    PH_CMD_COPY = 2,
    PH_CMD_STATUS = 4,
    PH_CMD_CLEAN = 8,
    PH_CMD_EXTRACT = 16,
    PH_CMD_LOAD = 32,
    PH_CMD_ARCHIVE = 64,
    PH_CMD_VERIFY = 128,
    PH_CMD_CONTROL = 256,
    PH_CMD_REPORT = 512,
    PH_CMD_TUNE = 1024,
    PH_CMD_ALL = 2047,
};

struct ph_command {
    const char *name;
    unsigned bit;
    const char *operands; /* what follows it besides options, as help names it */
    const char *summary;  /* one line */
    const char *about;    /* a paragraph for --help and the man page */
    const char *example[4];
};

extern const struct ph_command ph_commands[];
extern const size_t ph_n_commands;

/* NULL when there is none of that name. */
const struct ph_command *ph_command_find(const char *name);

enum ph_option_type {
    PH_OPT_FLAG,   /* bool */
    PH_OPT_COUNT,  /* int: how often it was given */
    PH_OPT_TEXT,   /* const char * */
    PH_OPT_SIZE,   /* uint64_t, not 0 */
    PH_OPT_RATE,   /* uint64_t a second, not 0: a size, with or without /s */
    PH_OPT_SPAN,   /* double, seconds, within [min, max] */
    PH_OPT_INT,    /* int within [min, max], or -1 for the one word in `choices`, if there is one */
    PH_OPT_CHOICE, /* int: min + place in `choices` */
    PH_OPT_WORDS,  /* struct ph_words, repeatable */
    PH_OPT_NAMES,  /* struct ph_words: identifiers a,b,"C" with psql's quoting */
};

enum {
    PH_OPT_HIDDEN = 1,   /* in no help text */
    PH_OPT_NOT_FILE = 2, /* makes no sense in a job file */
    PH_OPT_SECRET = 4,   /* its value may hold a password and is never echoed */
    PH_OPT_PATH = 8,     /* a file: any bytes, completed as such */
    PH_OPT_DIR = 16,     /* a directory, likewise */
    PH_OPT_NOT_ENV = 32, /* no environment variable: PGHAUL_VERSION is anybody's */
    PH_OPT_WHOLE = 64,   /* of a repeatable one: commas are a part of its values */
};

enum ph_section {
    PH_SECTION_SERVERS,
    PH_SECTION_TABLES,
    PH_SECTION_LOAD,
    PH_SECTION_CREATE,
    PH_SECTION_CUT,
    PH_SECTION_VERIFY,
    PH_SECTION_RUN,
    PH_SECTION_SPILL,
    PH_SECTION_THROTTLE,
    PH_SECTION_GUARD,
    PH_SECTION_OUTPUT,
    PH_SECTION_OTHER,
    PH_N_SECTIONS,
};

extern const char *const ph_section_titles[PH_N_SECTIONS];

struct ph_option {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* how help names its value; NULL for flags */
    enum ph_option_type type;
    unsigned commands;
    enum ph_section section;
    unsigned flags;
    size_t field; /* offsetof in struct ph_settings */
    const char *const *choices;
    int64_t min, max;
    bool (*check)(const char *value, struct ph_err *err);
    const char *help;
    const char *bare; /* the flag that it is for `bare_for` when no value follows; or NULL */
    unsigned bare_for;
};

extern const struct ph_option ph_options[];
extern const size_t ph_n_options;

/* By long name; "shard_size" is as good as "shard-size". NULL when unknown. */
const struct ph_option *ph_option_find(const char *name);
const struct ph_option *ph_option_find_letter(char letter);

/* Whether a command takes it. plan takes whatever copy, extract and load do, so that their commands
 * can be turned into a plan, or a job file, by another word in front. */
bool ph_option_is_taken(const struct ph_option *o, unsigned command);

/* Whether some origin has set it. `name` must be an option's. */
bool ph_option_given(const struct ph_settings *s, const char *name);

/* Takes a value over, unless one of higher precedence is there already. flags take yes and no.
 * PH_WRONG for what is not a value of this option (the text does not name the option: the caller
 * knows how the user did), or when the same origin has said something else before. */
bool ph_option_set(struct ph_settings *s, const struct ph_option *o, const char *value,
                   enum ph_origin from, struct ph_err *err);

/* yes, true, on, 1 and their opposites. PH_WRONG. */
bool ph_flag_read(const char *value, bool *out, struct ph_err *err);

/* What a command line holds besides settings. */
struct ph_command_line {
    const struct ph_command *command; /* NULL: none was named */
    const char *help_topic;           /* `pghaul help TOPIC` */
    bool wants_json;                  /* known even when parsing failed */
    struct ph_secret {
        const struct ph_option *option;
        char *value; /* within argv, to be overwritten when it holds a password */
    } secrets[16];
    int n_secrets;
};

/* GNU habits: --opt=value, --opt value, -jN, -nq, --, options after operands. The first operand is
 * the command, a second one the job's name; what follows `archive` and `control` is their own (settings.operands). PH_WRONG, with the nearest known word as the hint. */
bool ph_opts_parse(struct ph_settings *s, struct ph_command_line *line, int argc, char **argv,
                   struct ph_err *err);

/* PGHAUL_... for every option that the command takes. Empty variables count as unset. */
bool ph_opts_environment(struct ph_settings *s, unsigned command, struct ph_err *err);

/* The variable that `name`, which is none of ours, was probably meant to be; NULL when it is ours, or
 * like none. */
const char *ph_opts_stray_variable(const char *name, char out[static 64]);

/* PGHAUL_SHARD_SIZE for "shard-size"; out has room for 64 bytes. */
const char *ph_option_variable(const struct ph_option *o, char out[static 64]);

/* "did you mean --table?" as the error's hint, or `otherwise` (NULL: none). */
bool ph_opts_hint_near(struct ph_err *err, const char *word, unsigned commands, bool in_file,
                       const char *otherwise);

#endif

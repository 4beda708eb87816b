#include "cli/opts.h"

#include <stdlib.h>

#include "archive/place.h"
#include "base/timetable.h"
#include "cli/dsntext.h"
#include "cli/listener.h"
#include "haul/guard.h"
#include "haul/spill.h"

static const char *const jobs_words[] = {"auto", NULL}; /* PH_JOBS_AUTO */
static const char *const splits[] = {"auto", "block", "key", "hash", NULL};
static const char *const modes[] = {"append", "upsert", "replace", NULL};
static const char *const trigger_choices[] = {"fire", "skip", NULL};
static const char *const spills[] = {"auto", "never", "always", NULL};
static const char *const compressions[] = {"auto", "always", "never", NULL};
static const char *const cat_formats[] = {"binary", "text", "csv", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const levels[] = {"receipt", "readback", "source", "sample", NULL};
static const char *const generated[] = {"man", "bash", NULL};

const struct ph_command ph_commands[] = {
    {"plan",
     PH_CMD_PLAN,
     "",
     "show what copy would do, and change nothing",
     "Reads both catalogs and settles everything: the tables, how each is cut into shards and why, "
     "which columns pass "
     "through as they are and which are cast, sizes, warnings, and what stands in the way. Exit "
     "status 2 when "
     "copy would refuse. With archive:DIR as the target or the source it shows what extract or "
     "load would do. Takes every option of theirs, so that --write-file can write it down; below "
     "are those that the plan depends on.",
     {"pghaul plan -s service=old -d service=new -t public.orders", "pghaul plan -f job.yaml -v",
      "pghaul plan -s service=old -d service=new --all --write-file job.yaml"}},
    {"copy",
     PH_CMD_COPY,
     "[JOB]",
     "move the job's tables; run again after any end whatever, it goes on",
     "Moves rows from the source to the target in parallel, every row exactly once. However it "
     "ended, the same command "
     "goes on where it was; once the job is complete it does nothing. The first interrupt finishes "
     "the shards in "
     "hand, the second stops at once.",
     {"pghaul copy -s service=old -d service=new -t public.orders",
      "pghaul copy -s service=old -d service=new -t events --where 'at >= now() - interval $$7 "
      "days$$'",
      "pghaul copy -s service=old -d service=new --all --create --verify"}},
    {"verify",
     PH_CMD_VERIFY,
     "[JOB]",
     "prove that the target holds what it should, and name every key that differs",
     "Compares the target with what was read (receipt, readback) or with what the source holds now "
     "(source, sample), and says what was proven. Where fingerprints differ, both sides are "
     "compared down to the key. Tables of types that cannot be fingerprinted one way are compared "
     "another way, and that is said. Definitions (--schema), sums of columns and the answers to "
     "queries of yours can be compared as well. With --repair, what is missing or changed is "
     "copied again. "
     "Exit status 3 when there are differences (with --repair: when some are left).",
     {"pghaul verify -s service=old -d service=new -t public.orders",
      "pghaul verify -s service=old -d service=new --job nightly --level source --json",
      "pghaul verify -s service=old -d service=new -t orders --repair --max-delete 100",
      "pghaul verify -s service=old -d service=new --all --schema --sums --queries figures.yaml"}},
    {"extract",
     PH_CMD_EXTRACT,
     "",
     "the first half of a copy: from the source into a directory of compressed files",
     "Reads the source at its own speed into an archive: one LZ4 file for each shard, and a "
     "manifest "
     "that proves it complete. Run again after any end, it goes on. The files are plain LZ4 and "
     "COPY: lz4 -dc FILE gives what COPY FROM reads.",
     {"pghaul extract -s service=old -d archive:/backup/orders -t public.orders",
      "pghaul extract -s service=old -d archive:/backup/shop --all --source-max-rate 50MiB/s"}},
    {"load",
     PH_CMD_LOAD,
     "[JOB]",
     "the second half: from an archive into the target",
     "Loads all tables of an archive, or those that are named, every row exactly once. However it "
     "ended, the same command goes on; the source is not needed.",
     {"pghaul load -s archive:/backup/orders -d service=new",
      "pghaul load -s archive:/backup/shop -d service=new -t public.orders=public.orders_old"}},
    {"archive",
     PH_CMD_ARCHIVE,
     "ls|verify|cat DIR [TABLE]",
     "look into an archive directory: ls, verify, cat",
     "`ls` lists tables, rows, sizes and the snapshot, with -v the shards too. `verify` reads "
     "every "
     "file and checks every checksum and tally, without a database; exit status 1 when one is "
     "damaged. `cat` writes a table's rows to standard output as COPY would: binary (for COPY "
     "FROM), text or csv.",
     {"pghaul archive ls /backup/orders", "pghaul archive verify /backup/orders -j 4",
      "pghaul archive cat /backup/orders public.orders --format csv | head"}},
    {"status",
     PH_CMD_STATUS,
     "[JOB]",
     "what the ledger says of a job, from any machine and while it runs",
     "Reads the ledger in the target. Without a name it shows the only job there; where there are "
     "several it lists them.",
     {"pghaul status -d service=new", "pghaul status -d service=new shop-1f2e3d4c --watch",
      "pghaul status -d service=new --job nightly --shards --json"}},
    {"control",
     PH_CMD_CONTROL,
     "JOB pause|resume|rate=RATE|rows=RATE|jobs=N|stop|status ...",
     "steer a live run: pause, resume, rates, workers, stop",
     "Speaks to the run of that job on this host, a copy or a verify, by its socket, or, with -d, "
     "to all runs of it on "
     "any host by way of the ledger. It takes effect within a second, and the run logs who asked. "
     "Also "
     "source-rate=, target-rate=, source-rows=, target-rows=; "
     "off means no limit. stop is what the first interrupt is.",
     {"pghaul control shop-1f2e3d4c pause", "pghaul control shop-1f2e3d4c rate=20MiB/s jobs=2",
      "pghaul control nightly rate=off -d service=new --keep",
      "pghaul control nightly rate=20MiB/s -d archive:/backup/orders --keep"}},
    {"report",
     PH_CMD_REPORT,
     "[JOB]",
     "one HTML file that tells how a job went: also while it runs, and of a run that died",
     "Reads the ledger in the target, or the directory of an extract, and writes a page that needs "
     "nothing else: throughput over "
     "time, what the workers' time went into, every shard by worker, when the job was held back, "
     "figures by table, settings and servers. No value of a row is in it.",
     {"pghaul report -d service=new shop-1f2e3d4c -o report.html",
      "pghaul report -d service=new --job nightly -o - | gzip >nightly.html.gz",
      "pghaul report -d archive:/backup/orders"}},
    {"tune",
     PH_CMD_TUNE,
     "",
     "find the best settings for these two servers and this table, by measuring",
     "Moves parts of the table into a scratch table beside the target, again and again, with other "
     "settings each time, and keeps what is proven to be faster by 3 % at least: workers, shard "
     "size, cut, files on the way. Says what the servers could do about the rest. Settings that "
     "are given are not tried. The source is only read, the target itself is not touched, and "
     "nothing is left behind; an interrupt ends it with what is known so far.",
     {"pghaul tune -s service=old -d service=new -t public.orders",
      "pghaul tune -s service=old -d service=new -t orders --time 10m --write-file job.yaml -o "
      "tune.html"}},
    {"clean",
     PH_CMD_CLEAN,
     "[JOB]",
     "take away what a job left behind, after asking",
     "Removes the job's rows from the ledger, the ledger's schema with the last job, and the job's "
     "spill files on this host. Never touches tables of "
     "yours, except that indexes and constraints that --defer-indexes has dropped are made again "
     "first. A job that is taken away before it was complete cannot go on.",
     {"pghaul clean -d service=new shop-1f2e3d4c",
      "pghaul clean -d service=new --job nightly --yes"}},
};
const size_t ph_n_commands = sizeof ph_commands / sizeof *ph_commands;

const char *const ph_section_titles[PH_N_SECTIONS] = {
    [PH_SECTION_SERVERS] = "Servers and job",
    [PH_SECTION_TABLES] = "Which tables and rows",
    [PH_SECTION_LOAD] = "How rows are loaded",
    [PH_SECTION_CREATE] = "What is made besides rows",
    [PH_SECTION_CUT] = "How tables are cut",
    [PH_SECTION_VERIFY] = "What is proven, and mended",
    [PH_SECTION_RUN] = "How the job runs",
    [PH_SECTION_SPILL] = "Files on the way",
    [PH_SECTION_THROTTLE] = "How fast",
    [PH_SECTION_GUARD] = "Guards: when it waits for others",
    [PH_SECTION_OUTPUT] = "What is shown",
    [PH_SECTION_OTHER] = "Help",
};

enum {
    READ = PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_EXTRACT, /* from a server */
    LAND = PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_LOAD,    /* in a server */
    HAUL = READ | LAND,
    TABLES = HAUL | PH_CMD_VERIFY,
    RUN = PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_LOAD,
    ALL = PH_CMD_ALL,
    JOBS = ALL & ~PH_CMD_ARCHIVE,
    FILES = JOBS & ~PH_CMD_CONTROL,
    MONTH_S = 30 * 86400,
};

static bool check_timetable(const char *text, struct ph_err *err)
{
    return ph_timetable_parse(NULL, text, err);
}

static bool check_times(const char *text, struct ph_err *err)
{
    char *end;
    double times = strtod(text, &end);
    return (end != text && !*end && times >= 1 && times <= 1000) ||
           ph_err_set(err, PH_WRONG, "\"%.40s\" is not between 1 and 1000", text);
}

static bool check_often(const char *text, struct ph_err *err)
{
    int n;
    double within_s;
    return ph_guard_often(text, &n, &within_s, err);
}

#define F(name) offsetof(struct ph_settings, name)

const struct ph_option ph_options[] = {
    {"source", 's', "DSN", PH_OPT_TEXT, JOBS, PH_SECTION_SERVERS, PH_OPT_SECRET, F(source),
     .check = ph_dsntext_check,
     .help = "where the rows are: any libpq connection string (URI, keywords, service=NAME), or "
             "archive:DIR for load"},
    {"target", 'd', "DSN", PH_OPT_TEXT, JOBS, PH_SECTION_SERVERS, PH_OPT_SECRET, F(target),
     .check = ph_dsntext_check,
     .help = "where they go, and where the ledger lives; likewise, or archive:DIR for extract"},
    {"file", 'f', "JOB.yaml", PH_OPT_TEXT, FILES, PH_SECTION_SERVERS, PH_OPT_PATH | PH_OPT_NOT_FILE,
     F(file),
     .help = "the job as a file; - is standard input. The command line and the environment win "
             "over it"},
    {"job", 0, "NAME", PH_OPT_TEXT, JOBS, PH_SECTION_SERVERS, 0, F(job), .check = ph_job_name_check,
     .help =
         "the job's name in the ledger, also taken as an argument; by default made from the target "
         "and the definition, so that the same command finds the same job"},

    {"table", 't', "[SCHEMA.]NAME[=[SCHEMA.]TARGET]", PH_OPT_WORDS, TABLES | PH_CMD_TUNE,
     PH_SECTION_TABLES, 0, F(tables),
     .help = "a table, repeatable; quoting and patterns as in psql's \\d, and the "
             "target's name where it differs"},
    {"schema", 0, "PATTERN", PH_OPT_WORDS, TABLES, PH_SECTION_TABLES, 0, F(schemas),
     .help = "every table of these schemas, repeatable; for verify, without a value: --definitions",
     .bare = "definitions", .bare_for = PH_CMD_VERIFY},
    {"all", 'a', NULL, PH_OPT_FLAG, TABLES, PH_SECTION_TABLES, 0, F(all),
     .help = "every table of the source database"},
    {"exclude-table", 0, "PATTERN", PH_OPT_WORDS, TABLES, PH_SECTION_TABLES, 0, F(exclude_tables),
     .help = "but not these tables, repeatable"},
    {"exclude-schema", 0, "PATTERN", PH_OPT_WORDS, TABLES, PH_SECTION_TABLES, 0, F(exclude_schemas),
     .help = "but not these schemas, repeatable"},
    {"where", 0, "SQL", PH_OPT_TEXT, READ | PH_CMD_VERIFY | PH_CMD_TUNE, PH_SECTION_TABLES, 0,
     F(where),
     .help = "only rows that satisfy a condition; for a single table, more in a job file"},
    {"columns", 0, "A,B,...", PH_OPT_NAMES, READ | PH_CMD_VERIFY | PH_CMD_TUNE, PH_SECTION_TABLES,
     0, F(columns), .help = "only these columns; for a single table, more in a job file"},

    {"mode", 0, "MODE", PH_OPT_CHOICE, LAND | PH_CMD_VERIFY, PH_SECTION_LOAD, 0, F(mode), modes,
     .help =
         "append (default) to an empty target, upsert by key (the source's row wins), or replace: "
         "empty the target first"},
    {"key", 0, "A,B,...", PH_OPT_NAMES, TABLES | PH_CMD_TUNE, PH_SECTION_LOAD, 0, F(key),
     .help = "the key's columns, instead of the chosen one; for a single table"},
    {"allow-nonempty", 0, NULL, PH_OPT_FLAG, LAND | PH_CMD_VERIFY, PH_SECTION_LOAD, 0,
     F(allow_nonempty), .help = "append even to a target that has rows of its own"},
    {"triggers", 0, "WHAT", PH_OPT_CHOICE, LAND | PH_CMD_VERIFY | PH_CMD_TUNE, PH_SECTION_LOAD, 0,
     F(triggers), trigger_choices, .min = PH_TRIGGERS_FIRE,
     .help = "what becomes of triggers on the target: fire or skip. Without it such a target is "
             "refused"},
    {"sequences", 0, NULL, PH_OPT_FLAG, PH_CMD_PLAN | PH_CMD_COPY, PH_SECTION_LOAD, 0, F(sequences),
     .help = "set the target's sequences to where the source's are"},
    {"source-encoding", 0, "NAME", PH_OPT_TEXT, LAND | PH_CMD_VERIFY, PH_SECTION_LOAD, 0,
     F(source_encoding),
     .help = "what the bytes of a source (or target) of encoding SQL_ASCII are: UTF8, LATIN1, ..."},
    {"max-rejects", 0, "N", PH_OPT_INT, LAND, PH_SECTION_LOAD, 0, F(max_rejects), .min = 0,
     .max = 1000000,
     .help = "rows that the target's encoding has no characters for are left out, up to N of the "
             "job; default 0"},
    {"reject-file", 0, "FILE", PH_OPT_TEXT, PH_CMD_COPY | PH_CMD_LOAD, PH_SECTION_LOAD, PH_OPT_PATH,
     F(reject_file), .help = "where they are written, as a script of COPY in the source's bytes"},
    {"large-objects", 0, NULL, PH_OPT_FLAG, RUN | PH_CMD_PLAN | PH_CMD_VERIFY, PH_SECTION_LOAD, 0,
     F(large_objects),
     .help = "the source database's (or the archive's) large objects too, with their OIDs, owners, "
             "grants and comments"},
    {"defer-indexes", 0, NULL, PH_OPT_FLAG, LAND, PH_SECTION_LOAD, 0, F(defer_indexes),
     .help = "drop indexes, keys and foreign keys of the target's tables first, and build them "
             "again after the rows, several at once; the ledger remembers them whatever happens"},
    {"fk-order", 0, NULL, PH_OPT_FLAG, LAND, PH_SECTION_LOAD, 0, F(fk_order),
     .help =
         "for targets that have their foreign keys: the tables that they point at land before "
         "those that refer to them; with --create or --defer-indexes foreign keys come after the "
         "rows, and any order does"},
    {"index-memory", 0, "SIZE", PH_OPT_SIZE, PH_CMD_COPY | PH_CMD_LOAD, PH_SECTION_LOAD, 0,
     F(index_memory),
     .help = "memory of the target's server for all index builds together; default: a quarter of "
             "this host's if the target is on it, at most 1GiB, else 512MiB"},

    {"create", 0, NULL, PH_OPT_FLAG, RUN | PH_CMD_PLAN, PH_SECTION_CREATE, 0, F(create),
     .help =
         "make the target's tables as the source's are; indexes and constraints after the rows. "
         "With --all everything: types, functions, views, ... extract keeps all that in the "
         "archive"},
    {"schema-only", 0, NULL, PH_OPT_FLAG, PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_VERIFY,
     PH_SECTION_CREATE, 0, F(schema_only),
     .help = "--create, and no rows; of verify: compare definitions, and no rows"},
    {"data-only", 0, NULL, PH_OPT_FLAG, PH_CMD_PLAN | PH_CMD_COPY, PH_SECTION_CREATE, 0,
     F(data_only), .help = "rows only, as without --create"},
    {"no-owner", 0, NULL, PH_OPT_FLAG, LAND | PH_CMD_VERIFY, PH_SECTION_CREATE, 0, F(no_owner),
     .help = "what is made belongs to the role that makes it; of verify: owners do not count"},
    {"no-privileges", 0, NULL, PH_OPT_FLAG, LAND | PH_CMD_VERIFY, PH_SECTION_CREATE, 0,
     F(no_privileges), .help = "without the source's grants; of verify: they do not count"},
    {"no-comments", 0, NULL, PH_OPT_FLAG, LAND | PH_CMD_VERIFY, PH_SECTION_CREATE, 0,
     F(no_comments), .help = "without comments; likewise"},
    {"analyze", 0, NULL, PH_OPT_FLAG, LAND, PH_SECTION_CREATE, 0, F(analyze),
     .help = "ANALYZE what was loaded: the default with --create"},
    {"no-analyze", 0, NULL, PH_OPT_FLAG, LAND, PH_SECTION_CREATE, 0, F(no_analyze),
     .help = "no ANALYZE after --create"},
    {"vacuum", 0, NULL, PH_OPT_FLAG, LAND, PH_SECTION_CREATE, 0, F(vacuum),
     .help = "VACUUM what was loaded, too"},
    {"refresh-matviews", 0, NULL, PH_OPT_FLAG, LAND, PH_SECTION_CREATE, 0, F(refresh_matviews),
     .help = "fill the materialized views that are filled in the source"},
    {"pg-bin", 0, "DIR", PH_OPT_TEXT, RUN | PH_CMD_PLAN, PH_SECTION_CREATE, PH_OPT_DIR, F(pg_bin),
     .help = "where pg_dump and pg_restore are, of the newer of the two servers; default: "
             "the newest on this host"},

    {"split", 0, "HOW", PH_OPT_CHOICE, READ | PH_CMD_TUNE, PH_SECTION_CUT, 0, F(split), splits,
     .help = "auto (default), block (ranges of pages), key (ranges of a key) or hash (of a key)"},
    {"shard-size", 0, "SIZE", PH_OPT_SIZE, READ | PH_CMD_TUNE, PH_SECTION_CUT, 0, F(shard_size),
     .help = "bytes to a shard, like 64MiB; default: chosen by the table's size and the workers"},
    {"shard-rows", 0, "N", PH_OPT_SIZE, READ | PH_CMD_TUNE, PH_SECTION_CUT, 0, F(shard_rows),
     .help = "rows to a shard, like 200k"},

    {"verify", 0, NULL, PH_OPT_FLAG, PH_CMD_COPY, PH_SECTION_VERIFY, 0, F(verify),
     .help = "when all has landed, read it back and prove it; exit status 3 when it differs"},
    {"level", 0, "LEVEL", PH_OPT_CHOICE, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(level), levels,
     .min = 1,
     .help = "receipt: what was accepted is what was read, free; readback (default): the target's "
             "bytes are those that were read; source: both sides are read now; sample: some rows, "
             "field by field"},
    {"in-server", 0, NULL, PH_OPT_FLAG, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(in_server),
     .help = "with --level source: the servers add up fingerprints themselves, hardly a byte "
             "crosses the network"},
    {"exact", 0, NULL, PH_OPT_FLAG, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(exact),
     .help = "rows that the target has of its own count as differences even after upsert and "
             "--allow-nonempty"},
    {"repair", 0, NULL, PH_OPT_FLAG, PH_CMD_VERIFY, PH_SECTION_VERIFY, PH_OPT_NOT_FILE, F(repair),
     .help = "copy again what is missing or changed, rows and large objects; with --dry-run, say "
             "what would be done"},
    {"max-delete", 0, "N", PH_OPT_INT, PH_CMD_VERIFY, PH_SECTION_VERIFY, PH_OPT_NOT_FILE,
     F(max_delete), .min = 0, .max = 2000000000,
     .help = "extra rows that --repair may delete in each table, default 0: none"},
    {"max-differences", 0, "N", PH_OPT_INT, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(max_differences),
     .min = 1, .max = 1000000,
     .help = "differences that are named in each table, default 100; all are counted"},
    {"sample-rows", 0, "N", PH_OPT_INT, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(sample_rows),
     .min = 1, .max = 1000000, .help = "rows of each table for --level sample, default 1000"},
    {"seed", 0, "N", PH_OPT_INT, PH_CMD_VERIFY | PH_CMD_TUNE, PH_SECTION_VERIFY, 0, F(sample_seed),
     .min = 1, .max = 2000000000,
     .help = "chooses the same rows again for --level sample; the dice of tune"},
    {"recheck", 0, "TIME", PH_OPT_SPAN, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(recheck_s), .min = 0,
     .max = MONTH_S,
     .help = "look at differing tables again after so long: what is under way then does not count"},

    {"sums", 0, NULL, PH_OPT_FLAG, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(sums),
     .help = "compare exact sums, extremes and null counts of numeric and time columns, too"},
    {"queries", 0, "FILE", PH_OPT_TEXT, PH_CMD_VERIFY, PH_SECTION_VERIFY, PH_OPT_PATH, F(queries),
     .help = "ask both sides the queries of a file (YAML: name, sql or source and target, "
             "tolerance), and compare the answers; of tables, only what is named is compared then"},
    {"every", 0, "TIME", PH_OPT_SPAN, PH_CMD_VERIFY, PH_SECTION_VERIFY, PH_OPT_NOT_FILE, F(every_s),
     .min = 0, .max = MONTH_S, .help = "ask --queries again so often; the log has every round"},
    {"for", 0, "TIME", PH_OPT_SPAN, PH_CMD_VERIFY, PH_SECTION_VERIFY, PH_OPT_NOT_FILE, F(for_s),
     .min = 0, .max = 12 * (int64_t)MONTH_S, .help = "and for so long"},
    {"statement-timeout", 0, "TIME", PH_OPT_SPAN, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0,
     F(statement_timeout_s), .min = 0, .max = MONTH_S,
     .help = "a query of --queries may take so long, default: no limit"},
    {"definitions", 0, NULL, PH_OPT_FLAG, PH_CMD_VERIFY, PH_SECTION_VERIFY, 0, F(definitions),
     .help = "compare definitions too: columns, constraints, indexes, sequences, triggers, grants, "
             "...; with --all those of the whole database. Also written --schema, without a value"},

    {"jobs", 'j', "N", PH_OPT_INT, TABLES | PH_CMD_TUNE | PH_CMD_ARCHIVE, PH_SECTION_RUN, 0,
     F(jobs), .min = 1, .max = 256, .choices = jobs_words,
     .help = "workers, 1 to 256; default: what the servers and this machine have. auto begins with "
             "that, and finds out while it runs whether more or fewer move more"},
    {"source-jobs", 0, "N", PH_OPT_INT, PH_CMD_COPY, PH_SECTION_RUN, 0, F(source_jobs), .min = 1,
     .max = 256, .help = "so many workers read from the source at once, at most"},
    {"target-jobs", 0, "N", PH_OPT_INT, PH_CMD_COPY, PH_SECTION_RUN, 0, F(target_jobs), .min = 1,
     .max = 256, .help = "so many write to the target at once, at most"},
    {"join", 0, NULL, PH_OPT_FLAG, PH_CMD_COPY | PH_CMD_LOAD, PH_SECTION_RUN, 0, F(join),
     .help = "join the live run of this job on any host; where there is none, simply run"},
    {"again", 0, NULL, PH_OPT_FLAG, PH_CMD_COPY | PH_CMD_LOAD, PH_SECTION_RUN, 0, F(again),
     .help = "a new round of a completed job"},
    {"dry-run", 'n', NULL, PH_OPT_FLAG, TABLES | PH_CMD_CLEAN, PH_SECTION_RUN, 0, F(dry_run),
     .help = "everything but the changes"},
    {"strict", 0, NULL, PH_OPT_FLAG, READ, PH_SECTION_RUN, 0, F(strict),
     .help = "stop rather than go on under a second snapshot"},
    {"memory", 0, "SIZE", PH_OPT_SIZE, TABLES | PH_CMD_TUNE, PH_SECTION_RUN, 0, F(memory),
     .help = "upper bound of the mover's memory, default 512MiB; refused at the start if it cannot "
             "be kept"},
    {"keep-snapshot", 0, "TIME", PH_OPT_SPAN, PH_CMD_COPY | PH_CMD_EXTRACT, PH_SECTION_RUN, 0,
     F(keep_snapshot_s), .min = 1, .max = MONTH_S,
     .help = "how long the source's snapshot outlives the last mover, default 15m"},
    {"max-outage", 0, "TIME", PH_OPT_SPAN, RUN, PH_SECTION_RUN, 0, F(max_outage_s), .min = 1,
     .max = MONTH_S, .help = "how long a lost server is tried for, default 30m"},
    {"time", 0, "TIME", PH_OPT_SPAN, PH_CMD_TUNE, PH_SECTION_RUN, PH_OPT_NOT_FILE, F(time_s),
     .min = 2, .max = 86400, .help = "so long tune may measure, default 2m"},
    {"state-dir", 0, "DIR", PH_OPT_TEXT, HAUL | PH_CMD_TUNE | PH_CMD_CLEAN | PH_CMD_CONTROL,
     PH_SECTION_RUN, PH_OPT_DIR, F(state_dir),
     .help = "directory for what a job keeps on this machine (its spill files), default "
             "$XDG_STATE_HOME/pghaul/JOB"},

    {"spill", 0, "WHEN", PH_OPT_CHOICE, PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_TUNE, PH_SECTION_SPILL,
     0, F(spill), spills,
     .help = "by way of local files: auto (default) while the target is slow, held back or out of "
             "reach; always; or never"},
    {"spill-dir", 0, "DIR", PH_OPT_TEXT, PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_TUNE | PH_CMD_CLEAN,
     PH_SECTION_SPILL, PH_OPT_DIR, F(spill_dir),
     .help = "where those files are, default below --state-dir"},
    {"spill-size", 0, "SIZE", PH_OPT_SIZE, PH_CMD_PLAN | PH_CMD_COPY | PH_CMD_TUNE,
     PH_SECTION_SPILL, 0, F(spill_size),
     .help = "so much they may take; then reading waits. Default: half of what is free, at most "
             "50GiB"},
    {"keep-spill", 0, NULL, PH_OPT_FLAG, PH_CMD_COPY, PH_SECTION_SPILL, 0, F(keep_spill),
     .help = "let them stay when their rows are safe in the target"},
    {"forget-spill", 0, NULL, PH_OPT_FLAG, PH_CMD_COPY, PH_SECTION_SPILL, PH_OPT_NOT_FILE,
     F(forget_spill),
     .help = "shards that were spilled on a host where no mover works any more are read from the "
             "source again"},
    {"compress", 0, "WHEN", PH_OPT_CHOICE, PH_CMD_COPY | PH_CMD_EXTRACT, PH_SECTION_SPILL, 0,
     F(compress), compressions,
     .help = "blocks of files: auto (an archive: always; spill files: when it is quicker than "
             "writing them plain), always or never"},
    {"io", 0, "HOW", PH_OPT_CHOICE, RUN | PH_CMD_ARCHIVE, PH_SECTION_SPILL, 0, F(io),
     ph_place_choices,
     .help = "how files are read and written: auto (default), uring, uring-buffered, posix, "
             "posix-buffered; -v says what auto has found"},

    {"max-rate", 0, "RATE", PH_OPT_RATE, RUN | PH_CMD_VERIFY, PH_SECTION_THROTTLE, 0, F(max_rate),
     .help =
         "bytes of rows a second at most, like 20MiB/s, by all workers of all movers of the job "
         "together"},
    {"source-max-rate", 0, "RATE", PH_OPT_RATE, PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_VERIFY,
     PH_SECTION_THROTTLE, 0, F(source_max_rate),
     .help = "the same for what is read from the source"},
    {"target-max-rate", 0, "RATE", PH_OPT_RATE, PH_CMD_COPY | PH_CMD_LOAD | PH_CMD_VERIFY,
     PH_SECTION_THROTTLE, 0, F(target_max_rate),
     .help = "the same for what is written to the target"},
    {"max-rows", 0, "RATE", PH_OPT_RATE, RUN | PH_CMD_VERIFY, PH_SECTION_THROTTLE, 0, F(max_rows),
     .help = "rows a second at most, like 300k/s"},
    {"source-max-rows", 0, "RATE", PH_OPT_RATE, PH_CMD_COPY | PH_CMD_EXTRACT | PH_CMD_VERIFY,
     PH_SECTION_THROTTLE, 0, F(source_max_rows), .help = "the same for the source"},
    {"target-max-rows", 0, "RATE", PH_OPT_RATE, PH_CMD_COPY | PH_CMD_LOAD | PH_CMD_VERIFY,
     PH_SECTION_THROTTLE, 0, F(target_max_rows), .help = "the same for the target"},

    {"timetable", 0, "TIMES", PH_OPT_TEXT, RUN | PH_CMD_VERIFY, PH_SECTION_THROTTLE, 0,
     F(timetable), .check = check_timetable,
     .help = "rates by local time, the first entry that fits: \"Mon-Fri 08:00-18:00 20MiB/s; "
             "Sat,Sun pause; else off\""},

    {"max-lag", 0, "TIME", PH_OPT_SPAN, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0, F(max_lag_s),
     .min = 0, .max = MONTH_S,
     .help = "pause while a standby of the source or the target is further behind, like 10s; also "
             "when one "
             "has vanished"},
    {"lag-of", 0, "NAME", PH_OPT_WORDS, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0, F(lag_of),
     .help = "only these standbys, by their application_name, and they must be there; repeatable"},
    {"max-load", 0, "N", PH_OPT_INT, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0, F(max_load),
     .min = 1, .max = 100000,
     .help = "work less while more than so many backends of others are active on a server"},
    {"max-xact-age", 0, "TIME", PH_OPT_SPAN, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0,
     F(max_xact_age_s), .min = 0, .max = MONTH_S,
     .help = "pause while a transaction of others is older on a server"},
    {"max-slot-wal", 0, "SIZE", PH_OPT_SIZE, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0,
     F(max_slot_wal), .help = "pause while a replication slot keeps more WAL on a server"},
    {"min-free", 0, "SIZE", PH_OPT_SIZE, PH_CMD_COPY | PH_CMD_LOAD, PH_SECTION_GUARD, 0,
     F(min_free),
     .help = "pause while the target has less room for files; known when it is on this host"},
    {"full-in", 0, "TIME", PH_OPT_SPAN, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0, F(full_in_s),
     .min = 0, .max = MONTH_S,
     .help =
         "pause while a server will be full within that time, as fast as it has filled for half a "
         "minute: its file systems (data, WAL, tablespaces; known when it is on this host), and "
         "the WAL that its slots may keep (max_slot_wal_keep_size)"},
    {"max-checkpoints", 0, "N/TIME", PH_OPT_TEXT, PH_CMD_COPY | PH_CMD_LOAD, PH_SECTION_GUARD, 0,
     F(max_checkpoints), .check = check_often,
     .help = "pause while the target had more checkpoints that were requested (too much WAL for "
             "max_wal_size) within that time, like 3/10m"},
    {"canary", 0, "SQL|commit", PH_OPT_WORDS, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, PH_OPT_WHOLE,
     F(canaries),
     .help = "work less while this query is answered slower than before the run; it is asked of "
             "the target, or with source: in front of the source; the word commit is a tiny "
             "transaction instead, of both servers; repeatable"},
    {"canary-limit", 0, "TIMES", PH_OPT_TEXT, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0,
     F(canary_limit), .check = check_times,
     .help = "its 99th percentile may be so many times its baseline, default 2"},
    {"pause-query", 0, "SQL", PH_OPT_TEXT, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0, F(pause_query),
     .help = "pause while this query says true, likewise"},
    {"pause-file", 0, "FILE", PH_OPT_TEXT, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, PH_OPT_PATH,
     F(pause_file), .help = "pause while this file is there"},
    {"pause-url", 0, "URL", PH_OPT_TEXT, RUN | PH_CMD_VERIFY, PH_SECTION_GUARD, 0, F(pause_url),
     .check = ph_http_check,
     .help = "pause while this URL (http, https) answers 429 or 503; 200 is go on, and anything "
             "else or none pauses after 4 s"},

    {"format", 0, "FORMAT", PH_OPT_CHOICE, PH_CMD_ARCHIVE, PH_SECTION_OUTPUT, 0, F(cat_format),
     cat_formats, .help = "of archive cat: binary (default), text or csv"},

    {"json", 0, NULL, PH_OPT_FLAG, ALL, PH_SECTION_OUTPUT, 0, F(json),
     .help = "the result as one JSON object on standard output, and nothing else there"},
    {"write-file", 0, "FILE", PH_OPT_TEXT, PH_CMD_PLAN | PH_CMD_TUNE, PH_SECTION_OUTPUT,
     PH_OPT_PATH | PH_OPT_NOT_FILE, F(write_file),
     .help = "write the job as a job file, with what tune has found; - is standard output"},
    {"output", 'o', "FILE", PH_OPT_TEXT, PH_CMD_REPORT | PH_CMD_TUNE, PH_SECTION_OUTPUT,
     PH_OPT_PATH | PH_OPT_NOT_FILE, F(output),
     .help =
         "where the report goes, default JOB.html; of tune, default none; - is standard output"},
    {"metrics-file", 0, "FILE", PH_OPT_TEXT, RUN, PH_SECTION_OUTPUT, PH_OPT_PATH, F(metrics_file),
     .help = "figures of the run for Prometheus, replaced every 5 s: a textfile of node_exporter"},
    {"metrics-listen", 0, "[HOST:]PORT", PH_OPT_TEXT, RUN, PH_SECTION_OUTPUT, 0, F(metrics_listen),
     .check = ph_listener_check,
     .help = "the same figures at http://127.0.0.1:PORT/metrics, on loopback only; port 0 is one "
             "that is free, and -v says which"},
    {"shards", 0, NULL, PH_OPT_FLAG, PH_CMD_STATUS, PH_SECTION_OUTPUT, PH_OPT_NOT_FILE, F(shards),
     .help = "list the shards"},
    {"watch", 0, NULL, PH_OPT_FLAG, PH_CMD_STATUS, PH_SECTION_OUTPUT, PH_OPT_NOT_FILE, F(watch),
     .help = "show it again every second until the job does not run any more"},
    {"quiet", 'q', NULL, PH_OPT_FLAG, ALL, PH_SECTION_OUTPUT, 0, F(quiet),
     .help = "warnings and errors only"},
    {"verbose", 'v', NULL, PH_OPT_COUNT, ALL, PH_SECTION_OUTPUT, 0, F(verbose),
     .help = "say more; twice: everything"},
    {"no-progress", 0, NULL, PH_OPT_FLAG, RUN | PH_CMD_VERIFY, PH_SECTION_OUTPUT, 0, F(no_progress),
     .help = "no progress while it runs"},
    {"log-format", 0, "FORMAT", PH_OPT_CHOICE, ALL, PH_SECTION_OUTPUT, 0, F(log_format),
     log_formats, .help = "text (default) or json: one object a line"},
    {"log-file", 0, "FILE", PH_OPT_TEXT, ALL, PH_SECTION_OUTPUT, PH_OPT_PATH, F(log_file),
     .help = "messages go to the end of a file, and not to standard error"},
    {"show-data", 0, NULL, PH_OPT_FLAG, ALL, PH_SECTION_OUTPUT, 0, F(show_data),
     .help = "let messages show values of rows"},

    {"keep", 0, NULL, PH_OPT_FLAG, PH_CMD_CONTROL, PH_SECTION_RUN, PH_OPT_NOT_FILE, F(keep),
     .help = "later runs of the job keep to it too, until its like is said again"},
    {"yes", 0, NULL, PH_OPT_FLAG, PH_CMD_CLEAN, PH_SECTION_OTHER, PH_OPT_NOT_FILE, F(yes),
     .help = "do not ask"},
    {"help", 'h', NULL, PH_OPT_FLAG, ALL, PH_SECTION_OTHER, PH_OPT_NOT_FILE | PH_OPT_NOT_ENV,
     F(help), .help = "this text"},
    {"version", 'V', NULL, PH_OPT_FLAG, ALL, PH_SECTION_OTHER, PH_OPT_NOT_FILE | PH_OPT_NOT_ENV,
     F(version), .help = "the version"},
    {"generate", 0, "WHAT", PH_OPT_CHOICE, ALL, PH_SECTION_OTHER,
     PH_OPT_NOT_FILE | PH_OPT_NOT_ENV | PH_OPT_HIDDEN, F(generate), generated, .min = 1,
     .help = "print the man page or the bash completion"},
};
const size_t ph_n_options = sizeof ph_options / sizeof *ph_options;

_Static_assert(sizeof ph_options / sizeof *ph_options <= PH_OPTIONS_MAX, "settings.h counts them");

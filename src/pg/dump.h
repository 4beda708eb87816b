/* pg_dump and pg_restore: who writes DDL, since it is never written at home.
 *
 *     ph_tools_find      the newest pair on this host
 *     ph_dump_schema     the source's schema as an archive (pg_dump --schema-only -Fc), in memory
 *     ph_dump_list       its table of contents, one section of it (pg_restore -l); see plan/toc.h
 *     ph_dump_script     the SQL of the entries that a list names (pg_restore -L -f -), in that order
 *
 * A script is for a transaction of its own in a session that has the dump's encoding and
 * standard_conforming_strings on, after PH_DUMP_SETTINGS: the head that sets a whole session up is cut
 * off.
 */
#ifndef PH_PG_DUMP_H
#define PH_PG_DUMP_H

#include "base/arena.h"
#include "base/buf.h"
#include "pg/conn.h"

struct ph_tools {
    const char *pg_dump, *pg_restore;
    int major;
    const char *shown; /* "15.18" */
    struct ph_interrupt *interrupt;
};

/* The newest pg_dump with its pg_restore: in `dir`, or when that is NULL where Debian puts them, or on the PATH
 * if those are too old. PH_WRONG when there is none, or none of major version `need`, which `side`'s server has. */
bool ph_tools_find(struct ph_tools *out, struct ph_arena *arena, const char *dir, int need,
                   const char *side, struct ph_interrupt *interrupt, struct ph_err *err);

/* Dumps the schema of what `select` (options of pg_dump's, n of them) chooses, in an encoding. */
bool ph_dump_schema(const struct ph_tools *tools, const struct ph_dsn *dsn, const char *encoding,
                    const char *const *select, int n, struct ph_buf *dump, struct ph_err *err);

/* What pg_restore leaves out. */
struct ph_dump_without {
    bool owner, privileges, comments;
};

/* section: "pre-data" or "post-data". */
bool ph_dump_list(const struct ph_tools *tools, const struct ph_buf *dump,
                  const struct ph_dump_without *without, const char *section, struct ph_buf *list,
                  struct ph_err *err);

/* list: lines of ph_dump_list. */
bool ph_dump_script(const struct ph_tools *tools, const struct ph_buf *dump,
                    const struct ph_dump_without *without, const char *list, struct ph_buf *sql,
                    struct ph_err *err);

#define PH_DUMP_SETTINGS                                                                           \
    "SET LOCAL search_path = '';SET LOCAL check_function_bodies = off;SET LOCAL xmloption ="       \
    " content;SET LOCAL row_security = off;"

#endif

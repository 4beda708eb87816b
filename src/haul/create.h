/* copy --create: the target's schema is made as the source's is, by pg_dump and pg_restore.
 *
 *     create_look.c   what is to be made: dump, its table of contents, and what stands in the way
 *     create_check.c  the questions to both servers behind that, and create_needs.c
 *     create.c        from nothing to what is made
 *     create_others.c   what other commands have begun to make here
 *     create_make.c   it is made: before the rows, in chunks, each in one transaction with its mark, by
 *                     several connections
 *     create_rest.c   what is made after the rows, as steps of the job; sequences
 *     create_archive.c   the schema in an archive: an extract keeps it, a load makes it without the source
 *
 *     nothing ─look─► written down ─chunk─► ... ─chunk─► made ─plan─► the job: rows ─► steps ─► sequences
 *                     (pghaul.creation)
 *
 * Everything in the way is found before anything is changed (PH_WRONG). After that a run that ends
 * anyhow goes on at the chunk, also on another host.
 */
#ifndef PH_HAUL_CREATE_H
#define PH_HAUL_CREATE_H

#include "haul/run.h"
#include "plan/toc.h"
#include "plan/waves.h"

/* What is to be made. */
struct ph_create_look {
    struct ph_plan *plan; /* what the job would be, with what stands in its way */
    int first_warning;    /* of the plan's: this one and those behind it are of the schema */
    struct ph_tools tools;
    struct ph_buf dump;
    struct ph_toc pre, post; /* what comes before the rows, and after them */
    const char *counts;      /* JSON */
};

/* create_look.c: a pg_dump and a pg_restore of major version `need`, which `side`'s server has, or newer; looked for once. */
bool ph_create_tools(struct ph_run *run, int need, const char *side, struct ph_tools *out,
                     struct ph_err *err);

/* create_look.c: looks; what stands in the way becomes obstacles of look->plan. The run is connected. */
bool ph_create_look(struct ph_run *run, struct ph_create_look *look, struct ph_err *err);
void ph_create_look_fini(struct ph_create_look *look);

/* create_look.c: dumps the source's schema, as far as the plan goes, with look->tools. */
bool ph_create_dump(struct ph_run *run, const struct ph_plan *plan, struct ph_create_look *look,
                    struct ph_err *err);

/* create_look.c: fills look->pre and look->post from look->dump, as they are in it. */
bool ph_create_list(struct ph_run *run, struct ph_create_look *look, struct ph_err *err);

/* create_look.c: look->counts. */
void ph_create_count(struct ph_run *run, struct ph_create_look *look);

/* create_look.c, create_check.c, create_rest.c: ask the source what a creation and its steps will ask, for a witness who
 * writes. */
bool ph_create_ask_needs(struct ph_run *run, struct ph_err *err);
bool ph_create_ask(struct ph_run *run, const struct ph_create_look *look, struct ph_err *err);
bool ph_create_ask_rest(struct ph_run *run, const struct ph_toc *made, struct ph_err *err);

/* create_check.c: likewise, one thing each; skip[i] is set for entries of look->pre that are there
 * already and may be. */
bool ph_create_check(struct ph_run *run, struct ph_create_look *look, bool *skip,
                     struct ph_err *err);

/* create_needs.c: likewise, for what neither the dump nor the target has. */
bool ph_create_check_needs(struct ph_run *run, struct ph_create_look *look, struct ph_err *err);

/* create_look.c: what comes before the rows in chunks, see plan/waves.h. */
bool ph_create_cut(struct ph_run *run, struct ph_create_look *look, struct ph_waves *out,
                   struct ph_err *err);

/* create_make.c: makes what is left of it. conn has ph_creation_lock; what `look` lacks is read from the ledger. */
bool ph_create_make(struct ph_run *run, struct ph_conn *conn, struct ph_creation *creation,
                    struct ph_create_look *look, struct ph_err *err);

/* create_make.c: sets the phase, and shows it: so many objects of all; 0: not known. */
void ph_create_tell(struct ph_run *run, const char *phase, int made, int objects);

/* create_make.c: a connection to the target that makes what is to be made. */
bool ph_create_connect(const struct ph_run *run, struct ph_conn **conn, struct ph_err *err);

/* So many connections make a schema. look may have no plan. */
int ph_create_makers(const struct ph_run *run, const struct ph_create_look *look);

/* The names by which a table of contents is taken apart. */
bool ph_create_names(struct ph_run *run, struct ph_toc_names *names, struct ph_err *err);

/* create_rest.c: where an entry comes among those that are made after the rows: 0 first, 1 grants, 2 when all else is
 * done: event triggers, which would see it. */
int ph_create_turn(const struct ph_toc_entry *entry);

/* create_others.c: of a key that is not written down here. PH_OTHER_JOB when the same was begun with other options, and is
 * not finished: the text names that command. */
bool ph_create_refuse_others(struct ph_run *run, const char *key, struct ph_err *err);

/* create_others.c: likewise; what to do where something is there already, by the command that has made a schema here;
 * NULL: none has. */
const char *ph_create_others_hint(struct ph_run *run);

/* create.c: what pg_restore is to leave out. */
struct ph_dump_without ph_create_without(const struct ph_run *run);

#endif

/* The table of contents of a dump of pg_dump's, as pg_restore -l prints it:
 *
 *     3323; 2606 16392 CONSTRAINT s1 t t_pkey tester
 *     ^id   ^catalog and OID in the source (0 0: none)
 *                      ^kind      ^schema or -  ^tag     ^owner
 *
 * A kind is one of a known list; schemas, tags and owners may hold blanks, so the schemas and roles of
 * the source have to be known to take a line apart. Lines are passed on to pg_restore as they came.
 */
#ifndef PH_PLAN_TOC_H
#define PH_PLAN_TOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

/* OIDs of system catalogs, which are the same everywhere. */
enum { PH_CATALOG_CLASS = 1259, PH_CATALOG_NAMESPACE = 2615, PH_CATALOG_EXTENSION = 3079 };

struct ph_toc_entry {
    uint32_t catalog, oid;
    const char *kind;   /* "TABLE", "FK CONSTRAINT", ...; one of a kind unknown: its first word */
    const char *schema; /* NULL: none */
    const char *tag;
    const char *owner; /* "": none */
    const char *line;  /* without its end */
};

struct ph_toc {
    struct ph_toc_entry *items;
    int n;
};

struct ph_toc_names {
    const char *const *schemas, *const *roles;
    int n_schemas, n_roles;
};

/* Comments and blank lines are passed over. Everything lives in the arena. */
void ph_toc_parse(struct ph_toc *out, struct ph_arena *arena, const char *list,
                  const struct ph_toc_names *names);

bool ph_toc_is(const struct ph_toc_entry *entry, const char *kind);

/* "table public.orders", "fk constraint public.orders orders_buyer_fkey": for people. */
const char *ph_toc_shown(struct ph_arena *arena, const struct ph_toc_entry *entry);

/* How many there are of each kind that people count ("tables", "indexes", ...), as a JSON object; entries
 * that belong to others (comments, grants, defaults, attachments) are not counted. */
char *ph_toc_counts(const struct ph_toc *const *tocs, int n);

#endif

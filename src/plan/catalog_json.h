/* The catalog of an archive as JSON: what a plan needs to know of tables whose server is far away.
 *
 * An extract describes its tables as the archive holds them, names, columns and all, and writes that
 * down; a load reads it back, and plans from it as if it came from a server. Within:
 *
 *     format      1
 *     server      version, encoding, identity, search_path, how it understands money
 *     types       all that the columns consist of, by OID
 *     relations   tables and the roots above them: columns, unique indexes, bounds, sizes
 *     inherits    [parent, child] of those
 *
 * OIDs mean something within the text only. Texts are JSON strings where they are UTF-8; else, since
 * a server's names may be in any encoding, {"latin1": "..."} with a character for each byte.
 */
#ifndef PH_PLAN_CATALOG_JSON_H
#define PH_PLAN_CATALOG_JSON_H

#include "pg/catalog.h"

/* The text, in the catalog's arena. NULL when there is no memory for it. */
const char *ph_catalog_json(const struct ph_catalog *catalog);

/* The way back: into the arena, with conn NULL and every relation detailed; what is not kept (rights,
 * triggers, foreign keys) is as harmless as can be. PH_FAILED when the text is none of ours,
 * PH_OTHER_JOB when it is of a newer format. Whatever it says, references are checked: types and
 * inheritance have no circles, everything is in its order. */
bool ph_catalog_json_read(struct ph_catalog *catalog, struct ph_arena *arena, const char *text,
                          struct ph_err *err);

#endif

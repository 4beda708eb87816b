/* A witness: whom a server's catalog is asked of.
 *
 *     the server itself        { conn, NULL }
 *     the same, written down   { conn, answers }: an extract does so, for a load that has no source
 *     what was written down    { NULL, answers }
 *
 * Who asks gives each question a name, and need not know which of these it is. A question that is asked
 * when only the answers are left must have been asked before; its SQL is of no meaning then, so the
 * answer may say more than was asked now, and never less.
 *
 *     ph_testimony_new → ph_witness_query…, ph_witness_catalog… → ph_testimony_text
 *     ph_testimony_read → ph_witness_query…, ph_witness_catalog… → ph_testimony_free
 */
#ifndef PH_PG_WITNESS_H
#define PH_PG_WITNESS_H

#include "base/arena.h"
#include "base/buf.h"
#include "pg/conn.h"

struct ph_testimony;

struct ph_witness {
    struct ph_conn *conn;         /* NULL: it is not there */
    struct ph_testimony *answers; /* NULL: nobody writes */
};

/* As ph_conn_query and ph_catalog_query. PH_FAILED for a question that has no answer. */
bool ph_witness_query(const struct ph_witness *witness, const char *question, const char *sql,
                      struct ph_rows **rows, struct ph_err *err);
bool ph_witness_catalog(const struct ph_witness *witness, const char *question, const char *select,
                        struct ph_rows **rows, struct ph_err *err);

/* "the source", "the archive": for messages. */
const char *ph_witness_shown(const struct ph_witness *witness);

/* Free with ph_testimony_free; NULL without memory. */
struct ph_testimony *ph_testimony_new(void);
void ph_testimony_free(struct ph_testimony *answers);

/* As JSON, see include/pghaul/archive-format.md; and back: PH_FAILED when it is not that. */
bool ph_testimony_text(const struct ph_testimony *answers, struct ph_buf *out, struct ph_err *err);
bool ph_testimony_read(struct ph_testimony **out, const char *data, size_t len, struct ph_err *err);

#endif

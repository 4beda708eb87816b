/* The predicates of shards, as text. Pure: no server, no memory but the buffer.
 *
 * Every text can be joined with others by AND as it stands. Operators carry their schema, because a
 * search_path that lacks an extension's schema would silently compare its type by another type's
 * operators (citext as text), and literals carry their type, because an untyped one takes the
 * meaning that its neighbour suggests.
 */
#ifndef PH_PLAN_CUT_WHERE_H
#define PH_PLAN_CUT_WHERE_H

#include "base/buf.h"
#include "plan/plan.h"

/* Heap blocks [lo, hi): lo 0 and hi -1 are open ends; both open: nothing is added. */
void ph_cut_where_blocks(struct ph_buf *where, int64_t lo, int64_t hi);

/* Keys in [lo, hi): n_key texts each, as the server wrote them; NULL is an open end. Nullable
 * columns are asked to be not NULL; nothing is added when there is nothing to ask. */
void ph_cut_where_range(struct ph_buf *where, const struct ph_plan_key *key, int n_key,
                        const char *const *lo, const char *const *hi);

/* Rows with a NULL in any nullable column of the key. */
void ph_cut_where_null(struct ph_buf *where, const struct ph_plan_key *key, int n_key);

/* Rows whose key hashes to `i` modulo `n`. A column whose op_schema is NULL has no hash of its own;
 * then, and on servers older than 14 (version 140000), the text of the key is hashed. */
void ph_cut_where_hash(struct ph_buf *where, const struct ph_plan_key *key, int n_key, int i, int n,
                       int version);

/* "column is NULL" for any column type, unlike IS NULL, which asks a composite value about its
 * fields. */
void ph_cut_where_is_null(struct ph_buf *where, const struct ph_plan_key *column);

/* `"a"` or `ROW("a", "b")`. */
void ph_cut_where_key(struct ph_buf *where, const struct ph_plan_key *key, int n_key);

#endif

#include "archive/rows.h"

#include <string.h>

#include "io/frame.h"

bool ph_archive_rows_init(struct ph_archive_rows *rows, struct ph_place *place,
                          const struct ph_archive *archive, struct ph_err *err)
{
    *rows = (struct ph_archive_rows){.place = place, .archive = archive};
    return ph_batcher_init(&rows->batcher, PH_FRAME_BLOCK, err);
}

void ph_archive_rows_fini(struct ph_archive_rows *rows)
{
    ph_archive_rows_close(rows);
    ph_batcher_fini(&rows->batcher);
}

void ph_archive_rows_close(struct ph_archive_rows *rows)
{
    ph_shardin_close(rows->file);
    rows->file = NULL;
    ph_tally_fini(&rows->tally);
}

static bool damaged(struct ph_err *err)
{
    if (err->code == PH_FAILED)
        err->code = PH_DAMAGED;
    return false;
}

static bool differs(const struct ph_archive_rows *rows, const char *what, struct ph_err *err)
{
    return ph_err_set(err, PH_DAMAGED, "%s/%s is not the file that the manifest means: %s",
                      rows->place->shown, rows->shard->file, what);
}

static bool same_texts(const char *const *a, const char *const *b, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_or_null(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool same_table(const struct ph_receipt *r, const struct ph_archive_table *t)
{
    return !strcmp(r->schema, t->schema) && !strcmp(r->table, t->name) && r->format == t->format &&
           r->n_columns == t->n_columns && same_texts(r->columns, t->columns, t->n_columns) &&
           same_texts(r->types, t->types, t->n_columns);
}

static bool same_shard(const struct ph_receipt *r, const struct ph_archive_shard *s)
{
    return r->shard == s->id && r->tab == s->tab && r->snapshot == s->snapshot &&
           !strcmp(r->where, s->where) && same_or_null(r->lo, s->lo) && same_or_null(r->hi, s->hi);
}

/* From what differs in any other file to what should never differ. */
static bool is_meant(const struct ph_archive_rows *rows, struct ph_err *err)
{
    const struct ph_archive *a = rows->archive;
    const struct ph_archive_shard *s = rows->shard;
    const struct ph_receipt *r = ph_shardin_receipt(rows->file);
    const struct ph_sealed *sealed = ph_shardin_sealed(rows->file);
    const struct ph_tally tally = ph_receipt_tally(r);
    if (strcmp(r->set, a->set) != 0)
        return differs(rows, "it belongs to another archive", err);
    if (!same_table(r, &a->tables[s->tab - 1]))
        return differs(rows, "it is of another table", err);
    if (!same_shard(r, s))
        return differs(rows, "it is of another shard", err);
    if (sealed->size != s->sealed.size)
        return differs(rows, "it has another size", err);
    if (memcmp(sealed->hash, s->sealed.hash, sizeof sealed->hash) != 0)
        return differs(rows, "it has another hash", err);
    if (strcmp(r->encoding, a->encoding) != 0)
        return differs(rows, "it has another encoding", err);
    return ph_tally_equal(&tally, &s->tally) || differs(rows, "it has other rows", err);
}

bool ph_archive_rows_open(struct ph_archive_rows *rows, const struct ph_archive_shard *shard,
                          struct ph_err *err)
{
    const struct ph_place *place = rows->place;
    const struct ph_archive_table *table = &rows->archive->tables[shard->tab - 1];
    if (!ph_place_ready(rows->place, err))
        return false;
    rows->shard = shard;
    rows->tally = (struct ph_tally){0};
    if (!ph_shardin_open(&rows->file, place->ring, place->dir, place->shown, shard->file,
                         place->direct_in, err)) {
        rows->file = NULL;
        return damaged(err);
    }
    if (!is_meant(rows, err)) {
        ph_archive_rows_close(rows);
        return false;
    }
    ph_batcher_begin(&rows->batcher, table->format, table->n_columns);
    return true;
}

static bool lend_block(void *from, const char **data, size_t *n, struct ph_err *err)
{
    struct ph_archive_rows *rows = from;
    return ph_shardin_next(rows->file, data, n, err);
}

static bool broken(const struct ph_archive_rows *rows, struct ph_err *err)
{
    damaged(err);
    return ph_err_prefix(err, "%s/%s is damaged", rows->place->shown, rows->shard->file);
}

bool ph_archive_rows_next(struct ph_archive_rows *rows, struct ph_batch *batch, struct ph_err *err)
{
    if (!ph_batcher_pass(&rows->batcher, lend_block, rows, batch, err))
        return damaged(err);
    if (batch->len > 0)
        return ph_tally_add(&rows->tally, batch) || ph_err_nomem(err);
    if (!ph_batcher_complete(&rows->batcher, rows->shard->file, err))
        return broken(rows, err);
    if (ph_tally_equal(&rows->tally, &rows->shard->tally))
        return true;
    ph_err_set(err, PH_DAMAGED, "its rows are not those of its receipt");
    return broken(rows, err);
}

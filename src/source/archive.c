#include "source/archive.h"

#include <stdlib.h>
#include <string.h>

#include "archive/shardfile.h"
#include "base/fault.h"
#include "copy/batcher.h"
#include "io/frame.h"
#include "pg/reject.h"
#include "pg/table.h"
#include "pghaul/tally.h"

/* Rows that are left out (pg/reject.h): the batches in hand are lent in runs between them. All rows are tallied, those too,
 * since the file's tally is of all. */
struct without {
    struct ph_batch batch;
    size_t at;    /* rows of it that were lent, or left out */
    uint64_t row; /* rows before them */
    int next;     /* reject that comes next */
    uint32_t *edge;
    size_t room;
    struct ph_tally tally;
};

struct source_archive {
    struct ph_source base;
    struct ph_place *place;
    const struct ph_shard *shard;
    struct ph_shardin *file;
    struct ph_batcher batcher;
    struct without without;
};

static struct source_archive *self_of(struct ph_source *source)
{
    return (struct source_archive *)source;
}

static void close_file(struct source_archive *self)
{
    ph_shardin_close(self->file);
    self->file = NULL;
    self->base.wait_ns = self->place->ring ? ph_ring_wait_ns(self->place->ring) : 0;
}

/* Memory that cannot be had is no fault of the file's. */
static bool damaged(struct ph_err *err)
{
    if (err->code != PH_INTERRUPTED && err->code != PH_WRONG)
        err->code = PH_DAMAGED;
    return false;
}

static bool is_the_one(const struct source_archive *self, const struct ph_shard *shard,
                       struct ph_err *err)
{
    const struct ph_receipt *r = ph_shardin_receipt(self->file);
    const struct ph_tally tally = {
        .rows = r->rows, .bytes = r->bytes, .hash_lo = r->hash_lo, .hash_hi = r->hash_hi};
    if (strcmp(r->set, self->place->set) == 0 && r->format == shard->format &&
        r->n_columns == shard->table->n_columns &&
        (!shard->expect || ph_tally_equal(&tally, shard->expect)))
        return true;
    return ph_err_set(err, PH_DAMAGED, "%s/%s is another file than the one that was written here",
                      self->place->shown, shard->file);
}

static bool open_shard(struct ph_source *source, const struct ph_shard *shard, struct ph_err *err)
{
    struct source_archive *self = self_of(source);
    struct ph_place *place = self->place;
    self->shard = shard;
    if (!ph_place_ready(place, err))
        return false;
    if (!ph_shardin_open(&self->file, place->ring, place->dir, place->shown, shard->file,
                         place->direct_in, err)) {
        self->file = NULL;
        return damaged(err);
    }
    ph_batcher_begin(&self->batcher, shard->format, shard->table->n_columns);
    if (PH_FAULT("archive.opened"))
        return ph_err_set(err, PH_DAMAGED, "fault point archive.opened");
    return is_the_one(self, shard, err);
}

static bool lend_block(void *from, const char **data, size_t *n, struct ph_err *err)
{
    struct source_archive *self = from;
    return ph_shardin_next(self->file, data, n, err) || damaged(err);
}

static bool next_whole(struct source_archive *self, struct ph_batch *batch, struct ph_err *err)
{
    if (!ph_batcher_pass(&self->batcher, lend_block, self, batch, err))
        return damaged(err);
    self->base.wait_ns = ph_ring_wait_ns(self->place->ring);
    if (batch->len > 0)
        return true;
    uint64_t rows = ph_shardin_receipt(self->file)->rows;
    if (!ph_batcher_complete(&self->batcher, self->shard->file, err))
        return damaged(err);
    if (rows != self->batcher.rows)
        return ph_err_set(err, PH_DAMAGED, "%s/%s holds %llu rows, its receipt says %llu",
                          self->place->shown, self->shard->file,
                          (unsigned long long)self->batcher.rows, (unsigned long long)rows);
    return true;
}

/* Without rejects. */

static bool is_left_out(const struct source_archive *self, uint64_t row)
{
    const struct ph_rejects *rejects = self->shard->rejects;
    return self->without.next < rejects->n && rejects->item[self->without.next].row == row;
}

/* The rows of the batch in hand from `at` to the next that is left out. */
static bool lend_run(struct source_archive *self, struct ph_batch *out, struct ph_err *err)
{
    struct without *w = &self->without;
    const struct ph_batch *b = &w->batch;
    uint32_t begin = w->at ? b->edge[w->at - 1] : 0;
    size_t n = 0;
    while (w->at + n < b->rows && !is_left_out(self, w->row + n + 1))
        n++;
    if (n > w->room) {
        uint32_t *more = realloc(w->edge, b->rows * sizeof *more);
        if (!more)
            return ph_err_nomem(err);
        w->edge = more;
        w->room = b->rows;
    }
    for (size_t i = 0; i < n; i++)
        w->edge[i] = b->edge[w->at + i] - begin;
    *out = (struct ph_batch){
        .data = b->data + begin, .len = n ? w->edge[n - 1] : 0, .edge = w->edge, .rows = n};
    w->at += n;
    w->row += n;
    if (w->at < b->rows) { /* the one that is left out */
        w->at++;
        w->row++;
        w->next++;
    }
    return true;
}

/* A piece of a wide row: all of them are left out, or none. */
static void lend_piece(struct source_archive *self, struct ph_batch *out)
{
    struct without *w = &self->without;
    bool left_out = is_left_out(self, w->row + 1);
    *out = left_out ? (struct ph_batch){0} : w->batch;
    if (w->batch.last_piece) {
        w->row++;
        w->next += left_out;
    }
    w->batch = (struct ph_batch){0};
}

/* Everything has been read: it was what the ledger expects, and each reject was met. */
static bool is_all(const struct source_archive *self, struct ph_err *err)
{
    const struct ph_shard *shard = self->shard;
    if ((!shard->expect || ph_tally_equal(&self->without.tally, shard->expect)) &&
        self->without.next == shard->rejects->n)
        return true;
    return ph_err_set(err, PH_DAMAGED, "%s/%s does not hold the rows that it should",
                      self->place->shown, shard->file);
}

static bool next_without(struct source_archive *self, struct ph_batch *batch, struct ph_err *err)
{
    struct without *w = &self->without;
    do {
        if (w->at == w->batch.rows && !w->batch.piece) {
            w->at = 0;
            if (!next_whole(self, &w->batch, err))
                return false;
            *batch = w->batch;
            if (w->batch.len == 0)
                return is_all(self, err);
            if (!ph_tally_add(&w->tally, &w->batch))
                return ph_err_nomem(err);
        }
        if (w->batch.piece)
            lend_piece(self, batch);
        else if (!lend_run(self, batch, err))
            return false;
    } while (batch->len == 0);
    return true;
}

static void end_without(struct without *w)
{
    ph_tally_fini(&w->tally);
    free(w->edge);
    *w = (struct without){0};
}

static bool next_batch(struct ph_source *source, struct ph_batch *batch, struct ph_err *err)
{
    struct source_archive *self = self_of(source);
    return self->shard->rejects ? next_without(self, batch, err) : next_whole(self, batch, err);
}

static void end_shard(struct ph_source *source)
{
    end_without(&self_of(source)->without);
    close_file(self_of(source));
}

static void free_source(struct ph_source *source)
{
    struct source_archive *self = self_of(source);
    end_without(&self->without);
    close_file(self);
    ph_batcher_fini(&self->batcher);
    free(self);
}

static const struct ph_source_ops ops = {
    .name = "archive",
    .waits = PH_STAGE_SPILL_READ,
    .works = PH_STAGE_COMPRESS,
    .open = open_shard,
    .next = next_batch,
    .finish = end_shard,
    .abandon = end_shard,
    .free = free_source,
};

bool ph_source_archive_new(struct ph_source **out, struct ph_place *place, struct ph_err *err)
{
    struct source_archive *self = calloc(1, sizeof *self);
    if (!self)
        return ph_err_nomem(err);
    if (!ph_batcher_init(&self->batcher, PH_FRAME_BLOCK, err)) {
        free(self);
        return false;
    }
    self->base.ops = &ops;
    self->place = place;
    *out = &self->base;
    return true;
}

#include "sink/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "archive/manifest.h"
#include "base/clock.h"
#include "base/fault.h"
#include "pg/table.h"

struct sink_archive {
    struct ph_sink base;
    struct ph_sink_archive_opts opts;
    const struct ph_shard *shard;
    struct ph_arena arena; /* of the receipt in hand */
    struct ph_receipt receipt;
    const char *name;
    struct ph_shardout *file;
    struct ph_pays pays; /* what is known of the medium, from file to file */
    uint64_t stored;
};

static struct sink_archive *self_of(struct ph_sink *sink)
{
    return (struct sink_archive *)sink;
}

uint64_t ph_sink_archive_stored(const struct ph_sink *sink)
{
    const struct sink_archive *self = (const struct sink_archive *)sink;
    return self->file ? ph_shardout_size(self->file) : self->stored;
}

static void note_wait(struct sink_archive *self)
{
    uint64_t medium = self->opts.place->ring ? ph_ring_wait_ns(self->opts.place->ring) : 0;
    self->base.wait_ns = medium + self->base.commit_ns;
}

static void fill_receipt(struct sink_archive *self, const struct ph_shard *shard)
{
    const struct ph_table *t = shard->table;
    const struct ph_roster_item *item = ph_roster_find(self->opts.roster, shard->id);
    const char **columns = ph_arena_calloc(&self->arena, (size_t)t->n_columns + 1, sizeof *columns);
    const char **types = ph_arena_calloc(&self->arena, (size_t)t->n_columns + 1, sizeof *types);
    for (int i = 0; i < t->n_columns; i++) {
        columns[i] = t->columns[i].name;
        types[i] = t->columns[i].target_type;
    }
    self->receipt = (struct ph_receipt){
        .set = self->opts.place->set,
        .shard = shard->id,
        .tab = shard->tab,
        .attempt = shard->attempt,
        .schema = self->opts.one_name ? t->target_schema : t->source_schema,
        .table = self->opts.one_name ? t->target_name : t->source_name,
        .format = shard->format,
        .encoding = self->opts.encoding,
        .columns = columns,
        .types = types,
        .n_columns = t->n_columns,
        .where = ph_arena_strdup(&self->arena, shard->where),
        .lo = item ? item->lo : NULL,
        .hi = item ? item->hi : NULL,
        .snapshot = self->opts.snapshot,
        .pg_snapshot = self->opts.pg_snapshot,
        .lsn = self->opts.lsn,
    };
}

static bool choose_name(struct sink_archive *self, const struct ph_shard *shard, struct ph_err *err)
{
    char token[9];
    uint32_t dice = 0;
    if (!self->opts.one_name && getrandom(&dice, sizeof dice, 0) != (ssize_t)sizeof dice)
        return ph_err_set(err, PH_FAILED, "there are no random numbers to be had");
    snprintf(token, sizeof token, "%08" PRIx32, dice);
    self->name = ph_archive_file_name(&self->arena, self->receipt.schema, self->receipt.table,
                                      shard->id, self->opts.one_name ? NULL : token);
    return true;
}

static void forget(struct sink_archive *self)
{
    ph_shardout_discard(self->file);
    self->file = NULL;
    ph_arena_fini(&self->arena);
    self->arena = (struct ph_arena){0};
}

static bool open_shard(struct ph_sink *sink, const struct ph_shard *shard, struct ph_err *err)
{
    struct sink_archive *self = self_of(sink);
    struct ph_place *place = self->opts.place;
    forget(self);
    self->shard = shard;
    fill_receipt(self, shard);
    if (!ph_place_ready(place, err) || !choose_name(self, shard, err))
        return false;
    const struct ph_shardout_opts how = {
        .file = {.dir = place->dir,
                 .dir_shown = place->shown,
                 .name = self->name,
                 .direct = place->direct_out},
        .compress = self->opts.compress,
        .pays = &self->pays,
        .receipt = &self->receipt,
    };
    bool ok = ph_shardout_open(&self->file, place->ring, &how, err);
    if (!ok)
        self->file = NULL;
    return ok;
}

static bool put(struct ph_sink *sink, const struct ph_batch *batch, struct ph_err *err)
{
    struct sink_archive *self = self_of(sink);
    bool ok = ph_shardout_put(self->file, batch, err);
    note_wait(self);
    return ok;
}

/* Who may not have the shard any more leaves no file. The roster hears of the file last: while the ledger is being told of it,
 * nobody else may tell it too, for that would fence us. */
static bool tell(struct sink_archive *self, const struct ph_spill_note *note, struct ph_err *err)
{
    struct ph_desk *desk = *self->opts.desk;
    struct ph_place *place = self->opts.place;
    struct ph_err ignored;
    bool known = false;
    if (PH_FAULT("spill.sealed")) { /* as if the target had gone this very moment */
        ph_desk_recover(desk);
    } else if (!ph_desk_sealed(desk, self->shard, note, &known, err) &&
               (err->code == PH_FENCED || err->code == PH_SNAPSHOT_GONE)) {
        ph_file_remove(place->dir, place->shown, note->file, &ignored);
        return false;
    }
    /* whatever else it is, the worker hears of it when it notes the file */
    ph_roster_sealed(self->opts.roster, self->shard->id, note);
    if (known)
        ph_roster_noted(self->opts.roster, self->shard->id);
    return true;
}

static bool commit(struct ph_sink *sink, const struct ph_tally *tally, struct ph_err *err)
{
    struct sink_archive *self = self_of(sink);
    struct ph_spill_note note = {.file = self->name,
                                 .tally = *tally,
                                 .snapshot = self->opts.snapshot,
                                 .moment = self->opts.pg_snapshot};
    struct ph_shardout *file = self->file;
    note.tally.open_row = NULL;
    if (PH_FAULT("spill.seal"))
        return ph_err_set(err, PH_FAILED, "fault point spill.seal");
    self->file = NULL; /* sealing frees it, whatever comes of it */
    bool ok = ph_shardout_seal(file, tally, &note.sealed, err);
    note_wait(self);
    if (!ok)
        return false;
    self->stored = note.sealed.size;
    uint64_t begin = ph_clock_ns();
    ok = tell(self, &note, err);
    self->base.commit_ns += ph_clock_ns() - begin;
    note_wait(self);
    forget(self);
    return ok;
}

static void abandon(struct ph_sink *sink)
{
    struct sink_archive *self = self_of(sink);
    forget(self);
    note_wait(self);
}

static void free_sink(struct ph_sink *sink)
{
    forget(self_of(sink));
    free(sink);
}

static const struct ph_sink_ops ops = {
    .name = "archive",
    .waits = PH_STAGE_SPILL_WRITE,
    .works = PH_STAGE_COMPRESS,
    .open = open_shard,
    .put = put,
    .commit = commit,
    .abandon = abandon,
    .free = free_sink,
};

bool ph_sink_archive_new(struct ph_sink **out, const struct ph_sink_archive_opts *opts,
                         struct ph_err *err)
{
    struct sink_archive *self = calloc(1, sizeof *self);
    if (!self)
        return ph_err_nomem(err);
    self->base.ops = &ops;
    self->opts = *opts;
    *out = &self->base;
    return true;
}

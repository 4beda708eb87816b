#include "haul/archive_cat.h"

#include "archive/rows.h"
#include "copy/decode.h"
#include "plan/catalog_json.h"
#include "plan/describe.h"
#include "plan/quote.h"

enum { PUT = 65536 }; /* bytes that are gathered before they are put */

struct cat {
    const struct ph_archive_cat_opts *opts;
    struct ph_decoder *decoder; /* NULL: rows pass as they are */
    struct ph_buf out;
    struct ph_archive_rows rows;
};

static bool cannot(const struct ph_archive_table *table, struct ph_arena *arena, struct ph_err *err)
{
    return ph_err_prefix(err, "table %s", ph_quote_name(arena, table->schema, table->name));
}

static bool new_decoder(struct cat *cat, struct ph_arena *arena, struct ph_err *err)
{
    const struct ph_archive *archive = cat->opts->archive;
    const struct ph_archive_table *table = cat->opts->table;
    struct ph_catalog catalog = {0};
    struct ph_decode_opts opts = {
        .format = table->format,
        .as = cat->opts->as == PH_CAT_CSV ? PH_AS_CSV : PH_AS_TEXT,
        .columns = table->columns,
        .types = table->types,
        .n_columns = table->n_columns,
        .source_version = archive->source_version,
    };
    if (archive->catalog && table->format == PH_BINARY) {
        if (!ph_catalog_json_read(&catalog, arena, archive->catalog, err))
            return false;
        opts.described = ph_describe_types(&catalog.types, arena, &opts.n_described);
    }
    return ph_decoder_new(&cat->decoder, &opts, err) || cannot(table, arena, err);
}

/* What is asked for may not be there to be had. */
static bool settle(struct cat *cat, struct ph_err *err)
{
    const struct ph_archive_table *table = cat->opts->table;
    struct ph_arena arena = {0};
    bool ok = true;
    if (cat->opts->as != PH_CAT_BINARY) {
        ok = new_decoder(cat, &arena, err);
    } else if (table->format == PH_TEXT) {
        ph_err_set(err, PH_WRONG, "it is archived as text, and only a server could make binary");
        ok = cannot(table, &arena, err);
        ph_err_hint(err, "--format text gives what COPY FROM reads");
    }
    ph_arena_fini(&arena);
    return ok;
}

static bool flush(struct cat *cat, size_t least, struct ph_err *err)
{
    if (cat->out.len < least || cat->out.len == 0)
        return true;
    bool ok = cat->opts->put(cat->opts->arg, cat->out.data, cat->out.len, err);
    ph_buf_clear(&cat->out);
    return ok;
}

/* A failed decoder has added the rows before the one that it cannot read, and they are put as well. */
static bool show(struct cat *cat, const char *data, size_t len, struct ph_err *err)
{
    struct ph_err ignored;
    if (ph_decoder_feed(cat->decoder, data, len, &cat->out, err))
        return flush(cat, PUT, err);
    flush(cat, 0, &ignored);
    return false;
}

/* A decoder wants streams, with what stands around the rows. */
static bool mark(struct cat *cat, const char *bytes, size_t len, struct ph_err *err)
{
    bool marks = cat->decoder && cat->opts->table->format == PH_BINARY;
    return !marks || show(cat, bytes, len, err);
}

static bool cat_rows(struct cat *cat, struct ph_err *err)
{
    struct ph_batch batch;
    for (;;) {
        if (ph_interrupt_at(cat->opts->interrupt, 1))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        if (!ph_archive_rows_next(&cat->rows, &batch, err))
            return false;
        if (batch.len == 0)
            return true;
        if (cat->decoder ? !show(cat, batch.data, batch.len, err)
                         : !cat->opts->put(cat->opts->arg, batch.data, batch.len, err))
            return false;
    }
}

static bool cat_shard(struct cat *cat, const struct ph_archive_shard *shard, struct ph_err *err)
{
    bool ok = ph_archive_rows_open(&cat->rows, shard, err) &&
              mark(cat, ph_stream_header, PH_STREAM_HEADER, err) && cat_rows(cat, err) &&
              mark(cat, ph_stream_trailer, PH_STREAM_TRAILER, err);
    ph_archive_rows_close(&cat->rows);
    return ok && (!cat->decoder || ph_decoder_end(cat->decoder, err));
}

static bool cat_shards(struct cat *cat, struct ph_err *err)
{
    const struct ph_archive *archive = cat->opts->archive;
    for (int i = 0; i < archive->n_shards; i++)
        if (archive->shards[i].tab == cat->opts->table->id &&
            !cat_shard(cat, &archive->shards[i], err))
            return false;
    return true;
}

/* A server takes a binary stream without a trailer for a whole one, and would commit a part of the table. A row of an
 * impossible number of fields makes it refuse. */
static void spoil(const struct ph_archive_cat_opts *o)
{
    static const char no_row[] = {(char)0x80, 0};
    struct ph_err ignored;
    o->put(o->arg, no_row, sizeof no_row, &ignored);
}

/* One header and one trailer around the rows of all shards. */
static bool cat_table(struct cat *cat, struct ph_err *err)
{
    const struct ph_archive_cat_opts *o = cat->opts;
    struct ph_err ignored;
    if (cat->decoder) {
        bool ok = cat_shards(cat, err);
        return flush(cat, 0, ok ? err : &ignored) && ok;
    }
    if (!o->put(o->arg, ph_stream_header, PH_STREAM_HEADER, err))
        return false;
    if (!cat_shards(cat, err)) {
        spoil(o);
        return false;
    }
    return o->put(o->arg, ph_stream_trailer, PH_STREAM_TRAILER, err);
}

bool ph_archive_cat(const struct ph_archive_cat_opts *opts, struct ph_err *err)
{
    struct cat cat = {.opts = opts};
    struct ph_place place = {.dir = opts->dir->fd,
                             .shown = opts->dir->shown,
                             .set = opts->archive->set,
                             .log = opts->log};
    ph_place_choose(&place, opts->io, true);
    bool ok = settle(&cat, err);
    if (ok && ph_archive_rows_init(&cat.rows, &place, opts->archive, err)) {
        ok = cat_table(&cat, err);
        ph_archive_rows_fini(&cat.rows);
    } else {
        ok = false;
    }
    ph_place_fini(&place);
    ph_decoder_free(cat.decoder);
    ph_buf_fini(&cat.out);
    return ok;
}

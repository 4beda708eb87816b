/* The archives in tests/golden, which earlier versions wrote, stay readable. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../golden/content.h"
#include "copy/stream.h"

static struct ph_ring *ring;
static struct ph_err err;

/* Beside the sources, wherever the test runs. */
static int open_golden(const char *folder)
{
    const char *end = strstr(__FILE__, "unit/archive/golden_test.c");
    char path[4096];
    assert_non_null(end);
    snprintf(path, sizeof path, "%.*sgolden/v1/%s", (int)(end - __FILE__), __FILE__, folder);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        fail_msg("%s cannot be opened", path);
    return dir;
}

/* The stream and the tally of a shard, from content.h alone. */
static void expect(struct ph_buf *stream, struct ph_tally *tally, enum ph_format format,
                   const struct golden_shard *s)
{
    if (format == PH_BINARY)
        ph_buf_addn(stream, ph_stream_header, PH_STREAM_HEADER);
    for (int i = s->first; i <= s->last; i++) {
        size_t begin = stream->len;
        golden_row(stream, format, i);
        uint32_t edge = (uint32_t)(stream->len - begin);
        assert_true(ph_tally_add(
            tally, &(struct ph_batch){
                       .data = stream->data + begin, .len = edge, .edge = &edge, .rows = 1}));
    }
    if (format == PH_BINARY)
        ph_buf_addn(stream, ph_stream_trailer, PH_STREAM_TRAILER);
}

static void same_text(const char *a, const char *b)
{
    if (!a || !b)
        assert_ptr_equal(a, b);
    else
        assert_string_equal(a, b);
}

static void check_receipt(const struct ph_receipt *is, const struct ph_receipt *should,
                          const struct ph_tally *tally)
{
    assert_string_equal(is->set, should->set);
    assert_int_equal(is->shard, should->shard);
    assert_int_equal(is->tab, should->tab);
    assert_int_equal(is->attempt, should->attempt);
    assert_string_equal(is->schema, should->schema);
    assert_string_equal(is->table, should->table);
    assert_int_equal(is->format, should->format);
    assert_string_equal(is->encoding, should->encoding);
    assert_int_equal(is->n_columns, should->n_columns);
    for (int c = 0; c < is->n_columns; c++) {
        assert_string_equal(is->columns[c], should->columns[c]);
        assert_string_equal(is->types[c], should->types[c]);
    }
    assert_string_equal(is->where, should->where);
    same_text(is->lo, should->lo);
    same_text(is->hi, should->hi);
    assert_int_equal(is->snapshot, should->snapshot);
    same_text(is->pg_snapshot, should->pg_snapshot);
    same_text(is->lsn, should->lsn);
    assert_int_equal(is->rows, tally->rows);
    assert_int_equal(is->bytes, tally->bytes);
    assert_int_equal(is->hash_lo, tally->hash_lo);
    assert_int_equal(is->hash_hi, tally->hash_hi);
}

static void check_stream(struct ph_shardin *in, const struct ph_buf *stream)
{
    size_t at = 0, len = 1;
    while (len > 0) {
        const char *data;
        if (!ph_shardin_next(in, &data, &len, &err))
            fail_msg("%s", err.text);
        assert_true(len <= stream->len - at);
        if (len)
            assert_memory_equal(data, stream->data + at, len);
        at += len;
    }
    assert_int_equal(at, stream->len);
}

static void check_shard(int dir, int variant, const struct ph_archive *archive, int shard)
{
    const struct ph_archive_shard *s = &archive->shards[shard];
    const struct ph_archive_table *t = &archive->tables[s->tab - 1];
    struct ph_receipt should;
    struct ph_buf stream = {0};
    struct ph_tally tally = {0};
    struct ph_shardin *in;
    golden_receipt(&should, t, variant, shard);
    expect(&stream, &tally, t->format, &golden_shards[shard]);
    if (!ph_shardin_open(&in, ring, dir, "golden", s->file, false, &err))
        fail_msg("%s", err.text);
    check_receipt(ph_shardin_receipt(in), &should, &tally);
    assert_int_equal(ph_shardin_sealed(in)->size, s->sealed.size);
    assert_memory_equal(ph_shardin_sealed(in)->hash, s->sealed.hash, PH_SHARDFILE_HASH);
    assert_int_equal(s->tally.rows, tally.rows);
    assert_int_equal(s->tally.bytes, tally.bytes);
    assert_int_equal(s->tally.hash_lo, tally.hash_lo);
    assert_int_equal(s->tally.hash_hi, tally.hash_hi);
    check_stream(in, &stream);
    ph_shardin_close(in);
    ph_buf_fini(&stream);
}

static void check_tables(const struct ph_archive *is, const struct ph_archive *should)
{
    assert_int_equal(is->n_tables, should->n_tables);
    for (int i = 0; i < is->n_tables; i++) {
        const struct ph_archive_table *a = &is->tables[i], *b = &should->tables[i];
        assert_string_equal(a->schema, b->schema);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->format, b->format);
        assert_string_equal(a->split, b->split);
        same_text(a->filter, b->filter);
        assert_string_equal(a->columns[1], b->columns[1]);
        assert_string_equal(a->types[2], b->types[2]);
        assert_int_equal(a->bytes, b->bytes);
    }
}

static void check_archive(int variant, bool sealed)
{
    struct ph_archive should, *is;
    struct ph_archive_table tables[GOLDEN_TABLES];
    struct ph_archive_snapshot snapshots[2];
    struct ph_archive_shard shards[GOLDEN_SHARDS];
    struct ph_arena arena = {0};
    int dir = open_golden(golden_folders[variant]);
    golden_archive(&should, variant, tables, snapshots, shards);
    if (!ph_manifest_read(&is, &arena, dir, "golden", sealed, &err))
        fail_msg("%s", err.text);
    assert_non_null(is);
    assert_string_equal(is->set, should.set);
    assert_string_equal(is->fingerprint, should.fingerprint);
    assert_string_equal(is->definition, should.definition);
    assert_string_equal(is->encoding, should.encoding);
    assert_string_equal(is->catalog, should.catalog);
    same_text(is->sealed_at, sealed ? should.sealed_at : NULL);
    assert_int_equal(is->n_snapshots, 2);
    assert_int_equal(is->snapshots[1].oldest, 2000);
    check_tables(is, &should);
    assert_int_equal(is->n_shards, GOLDEN_SHARDS);
    for (int i = 0; i < GOLDEN_SHARDS; i++) {
        assert_string_equal(is->shards[i].where, shards[i].where);
        assert_int_equal(is->shards[i].weight, shards[i].weight);
        if (sealed)
            check_shard(dir, variant, is, i);
    }
    ph_arena_fini(&arena);
    close(dir);
}

TEST(version_1_in_utf_8_is_read)
{
    check_archive(0, false);
    check_archive(0, true);
}

TEST(version_1_with_names_in_latin1_is_read)
{
    check_archive(1, false);
    check_archive(1, true);
}

int main(void)
{
    if (!ph_ring_new(&ring, &(struct ph_ring_opts){.io = PH_IO_POSIX}, &err))
        return 1;
    int failed = RUN(cmocka_unit_test(version_1_in_utf_8_is_read),
                     cmocka_unit_test(version_1_with_names_in_latin1_is_read));
    ph_ring_free(ring);
    return failed;
}

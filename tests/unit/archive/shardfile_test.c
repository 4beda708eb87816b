/* Shard files, written to a directory and read back. */
#include "archive/shard_maker.h"

#include <signal.h>
#include <sys/resource.h>

#include "archive/tail.h"

static struct place place;

static void comes_back(struct maker *m)
{
    struct ph_err err;
    maker_seal(m);
    if (!maker_read(m, &err))
        fail_msg("%s", err.text);
    struct ph_shardin *in;
    assert_true(ph_shardin_open(&in, place.ring, place.dir, "", m->name, false, &err));
    const struct ph_receipt *r = ph_shardin_receipt(in);
    assert_int_equal(r->rows, m->tally.rows);
    assert_int_equal(r->bytes, m->tally.bytes);
    assert_int_equal(r->hash_lo, m->tally.hash_lo);
    assert_int_equal(r->hash_hi, m->tally.hash_hi);
    const struct ph_sealed *sealed = ph_shardin_sealed(in);
    assert_int_equal(sealed->size, m->sealed.size);
    assert_memory_equal(sealed->hash, m->sealed.hash, PH_SHARDFILE_HASH);
    ph_shardin_close(in);
    struct stat st;
    assert_int_equal(fstatat(place.dir, m->name, &st, 0), 0);
    assert_int_equal(st.st_size, m->sealed.size);
}

/* What the lz4 program makes of it is the stream. */
static void lz4_agrees(const struct maker *m)
{
    char command[200];
    if (system("command -v lz4 >/dev/null") != 0)
        return;
    snprintf(command, sizeof command, "lz4 -tq %s/%s 2>&1", place.path, m->name);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "lz4 -dcq %s/%s", place.path, m->name);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    struct ph_buf out = {0};
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, pipe)) > 0;)
        ph_buf_addn(&out, part, n);
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(out.len, m->stream.len);
    if (out.len)
        assert_memory_equal(out.data, m->stream.data, out.len);
    ph_buf_fini(&out);
}

static struct maker maker; /* large */

TEST(the_receipt_comes_back_to_the_last_field)
{
    struct ph_err err;
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
    maker_row(&maker, 10, false);
    maker_put(&maker);
    maker_seal(&maker);
    struct ph_shardin *in;
    assert_true(ph_shardin_open(&in, place.ring, place.dir, "", maker.name, false, &err));
    const struct ph_receipt *r = ph_shardin_receipt(in);
    assert_string_equal(r->set, "00112233445566778899aabbccddeeff");
    assert_int_equal(r->shard, 7);
    assert_int_equal(r->tab, 2);
    assert_int_equal(r->attempt, 3);
    assert_string_equal(r->schema, "public");
    assert_string_equal(r->table, "Grüße");
    assert_int_equal(r->format, PH_BINARY);
    assert_string_equal(r->encoding, "UTF8");
    assert_int_equal(r->n_columns, 2);
    assert_string_equal(r->columns[1], "na\"me");
    assert_string_equal(r->types[1], "character varying(20)");
    assert_string_equal(r->where, "id >= 10 AND id < 20");
    assert_string_equal(r->lo, "10");
    assert_null(r->hi);
    assert_int_equal(r->snapshot, 1);
    assert_string_equal(r->pg_snapshot, "100:105:101,103");
    assert_string_equal(r->lsn, "16/B374D848");
    assert_int_equal(r->rows, 1);
    assert_int_equal(r->bytes, 16);
    ph_shardin_close(in);
    maker_fini(&maker);
}

TEST(streams_of_both_formats_come_back_under_every_policy)
{
    for (int format = PH_BINARY; format <= PH_TEXT; format++)
        for (int policy = PH_COMPRESS_PAYS; policy <= PH_COMPRESS_NEVER; policy++) {
            maker_open(&maker, &place, "t.lz4", (enum ph_format)format, (enum ph_compress)policy);
            for (int batch = 0; batch < 100; batch++) {
                for (int i = 0; i < 50; i++)
                    maker_row(&maker, (uint32_t)(batch * 7 + i), batch % 10 == 3);
                maker_put(&maker);
            }
            comes_back(&maker);
            lz4_agrees(&maker);
            maker_fini(&maker);
        }
}

TEST(a_shard_without_rows_comes_back)
{
    for (int format = PH_BINARY; format <= PH_TEXT; format++) {
        maker_open(&maker, &place, "t.lz4", (enum ph_format)format, PH_COMPRESS_ALWAYS);
        comes_back(&maker);
        assert_int_equal(maker.stream.len, format == PH_BINARY ? 21 : 0);
        lz4_agrees(&maker);
        maker_fini(&maker);
    }
}

TEST(full_batches_of_64_kib_become_a_block_each)
{
    for (int noise = 0; noise < 2; noise++) {
        maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
        for (int i = 0; i < 41; i++) {
            maker_row(&maker, MAKER_BLOCK - 6, noise);
            maker_put(&maker);
        }
        comes_back(&maker);
        lz4_agrees(&maker);
        uint64_t raw = 41 * MAKER_BLOCK;
        if (noise) /* a frame each, and all that stands around them */
            assert_true(maker.sealed.size < raw + 41 * 8 + 41 * (11 + 28) + 2000);
        else
            assert_true(maker.sealed.size < raw / 50);
        maker_fini(&maker);
    }
}

TEST(a_row_wider_than_a_block_comes_in_pieces)
{
    for (int noise = 0; noise < 2; noise++) {
        maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
        maker_row(&maker, 5, noise);
        maker_put(&maker);
        maker_row(&maker, 700000, noise);
        maker_put_pieces(&maker, MAKER_BLOCK);
        maker_row(&maker, 5, noise);
        maker_put(&maker);
        comes_back(&maker);
        assert_int_equal(maker.tally.rows, 3);
        lz4_agrees(&maker);
        maker_fini(&maker);
    }
}

TEST(a_batch_or_a_piece_larger_than_a_block_becomes_several)
{
    maker_open(&maker, &place, "t.lz4", PH_TEXT, PH_COMPRESS_ALWAYS);
    for (int i = 0; i < 3000; i++)
        maker_row(&maker, 100, i % 2);
    maker_put(&maker);
    maker_row(&maker, 300000, true);
    maker_put_pieces(&maker, 200000);
    comes_back(&maker);
    lz4_agrees(&maker);
    maker_fini(&maker);
}

TEST(full_blocks_and_others_in_any_order_are_read_by_lz4)
{
    static const uint32_t sizes[] = {1, 500, MAKER_BLOCK - 7, MAKER_BLOCK - 6, 30000};
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
    for (uint32_t dice = 1, i = 0; i < 300; i++) {
        dice = dice * 1664525 + 1013904223;
        maker_row(&maker, sizes[(dice >> 16) % 5], (dice >> 24) % 4 == 0);
        maker_put(&maker);
    }
    comes_back(&maker);
    lz4_agrees(&maker);
    maker_fini(&maker);
}

TEST(the_index_says_where_rows_end)
{
    struct ph_err err;
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_NEVER);
    /* the header's block, then three rows of a block each: a frame */
    for (int i = 0; i < 3; i++) {
        maker_row(&maker, 100, false);
        maker_put(&maker);
    }
    /* 3 blocks for one wide row, one for two more: the second frame */
    maker_row(&maker, 3 * 60000 - 6, false);
    maker_put_pieces(&maker, 60000);
    maker_row(&maker, 1, false);
    maker_row(&maker, 1, false);
    maker_put(&maker);
    /* a full block ends its frame */
    maker_row(&maker, 1, false);
    maker_put(&maker);
    maker_row(&maker, MAKER_BLOCK - 6, false);
    maker_put(&maker);
    maker_seal(&maker); /* the trailer: a fourth */
    size_t len, size;
    char *data = maker_bytes(&maker, &len);
    assert_true(ph_tail_size(data + len - PH_TAIL_FOOTER, len, &size, &err));
    struct ph_arena arena = {0};
    struct ph_tail tail;
    assert_true(ph_tail_parse(&tail, &arena, data + len - size, size, len, &err));
    assert_int_equal(tail.n_entries, 4);
    assert_int_equal(tail.entries[0].rows, 3);
    assert_int_equal(tail.entries[0].raw, PH_STREAM_HEADER + 3 * 106);
    assert_int_equal(tail.entries[1].rows, 3);
    assert_int_equal(tail.entries[1].offset, tail.entries[0].stored);
    assert_int_equal(tail.entries[2].rows, 2);
    assert_int_equal(tail.entries[2].raw, 7 + MAKER_BLOCK);
    assert_int_equal(tail.entries[3].rows, 0);
    assert_int_equal(tail.entries[3].raw, PH_STREAM_TRAILER);
    ph_arena_fini(&arena);
    free(data);
    maker_fini(&maker);
}

/* A small file with several frames. */
static void make_small(struct maker *m, enum ph_format format, enum ph_compress compress)
{
    maker_open(m, &place, "t.lz4", format, compress);
    for (int i = 0; i < 6; i++) {
        maker_row(m, 20, false);
        maker_row(m, 30, i % 2);
        maker_put(m);
    }
    maker_row(m, 300, false);
    maker_put(m);
    maker_seal(m);
}

static void set_byte(const struct maker *m, size_t at, char byte)
{
    int fd = openat(place.dir, m->name, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

TEST(every_flipped_bit_of_a_file_is_found)
{
    struct ph_err err = {0};
    for (int format = PH_BINARY; format <= PH_TEXT; format++) {
        make_small(&maker, (enum ph_format)format,
                   format == PH_TEXT ? PH_COMPRESS_NEVER : PH_COMPRESS_ALWAYS);
        size_t len;
        char *data = maker_bytes(&maker, &len);
        for (size_t at = 0; at < len; at++) {
            for (int flip = 0; flip < 10; flip++) {
                char byte = flip < 8    ? (char)(data[at] ^ (1 << flip))
                            : flip == 8 ? (char)~data[at]
                                        : (char)(data[at] + 1);
                set_byte(&maker, at, byte);
                if (maker_read(&maker, &err))
                    fail_msg("byte %zu of %zu, flip %d", at, len, flip);
                assert_int_equal(err.code, PH_FAILED);
                assert_contains(err.text, "the archive/t.lz4");
            }
            set_byte(&maker, at, data[at]);
        }
        assert_true(maker_read(&maker, &err));
        free(data);
        maker_fini(&maker);
    }
}

TEST(a_file_of_any_other_length_is_refused)
{
    struct ph_err err = {0};
    make_small(&maker, PH_BINARY, PH_COMPRESS_ALWAYS);
    size_t len;
    char *data = maker_bytes(&maker, &len), path[100];
    snprintf(path, sizeof path, "%s/t.lz4", place.path);
    for (size_t n = len; n-- > 0;) {
        assert_int_equal(truncate(path, (off_t)n), 0);
        if (maker_read(&maker, &err))
            fail_msg("%zu bytes of %zu", n, len);
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "t.lz4");
    }
    /* more of it: zeros, its own bytes, all of it twice */
    for (size_t more = 1; more <= len; more += more < 130 ? 1 : len - more ? len - more : 1) {
        int fd = openat(place.dir, "t.lz4", O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, data, len), len);
        for (size_t i = 0; i < more && more < len && more % 2; i++)
            assert_int_equal(write(fd, "", 1), 1);
        if (more % 2 == 0 || more == len)
            assert_int_equal(write(fd, data + len - more, more), more);
        close(fd);
        if (maker_read(&maker, &err))
            fail_msg("%zu bytes more", more);
    }
    /* bytes in front of it, or fewer of them */
    for (size_t cut = 0; cut < 2; cut++) {
        int fd = openat(place.dir, "t.lz4", O_WRONLY | O_TRUNC);
        if (cut == 0)
            assert_int_equal(write(fd, data, 60), 60);
        assert_int_equal(write(fd, data + cut * 60, len - cut * 60), len - cut * 60);
        close(fd);
        assert_false(maker_read(&maker, &err));
    }
    free(data);
    maker_fini(&maker);
}

TEST(a_file_that_was_swapped_has_another_size_or_hash)
{
    static struct maker other;
    make_small(&maker, PH_BINARY, PH_COMPRESS_ALWAYS);
    struct ph_sealed first = maker.sealed;
    maker_fini(&maker);
    /* of the same size, row for row, but for one byte */
    maker_open(&other, &place, "t.lz4", PH_BINARY, PH_COMPRESS_NEVER);
    maker_row(&other, 20, false);
    maker_put(&other);
    maker_seal(&other);
    struct ph_sealed a = other.sealed;
    maker_fini(&other);
    maker_open(&other, &place, "t.lz4", PH_BINARY, PH_COMPRESS_NEVER);
    maker_row(&other, 20, false);
    other.rows.data[10]++;
    maker_put(&other);
    maker_seal(&other);
    assert_int_equal(a.size, other.sealed.size);
    assert_memory_not_equal(a.hash, other.sealed.hash, PH_SHARDFILE_HASH);
    assert_int_not_equal(first.size, a.size);
    maker_fini(&other);
}

TEST(a_tally_that_is_not_what_was_put_is_refused_and_the_file_is_gone)
{
    struct ph_err err;
    for (int wrong = 0; wrong < 2; wrong++) {
        maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
        maker_row(&maker, 10, false);
        maker_put(&maker);
        struct ph_tally tally = maker.tally;
        *(wrong ? &tally.rows : &tally.bytes) += 1;
        assert_false(ph_shardout_seal(maker.out, &tally, &maker.sealed, &err));
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "what was tallied is not what was put");
        maker.out = NULL;
        assert_int_equal(faccessat(place.dir, "t.lz4", F_OK, 0), -1);
        assert_int_equal(faccessat(place.dir, "t.lz4.part", F_OK, 0), -1);
        maker_fini(&maker);
    }
}

TEST(a_shard_that_is_discarded_leaves_nothing)
{
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
    maker_row(&maker, 1000000, true);
    maker_put_pieces(&maker, MAKER_BLOCK);
    assert_true(ph_shardout_size(maker.out) > 1000000);
    ph_shardout_discard(maker.out);
    maker.out = NULL;
    assert_int_equal(faccessat(place.dir, "t.lz4", F_OK, 0), -1);
    assert_int_equal(faccessat(place.dir, "t.lz4.part", F_OK, 0), -1);
    maker_fini(&maker);
}

TEST(after_a_write_has_failed_nothing_but_giving_up_is_left)
{
    struct ph_err err = {0};
    struct rlimit old, small = {.rlim_cur = 3 << 20};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_NEVER);
    maker_row(&maker, MAKER_BLOCK - 6, true);
    uint32_t edge = MAKER_BLOCK;
    struct ph_batch batch = {.data = maker.rows.data, .len = MAKER_BLOCK, .edge = &edge, .rows = 1};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int n = 0;
    while (n < 1000 && ph_shardout_put(maker.out, &batch, &err))
        n++;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_in_range(n, 1, 999);
    assert_contains(err.text, "the archive/t.lz4");
    /* there would be room again, but what is in the file nobody knows */
    assert_false(ph_shardout_put(maker.out, &batch, &err));
    assert_false(ph_shardout_seal(maker.out, &maker.tally, &maker.sealed, &err));
    maker.out = NULL;
    assert_int_equal(faccessat(place.dir, "t.lz4", F_OK, 0), -1);
    assert_int_equal(faccessat(place.dir, "t.lz4.part", F_OK, 0), -1);
    maker_fini(&maker);
}

TEST(buffers_that_hold_no_frame_are_refused_when_it_is_opened)
{
    struct ph_err err;
    struct ph_ring *ring;
    struct ph_shardin *in;
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_NEVER);
    for (int i = 0; i < 8; i++) {
        maker_row(&maker, 60000, true);
        maker_put(&maker);
    }
    maker_seal(&maker);
    struct ph_ring_opts opts = {.io = PH_IO_POSIX, .depth = 2, .buffer = 65536};
    assert_true(ph_ring_new(&ring, &opts, &err));
    assert_false(ph_shardin_open(&in, ring, place.dir, "x", "t.lz4", false, &err));
    assert_contains(err.text, "x/t.lz4 cannot be used: the buffers are smaller");
    ph_ring_free(ring);
    maker_fini(&maker);
}

TEST(a_large_stream_comes_back_without_the_page_cache)
{
    struct ph_err err;
    struct place fast = place;
    fast.direct = true;
    assert_true(ph_ring_new(&fast.ring, &(struct ph_ring_opts){.io = PH_IO_AUTO}, &err));
    maker_open(&maker, &fast, "t.lz4", PH_BINARY, PH_COMPRESS_PAYS);
    maker_row(&maker, 30000000, true);
    maker_put_pieces(&maker, MAKER_BLOCK);
    maker_seal(&maker);
    assert_true(maker_read(&maker, &err));
    maker.place = &place;
    assert_true(maker_read(&maker, &err));
    maker_fini(&maker);
    ph_ring_free(fast.ring);
}

TEST(a_receipt_that_could_not_be_read_is_refused_before_work_begins)
{
    struct ph_err err;
    struct ph_receipt receipt = maker_receipt(PH_BINARY);
    receipt.lsn = "nonsense";
    struct ph_shardout *out;
    struct ph_shardout_opts opts = {
        .file = {.dir = place.dir, .dir_shown = "the archive", .name = "t.lz4"},
        .receipt = &receipt};
    assert_false(ph_shardout_open(&out, place.ring, &opts, &err));
    assert_contains(err.text, "the archive/t.lz4");
    assert_contains(err.text, "lsn");
    assert_int_equal(faccessat(place.dir, "t.lz4.part", F_OK, 0), -1);
}

TEST(names_that_are_no_utf_8_come_back_byte_by_byte)
{
    struct ph_err err;
    maker_open(&maker, &place, "t.lz4", PH_BINARY, PH_COMPRESS_ALWAYS);
    maker.receipt.table = "Gr\xfc\xdf\x65 \xff\x80";
    maker.receipt.schema = "Grüße"; /* UTF-8 beside it: bytes as well then */
    maker.receipt.encoding = "LATIN1";
    maker_seal(&maker);
    struct ph_shardin *in;
    assert_true(ph_shardin_open(&in, place.ring, place.dir, "", maker.name, false, &err));
    assert_string_equal(ph_shardin_receipt(in)->table, "Gr\xfc\xdf\x65 \xff\x80");
    assert_string_equal(ph_shardin_receipt(in)->schema, "Grüße");
    ph_shardin_close(in);
    maker_fini(&maker);
}

TEST(a_file_is_not_believed_to_be_a_shard_for_its_name)
{
    struct ph_err err;
    int fd = openat(place.dir, "t.lz4", O_WRONLY | O_CREAT, 0600);
    char zeros[5000] = {0};
    assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    close(fd);
    struct ph_shardin *in;
    assert_false(ph_shardin_open(&in, place.ring, place.dir, "x", "t.lz4", false, &err));
    assert_int_equal(err.code, PH_FAILED);
    place_remove(&place, "t.lz4");
    assert_false(ph_shardin_open(&in, place.ring, place.dir, "x", "t.lz4", false, &err));
    assert_int_equal(err.code, PH_FAILED);
}

static int begin(void **state __attribute__((unused)))
{
    place_init(&place);
    return 0;
}

static int end(void **state __attribute__((unused)))
{
    place_fini(&place);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_receipt_comes_back_to_the_last_field),
        cmocka_unit_test(streams_of_both_formats_come_back_under_every_policy),
        cmocka_unit_test(a_shard_without_rows_comes_back),
        cmocka_unit_test(full_batches_of_64_kib_become_a_block_each),
        cmocka_unit_test(a_row_wider_than_a_block_comes_in_pieces),
        cmocka_unit_test(a_batch_or_a_piece_larger_than_a_block_becomes_several),
        cmocka_unit_test(full_blocks_and_others_in_any_order_are_read_by_lz4),
        cmocka_unit_test(the_index_says_where_rows_end),
        cmocka_unit_test(every_flipped_bit_of_a_file_is_found),
        cmocka_unit_test(a_file_of_any_other_length_is_refused),
        cmocka_unit_test(a_file_that_was_swapped_has_another_size_or_hash),
        cmocka_unit_test(a_tally_that_is_not_what_was_put_is_refused_and_the_file_is_gone),
        cmocka_unit_test(a_shard_that_is_discarded_leaves_nothing),
        cmocka_unit_test(after_a_write_has_failed_nothing_but_giving_up_is_left),
        cmocka_unit_test(buffers_that_hold_no_frame_are_refused_when_it_is_opened),
        cmocka_unit_test(a_large_stream_comes_back_without_the_page_cache),
        cmocka_unit_test(a_receipt_that_could_not_be_read_is_refused_before_work_begins),
        cmocka_unit_test(names_that_are_no_utf_8_come_back_byte_by_byte),
        cmocka_unit_test(a_file_is_not_believed_to_be_a_shard_for_its_name),
    };
    return cmocka_run_group_tests_name("unit", tests, begin, end);
}

/* LZ4 frames, written by us, read by us and by the lz4 program. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/frame.h"

enum { ROOM = 4 * (PH_FRAME_BLOCK + PH_FRAME_BLOCK_EXTRA) + PH_FRAME_HEAD + PH_FRAME_END };

static char in[PH_FRAME_BLOCK], frame[ROOM], out[PH_FRAME_BLOCK];

static void fill_dull(size_t n)
{
    for (size_t i = 0; i < n; i++)
        in[i] = (char)("0123456789abcdef"[(i / 7) % 16]);
}

static void fill_noise(size_t n)
{
    uint64_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        in[i] = (char)(seed >> 56);
    }
}

/* A frame with `in` as its only block. */
static size_t write_frame(size_t n, bool compress)
{
    size_t len = ph_frame_begin(frame);
    len += ph_frame_block(frame + len, in, n, compress);
    return len + ph_frame_end(frame + len);
}

/* Reads the whole frame; the bytes it held, or -1. */
static long read_frame(const char *data, size_t len, struct ph_err *err)
{
    struct ph_frame_view view;
    if (!ph_frame_open(&view, data, len, err))
        return -1;
    long total = 0;
    for (;;) {
        const char *block;
        size_t n;
        if (!ph_frame_next(&view, out, &block, &n, err))
            return -1;
        if (n == 0)
            return total;
        if (total + (long)n <= (long)sizeof in && memcmp(block, in + total, n) != 0)
            return -2;
        total += (long)n;
    }
}

static void comes_back(size_t n, bool compress)
{
    struct ph_err err;
    size_t len = write_frame(n, compress);
    assert_true(len <= n + PH_FRAME_HEAD + PH_FRAME_BLOCK_EXTRA + PH_FRAME_END);
    /* in memory of exactly its size, so that valgrind and sanitizers see a step too far */
    char *copy = malloc(len);
    memcpy(copy, frame, len);
    assert_int_equal(read_frame(copy, len, &err), (long)n);
    free(copy);
}

TEST(blocks_of_every_size_come_back)
{
    static const size_t sizes[] = {1, 2, 3, 12, 13, 31, 32, 33, 100, 4096, 65535, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill_dull(sizes[i]);
        comes_back(sizes[i], true);
        comes_back(sizes[i], false);
        fill_noise(sizes[i]);
        comes_back(sizes[i], true);
        comes_back(sizes[i], false);
    }
}

TEST(what_shrinks_is_compressed_and_what_does_not_is_stored)
{
    fill_dull(PH_FRAME_BLOCK);
    assert_true(ph_frame_block(frame, in, PH_FRAME_BLOCK, true) < PH_FRAME_BLOCK / 10);
    assert_int_equal(ph_frame_block(frame, in, PH_FRAME_BLOCK, false),
                     PH_FRAME_BLOCK + PH_FRAME_BLOCK_EXTRA);
    fill_noise(PH_FRAME_BLOCK);
    assert_int_equal(ph_frame_block(frame, in, PH_FRAME_BLOCK, true),
                     PH_FRAME_BLOCK + PH_FRAME_BLOCK_EXTRA);
    /* shrinks by 1/64: not enough to be worth it */
    memset(in, 'x', PH_FRAME_BLOCK / 64);
    assert_int_equal(ph_frame_block(frame, in, PH_FRAME_BLOCK, true),
                     PH_FRAME_BLOCK + PH_FRAME_BLOCK_EXTRA);
    memset(in, 'x', PH_FRAME_BLOCK / 16);
    assert_true(ph_frame_block(frame, in, PH_FRAME_BLOCK, true) < PH_FRAME_BLOCK);
}

TEST(the_head_is_that_of_the_public_format)
{
    ph_frame_begin(frame);
    /* what lz4 1.9.4 writes for -B4 -BI -BX --no-frame-crc */
    assert_memory_equal(frame, "\x04\x22\x4d\x18\x70\x40\xad", PH_FRAME_HEAD);
    char skip[PH_FRAME_SKIP_HEAD];
    uint32_t len;
    assert_int_equal(ph_frame_skip(skip, 0x01020304), PH_FRAME_SKIP_HEAD);
    assert_memory_equal(skip, "\x57\x2a\x4d\x18\x04\x03\x02\x01", PH_FRAME_SKIP_HEAD);
    assert_true(ph_frame_is_skip(skip, &len));
    assert_int_equal(len, 0x01020304);
    assert_false(ph_frame_is_skip(frame, &len));
}

/* But for one, which the public format covers by no checksum: whether a block is stored. That is one reason
 * why a shard file has hashes of its own. */
TEST(every_flipped_bit_is_found_but_the_one_that_says_stored)
{
    enum { STORED_BIT = (PH_FRAME_HEAD + 3) * 8 + 7 };
    struct ph_err err;
    fill_dull(300);
    for (int compress = 0; compress < 2; compress++) {
        size_t len = write_frame(300, compress);
        for (size_t i = 0; i < len * 8; i++) {
            if (i == STORED_BIT)
                continue;
            frame[i / 8] ^= (char)(1 << (i % 8));
            if (read_frame(frame, len, &err) != -1)
                fail_msg("bit %zu of byte %zu, compressed %d", i % 8, i / 8, compress);
            assert_int_equal(err.code, PH_FAILED);
            frame[i / 8] ^= (char)(1 << (i % 8));
        }
        assert_int_equal(read_frame(frame, len, &err), 300);
    }
}

TEST(a_frame_of_any_other_length_is_refused)
{
    struct ph_err err;
    fill_dull(300);
    size_t len = write_frame(300, true);
    for (size_t n = 0; n < len; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, frame, n);
        assert_int_equal(read_frame(copy, n, &err), -1);
        free(copy);
    }
    frame[len] = 0;
    assert_int_equal(read_frame(frame, len + 1, &err), -1);
    assert_contains(err.text, "bytes behind its end mark");
}

TEST(a_block_that_would_decompress_beyond_64_kib_is_refused)
{
    /* One literal and a match of 65,536 + more bytes: fifteen, then 255s. */
    struct ph_err err;
    char block[400];
    size_t n = 0;
    block[n++] = 0x1f;
    block[n++] = 'x';
    block[n++] = 1;
    block[n++] = 0;
    for (int i = 0; i < 257; i++)
        block[n++] = (char)0xff;
    block[n++] = 0;
    block[n++] = 0x50;
    for (int i = 0; i < 5; i++)
        block[n++] = 'y';
    memcpy(in, block, n);
    size_t len = ph_frame_begin(frame), at = len;
    len += ph_frame_block(frame + len, in, n, false);
    len += ph_frame_end(frame + len);
    frame[at + 3] = 0; /* not stored, it says now */
    assert_int_equal(read_frame(frame, len, &err), -1);
    assert_contains(err.text, "does not decompress");
}

static long run(const char *command)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    long n = 0;
    for (int c; (c = fgetc(pipe)) != EOF; n++)
        if (n < (long)sizeof in && (char)c != in[n])
            n = -1000000;
    return pclose(pipe) == 0 ? n : -1;
}

TEST(the_lz4_program_reads_our_frames_and_skips_the_skippable_one)
{
    if (system("command -v lz4 >/dev/null") != 0)
        skip();
    char path[] = "/tmp/pghaul_frame_XXXXXX", command[120];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    fill_dull(40000);
    size_t len = write_frame(40000, true);
    char skip_head[PH_FRAME_SKIP_HEAD + 5] = {0};
    size_t skipped = ph_frame_skip(skip_head, 5) + 5;
    assert_int_equal(write(fd, frame, len), len);
    assert_int_equal(write(fd, skip_head, skipped), skipped);
    snprintf(command, sizeof command, "lz4 -dc %s", path);
    assert_int_equal(run(command), 40000);
    snprintf(command, sizeof command, "lz4 -tq %s 2>&1", path);
    assert_int_equal(run(command), 0);
    unlink(path);
    close(fd);
}

TEST(we_read_a_frame_of_the_lz4_program_with_the_same_options)
{
    if (system("command -v lz4 >/dev/null") != 0)
        skip();
    fill_dull(PH_FRAME_BLOCK);
    char path[] = "/tmp/pghaul_frame_XXXXXX", command[160];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, in, PH_FRAME_BLOCK), PH_FRAME_BLOCK);
    snprintf(command, sizeof command, "lz4 -cq -B4 -BI -BX --no-frame-crc %s", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(frame, 1, sizeof frame, pipe);
    assert_int_equal(pclose(pipe), 0);
    struct ph_err err = {0};
    if (read_frame(frame, len, &err) != PH_FRAME_BLOCK)
        fail_msg("%s", err.text);
    unlink(path);
    close(fd);
}

int main(void)
{
    return RUN(cmocka_unit_test(blocks_of_every_size_come_back),
               cmocka_unit_test(what_shrinks_is_compressed_and_what_does_not_is_stored),
               cmocka_unit_test(the_head_is_that_of_the_public_format),
               cmocka_unit_test(every_flipped_bit_is_found_but_the_one_that_says_stored),
               cmocka_unit_test(a_frame_of_any_other_length_is_refused),
               cmocka_unit_test(a_block_that_would_decompress_beyond_64_kib_is_refused),
               cmocka_unit_test(the_lz4_program_reads_our_frames_and_skips_the_skippable_one),
               cmocka_unit_test(we_read_a_frame_of_the_lz4_program_with_the_same_options));
}

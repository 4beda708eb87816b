#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

enum { BUFFER = 16384, DEPTH = 3, MOST = 9 * BUFFER };

static char folder[] = "/var/tmp/pghaul-file-XXXXXX"; /* /tmp may be a tmpfs, which knows no disk */
static int dir = -1;
static char *bytes; /* MOST of them, no two places alike */

static const struct way {
    enum ph_io io;
    bool direct;
} ways[] = {{PH_IO_POSIX, false}, {PH_IO_POSIX, true}, {PH_IO_AUTO, false}, {PH_IO_AUTO, true}};

#define FOR_EACH_WAY(way) for (const struct way *way = ways; way < ways + 4; way++)

static const size_t sizes[] = {0,
                               1,
                               4095,
                               4096,
                               4097,
                               BUFFER - 1,
                               BUFFER,
                               BUFFER + 1,
                               BUFFER * 2 - 1,
                               BUFFER *DEPTH - 1,
                               BUFFER *DEPTH,
                               BUFFER *DEPTH + 1,
                               BUFFER *DEPTH + 4096,
                               BUFFER * 8 + 4097,
                               MOST};

static struct ph_ring *make_ring(const struct way *way)
{
    struct ph_ring *ring;
    struct ph_err err;
    struct ph_ring_opts opts = {.io = way->io, .depth = DEPTH, .buffer = BUFFER};
    if (!ph_ring_new(&ring, &opts, &err))
        fail_msg("%s", err.text);
    return ring;
}

static struct ph_outfile_opts opts_of(const struct way *way, const char *name)
{
    return (struct ph_outfile_opts){
        .dir = dir, .dir_shown = "DIR", .name = name, .direct = way->direct, .ahead = 4 * BUFFER};
}

/* Opens, adds the first len bytes in pieces of `piece` and seals, as far as that goes. */
static bool write_file(struct ph_ring *ring, const struct way *way, const char *name, size_t len,
                       size_t piece, struct ph_err *err)
{
    struct ph_outfile *file;
    struct ph_outfile_opts opts = opts_of(way, name);
    if (!ph_outfile_open(&file, ring, &opts, err))
        return false;
    for (size_t at = 0; at < len; at += piece) {
        if (!ph_outfile_add(file, bytes + at, len - at < piece ? len - at : piece, err)) {
            ph_outfile_discard(file);
            return false;
        }
    }
    assert_int_equal(ph_outfile_size(file), len);
    return ph_outfile_seal(file, err);
}

static void must(bool ok, const struct ph_err *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

static bool there(const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_holds(const char *name, size_t len)
{
    char *data;
    size_t got;
    struct ph_err err;
    must(ph_file_read(dir, "DIR", name, MOST, &data, &got, &err), &err);
    assert_non_null(data);
    assert_int_equal(got, len);
    assert_memory_equal(data, bytes, len);
    free(data);
}

static void assert_empty_folder(void)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            fail_msg("%s was left behind", entry->d_name);
    closedir(d);
}

static void remove_file(const char *name)
{
    struct ph_err err;
    must(ph_file_remove(dir, "DIR", name, &err), &err);
}

TEST(what_was_written_is_there_in_every_size)
{
    static const size_t pieces[] = {1000, 4096, BUFFER, MOST};
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
                must(write_file(ring, way, "f", sizes[s], pieces[p], &err), &err);
                assert_holds("f", sizes[s]);
                assert_false(there("f.part"));
                remove_file("f");
            }
        }
        ph_ring_free(ring);
    }
}

static void assert_stream(struct ph_infile *file, size_t from, size_t to, size_t n)
{
    struct ph_err err;
    const char *data;
    must(ph_infile_begin(file, from, to, &err), &err);
    for (size_t at = from; at < to; at += n) {
        size_t len = to - at < n ? to - at : n;
        must(ph_infile_take(file, len, &data, &err), &err);
        assert_memory_equal(data, bytes + at, len);
    }
    assert_true(ph_infile_take(file, 0, &data, &err));
    assert_false(ph_infile_take(file, 1, &data, &err));
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, "DIR/f: the file ends too early");
}

TEST(what_is_read_in_order_is_what_was_written)
{
    static const size_t pieces[] = {1000, 4096, 5000, BUFFER - 1, BUFFER};
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            must(write_file(ring, way, "f", sizes[s], BUFFER, &err), &err);
            struct ph_infile *file;
            must(ph_infile_open(&file, ring, dir, "DIR", "f", way->direct, &err), &err);
            assert_int_equal(ph_infile_size(file), sizes[s]);
            for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
                assert_stream(file, 0, sizes[s], pieces[p]);
                if (sizes[s] > 5001)
                    assert_stream(file, 4095, sizes[s] - 906, pieces[p]);
            }
            ph_infile_close(file);
            remove_file("f");
        }
        ph_ring_free(ring);
    }
}

TEST(a_stream_can_be_left_in_the_middle_and_begun_elsewhere)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        struct ph_infile *file;
        const char *data;
        must(write_file(ring, way, "f", MOST, BUFFER, &err), &err);
        must(ph_infile_open(&file, ring, dir, "DIR", "f", way->direct, &err), &err);
        must(ph_infile_begin(file, 0, MOST, &err), &err);
        must(ph_infile_take(file, 5000, &data, &err), &err);
        assert_stream(file, 2 * BUFFER + 17, MOST - 1, 6000);
        must(ph_infile_begin(file, 77, MOST, &err), &err);
        ph_infile_close(file);
        remove_file("f");
        ph_ring_free(ring);
    }
}

TEST(bytes_anywhere_can_be_read_before_and_during_the_stream)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        struct ph_infile *file;
        const char *data;
        char some[5000];
        must(write_file(ring, way, "f", MOST - 5, BUFFER, &err), &err);
        must(ph_infile_open(&file, ring, dir, "DIR", "f", way->direct, &err), &err);
        must(ph_infile_at(file, MOST - 5 - 13, some, 13, &err), &err);
        assert_memory_equal(some, bytes + MOST - 5 - 13, 13);
        must(ph_infile_begin(file, 0, MOST - 5, &err), &err);
        for (size_t at = 0; at + 5000 < MOST - 5; at += 5000) {
            must(ph_infile_at(file, MOST / 2 + 1, some, sizeof some, &err), &err);
            assert_memory_equal(some, bytes + MOST / 2 + 1, sizeof some);
            must(ph_infile_take(file, 5000, &data, &err), &err);
            assert_memory_equal(data, bytes + at, 5000);
        }
        assert_false(ph_infile_at(file, MOST - 6, some, 2, &err));
        assert_contains(err.text, "DIR/f: the file ends too early");
        assert_false(ph_infile_at(file, UINT64_MAX, some, 2, &err));
        ph_infile_close(file);
        remove_file("f");
        ph_ring_free(ring);
    }
}

TEST(a_file_that_shrinks_while_it_is_read_ends_too_early)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        struct ph_infile *file;
        const char *data;
        must(write_file(ring, way, "f", MOST, BUFFER, &err), &err);
        must(ph_infile_open(&file, ring, dir, "DIR", "f", way->direct, &err), &err);
        int fd = openat(dir, "f", O_WRONLY);
        assert_int_equal(ftruncate(fd, BUFFER + 100), 0);
        close(fd);
        must(ph_infile_begin(file, 0, MOST, &err), &err);
        must(ph_infile_take(file, BUFFER, &data, &err), &err);
        assert_false(ph_infile_take(file, BUFFER, &data, &err));
        assert_int_equal(err.code, PH_FAILED);
        assert_contains(err.text, "DIR/f: the file ends too early");
        ph_infile_close(file);
        remove_file("f");
        ph_ring_free(ring);
    }
}

TEST(a_discarded_file_leaves_nothing)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct ph_ring *ring = make_ring(way);
            struct ph_outfile *file;
            struct ph_outfile_opts opts = opts_of(way, "f");
            must(ph_outfile_open(&file, ring, &opts, &err), &err);
            assert_true(there("f.part"));
            must(ph_outfile_add(file, bytes, sizes[s], &err), &err);
            ph_outfile_discard(file);
            assert_empty_folder();
            ph_ring_free(ring);
        }
    }
    ph_outfile_discard(NULL);
    ph_infile_close(NULL);
}

TEST(a_sealed_file_is_private_and_takes_no_room_that_it_does_not_fill)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        struct stat st;
        must(write_file(ring, way, "f", BUFFER + 1, BUFFER, &err), &err);
        assert_int_equal(fstatat(dir, "f", &st, 0), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0600);
        assert_in_range(st.st_blocks * 512, BUFFER + 1, BUFFER + 65536);
        remove_file("f");
        ph_ring_free(ring);
    }
}

TEST(nobody_elses_file_is_written_over)
{
    struct ph_err err;
    struct ph_ring *ring = make_ring(&ways[2]);
    must(write_file(ring, &ways[2], "f", 5000, 1000, &err), &err);
    assert_false(write_file(ring, &ways[2], "f", 100, 100, &err));
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, "DIR/f: cannot rename: File exists");
    assert_holds("f", 5000);
    assert_false(there("f.part"));
    assert_int_equal(renameat(dir, "f", dir, "g.part"), 0);
    assert_false(write_file(ring, &ways[2], "g", 100, 100, &err));
    assert_contains(err.text, "DIR/g: cannot create: File exists");
    assert_holds("g.part", 5000);
    remove_file("g.part");
    ph_ring_free(ring);
}

TEST(only_plain_names_of_regular_files_are_opened)
{
    struct ph_err err;
    struct ph_ring *ring = make_ring(&ways[0]);
    struct ph_infile *in;
    char *data;
    size_t len;
    static const char *const bad[] = {"", ".", "..", "../x", "/etc/passwd", "a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(ph_infile_open(&in, ring, dir, "DIR", bad[i], false, &err));
        assert_false(ph_file_read(dir, "DIR", bad[i], 100, &data, &len, &err));
        assert_false(ph_file_remove(dir, "DIR", bad[i], &err));
        assert_contains(err.text, "not a plain file name");
    }
    assert_false(write_file(ring, &ways[0], "a/b", 10, 10, &err));
    assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
    assert_false(ph_infile_open(&in, ring, dir, "DIR", "link", false, &err));
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    assert_false(ph_file_read(dir, "DIR", "fifo", 100, &data, &len, &err));
    assert_contains(err.text, "DIR/fifo: not a regular file");
    assert_false(ph_infile_open(&in, ring, dir, "DIR", "none", false, &err));
    assert_contains(err.text, "DIR/none: cannot open: No such file");
    remove_file("link");
    remove_file("fifo");
    assert_empty_folder();
    ph_ring_free(ring);
}

TEST(a_small_file_is_replaced_and_read)
{
    struct ph_err err;
    char *data = bytes;
    size_t len;
    must(ph_file_read(dir, "DIR", "s", 100, &data, &len, &err), &err);
    assert_null(data);
    must(ph_file_replace(dir, "DIR", "s", bytes, 70000, &err), &err);
    assert_holds("s", 70000);
    close(openat(dir, "s.part", O_CREAT | O_WRONLY, 0600)); /* of somebody who died */
    must(ph_file_replace(dir, "DIR", "s", bytes, 100, &err), &err);
    assert_holds("s", 100);
    assert_false(there("s.part"));
    must(ph_file_read(dir, "DIR", "s", 100, &data, &len, &err), &err);
    assert_int_equal(data[100], '\0');
    free(data);
    assert_false(ph_file_read(dir, "DIR", "s", 99, &data, &len, &err));
    assert_contains(err.text, "DIR/s: larger than 99 bytes");
    must(ph_file_replace(dir, "DIR", "s", "", 0, &err), &err);
    assert_holds("s", 0);
    remove_file("s");
    remove_file("s");
    must(ph_dir_sync(dir, "DIR", &err), &err);
    assert_empty_folder();
}

/* Every passage fails ("*"): fault points count from the program's begin. Without them there is nothing to test. */
static void inject(const char *what)
{
#ifndef PGHAUL_FAULTS
    skip();
#endif
    assert_int_equal(what ? setenv("PGHAUL_FAULT", what, 1) : unsetenv("PGHAUL_FAULT"), 0);
}

TEST(whatever_fails_leaves_no_file)
{
    static const struct {
        const char *fault, *text;
        enum ph_code code;
    } cases[] = {
        {"io.open:*:error", "cannot create: Input/output error", PH_FAILED},
        {"io.allocate:*:error", "cannot set room aside: No space", PH_NO_ROOM},
        {"io.write:*:error", "cannot write: Input/output error", PH_FAILED},
        {"io.full:*:error", "cannot write: No space", PH_NO_ROOM},
        {"io.sync:*:error", "cannot sync: Input/output error", PH_FAILED},
        {"io.rename:*:error", "cannot rename: Input/output error", PH_FAILED},
        {"io.dirsync:*:error", "cannot sync the directory: Input/output error", PH_FAILED},
    };
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct ph_err err = {0};
            inject(cases[i].fault);
            assert_false(write_file(ring, way, "f", MOST - 7, 5000, &err));
            inject(NULL);
            assert_contains(err.text, "DIR/f: ");
            assert_contains(err.text, cases[i].text);
            assert_int_equal(err.code, cases[i].code);
            assert_true(err.transient);
            assert_empty_folder();
            /* The ring is none the worse for it. */
            must(write_file(ring, way, "f", MOST - 7, 5000, &err), &err);
            assert_holds("f", MOST - 7);
            remove_file("f");
        }
        ph_ring_free(ring);
    }
}

TEST(short_writes_are_continued)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        inject("io.short:*:error");
        must(write_file(ring, way, "f", MOST - 7, 5000, &err), &err);
        inject(NULL);
        assert_holds("f", MOST - 7);
        remove_file("f");
        ph_ring_free(ring);
    }
}

TEST(a_failed_read_is_an_error)
{
    struct ph_err err;
    FOR_EACH_WAY(way)
    {
        struct ph_ring *ring = make_ring(way);
        struct ph_infile *file;
        const char *data;
        char some[10];
        must(write_file(ring, way, "f", MOST, BUFFER, &err), &err);
        must(ph_infile_open(&file, ring, dir, "DIR", "f", way->direct, &err), &err);
        inject("io.read:*:error");
        assert_false(ph_infile_at(file, 5, some, 10, &err));
        assert_contains(err.text, "DIR/f: cannot read: Input/output error");
        assert_true(ph_infile_begin(file, 0, MOST, &err));
        assert_false(ph_infile_take(file, 10, &data, &err));
        assert_contains(err.text, "DIR/f: cannot read: Input/output error");
        assert_true(err.transient);
        inject(NULL);
        assert_stream(file, 0, MOST, 4000);
        ph_infile_close(file);
        remove_file("f");
        ph_ring_free(ring);
    }
}

TEST(a_small_file_whose_replacement_fails_stays_what_it_was)
{
    static const char *const faults[] = {"io.open:*:error", "io.write:*:error", "io.full:*:error",
                                         "io.sync:*:error", "io.rename:*:error"};
    struct ph_err err;
    must(ph_file_replace(dir, "DIR", "s", bytes, 1000, &err), &err);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        inject(faults[i]);
        assert_false(ph_file_replace(dir, "DIR", "s", bytes, 2000, &err));
        inject(NULL);
        assert_contains(err.text, "DIR/s: cannot ");
        assert_holds("s", 1000);
        assert_false(there("s.part"));
    }
    char *data;
    size_t len;
    inject("io.read:*:error");
    assert_false(ph_file_read(dir, "DIR", "s", 5000, &data, &len, &err));
    assert_null(data);
    inject("io.dirsync:*:error");
    assert_false(ph_dir_sync(dir, "DIR", &err));
    inject(NULL);
    remove_file("s");
}

/* Runs with `dir` on a file system of 1 MiB. */
TEST(a_full_file_system_is_no_room)
{
    char small[] = "/tmp/pghaul-small-XXXXXX";
    assert_non_null(mkdtemp(small));
    if (geteuid() != 0 || mount("none", small, "tmpfs", 0, "size=1m") != 0) {
        rmdir(small);
        skip();
    }
    int outer = dir;
    dir = open(small, O_RDONLY | O_DIRECTORY);
    size_t much = 8 * MOST; /* more than a mebibyte */
    for (const struct way *way = ways; way < ways + 4; way++) {
        struct ph_err err = {0};
        struct ph_ring *ring = make_ring(way);
        struct ph_outfile *file;
        struct ph_outfile_opts opts = opts_of(way, "f");
        must(ph_outfile_open(&file, ring, &opts, &err), &err);
        bool ok = true;
        for (size_t at = 0; ok && at < much; at += MOST)
            ok = ph_outfile_add(file, bytes, MOST, &err);
        assert_false(ok);
        assert_int_equal(err.code, PH_NO_ROOM);
        assert_contains(err.text, "DIR/f: cannot ");
        ph_outfile_discard(file);
        assert_empty_folder();
        must(write_file(ring, way, "f", MOST, 5000, &err), &err);
        assert_holds("f", MOST);
        remove_file("f");
        ph_ring_free(ring);
    }
    close(dir);
    dir = outer;
    assert_int_equal(umount(small), 0);
    rmdir(small);
}

TEST(a_limit_of_file_sizes_is_an_error_not_a_signal)
{
    struct rlimit old, low;
    signal(SIGXFSZ, SIG_IGN); /* as main() does */
    getrlimit(RLIMIT_FSIZE, &old);
    FOR_EACH_WAY(way)
    {
        struct ph_err err = {0};
        struct ph_ring *ring = make_ring(way);
        low = old;
        low.rlim_cur = 3 * BUFFER + 1000;
        setrlimit(RLIMIT_FSIZE, &low);
        assert_false(write_file(ring, way, "f", MOST, 5000, &err));
        setrlimit(RLIMIT_FSIZE, &old);
        assert_contains(err.text, "File too large");
        assert_contains(err.hint, "ulimit -f");
        assert_empty_folder();
        ph_ring_free(ring);
    }
}

int main(void)
{
    bytes = malloc(MOST);
    if (!bytes || !mkdtemp(folder) || (dir = open(folder, O_RDONLY | O_DIRECTORY)) < 0)
        return 1;
    uint64_t seed = 1;
    for (size_t i = 0; i < MOST; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (char)(seed >> 56);
    }
    int failed = RUN(
        cmocka_unit_test(what_was_written_is_there_in_every_size),
        cmocka_unit_test(what_is_read_in_order_is_what_was_written),
        cmocka_unit_test(a_stream_can_be_left_in_the_middle_and_begun_elsewhere),
        cmocka_unit_test(bytes_anywhere_can_be_read_before_and_during_the_stream),
        cmocka_unit_test(a_file_that_shrinks_while_it_is_read_ends_too_early),
        cmocka_unit_test(a_discarded_file_leaves_nothing),
        cmocka_unit_test(a_sealed_file_is_private_and_takes_no_room_that_it_does_not_fill),
        cmocka_unit_test(nobody_elses_file_is_written_over),
        cmocka_unit_test(only_plain_names_of_regular_files_are_opened),
        cmocka_unit_test(a_small_file_is_replaced_and_read),
        cmocka_unit_test(whatever_fails_leaves_no_file),
        cmocka_unit_test(short_writes_are_continued), cmocka_unit_test(a_failed_read_is_an_error),
        cmocka_unit_test(a_small_file_whose_replacement_fails_stays_what_it_was),
        cmocka_unit_test(a_full_file_system_is_no_room),
        cmocka_unit_test(a_limit_of_file_sizes_is_an_error_not_a_signal));
    rmdir(folder);
    free(bytes);
    return failed;
}

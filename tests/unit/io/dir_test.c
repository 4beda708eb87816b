#include "io/dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char base[64];

static int make_base(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/pgh-dir-XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static int remove_base(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command); /* a test's own directory */
}

static const char *below(const char *name)
{
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", base, name);
    return path[turn];
}

TEST(a_directory_is_made_for_us_alone_with_its_parents_only_when_asked)
{
    struct ph_dir dir;
    struct ph_err err;
    struct stat st;
    assert_false(ph_dir_open(&dir, below("a/b"), PH_DIR_MAKE, &err));
    assert_int_equal(err.code, PH_WRONG);
    assert_false(ph_dir_open(&dir, below("a"), PH_DIR_EXISTS, &err));
    assert_true(ph_dir_open(&dir, below("a/b"), PH_DIR_MAKE_ALL, &err));
    assert_int_equal(stat(below("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(fstat(dir.fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_string_equal(dir.shown, below("a/b"));
    ph_dir_close(&dir);
    assert_int_equal(dir.fd, -1);
}

TEST(what_is_no_directory_of_ours_is_refused_in_words)
{
    struct ph_dir dir;
    struct ph_err err;
    int fd = open(below("file"), O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_false(ph_dir_open(&dir, below("file"), PH_DIR_MAKE, &err));
    assert_int_equal(mkdir(below("real"), 0700), 0);
    assert_int_equal(symlink(below("real"), below("link")), 0);
    assert_false(ph_dir_open(&dir, below("link"), PH_DIR_MAKE, &err));
    assert_contains(err.text, "symbolic link");
    assert_int_equal(mkdir(below("open"), 0700), 0);
    assert_int_equal(chmod(below("open"), 0777), 0);
    assert_false(ph_dir_open(&dir, below("open"), PH_DIR_MAKE, &err));
    assert_contains(err.text, "others may write");
    /* to read from it is another matter */
    assert_true(ph_dir_open(&dir, below("open"), PH_DIR_EXISTS, &err));
    ph_dir_close(&dir);
}

TEST(one_process_at_a_time_holds_it)
{
    struct ph_dir ours, theirs;
    struct ph_err err;
    assert_true(ph_dir_open(&ours, below("held"), PH_DIR_MAKE, &err));
    assert_true(ph_dir_open(&theirs, below("held"), PH_DIR_MAKE, &err));
    assert_true(ph_dir_lock(&ours, 0, &err));
    assert_false(ph_dir_lock(&theirs, 0.05, &err));
    assert_int_equal(err.code, PH_HELD);
    ph_dir_close(&ours);
    assert_true(ph_dir_lock(&theirs, 0, &err));
    ph_dir_close(&theirs);
}

static bool count(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    (void)err;
    int *n = arg;
    *n += 1;
    assert_string_equal(name, "a.lz4");
    assert_int_equal(size, 3);
    return true;
}

TEST(a_list_has_plain_files_with_that_ending_and_no_links)
{
    struct ph_dir dir;
    struct ph_err err;
    int n = 0;
    assert_true(ph_dir_open(&dir, below("list"), PH_DIR_MAKE, &err));
    static const char *const names[] = {"list/a.lz4", "list/b.lz4.part", "list/.lz4"};
    for (int i = 0; i < 3; i++) {
        int fd = open(below(names[i]), O_CREAT | O_WRONLY, 0600);
        assert_int_equal(write(fd, "abc", 3), 3);
        close(fd);
    }
    assert_int_equal(symlink("a.lz4", below("list/c.lz4")), 0);
    assert_int_equal(mkdir(below("list/d.lz4"), 0700), 0);
    assert_true(ph_dir_list(&dir, ".lz4", count, &n, &err));
    assert_int_equal(n, 1);
    ph_dir_remove(&dir); /* not empty: it stays */
    assert_int_equal(access(below("list"), F_OK), 0);
    ph_dir_close(&dir);
}

TEST(there_is_some_room_and_an_empty_directory_goes)
{
    struct ph_dir dir;
    struct ph_err err;
    assert_true(ph_dir_open(&dir, below("empty"), PH_DIR_MAKE, &err));
    assert_true(ph_dir_lock(&dir, 0, &err));
    assert_true(ph_dir_room(dir.fd) > 0);
    assert_int_equal(ph_dir_room(-1), UINT64_MAX);
    ph_dir_remove(&dir);
    assert_int_not_equal(access(below("empty"), F_OK), 0);
    ph_dir_close(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_made_for_us_alone_with_its_parents_only_when_asked),
        cmocka_unit_test(what_is_no_directory_of_ours_is_refused_in_words),
        cmocka_unit_test(one_process_at_a_time_holds_it),
        cmocka_unit_test(a_list_has_plain_files_with_that_ending_and_no_links),
        cmocka_unit_test(there_is_some_room_and_an_empty_directory_goes),
    };
    return cmocka_run_group_tests_name("unit", tests, make_base, remove_base);
}

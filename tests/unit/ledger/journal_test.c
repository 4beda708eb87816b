/* What an extract wrote down comes back, also when it died in the middle of a line. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/file.h"
#include "ledger/journal.h"

static char path[64];
static int dir;

static void open_dir(void)
{
    snprintf(path, sizeof path, "/tmp/journal_test.XXXXXX");
    assert_non_null(mkdtemp(path));
    dir = open(path, O_RDONLY | O_DIRECTORY);
}

static void close_dir(void)
{
    unlinkat(dir, "journal.jsonl", 0);
    close(dir);
    rmdir(path);
}

static void append(const char *text)
{
    int fd = openat(dir, "journal.jsonl", O_WRONLY | O_APPEND | O_CREAT, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void tell(double begin_s, const char *set, int64_t shard)
{
    struct ph_err err;
    const struct ph_journal j = {.dir = dir, .shown = path, .begin_s = begin_s};
    struct ph_history_sample sample = {.at_s = begin_s + 2, .spilled = 500, .busy = 3};
    struct ph_history_event event = {
        .at_s = begin_s + 1, .event = "retry", .shard = shard, .tab = 1, .text = "caf\xe9"};
    struct ph_history_bar bar = {.slot = 1,
                                 .from = begin_s + 1,
                                 .to = begin_s + 3,
                                 .shard = shard,
                                 .tab = 1,
                                 .rows = 7,
                                 .bytes = 70};
    sample.stages[PH_STAGE_SOURCE_WAIT] = 1.5;
    assert_true(ph_journal_begin(&j, 4711, "db1", "{\"workers\": 2}", &err));
    assert_true(ph_journal_write(&j, set, &sample, 1, &event, 1, &bar, 1, &err));
}

TEST(runs_follow_each_other_and_one_without_an_end_has_died)
{
    struct ph_history *h;
    struct ph_err err;
    const char *error;
    open_dir();
    tell(ph_clock_s(), "aaaaaaaa", 1); /* of a set that was given up */
    append("{\"sample\": {\"at\": 9"); /* it was killed */
    tell(ph_clock_s(), "bbbbbbbb", 2);
    const struct ph_journal j = {.dir = dir, .shown = path, .begin_s = ph_clock_s() - 4};
    assert_true(ph_journal_end(&j, "the disk is on fire", &err));
    assert_true(ph_journal_read(&h, &error, dir, path, "bbbbbbbb0123", true, &err));
    assert_int_equal(h->n_movers, 2);
    assert_false(h->movers[0].ended);
    assert_true(h->movers[1].ended && !h->movers[1].live);
    assert_true(h->movers[1].start >= h->movers[0].end && h->movers[0].end > 2.9);
    assert_string_equal(h->movers[0].host, "db1");
    assert_contains(h->movers[0].facts, "\"workers\":2");
    assert_int_equal(h->n_points, 2);
    assert_int_equal(h->points[1].spilled, 500);
    assert_true(h->points[1].stages[PH_STAGE_SOURCE_WAIT] == 1.5);
    assert_int_equal(h->n_moments, 2);
    assert_string_equal(h->moments[0].text, "caf?");
    assert_int_equal(h->n_bars, 1);
    assert_int_equal(h->bars[0].shard, 2);
    assert_int_equal(h->bars[0].mover, 1);
    assert_int_equal(h->bars[0].tab, 0);
    assert_string_equal(error, "the disk is on fire");
    ph_history_free(h);
    close_dir();
}

TEST(what_is_to_be_kept_comes_back_in_its_order_whatever_else_there_is)
{
    static const char *const first[] = {"pause", "rate=20MiB/s"}, *const second[] = {"rate=off"};
    struct ph_ledger_wish *wishes;
    struct ph_arena arena = {0};
    struct ph_err err;
    int n = 1;
    open_dir();
    assert_true(ph_journal_wishes(dir, path, &arena, &wishes, &n, &err)); /* there is no journal */
    assert_int_equal(n, 0);
    assert_true(ph_journal_wish(dir, path, "bob on db1 (pid 7)", first, 2, &err));
    append("[]\n{}\n{\"wish\": 7}\n\n{\"wish\": {\"word\": 1}}\nnonsense\n\x80");
    assert_true(ph_journal_wish(dir, path, "eve on db2 (pid 8)", second, 1, &err));
    assert_true(ph_journal_wishes(dir, path, &arena, &wishes, &n, &err));
    assert_int_equal(n, 3);
    assert_string_equal(wishes[0].word, "pause");
    assert_string_equal(wishes[1].word, "rate=20MiB/s");
    assert_string_equal(wishes[2].word, "rate=off");
    assert_string_equal(wishes[2].who, "eve on db2 (pid 8)");
    assert_true(wishes[1].keep && wishes[1].no == 2);
    ph_arena_fini(&arena);
    close_dir();
}

TEST(no_line_goes_through_a_symbolic_link)
{
    struct ph_err err;
    open_dir();
    assert_int_equal(symlinkat("/dev/null", dir, "journal.jsonl"), 0);
    assert_false(ph_file_append(dir, path, "journal.jsonl", "x\n", 2, false, &err));
    assert_contains(err.text, "journal.jsonl");
    close_dir();
}

int main(void)
{
    return RUN(cmocka_unit_test(runs_follow_each_other_and_one_without_an_end_has_died),
               cmocka_unit_test(what_is_to_be_kept_comes_back_in_its_order_whatever_else_there_is),
               cmocka_unit_test(no_line_goes_through_a_symbolic_link));
}

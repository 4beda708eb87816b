/* Hops over a source and a sink that fail when they are told to. */
#include "unit.h"

#include <time.h>

#include "base/clock.h"
#include "pghaul/hop.h"

enum { BATCHES = 3 };

/* What happened. `fail_at` is the number of the call that fails, counted over both ends; 0: none.
 */
struct story {
    int calls, fail_at;
    bool waits;
    int source_opened, source_finished, source_abandoned, next;
    int sink_opened, committed, sink_abandoned, put;
    uint64_t rows_committed;
};

struct fake_source {
    struct ph_source base;
    struct story *story;
};

struct fake_sink {
    struct ph_sink base;
    struct story *story;
};

static bool call(struct story *s, struct ph_err *err)
{
    if (++s->calls != s->fail_at)
        return true;
    ph_err_set(err, PH_CONNECTION, "call %d", s->calls);
    err->transient = true;
    return false;
}

static struct story *of_source(struct ph_source *source)
{
    return ((struct fake_source *)source)->story;
}

static struct story *of_sink(struct ph_sink *sink)
{
    return ((struct fake_sink *)sink)->story;
}

static bool source_open(struct ph_source *source, const struct ph_shard *shard, struct ph_err *err)
{
    assert_int_equal(shard->id, 42);
    of_source(source)->source_opened++;
    return call(of_source(source), err);
}

/* So long it waits for its other end in each next, and put, and in the commit. */
enum { NEXT_NS = 3000000, PUT_NS = 2000000, COMMIT_NS = 1000000 };

static void pretend_to_wait(uint64_t *wait_ns, uint64_t ns)
{
    struct timespec ts = {.tv_nsec = (long)ns};
    nanosleep(&ts, NULL);
    *wait_ns += ns;
}

static bool source_next(struct ph_source *source, struct ph_batch *batch, struct ph_err *err)
{
    if (of_source(source)->waits)
        pretend_to_wait(&source->wait_ns, NEXT_NS);
    static const uint32_t edge[] = {2, 5};
    struct story *s = of_source(source);
    *batch = (struct ph_batch){0};
    if (s->next < BATCHES)
        *batch = (struct ph_batch){.data = "a\nbc\n", .len = 5, .edge = edge, .rows = 2};
    s->next++;
    return call(s, err);
}

static void source_finish(struct ph_source *source)
{
    of_source(source)->source_finished++;
}

static void source_abandon(struct ph_source *source)
{
    of_source(source)->source_abandoned++;
}

static bool sink_open(struct ph_sink *sink, const struct ph_shard *shard, struct ph_err *err)
{
    assert_int_equal(shard->id, 42);
    of_sink(sink)->sink_opened++;
    return call(of_sink(sink), err);
}

static bool sink_put(struct ph_sink *sink, const struct ph_batch *batch, struct ph_err *err)
{
    assert_true(batch->len > 0);
    of_sink(sink)->put++;
    if (of_sink(sink)->waits)
        pretend_to_wait(&sink->wait_ns, PUT_NS);
    return call(of_sink(sink), err);
}

static bool sink_commit(struct ph_sink *sink, const struct ph_tally *tally, struct ph_err *err)
{
    struct story *s = of_sink(sink);
    bool ok = call(s, err);
    if (s->waits) {
        pretend_to_wait(&sink->wait_ns, COMMIT_NS);
        sink->commit_ns += COMMIT_NS;
    }
    s->committed += ok;
    s->rows_committed = ok ? tally->rows : 0;
    return ok;
}

static void sink_abandon(struct ph_sink *sink)
{
    of_sink(sink)->sink_abandoned++;
}

static const struct ph_source_ops source_ops = {.name = "fake",
                                                .waits = PH_STAGE_SOURCE_WAIT,
                                                .works = PH_STAGE_SOURCE_READ,
                                                .open = source_open,
                                                .next = source_next,
                                                .finish = source_finish,
                                                .abandon = source_abandon};
static const struct ph_sink_ops sink_ops = {.name = "fake",
                                            .waits = PH_STAGE_TARGET_WAIT,
                                            .works = PH_STAGE_TARGET_WRITE,
                                            .open = sink_open,
                                            .put = sink_put,
                                            .commit = sink_commit,
                                            .abandon = sink_abandon};

static bool run(struct story *story, struct ph_tally *tally, struct ph_hop_gauge *gauge,
                struct ph_err *err)
{
    struct fake_source source = {.base = {.ops = &source_ops}, .story = story};
    struct fake_sink sink = {.base = {.ops = &sink_ops}, .story = story};
    struct ph_shard shard = {.id = 42};
    return ph_hop_run(&source.base, &sink.base, &shard, tally, gauge, NULL, err);
}

TEST(a_hop_that_nothing_disturbs_moves_and_commits_every_row_once)
{
    struct story s = {0};
    struct ph_tally tally;
    struct ph_hop_gauge gauge = {0};
    struct ph_err err = {0};
    assert_true(run(&s, &tally, &gauge, &err));
    assert_int_equal(s.put, BATCHES);
    assert_int_equal(s.committed, 1);
    assert_int_equal(s.rows_committed, 2 * BATCHES);
    assert_int_equal(s.source_finished, 1);
    assert_int_equal(s.source_abandoned + s.sink_abandoned, 0);
    assert_int_equal(tally.rows, 2 * BATCHES);
    assert_int_equal(tally.bytes, 5 * BATCHES);
    assert_int_equal(atomic_load(&gauge.rows), 2 * BATCHES);
    assert_int_equal(atomic_load(&gauge.bytes), 5 * BATCHES);
}

static void check_failure(const struct story *s, const struct ph_err *err)
{
    assert_int_equal(err->code, PH_CONNECTION);
    assert_true(err->transient);
    assert_int_equal(s->source_abandoned, 1);
    assert_int_equal(s->sink_abandoned, 1);
    assert_int_equal(s->source_finished, 0);
    assert_int_equal(s->committed, 0);
    assert_int_equal(s->calls, s->fail_at);
}

TEST(whatever_call_fails_both_ends_are_abandoned_once_and_nothing_is_committed)
{
    int n = 1;
    for (;; n++) {
        struct story s = {.fail_at = n};
        struct ph_tally tally;
        struct ph_err err = {0};
        if (run(&s, &tally, NULL, &err))
            break;
        check_failure(&s, &err);
        assert_null(tally.open_row);
        assert_true(tally.rows <= 2 * BATCHES);
    }
    /* open, open, then next and put for each batch, the last next, commit; n is the first that no
     * call has */
    assert_int_equal(n, 2 + 2 * BATCHES + 2 + 1);
}

TEST(the_tally_of_a_failed_hop_holds_what_had_passed)
{
    struct story s = {.fail_at = 5}; /* the second next */
    struct ph_tally tally;
    struct ph_err err = {0};
    assert_false(run(&s, &tally, NULL, &err));
    assert_int_equal(tally.rows, 2);
    assert_int_equal(s.put, 1);
}

TEST(both_ends_can_be_used_again_after_a_failure)
{
    struct story s = {.fail_at = 4};
    struct fake_source source = {.base = {.ops = &source_ops}, .story = &s};
    struct fake_sink sink = {.base = {.ops = &sink_ops}, .story = &s};
    struct ph_shard shard = {.id = 42};
    struct ph_tally tally;
    struct ph_err err = {0};
    assert_false(ph_hop_run(&source.base, &sink.base, &shard, &tally, NULL, NULL, &err));
    s.next = 0;
    assert_true(ph_hop_run(&source.base, &sink.base, &shard, &tally, NULL, NULL, &err));
    assert_int_equal(tally.rows, 2 * BATCHES);
    assert_int_equal(s.committed, 1);
    assert_int_equal(s.source_abandoned, 1);
}

static uint64_t sum_of(const uint64_t ns[PH_N_STAGES])
{
    uint64_t sum = 0;
    for (int i = 0; i < PH_N_STAGES; i++)
        sum += ns[i];
    return sum;
}

TEST(every_moment_of_a_hop_is_in_one_stage_and_waiting_is_told_from_working)
{
    struct story s = {.waits = true};
    struct ph_tally tally;
    struct ph_hop_gauge gauge = {0};
    struct ph_err err = {0};
    uint64_t ns[PH_N_STAGES] = {0}, begin = ph_clock_ns();
    assert_true(run(&s, &tally, &gauge, &err));
    uint64_t passed = ph_clock_ns() - begin;
    ph_hop_stages(&gauge, ph_clock_ns(), ns);
    assert_int_equal(ns[PH_STAGE_SOURCE_WAIT], (BATCHES + 1) * NEXT_NS);
    assert_int_equal(ns[PH_STAGE_TARGET_WAIT], BATCHES * PUT_NS);
    assert_int_equal(ns[PH_STAGE_COMMIT_WAIT], COMMIT_NS);
    assert_int_equal(ns[PH_STAGE_SPILL_WRITE] + ns[PH_STAGE_SPILL_READ] + ns[PH_STAGE_THROTTLED],
                     0);
    assert_true(sum_of(ns) <= passed);
    assert_true(sum_of(ns) + 1000000 > passed);
}

TEST(a_call_that_lasts_counts_as_a_wait_so_far)
{
    struct ph_hop_gauge gauge = {.begun_ns = 1000, .waits = PH_STAGE_TARGET_WAIT};
    uint64_t ns[PH_N_STAGES] = {0}, settled[PH_N_STAGES] = {0};
    ph_hop_stages(&gauge, 5000, ns);
    ph_hop_stages(&gauge, 0, settled);
    assert_int_equal(ns[PH_STAGE_TARGET_WAIT], 4000);
    assert_int_equal(sum_of(ns), 4000);
    assert_int_equal(sum_of(settled), 0);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(a_hop_that_nothing_disturbs_moves_and_commits_every_row_once),
        cmocka_unit_test(whatever_call_fails_both_ends_are_abandoned_once_and_nothing_is_committed),
        cmocka_unit_test(the_tally_of_a_failed_hop_holds_what_had_passed),
        cmocka_unit_test(both_ends_can_be_used_again_after_a_failure),
        cmocka_unit_test(every_moment_of_a_hop_is_in_one_stage_and_waiting_is_told_from_working),
        cmocka_unit_test(a_call_that_lasts_counts_as_a_wait_so_far));
}

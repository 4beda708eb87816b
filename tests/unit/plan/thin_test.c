#include "unit.h"

#include "plan/plan.h"

enum { SHARDS = 20, MIB = 1 << 20 };

struct world {
    struct ph_plan plan;
    struct ph_table table;
    struct ph_shard shards[SHARDS];
    const char *lo[SHARDS], *hi[SHARDS];
    char bounds[SHARDS + 1][8];
};

static void make(struct world *w, int n)
{
    *w = (struct world){.table.n_shards = n};
    for (int i = 0; i < n; i++) {
        w->bounds[i][0] = (char)('a' + i);
        w->shards[i] = (struct ph_shard){.id = i + 1, .table = &w->table, .weight = 4 * MIB};
        w->lo[i] = w->bounds[i];
    }
    w->plan = (struct ph_plan){.tables = &w->table,
                               .n_tables = 1,
                               .shards = w->shards,
                               .shard_lo = w->lo,
                               .shard_hi = w->hi,
                               .n_shards = n};
}

TEST(neighbours_of_so_many_bytes_are_left)
{
    struct world w;
    make(&w, SHARDS);
    ph_plan_thin(&w.plan, 18 * MIB, 2, 0.25);
    assert_int_equal(w.plan.n_shards, 5);
    assert_int_equal(w.table.n_shards, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(w.plan.shards[i].id, i + 1);
        assert_int_equal(w.plan.shard_lo[i][0], 'f' + i);
    }
    ph_arena_fini(&w.plan.arena);
}

TEST(behind_the_last_shard_comes_the_first)
{
    struct world w;
    make(&w, SHARDS);
    ph_plan_thin(&w.plan, 12 * MIB, 2, 0.95);
    assert_int_equal(w.plan.n_shards, 3);
    assert_int_equal(w.plan.shard_lo[0][0], 'a');
    assert_int_equal(w.plan.shard_lo[1][0], 'b');
    assert_int_equal(w.plan.shard_lo[2][0], 't');
    ph_arena_fini(&w.plan.arena);
}

TEST(the_heaviest_stays_the_first)
{
    struct world w;
    make(&w, 8);
    w.shards[0].weight = 9 * MIB;
    ph_plan_thin(&w.plan, 16 * MIB, 2, 0.9);
    assert_int_equal(w.plan.n_shards, 3);
    assert_int_equal(w.plan.shard_lo[0][0], 'a');
    assert_int_equal(w.plan.shards[0].weight, 9 * MIB);
    ph_arena_fini(&w.plan.arena);
}

TEST(so_many_shards_are_left_however_big_they_are)
{
    struct world w;
    make(&w, SHARDS);
    ph_plan_thin(&w.plan, 1, 7, 0);
    assert_int_equal(w.plan.n_shards, 7);
    ph_arena_fini(&w.plan.arena);
}

TEST(what_is_less_than_asked_for_stays_whole)
{
    struct world w;
    make(&w, 1);
    ph_plan_thin(&w.plan, (uint64_t)1 << 40, 3, 0.7);
    assert_int_equal(w.plan.n_shards, 1);
    ph_arena_fini(&w.plan.arena);
}

int main(void)
{
    return RUN(cmocka_unit_test(neighbours_of_so_many_bytes_are_left),
               cmocka_unit_test(behind_the_last_shard_comes_the_first),
               cmocka_unit_test(the_heaviest_stays_the_first),
               cmocka_unit_test(so_many_shards_are_left_however_big_they_are),
               cmocka_unit_test(what_is_less_than_asked_for_stays_whole));
}

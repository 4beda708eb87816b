/* When compressing pays, on a machine of paper: a core and a medium of given speeds. */
#include "unit.h"

#include "archive/pays.h"

enum { RAW = 65536, RING = 32 /* blocks that the ring takes before it makes anybody wait */ };

struct machine {
    double source_ns;   /* the source needs so long for a byte */
    double compress_ns; /* the core for a byte in */
    double ratio;       /* of what is left */
    double medium_ns;   /* the medium for a byte */
    double clock, free_at[RING];
    uint64_t waited;
    uint32_t n;
};

static struct machine machine(double source_ns, double compress_ns, double ratio, double medium_ns)
{
    return (struct machine){
        .source_ns = source_ns, .compress_ns = compress_ns, .ratio = ratio, .medium_ns = medium_ns};
}

/* Puts a block through; the number of bytes that were written. */
static uint32_t put(struct machine *m, struct ph_pays *pays, enum ph_compress policy)
{
    struct ph_pays_block block = {.tried = ph_pays_ask(pays, policy), .raw = RAW, .stored = RAW};
    m->clock += m->source_ns * RAW;
    if (block.tried) {
        block.stored = (uint32_t)(m->ratio * RAW);
        block.cpu_ns = (uint64_t)(m->compress_ns * RAW);
        m->clock += (double)block.cpu_ns;
    }
    /* the slot of the ring that was used longest ago */
    double *slot = &m->free_at[m->n % RING], *last = &m->free_at[(m->n + RING - 1) % RING];
    m->n++;
    if (*slot > m->clock) {
        m->waited += (uint64_t)(*slot - m->clock);
        m->clock = *slot;
    }
    double begin = *last > m->clock ? *last : m->clock;
    *slot = begin + m->medium_ns * block.stored;
    block.waited_ns = m->waited;
    ph_pays_note(pays, &block);
    return block.stored;
}

/* The part of many blocks that was compressed, once the policy has settled. */
static double compressed(struct machine m)
{
    struct ph_pays pays = {0};
    ph_pays_begin(&pays, 0);
    for (int i = 0; i < 5000; i++)
        put(&m, &pays, PH_COMPRESS_PAYS);
    int n = 0;
    for (int i = 0; i < 5000; i++)
        n += put(&m, &pays, PH_COMPRESS_PAYS) < RAW;
    return n / 5000.0;
}

TEST(a_medium_that_nobody_waits_for_gets_what_comes)
{
    assert_true(compressed(machine(1, 1.5, 0.3, 0.5)) == 0);
}

TEST(a_slow_medium_gets_compressed_blocks)
{
    assert_true(compressed(machine(1, 1.5, 0.3, 10)) > 0.9);
}

TEST(a_medium_that_is_slow_only_for_what_is_not_compressed_gets_compressed_blocks)
{
    /* compressed, the source and the core are slower than the medium: nothing waits, due to the compressing */
    assert_true(compressed(machine(1, 1.5, 0.3, 5)) > 0.9);
}

TEST(what_does_not_shrink_is_stored_on_a_slow_medium_too)
{
    assert_true(compressed(machine(1, 1.5, 1, 10)) < 0.1);
}

TEST(a_core_that_is_slower_than_the_medium_stores)
{
    assert_true(compressed(machine(1, 20, 0.5, 10)) < 0.1);
}

TEST(a_source_slower_than_the_medium_stores)
{
    assert_true(compressed(machine(20, 1.5, 0.3, 10)) == 0);
}

TEST(a_medium_that_becomes_slow_or_fast_is_noticed)
{
    struct machine m = machine(1, 1.5, 0.3, 0.5);
    struct ph_pays pays = {0};
    ph_pays_begin(&pays, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put(&m, &pays, PH_COMPRESS_PAYS), RAW);
    m.medium_ns = 10;
    int tried = 0;
    for (int i = 0; i < 10 * PH_PAYS_STAGE; i++)
        tried += put(&m, &pays, PH_COMPRESS_PAYS) < RAW;
    assert_true(tried > 5 * PH_PAYS_STAGE);
    m.medium_ns = 0.5;
    for (int i = 0; i < 2 * PH_PAYS_MOST; i++)
        put(&m, &pays, PH_COMPRESS_PAYS);
    assert_int_equal(put(&m, &pays, PH_COMPRESS_PAYS), RAW);
}

TEST(what_is_known_is_kept_from_file_to_file)
{
    struct machine m = machine(1, 1.5, 0.3, 10);
    struct ph_pays pays = {0};
    ph_pays_begin(&pays, 0);
    for (int i = 0; i < 2 * PH_PAYS_STAGE; i++)
        put(&m, &pays, PH_COMPRESS_PAYS);
    /* a sync between the files is nobody's block */
    m.waited += 1000000000;
    ph_pays_begin(&pays, m.waited);
    assert_true(put(&m, &pays, PH_COMPRESS_PAYS) < RAW);
}

TEST(the_fixed_policies_ask_no_medium)
{
    struct machine m = machine(1, 1.5, 0.3, 0.5);
    struct ph_pays pays = {0};
    ph_pays_begin(&pays, 0);
    for (int i = 0; i < 1000; i++)
        assert_true(put(&m, &pays, PH_COMPRESS_ALWAYS) < RAW);
    m.medium_ns = 100;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put(&m, &pays, PH_COMPRESS_NEVER), RAW);
}

TEST(blocks_that_do_not_shrink_are_left_alone_for_a_while)
{
    struct ph_pays pays = {0};
    ph_pays_begin(&pays, 0);
    int tried = 0;
    for (int i = 0; i < 170; i++) {
        struct ph_pays_block block = {
            .tried = ph_pays_ask(&pays, PH_COMPRESS_ALWAYS), .raw = RAW, .stored = RAW};
        tried += block.tried;
        ph_pays_note(&pays, &block);
    }
    assert_in_range(tried, PH_PAYS_DULL + 8, PH_PAYS_DULL + 10);
    /* one that shrinks after the rest, and all are tried again */
    while (!ph_pays_ask(&pays, PH_COMPRESS_ALWAYS))
        ph_pays_note(&pays, &(struct ph_pays_block){.raw = RAW, .stored = RAW});
    ph_pays_note(&pays, &(struct ph_pays_block){.tried = true, .raw = RAW, .stored = RAW / 2});
    for (int i = 0; i < PH_PAYS_DULL; i++) {
        assert_true(ph_pays_ask(&pays, PH_COMPRESS_ALWAYS));
        ph_pays_note(&pays, &(struct ph_pays_block){.tried = true, .raw = RAW, .stored = RAW});
    }
    assert_false(ph_pays_ask(&pays, PH_COMPRESS_ALWAYS));
}

int main(void)
{
    return RUN(cmocka_unit_test(a_medium_that_nobody_waits_for_gets_what_comes),
               cmocka_unit_test(a_slow_medium_gets_compressed_blocks),
               cmocka_unit_test(
                   a_medium_that_is_slow_only_for_what_is_not_compressed_gets_compressed_blocks),
               cmocka_unit_test(what_does_not_shrink_is_stored_on_a_slow_medium_too),
               cmocka_unit_test(a_core_that_is_slower_than_the_medium_stores),
               cmocka_unit_test(a_source_slower_than_the_medium_stores),
               cmocka_unit_test(a_medium_that_becomes_slow_or_fast_is_noticed),
               cmocka_unit_test(what_is_known_is_kept_from_file_to_file),
               cmocka_unit_test(the_fixed_policies_ask_no_medium),
               cmocka_unit_test(blocks_that_do_not_shrink_are_left_alone_for_a_while));
}

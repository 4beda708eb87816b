#include "unit.h"

#include <endian.h>

#include "haul/verify_run.h"

/* A key of one field, as a row has it. */
struct key {
    char bytes[24];
    size_t len;
};

static struct key integer(int64_t value, size_t size)
{
    struct key key = {.len = 4 + size};
    uint32_t length = htobe32((uint32_t)size);
    uint64_t big = htobe64((uint64_t)value);
    memcpy(key.bytes, &length, 4);
    memcpy(key.bytes + 4, (const char *)&big + 8 - size, size);
    return key;
}

/* Wherever the row before was. */
static int bucket(const struct ph_unit *unit, struct key key)
{
    int at = ph_survey_bucket(unit, key.bytes, 0, 0);
    for (int near = 1; near < unit->n_buckets; near++)
        assert_int_equal(ph_survey_bucket(unit, key.bytes, near, 0), at);
    return at;
}

static const uint64_t sign = (uint64_t)1 << 63;

TEST(integers_of_every_width_are_put_in_one_order)
{
    uint64_t bounds[] = {(uint64_t)-100 ^ sign, 0 ^ sign, 100 ^ sign};
    const struct ph_unit unit = {.order = PH_ORDER_INTEGER, .bounds = bounds, .n_buckets = 4};
    for (size_t size = 2; size <= 8; size *= 2) {
        assert_int_equal(bucket(&unit, integer(-30000, size)), 0);
        assert_int_equal(bucket(&unit, integer(-101, size)), 0);
        assert_int_equal(bucket(&unit, integer(-100, size)), 1);
        assert_int_equal(bucket(&unit, integer(-1, size)), 1);
        assert_int_equal(bucket(&unit, integer(0, size)), 2);
        assert_int_equal(bucket(&unit, integer(99, size)), 2);
        assert_int_equal(bucket(&unit, integer(100, size)), 3);
        assert_int_equal(bucket(&unit, integer(32767, size)), 3);
    }
    assert_int_equal(bucket(&unit, integer(INT64_MIN, 8)), 0);
    assert_int_equal(bucket(&unit, integer(INT64_MAX, 8)), 3);
}

TEST(a_bucket_is_found_however_many_there_are)
{
    enum { MOST = 70 };
    uint64_t bounds[MOST];
    for (int i = 0; i < MOST; i++)
        bounds[i] = (uint64_t)(i * 10) ^ sign;
    for (int n = 2; n <= MOST + 1; n++) {
        const struct ph_unit unit = {.order = PH_ORDER_INTEGER, .bounds = bounds, .n_buckets = n};
        for (int64_t v = -5; v < MOST * 10 + 5; v++) {
            int64_t at = v < 0 ? 0 : v / 10 + 1;
            assert_int_equal(bucket(&unit, integer(v, 8)), at < n ? at : n - 1);
        }
    }
}

TEST(a_null_key_is_in_the_first_bucket)
{
    uint64_t bounds[] = {5 ^ sign};
    const struct ph_unit unit = {.order = PH_ORDER_INTEGER, .bounds = bounds, .n_buckets = 2};
    struct key null = {.bytes = "\xff\xff\xff\xff", .len = 4};
    assert_int_equal(bucket(&unit, null), 0);
}

TEST(uuids_are_ordered_by_their_first_bytes)
{
    uint64_t bounds[] = {0x8000000000000000u};
    const struct ph_unit unit = {.order = PH_ORDER_UUID, .bounds = bounds, .n_buckets = 2};
    struct key low = {.bytes = "\0\0\0\x10\x7f\xff\xff\xff\xff\xff\xff\xff", .len = 20};
    struct key high = {.bytes = "\0\0\0\x10\x80\0\0\0\0\0\0\0", .len = 20};
    assert_int_equal(bucket(&unit, low), 0);
    assert_int_equal(bucket(&unit, high), 1);
}

TEST(keys_without_an_order_go_by_their_hash)
{
    const struct ph_unit unit = {.order = PH_ORDER_NONE, .n_buckets = 16};
    assert_int_equal(ph_survey_bucket(&unit, "", 0, 0x1234), 4);
}

int main(void)
{
    return RUN(cmocka_unit_test(integers_of_every_width_are_put_in_one_order),
               cmocka_unit_test(a_bucket_is_found_however_many_there_are),
               cmocka_unit_test(a_null_key_is_in_the_first_bucket),
               cmocka_unit_test(uuids_are_ordered_by_their_first_bytes),
               cmocka_unit_test(keys_without_an_order_go_by_their_hash));
}

#include "unit.h"

#include "base/feature.h"

TEST(a_feature_is_there_from_the_first_minor_release_on)
{
    assert_false(ph_feature_has(130099, PH_HAS_TID_RANGE_SCAN));
    assert_true(ph_feature_has(140000, PH_HAS_TID_RANGE_SCAN));
    assert_true(ph_feature_has(150018, PH_HAS_TID_RANGE_SCAN));
    assert_false(ph_feature_has(119999, PH_HAS_ALL_THAT_IS_NEEDED));
    assert_true(ph_feature_has(120000, PH_HAS_ALL_THAT_IS_NEEDED));
}

TEST(every_feature_has_a_release_and_none_is_older_than_the_oldest_server)
{
    for (int f = 0; f < PH_N_FEATURES; f++) {
        assert_in_range(ph_feature_since((enum ph_feature)f),
                        ph_feature_since(PH_HAS_ALL_THAT_IS_NEEDED), 30);
        assert_true(
            ph_feature_has(ph_feature_since((enum ph_feature)f) * 10000, (enum ph_feature)f));
        assert_false(
            ph_feature_has(ph_feature_since((enum ph_feature)f) * 10000 - 1, (enum ph_feature)f));
    }
}

TEST(the_releases_are_those_of_the_release_notes)
{
    static const struct {
        enum ph_feature feature;
        int since;
    } known[] = {
        {PH_HAS_TRIGGER_PARENTS, 13},     {PH_HAS_HASH_RECORD, 14},        {PH_HAS_MULTIRANGES, 14},
        {PH_HAS_FOREIGN_PART_OIDS, 14},   {PH_HAS_PARAMETER_GRANTS, 15},   {PH_HAS_OCTAL_CHAR, 16},
        {PH_HAS_TRANSACTION_TIMEOUT, 17}, {PH_HAS_INFINITE_INTERVALS, 17},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(ph_feature_since(known[i].feature), known[i].since);
}

int main(void)
{
    return RUN(
        cmocka_unit_test(a_feature_is_there_from_the_first_minor_release_on),
        cmocka_unit_test(every_feature_has_a_release_and_none_is_older_than_the_oldest_server),
        cmocka_unit_test(the_releases_are_those_of_the_release_notes));
}

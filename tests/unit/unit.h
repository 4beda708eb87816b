/* What every unit test needs. A test is a sentence:
 *
 *     TEST(a_size_of_zero_is_refused) { ... }
 *     int main(void) { return RUN(cmocka_unit_test(a_size_of_zero_is_refused)); }
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#define TEST(name) static void name(void **state __attribute__((unused)))

#define TESTS(...) ((const struct CMUnitTest[]){__VA_ARGS__})
#define RUN(...)                                                                                   \
    _cmocka_run_group_tests("unit", TESTS(__VA_ARGS__),                                            \
                            sizeof TESTS(__VA_ARGS__) / sizeof(struct CMUnitTest), NULL, NULL)

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr(text, part))                                                                   \
            fail_msg("\"%s\" does not contain \"%s\"", text, part);                                \
    } while (0)

#define assert_lacks(text, part)                                                                   \
    do {                                                                                           \
        if (strstr(text, part))                                                                    \
            fail_msg("\"%s\" contains \"%s\"", text, part);                                        \
    } while (0)

#endif

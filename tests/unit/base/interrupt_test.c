#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/interrupt.h"

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

TEST(levels_are_reached_one_by_one_and_stay)
{
    struct ph_interrupt it;
    struct ph_err err;
    assert_true(ph_interrupt_init(&it, &err));
    assert_false(ph_interrupt_at(&it, 1));
    assert_false(readable(ph_interrupt_fd(&it, 1)));
    ph_interrupt_raise(&it);
    assert_true(ph_interrupt_at(&it, 1));
    assert_false(ph_interrupt_at(&it, 2));
    assert_true(readable(ph_interrupt_fd(&it, 1)));
    assert_false(readable(ph_interrupt_fd(&it, 2)));
    for (int i = 0; i < 5; i++)
        ph_interrupt_raise(&it);
    assert_true(ph_interrupt_at(&it, 2));
    assert_true(readable(ph_interrupt_fd(&it, 2)));
    assert_true(readable(ph_interrupt_fd(&it, 1)));
    ph_interrupt_fini(&it);
}

TEST(no_interrupt_at_all_never_interrupts)
{
    assert_false(ph_interrupt_at(NULL, 1));
    assert_int_equal(ph_interrupt_fd(NULL, 1), -1);
    assert_true(ph_interrupt_sleep(NULL, 1, 0.01));
}

static void *raise_soon(void *arg)
{
    usleep(50000);
    ph_interrupt_raise(arg);
    return NULL;
}

TEST(a_sleep_ends_when_the_wish_comes)
{
    struct ph_interrupt it;
    struct ph_err err;
    pthread_t thread;
    assert_true(ph_interrupt_init(&it, &err));
    double begin = ph_clock_s();
    assert_int_equal(pthread_create(&thread, NULL, raise_soon, &it), 0);
    assert_false(ph_interrupt_sleep(&it, 1, 30));
    assert_true(ph_clock_s() - begin < 10);
    pthread_join(thread, NULL);
    assert_true(ph_interrupt_sleep(&it, 2, 0.01));
    ph_interrupt_fini(&it);
}

int main(void)
{
    return RUN(cmocka_unit_test(levels_are_reached_one_by_one_and_stay),
               cmocka_unit_test(no_interrupt_at_all_never_interrupts),
               cmocka_unit_test(a_sleep_ends_when_the_wish_comes));
}

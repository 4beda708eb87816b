#include "base/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

bool ph_interrupt_init(struct ph_interrupt *it, struct ph_err *err)
{
    *it = (struct ph_interrupt){.fd = {-1, -1, -1}};
    for (int level = 1; level <= 2; level++) {
        it->fd[level] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (it->fd[level] < 0) {
            int e = errno;
            ph_interrupt_fini(it);
            return ph_err_set(err, PH_FAILED, "cannot make an eventfd: %s", strerror(e));
        }
    }
    return true;
}

void ph_interrupt_fini(struct ph_interrupt *it)
{
    for (int level = 1; level <= 2; level++) {
        if (it->fd[level] >= 0)
            close(it->fd[level]);
        it->fd[level] = -1;
    }
}

void ph_interrupt_raise(struct ph_interrupt *it)
{
    int level = atomic_fetch_add(&it->level, 1) + 1;
    if (level > 2) {
        atomic_store(&it->level, 2);
        return;
    }
    int keep = errno;
    const uint64_t one = 1;
    ssize_t n = write(it->fd[level], &one, sizeof one);
    (void)n; /* an eventfd that was never written takes a one */
    errno = keep;
}

bool ph_interrupt_at(const struct ph_interrupt *it, int level)
{
    return it && atomic_load(&it->level) >= level;
}

int ph_interrupt_fd(const struct ph_interrupt *it, int level)
{
    return it ? it->fd[level] : -1;
}

bool ph_interrupt_sleep(const struct ph_interrupt *it, int level, double seconds)
{
    double until = ph_clock_s() + seconds;
    for (;;) {
        if (ph_interrupt_at(it, level))
            return false;
        double left = until - ph_clock_s();
        if (left <= 0)
            return true;
        struct pollfd p = {.fd = ph_interrupt_fd(it, level), .events = POLLIN};
        poll(&p, 1, (int)(left * 1000) + 1);
    }
}

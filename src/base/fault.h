/* Fault points: named places where a test build can be made to fail, die or hang.
 *
 * Compiled in only with -DPGHAUL_FAULTS=ON; otherwise PH_FAULT() is a constant false. The environment variable
 * PGHAUL_FAULT holds a comma-separated list of `name:n:what`: at the n-th passage (1 is the first, * is every
 * one) of the point `name` in this process, `what` happens:
 *
 *     error   PH_FAULT() is true once, and the place fails as it would for real
 *     kill    SIGKILL to the own process
 *     hang    the thread sleeps for ever
 *     slow    the thread sleeps for 300 ms and goes on
 *
 * PGHAUL_FAULT_LOG names a file to which every point that was passed writes its name once, so that a
 * campaign can enumerate the points and see that none is dead. Threads: any.
 */
#ifndef PH_BASE_FAULT_H
#define PH_BASE_FAULT_H

#include <stdbool.h>

#ifdef PGHAUL_FAULTS
bool ph_fault_hit(const char *name);
#define PH_FAULT(name) ph_fault_hit(name)
#else
#define PH_FAULT(name) false
#endif

#endif

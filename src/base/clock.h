/* The monotonic clock, and waiting. Time that two processes must agree upon is never taken from
 * here: it is the target server's (see ledger/). */
#ifndef PH_BASE_CLOCK_H
#define PH_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t ph_clock_ns(void);

/* Seconds of CLOCK_MONOTONIC. */
double ph_clock_s(void);

/* CPU seconds, user and system, of this process, all threads. */
double ph_clock_cpu_s(void);

/* Nanoseconds of CPU that this thread has used. */
uint64_t ph_clock_thread_ns(void);

/* Peak resident memory of this process, in bytes. */
uint64_t ph_clock_max_rss(void);

/* Resident memory of this process now, in bytes; 0 when unknown. */
uint64_t ph_clock_rss(void);

#endif

/* Numbers as people write and read them. Parsing is strict (the whole text, no sign where none
 * makes sense, overflow refused) and does not depend on the locale; errors are PH_WRONG and name
 * what is accepted. */
#ifndef PH_BASE_NUM_H
#define PH_BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "pghaul/err.h"

/* 64MiB, 64MB, 200k, 1.5G, 123: bytes or a plain count. KiB MiB GiB TiB are powers of 1024; kB MB
 * GB TB and the bare letters k M G T powers of 1000. Zero is refused. */
bool ph_num_size(const char *text, uint64_t *out, struct ph_err *err);

/* 10s, 5m, 1h, 2d, 250ms, 1.5s; a bare number is seconds. Result in seconds. */
bool ph_num_duration(const char *text, double *out_s, struct ph_err *err);

/* A decimal integer within [min, max]. */
bool ph_num_int(const char *text, int64_t min, int64_t max, int64_t *out, struct ph_err *err);

enum { PH_NUM_TEXT = 32 };

/* "1.4 GiB", "512 B"; returns out. */
const char *ph_num_show_bytes(char out[static PH_NUM_TEXT], double bytes);

/* "1,234,567"; returns out. */
const char *ph_num_show_count(char out[static PH_NUM_TEXT], uint64_t n);

/* "1.2 M", "345 k", "12": short counts for narrow places; returns out. */
const char *ph_num_show_short(char out[static PH_NUM_TEXT], double n);

/* "0.8 s", "12.3 s", "4m05s", "3h12m"; returns out. */
const char *ph_num_show_duration(char out[static PH_NUM_TEXT], double seconds);

#endif

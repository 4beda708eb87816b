/* Where rows of two sides meet: what both have as often leaves nothing behind, what is left are the
 * differences. Rows are known by hashes of their key and of their content; each keeps its place, by
 * which it can be fetched later.
 *
 *     ph_meeting_new;  ph_meeting_add from any thread;  ph_meeting_harvest;  ph_meeting_free
 *
 * Memory: PH_MEETING_ROW bytes for each row, at worst, with what harvesting and sorting take.
 */
#ifndef PH_HAUL_MEETING_H
#define PH_HAUL_MEETING_H

#include <stddef.h>
#include <stdint.h>

#include "pghaul/err.h"

/* A row's place on one side: in which relation, and where there. */
struct ph_spot {
    uint32_t block;
    uint16_t offset;
    uint16_t rel;
};

/* A row that differs: so many copies more on one side than on the other. */
struct ph_odd {
    uint64_t key, row; /* hashes */
    uint32_t count[2]; /* copies in source and target */
    struct ph_spot place[2];
};

enum { PH_MEETING_ROW = 5 * sizeof(struct ph_odd) };

/* Rows that differ, sorted by key. Freed by free(items). */
struct ph_odds {
    struct ph_odd *items;
    size_t n, room;
};

struct ph_meeting;

/* NULL: out of memory. */
struct ph_meeting *ph_meeting_new(void);
void ph_meeting_free(struct ph_meeting *meeting);

/* Running out of memory is told by the harvest. */
void ph_meeting_add(struct ph_meeting *meeting, int side, uint64_t key, uint64_t row,
                    struct ph_spot place);

/* Empties it into *odds. */
bool ph_meeting_harvest(struct ph_meeting *meeting, struct ph_odds *odds, struct ph_err *err);

/* What a run of odds with one key means, beginning at `at`; returns their number. */
struct ph_verdict {
    uint64_t missing, extra, changed; /* rows */
};
size_t ph_odds_group(const struct ph_odds *odds, size_t at, struct ph_verdict *out);

#endif

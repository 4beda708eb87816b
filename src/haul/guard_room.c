/* Guards of room: how much is free where a server writes, and how soon it will be full. A server does not tell how much room its file
 * systems have; on this very host they do. What WAL its slots may still keep it tells from any host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/feature.h"
#include "base/num.h"
#include "haul/guard.h"

/* Directories that a server writes to, and whether they must be seen: what lies within the first one may be hidden from us.
 * missing_ok: where the role may not see the setting. */
#define DIRECTORIES                                                                                \
    "SELECT pg_catalog.current_setting('data_directory', true), NULL::bigint, true UNION ALL"      \
    " SELECT pg_catalog.current_setting('data_directory', true) OPERATOR(pg_catalog.||) "          \
    "'/pg_wal',"                                                                                   \
    " NULL, false UNION ALL"                                                                       \
    " SELECT pg_catalog.pg_tablespace_location(oid), NULL, true FROM pg_catalog.pg_tablespace"     \
    " WHERE pg_catalog.pg_tablespace_location(oid) OPERATOR(pg_catalog.<>) ''"

const char ph_guard_directories_sql[] = DIRECTORIES;

static const char slots_sql[] =
    DIRECTORIES " UNION ALL SELECT slot_name, safe_wal_size, false"
                " FROM pg_catalog.pg_replication_slots WHERE safe_wal_size IS NOT NULL";

const char *ph_guard_room_sql(const struct ph_guard *g)
{
    bool slots = ph_feature_has(ph_conn_server_version(g->conn), PH_HAS_SAFE_WAL_SIZE);
    return slots ? slots_sql : ph_guard_directories_sql;
}

static const char *side_of(const struct ph_guard *g)
{
    return g->source ? "source" : "target";
}

static bool not_knowable(struct ph_guard *g, const char *why)
{
    ph_log(g->all->opts.log, PH_LOG_WARN, "--min-free watches nothing: %s", why);
    atomic_store(&g->off, true);
    ph_throttle_hold(g->all->opts.throttle, &g->hold, 0, 1, "%s", "");
    return true;
}

static bool room_of(const char *path, double *room)
{
    struct statvfs vfs;
    if (!*path || statvfs(path, &vfs) != 0)
        return false;
    *room = (double)vfs.f_bavail * (double)vfs.f_frsize;
    return true;
}

bool ph_guard_free(struct ph_guard *g, const struct ph_rows *rows)
{
    double least = -1, room, limit = (double)g->all->opts.limits->min_free;
    const char *unseen = NULL;
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT];
    if (!ph_conn_is_local(g->conn))
        return not_knowable(g, "the target is on another host");
    for (int i = 0; i < ph_rows_count(rows); i++) {
        if (room_of(ph_rows_text(rows, i, 0), &room))
            least = least < 0 || room < least ? room : least;
        else if (ph_rows_bool(rows, i, 2))
            unseen = ph_rows_text(rows, i, 0);
    }
    if (least < 0)
        return not_knowable(g, "the target's directories cannot be seen from here");
    if (unseen && !g->said) /* what can be seen is watched all the same */
        ph_log(g->all->opts.log, PH_LOG_WARN, "--min-free does not see %s of the target from here",
               *unseen ? unseen : "the data directory");
    g->said = g->said || unseen;
    /* a ratio: it lets go when there is a quarter more than there has to be */
    ph_guard_judge(g, limit / (least > 1 ? least : 1), 1, "%s are free on the target, limit %s",
                   ph_num_show_bytes(a, least), ph_num_show_bytes(b, limit));
    return true;
}

/* The place of that name among those that are watched; NULL when there are too many. */
static struct ph_guard_place *place_of(struct ph_guard *g, const char *name)
{
    for (int i = 0; i < g->n_places; i++)
        if (!strcmp(g->places[i].name, name))
            return &g->places[i];
    if (g->n_places == PH_PLACES_MAX)
        return NULL;
    struct ph_guard_place *p = &g->places[g->n_places++];
    snprintf(p->name, sizeof p->name, "%s", name);
    return p;
}

static void cannot_see(struct ph_guard *g)
{
    if (!g->said)
        ph_log(g->all->opts.log, PH_LOG_WARN,
               "--full-in does not see the file systems of the %s from here, only its slots",
               side_of(g));
    g->said = true;
}

bool ph_guard_full(struct ph_guard *g, const struct ph_rows *rows)
{
    double now = ph_clock_s(), soonest = PH_FILL_NEVER, limit = g->all->opts.limits->full_in_s;
    char a[PH_NUM_TEXT], b[PH_NUM_TEXT], what[160] = "";
    for (int i = 0; i < ph_rows_count(rows); i++) {
        bool slot = ph_rows_get(rows, i, 1) != NULL;
        double room = ph_rows_double(rows, i, 1);
        const char *name = ph_rows_text(rows, i, 0);
        if (!slot && !(ph_conn_is_local(g->conn) && room_of(name, &room))) {
            if (ph_rows_bool(rows, i, 2))
                cannot_see(g);
            continue;
        }
        struct ph_guard_place *p = place_of(g, name);
        double s = p ? ph_judge_fill(&p->fill, room, now) : PH_FILL_NEVER;
        if (s < soonest) {
            soonest = s;
            snprintf(what, sizeof what, slot ? "slot %s loses its WAL" : "%s is full", name);
        }
    }
    /* likewise a ratio */
    ph_guard_judge(g, limit / (soonest > 0.001 ? soonest : 0.001), 1,
                   "%s on the %s in %s at this rate, limit %s", what, side_of(g),
                   ph_num_show_duration(a, soonest), ph_num_show_duration(b, limit));
    return true;
}

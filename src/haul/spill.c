#include "haul/spill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "io/file.h"
#include "pg/sql.h"

struct landed_file {
    char *name;
    uint64_t at_ns;
};

static const uint64_t largest_cap = (uint64_t)50 << 30;
static const uint64_t full_for_ns = 1000000000; /* after a full disk, so long nothing is begun */

char *ph_spill_path(const struct ph_spill_opts *opts, const char *job, const char *tag)
{
    struct ph_buf path = {0};
    const char *given = opts->dir ? opts->dir : opts->state_dir;
    char *real = given ? realpath(given, NULL) : NULL;
    if (opts->dir)
        ph_buf_addf(&path, "%s/%s.%s", real ? real : given, job, tag);
    else if (given)
        ph_buf_addf(&path, "%s/spill.%s", real ? real : given, tag);
    else if (opts->state_base)
        ph_buf_addf(&path, "%s/%s/spill.%s", opts->state_base, job, tag);
    free(real);
    return path.data;
}

bool ph_spill_init(struct ph_spill *spill, const struct ph_spill_opts *opts, const char *host,
                   const char *job, const char *tag, const char *set, struct ph_log *log,
                   struct ph_err *err)
{
    struct ph_buf holder = {0};
    *spill =
        (struct ph_spill){.opts = *opts, .log = log, .set = set, .dir = {.fd = -1, .lock = -1}};
    pthread_mutex_init(&spill->lock, NULL);
    spill->path = ph_spill_path(opts, job, tag);
    if (!spill->path && opts->when == PH_SPILL_ALWAYS) {
        ph_err_set(err, PH_WRONG,
                   "there is no directory to spill to: neither XDG_STATE_HOME nor"
                   " HOME is set");
        return ph_err_hint(err, "name one with --spill-dir");
    }
    if (spill->path) {
        ph_buf_addf(&holder, "%s:%s", host, spill->path);
        spill->holder = holder.data;
    }
    return true;
}

void ph_spill_fini(struct ph_spill *spill)
{
    ph_dir_close(&spill->dir);
    free(spill->path);
    free(spill->holder);
    for (size_t i = 0; i < spill->n_landed; i++)
        free(spill->landed[i].name);
    free(spill->landed);
    pthread_mutex_destroy(&spill->lock);
    *spill = (struct ph_spill){.dir = {.fd = -1, .lock = -1}};
}

/* Opening. */

static bool add_size(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    (void)name;
    (void)err;
    atomic_fetch_add(&((struct ph_spill *)arg)->used, size);
    return true;
}

static bool take(struct ph_spill *spill, struct ph_err *err)
{
    enum { WAIT_S = 1 };
    if (!ph_dir_lock(&spill->dir, WAIT_S, err)) {
        spill->shared = err->code == PH_HELD;
        if (!spill->shared)
            return false;
        ph_log(spill->log, PH_LOG_NOTE, "%s; its files can be loaded, none is added to them",
               err->text);
    }
    if (!ph_dir_list(&spill->dir, ".lz4", add_size, spill, err))
        return false;
    uint64_t room = ph_dir_room(&spill->dir) / 2;
    spill->cap = spill->opts.cap ? spill->opts.cap : room < largest_cap ? room : largest_cap;
    return true;
}

static bool open_locked(struct ph_spill *spill, bool make, struct ph_err *err)
{
    const char *given = spill->opts.dir ? spill->opts.dir : spill->opts.state_dir;
    if (access(spill->path, F_OK) != 0) {
        struct ph_dir parent = {.fd = -1, .lock = -1};
        if (!make)
            return true;
        if (given && !ph_dir_open(&parent, given, PH_DIR_MAKE, err))
            return false;
        ph_dir_close(&parent);
    }
    if (ph_dir_open(&spill->dir, spill->path, given ? PH_DIR_MAKE : PH_DIR_MAKE_ALL, err) &&
        take(spill, err))
        return true;
    ph_dir_close(&spill->dir);
    return false;
}

bool ph_spill_open(struct ph_spill *spill, bool make, bool *open, struct ph_err *err)
{
    bool ok = true;
    pthread_mutex_lock(&spill->lock);
    if (spill->path && spill->dir.fd < 0 && !spill->failed) {
        ok = open_locked(spill, make, err);
        spill->failed = !ok;
        if (!ok)
            ph_err_prefix(err, "spilling");
    }
    *open = spill->dir.fd >= 0;
    pthread_mutex_unlock(&spill->lock);
    return ok;
}

void ph_spill_place(const struct ph_spill *spill, struct ph_place *place)
{
    place->dir = spill->dir.fd;
    place->shown = spill->dir.shown;
    place->set = spill->set;
    place->log = spill->log;
    ph_place_choose(place, spill->opts.io, true);
}

/* Room. */

bool ph_spill_has_room(struct ph_spill *spill)
{
    uint64_t full = atomic_load(&spill->no_room_ns);
    if (!spill->path || spill->failed || spill->shared ||
        (full && ph_clock_ns() - full < full_for_ns))
        return false;
    return spill->dir.fd < 0 || atomic_load(&spill->used) < spill->cap;
}

bool ph_spill_reserve(struct ph_spill *spill, uint64_t bytes)
{
    if (!ph_spill_has_room(spill))
        return false;
    uint64_t before = atomic_fetch_add(&spill->used, bytes);
    if (before == 0 || spill->dir.fd < 0 || before + bytes <= spill->cap)
        return true;
    atomic_fetch_sub(&spill->used, bytes);
    if (atomic_exchange(&spill->no_room_ns, ph_clock_ns()) == 0)
        ph_log(spill->log, PH_LOG_INFO, "spill files have reached their limit; reading waits");
    return false;
}

void ph_spill_settle(struct ph_spill *spill, uint64_t reserved, uint64_t stored)
{
    atomic_fetch_add(&spill->written, stored);
    atomic_fetch_add(&spill->used, stored);
    atomic_fetch_sub(&spill->used, reserved);
}

void ph_spill_cancel(struct ph_spill *spill, uint64_t reserved, bool disk_full)
{
    atomic_fetch_sub(&spill->used, reserved);
    if (!disk_full)
        return;
    if (atomic_exchange(&spill->no_room_ns, ph_clock_ns()) == 0)
        ph_log(spill->log, PH_LOG_WARN, "the file system of %s is full; spilling waits for room",
               spill->path);
}

/* Files that go. */

static uint64_t size_of(const struct ph_spill *spill, const char *name)
{
    struct stat st;
    return fstatat(spill->dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}

void ph_spill_drop(struct ph_spill *spill, const char *file)
{
    struct ph_err ignored;
    uint64_t size = size_of(spill, file);
    if (!ph_file_remove(spill->dir.fd, spill->dir.shown, file, &ignored))
        return;
    atomic_fetch_sub(&spill->used, size);
    atomic_store(&spill->no_room_ns, 0);
}

void ph_spill_landed(struct ph_spill *spill, const char *file)
{
    if (spill->opts.keep)
        return;
    pthread_mutex_lock(&spill->lock);
    if (spill->n_landed == spill->room_landed) {
        size_t room = spill->room_landed ? spill->room_landed * 2 : 64;
        struct landed_file *bigger = realloc(spill->landed, room * sizeof *bigger);
        if (bigger) {
            spill->landed = bigger;
            spill->room_landed = room;
        }
    }
    char *name = strdup(file);
    if (name && spill->n_landed < spill->room_landed)
        spill->landed[spill->n_landed++] = (struct landed_file){name, ph_clock_ns()};
    else
        free(name); /* it stays until the job ends */
    pthread_mutex_unlock(&spill->lock);
}

bool ph_spill_has_landed(struct ph_spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    bool has = spill->n_landed > 0;
    pthread_mutex_unlock(&spill->lock);
    return has;
}

void ph_spill_sweep(struct ph_spill *spill, uint64_t before_ns)
{
    pthread_mutex_lock(&spill->lock);
    size_t kept = 0;
    for (size_t i = 0; i < spill->n_landed; i++) {
        struct landed_file *f = &spill->landed[i];
        if (f->at_ns >= before_ns) {
            spill->landed[kept++] = *f;
            continue;
        }
        ph_spill_drop(spill, f->name);
        free(f->name);
    }
    spill->n_landed = kept;
    pthread_mutex_unlock(&spill->lock);
}

/* What the ledger does not know. */

static bool put_to_ledger(struct ph_conn *target, int64_t job, int64_t shard, int mover,
                          const char *holder, const struct ph_spill_note *note,
                          char said[static 16], struct ph_err *err)
{
    struct ph_buf sql = {0};
    struct ph_rows *rows = NULL;
    char hash[PH_TALLY_HASH_TEXT];
    ph_sql_add(&sql,
               "BEGIN;SET LOCAL synchronous_commit = on;"
               "SELECT pghaul.adopt(%D, %D, %d, %d, %L, %L, %D, %D, %L, %D);COMMIT",
               job, shard, mover, note->snapshot, holder, note->file, (int64_t)note->tally.rows,
               (int64_t)note->tally.bytes, ph_tally_hash_text(&note->tally, hash),
               (int64_t)note->sealed.size);
    bool ok = ph_conn_query(target, sql.data, &rows, err);
    ph_buf_fini(&sql);
    if (ok)
        snprintf(said, 16, "%s", ph_rows_text(rows, 0, 0));
    ph_rows_free(rows);
    return ok || ph_err_prefix(err, "telling the ledger of a spilled shard");
}

bool ph_spill_note(struct ph_spill *spill, struct ph_roster *roster, struct ph_conn *target,
                   int64_t job, int mover, struct ph_err *err)
{
    struct ph_spill_note note;
    int64_t shard;
    char said[16];
    for (int at = 0; ph_roster_next_sealed(roster, &at, false, &shard, &note);) {
        if (!put_to_ledger(target, job, shard, mover, spill->holder, &note, said, err))
            return false;
        ph_roster_noted(roster, shard);
        if (!strcmp(said, "spilled"))
            continue;
        ph_log(spill->log, PH_LOG_INFO, "the spill file of shard %lld is not needed: %s",
               (long long)shard, said);
        ph_spill_landed(spill, note.file); /* what has landed is to be flushed before it goes */
    }
    return true;
}

struct adoption {
    struct ph_spill *spill;
    struct ph_place place;
    struct ph_conn *target;
    int64_t job;
    int mover;
    int adopted;
};

static void fill_note(struct ph_spill_note *note, const char *name, const struct ph_shardin *file)
{
    const struct ph_receipt *r = ph_shardin_receipt(file);
    *note = (struct ph_spill_note){
        .file = name,
        .sealed = *ph_shardin_sealed(file),
        .tally = {.rows = r->rows, .bytes = r->bytes, .hash_lo = r->hash_lo, .hash_hi = r->hash_hi},
        .snapshot = r->snapshot,
    };
}

static bool adopt_file(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    struct adoption *a = arg;
    struct ph_shardin *file = NULL;
    struct ph_spill_note note;
    struct ph_err why;
    char said[16];
    (void)size;
    if (!ph_shardin_open(&file, a->place.ring, a->place.dir, a->place.shown, name, false, &why)) {
        ph_log(a->spill->log, PH_LOG_WARN, "%s; it is left alone", why.text);
        return true;
    }
    bool ok = true, ours = !strcmp(ph_shardin_receipt(file)->set, a->spill->set);
    if (ours) {
        fill_note(&note, name, file);
        ok = put_to_ledger(a->target, a->job, ph_shardin_receipt(file)->shard, a->mover,
                           a->spill->holder, &note, said, err);
        if (ok && strcmp(said, "spilled") != 0)
            ph_spill_landed(a->spill, name);
        a->adopted += ok && !strcmp(said, "spilled");
    }
    ph_shardin_close(file);
    return ok;
}

static bool drop_part(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    const struct ph_spill *spill = arg;
    (void)size;
    return ph_file_remove(spill->dir.fd, spill->dir.shown, name, err);
}

bool ph_spill_adopt(struct ph_spill *spill, struct ph_conn *target, int64_t job, int mover,
                    struct ph_err *err)
{
    bool open = false;
    if (!ph_spill_open(spill, false, &open, err))
        return false;
    if (!open || spill->shared)
        return true;
    struct adoption a = {.spill = spill, .target = target, .job = job, .mover = mover};
    ph_spill_place(spill, &a.place);
    bool ok = ph_dir_list(&spill->dir, ".part", drop_part, spill, err) &&
              ph_place_ready(&a.place, err) &&
              ph_dir_list(&spill->dir, ".lz4", adopt_file, &a, err);
    ph_place_fini(&a.place);
    if (ok && a.adopted > 0)
        ph_log(spill->log, PH_LOG_NOTE, "%d shards lie in spill files and are not read again",
               a.adopted);
    return ok;
}

static bool drop_ours(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    const struct ph_spill *spill = arg;
    struct ph_err ignored;
    (void)size;
    (void)err;
    ph_file_remove(spill->dir.fd, spill->dir.shown, name, &ignored);
    return true;
}

void ph_spill_end(struct ph_spill *spill)
{
    struct ph_err ignored;
    bool open = false;
    if (!ph_spill_open(spill, false, &open, &ignored) || !open || spill->shared)
        return;
    ph_dir_list(&spill->dir, ".part", drop_ours, spill, &ignored);
    if (!spill->opts.keep) {
        ph_dir_list(&spill->dir, ".lz4", drop_ours, spill, &ignored);
        ph_dir_remove(&spill->dir);
    }
    ph_dir_close(&spill->dir);
}

#include "haul/spill.h"

#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/file.h"

struct landed_file {
    char *name;
    uint64_t at_ns;
};

static const uint64_t largest_cap = (uint64_t)50 << 30;
static const uint64_t full_for_ns = 1000000000; /* after a full disk, so long nothing is begun */

/* The real path of what need not be there yet, only its parent: its name must not change by being made. */
static char *real_path(const char *given)
{
    char *real = realpath(given, NULL), *copy = real ? NULL : strdup(given);
    struct ph_buf path = {0};
    if (!copy)
        return real;
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (slash)
        *slash = '\0';
    real = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (real)
        ph_buf_addf(&path, "%s/%s", real[1] ? real : "", name);
    else
        ph_buf_addf(&path, "%s", given);
    free(real);
    free(copy);
    return path.data;
}

char *ph_spill_path(const struct ph_spill_opts *opts, const char *job, const char *tag)
{
    struct ph_buf path = {0};
    const char *given = opts->dir ? opts->dir : opts->state_dir;
    char *real = given ? real_path(given) : NULL;
    if (opts->dir)
        ph_buf_addf(&path, "%s/%s.%s", real, job, tag);
    else if (given)
        ph_buf_addf(&path, "%s/spill.%s", real, tag);
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
    for (int i = 0; i < spill->n_gone; i++)
        ph_dir_close(&spill->gone[i]);
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
    *(uint64_t *)arg += size;
    return true;
}

static uint64_t size_of_all(const struct ph_spill *spill)
{
    struct ph_err ignored;
    uint64_t all = 0;
    ph_dir_list(&spill->dir, ".lz4", add_size, &all, &ignored);
    return all;
}

static bool take(struct ph_spill *spill, struct ph_err *err)
{
    enum { WAIT_S = 1 };
    atomic_store(&spill->shared, false);
    if (!ph_dir_lock(&spill->dir, WAIT_S, err)) {
        if (err->code != PH_HELD)
            return false;
        atomic_store(&spill->shared, true);
        ph_log(spill->log, PH_LOG_NOTE, "%s; its files can be loaded, none is added to them",
               err->text);
    }
    uint64_t room = ph_dir_room(spill->dir.fd) / 2;
    atomic_store(&spill->cap, spill->opts.cap      ? spill->opts.cap
                              : room < largest_cap ? room
                                                   : largest_cap);
    atomic_store(&spill->held, 0);
    atomic_store(&spill->foreign, size_of_all(spill));
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
        take(spill, err)) {
        atomic_fetch_add(&spill->made, 1);
        return true;
    }
    ph_dir_close(&spill->dir);
    return false;
}

/* Somebody has removed it under us. Its descriptor stays open, since a worker may have it in hand. */
static void leave_if_gone(struct ph_spill *spill)
{
    struct stat st;
    if (spill->dir.fd < 0 || fstat(spill->dir.fd, &st) != 0 || st.st_nlink > 0 ||
        spill->n_gone == PH_SPILL_GONE)
        return;
    ph_log(spill->log, PH_LOG_WARN, "the spill directory %s was removed; it is made again",
           spill->path);
    spill->gone[spill->n_gone++] = spill->dir;
    spill->dir = (struct ph_dir){.fd = -1, .lock = -1};
}

bool ph_spill_open(struct ph_spill *spill, bool make, bool *open, struct ph_err *err)
{
    bool ok = true;
    pthread_mutex_lock(&spill->lock);
    if (make)
        leave_if_gone(spill);
    if (spill->path && spill->dir.fd < 0 && !atomic_load(&spill->failed)) {
        ok = open_locked(spill, make, err);
        if (!ok && err->code == PH_NO_ROOM)
            atomic_store(&spill->no_room_ns, ph_clock_ns());
        else
            atomic_store(&spill->failed, !ok);
        if (!ok)
            ph_err_prefix(err, "spilling");
    }
    *open = spill->dir.fd >= 0;
    pthread_mutex_unlock(&spill->lock);
    return ok;
}

/* What is there now; the texts stay for as long as the spill. */
static void look(struct ph_spill *spill, int *fd, const char **shown)
{
    pthread_mutex_lock(&spill->lock);
    *fd = spill->dir.fd;
    *shown = spill->dir.shown;
    pthread_mutex_unlock(&spill->lock);
}

void ph_spill_place(struct ph_spill *spill, struct ph_place *place)
{
    look(spill, &place->dir, &place->shown);
    place->set = spill->set;
    place->log = spill->log;
    ph_place_choose(place, spill->opts.io, true);
}

/* Whoever held the directory may have died. */
static bool take_over(struct ph_spill *spill)
{
    uint64_t now = ph_clock_ns(), tried = atomic_load(&spill->tried_ns);
    struct ph_err ignored;
    if (now - tried < full_for_ns || !atomic_compare_exchange_strong(&spill->tried_ns, &tried, now))
        return false;
    pthread_mutex_lock(&spill->lock);
    bool ours = spill->dir.fd >= 0 && ph_dir_lock(&spill->dir, 0, &ignored);
    if (ours) {
        atomic_store(&spill->held, size_of_all(spill));
        atomic_store(&spill->foreign, 0);
        atomic_store(&spill->shared, false);
    }
    pthread_mutex_unlock(&spill->lock);
    return ours;
}

/* Room. */

static void take_away(_Atomic uint64_t *from, uint64_t bytes)
{
    uint64_t now = atomic_load(from);
    while (!atomic_compare_exchange_weak(from, &now, now > bytes ? now - bytes : 0))
        ;
}

/* Lately there was no room; and where the disk itself was full, there is not that much more now. */
static bool is_full(struct ph_spill *spill)
{
    uint64_t since = atomic_load(&spill->no_room_ns), wanted = atomic_load(&spill->wanted);
    uint64_t ns = ph_clock_ns() - since;
    int fd;
    const char *shown;
    if (!since || ns >= 10 * full_for_ns)
        return false;
    if (ns < full_for_ns || !wanted)
        return ns < full_for_ns;
    look(spill, &fd, &shown);
    return ph_dir_room(fd) < wanted / 2;
}

/* Other movers of the job load from our files, and take them away. */
static void count_again(struct ph_spill *spill)
{
    uint64_t now = ph_clock_ns(), counted = atomic_load(&spill->counted_ns);
    if (now - counted < full_for_ns ||
        !atomic_compare_exchange_strong(&spill->counted_ns, &counted, now))
        return;
    pthread_mutex_lock(&spill->lock);
    uint64_t all = spill->dir.fd >= 0 ? size_of_all(spill) : 0;
    pthread_mutex_unlock(&spill->lock);
    uint64_t foreign = atomic_load(&spill->foreign);
    atomic_store(&spill->held, all > foreign ? all - foreign : 0);
}

static uint64_t used(struct ph_spill *spill)
{
    return atomic_load(&spill->held) + atomic_load(&spill->reserved);
}

bool ph_spill_has_room(struct ph_spill *spill)
{
    if (!spill->path || atomic_load(&spill->failed) || is_full(spill) ||
        (atomic_load(&spill->shared) && !take_over(spill)))
        return false;
    if (atomic_load(&spill->made) == 0)
        return true;
    if (used(spill) >= atomic_load(&spill->cap))
        count_again(spill);
    return used(spill) < atomic_load(&spill->cap);
}

bool ph_spill_reserve(struct ph_spill *spill, uint64_t bytes)
{
    if (!ph_spill_has_room(spill))
        return false;
    uint64_t before = atomic_fetch_add(&spill->reserved, bytes);
    before += atomic_load(&spill->held);
    if (before == 0 || before + bytes <= atomic_load(&spill->cap))
        return true;
    take_away(&spill->reserved, bytes);
    count_again(spill);
    atomic_store(&spill->wanted, 0);
    if (atomic_exchange(&spill->no_room_ns, ph_clock_ns()) == 0)
        ph_log(spill->log, PH_LOG_INFO, "spill files have reached their limit; reading waits");
    return false;
}

void ph_spill_settle(struct ph_spill *spill, uint64_t reserved, uint64_t stored)
{
    atomic_store(&spill->errors, 0);
    atomic_fetch_add(&spill->written, stored);
    atomic_fetch_add(&spill->held, stored);
    take_away(&spill->reserved, reserved);
}

/* Of the medium, not of a server. */
static bool is_of_the_disk(const struct ph_err *err)
{
    return err->code == PH_FAILED && err->transient && !err->sqlstate[0];
}

void ph_spill_cancel(struct ph_spill *spill, uint64_t reserved, const struct ph_err *why)
{
    enum { ENOUGH = 5 };
    take_away(&spill->reserved, reserved);
    if (is_of_the_disk(why) && atomic_fetch_add(&spill->errors, 1) == ENOUGH - 1) {
        atomic_store(&spill->failed, true);
        ph_log(spill->log, PH_LOG_WARN,
               "files in %s have failed %d times in a row: nothing more is spilled", spill->path,
               ENOUGH);
    }
    if (why->code != PH_NO_ROOM)
        return;
    atomic_store(&spill->wanted, reserved);
    if (atomic_exchange(&spill->no_room_ns, ph_clock_ns()) == 0)
        ph_log(spill->log, PH_LOG_WARN, "the file system of %s is full; spilling waits for room",
               spill->path);
}

void ph_spill_adopted(struct ph_spill *spill, uint64_t bytes)
{
    take_away(&spill->foreign, bytes);
    atomic_fetch_add(&spill->held, bytes);
}

/* Files that go. */

void ph_spill_drop(struct ph_spill *spill, const char *file)
{
    struct ph_err ignored;
    struct stat st;
    int fd;
    const char *shown;
    look(spill, &fd, &shown);
    if (fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !ph_file_remove(fd, shown, file, &ignored))
        return;
    take_away(&spill->held, (uint64_t)st.st_size);
    atomic_store(&spill->no_room_ns, 0);
}

/* It stays, but it is no longer one that waits for the target. */
static void disown(struct ph_spill *spill, const char *file)
{
    struct stat st;
    int fd;
    const char *shown;
    look(spill, &fd, &shown);
    if (fstatat(fd, file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    take_away(&spill->held, (uint64_t)st.st_size);
    atomic_fetch_add(&spill->foreign, (uint64_t)st.st_size);
    atomic_store(&spill->no_room_ns, 0);
}

static void add_landed(struct ph_spill *spill, struct landed_file file)
{
    pthread_mutex_lock(&spill->lock);
    if (spill->n_landed == spill->room_landed) {
        size_t room = spill->room_landed ? spill->room_landed * 2 : 64;
        struct landed_file *bigger = realloc(spill->landed, room * sizeof *bigger);
        if (bigger) {
            spill->landed = bigger;
            spill->room_landed = room;
        }
    }
    if (file.name && spill->n_landed < spill->room_landed)
        spill->landed[spill->n_landed++] = file;
    else
        free(file.name); /* it stays until the job ends */
    pthread_mutex_unlock(&spill->lock);
}

void ph_spill_landed(struct ph_spill *spill, const char *file)
{
    if (spill->opts.keep)
        disown(spill, file);
    else
        add_landed(spill, (struct landed_file){strdup(file), ph_clock_ns()});
}

bool ph_spill_has_landed(struct ph_spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    bool has = spill->n_landed > 0;
    pthread_mutex_unlock(&spill->lock);
    return has;
}

void ph_spill_not_landed(struct ph_spill *spill, const char *file, uint64_t before_ns)
{
    pthread_mutex_lock(&spill->lock);
    size_t kept = 0;
    for (size_t i = 0; i < spill->n_landed; i++) {
        struct landed_file *f = &spill->landed[i];
        if (f->at_ns < before_ns && !strcmp(f->name, file))
            free(f->name);
        else
            spill->landed[kept++] = *f;
    }
    spill->n_landed = kept;
    pthread_mutex_unlock(&spill->lock);
}

void ph_spill_sweep(struct ph_spill *spill, uint64_t before_ns)
{
    pthread_mutex_lock(&spill->lock);
    struct landed_file *all = spill->landed;
    size_t n = spill->n_landed;
    spill->landed = NULL;
    spill->n_landed = spill->room_landed = 0;
    pthread_mutex_unlock(&spill->lock);
    for (size_t i = 0; i < n; i++) {
        if (all[i].at_ns >= before_ns) {
            add_landed(spill, all[i]);
            continue;
        }
        ph_spill_drop(spill, all[i].name);
        free(all[i].name);
    }
    free(all);
}

/* The end. */

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
    if (!ph_spill_open(spill, false, &open, &ignored) || !open ||
        (atomic_load(&spill->shared) && !ph_dir_lock(&spill->dir, 0, &ignored)))
        return;
    ph_dir_list(&spill->dir, ".part", drop_ours, spill, &ignored);
    if (!spill->opts.keep) {
        ph_dir_list(&spill->dir, ".lz4", drop_ours, spill, &ignored);
        ph_dir_remove(&spill->dir);
    }
    ph_dir_close(&spill->dir);
}

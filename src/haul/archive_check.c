#include "haul/archive_check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/rows.h"
#include "archive/schema.h"
#include "base/clock.h"

/* Shared by the threads; the lock guards what is below it. */
struct check {
    const struct ph_archive_check_opts *opts;
    const struct ph_archive_shard **order;
    atomic_int next;
    atomic_bool stop;
    pthread_mutex_t lock;
    struct ph_archive_check *out;
    struct ph_arena *arena;
    bool failed; /* err says why */
    struct ph_err *err;
};

static struct ph_place new_place(const struct ph_archive_check_opts *opts, struct ph_log *log)
{
    struct ph_place place = {
        .dir = opts->dir->fd, .shown = opts->dir->shown, .set = opts->archive->set, .log = log};
    ph_place_choose(&place, opts->io, true);
    return place;
}

/* Findings. */

static int64_t place_of(const struct ph_archive_finding *finding)
{
    return finding->shard ? finding->shard->id : 0;
}

/* Kept in the manifest's order, so that the same damage gives the same report; the last ones fall off. */
static void find(struct check *c, const char *file, const struct ph_archive_shard *shard,
                 const char *text)
{
    struct ph_archive_check *out = c->out;
    struct ph_archive_finding finding = {.file = file, .shard = shard};
    out->damaged++;
    int at = out->n_findings;
    while (at > 0 && place_of(&out->finding[at - 1]) > place_of(&finding))
        at--;
    if (at == PH_ARCHIVE_FINDINGS)
        return;
    if (out->n_findings < PH_ARCHIVE_FINDINGS)
        out->n_findings++;
    for (int i = out->n_findings - 1; i > at; i--)
        out->finding[i] = out->finding[i - 1];
    finding.text = ph_arena_strdup(c->arena, text);
    out->finding[at] = finding;
}

/* Files of rows. */

static bool read_rows(struct check *c, struct ph_archive_rows *rows, struct ph_err *err)
{
    struct ph_batch batch;
    do {
        if (ph_interrupt_at(c->opts->interrupt, 1))
            return ph_err_set(err, PH_INTERRUPTED, "interrupted");
        if (atomic_load(&c->stop))
            return ph_err_set(err, PH_INTERRUPTED, "another thread has failed");
        if (!ph_archive_rows_next(rows, &batch, err))
            return false;
    } while (batch.len > 0);
    return true;
}

static void stop(struct check *c, const struct ph_err *why)
{
    if (!c->failed)
        *c->err = *why;
    c->failed = true;
    atomic_store(&c->stop, true);
}

static void check_shard(struct check *c, struct ph_archive_rows *rows,
                        const struct ph_archive_shard *shard)
{
    struct ph_err why;
    bool ok = ph_archive_rows_open(rows, shard, &why) && read_rows(c, rows, &why);
    ph_archive_rows_close(rows);
    pthread_mutex_lock(&c->lock);
    if (!ok && why.code != PH_DAMAGED && why.code != PH_OTHER_JOB) {
        stop(c, &why);
    } else {
        c->out->files++;
        c->out->rows += ok ? shard->tally.rows : 0;
        c->out->bytes += ok ? shard->tally.bytes : 0;
        c->out->stored += ok ? shard->sealed.size : 0;
        if (!ok)
            find(c, shard->file, shard, why.text);
    }
    pthread_mutex_unlock(&c->lock);
}

static void *work(void *arg)
{
    struct check *c = arg;
    struct ph_archive_rows *rows = malloc(sizeof *rows);
    struct ph_err why;
    int i = atomic_fetch_add(&c->next, 1);
    /* one of them says how files are read */
    struct ph_place place = new_place(c->opts, i == 0 ? c->opts->log : NULL);
    if (rows ? !ph_archive_rows_init(rows, &place, c->opts->archive, &why) : !ph_err_nomem(&why)) {
        pthread_mutex_lock(&c->lock);
        stop(c, &why);
        pthread_mutex_unlock(&c->lock);
        free(rows);
        return NULL;
    }
    for (; i < c->opts->archive->n_shards && !atomic_load(&c->stop);
         i = atomic_fetch_add(&c->next, 1))
        check_shard(c, rows, c->order[i]);
    ph_archive_rows_fini(rows);
    ph_place_fini(&place);
    free(rows);
    return NULL;
}

static int biggest_first(const void *a, const void *b)
{
    const struct ph_archive_shard *x = *(const struct ph_archive_shard *const *)a;
    const struct ph_archive_shard *y = *(const struct ph_archive_shard *const *)b;
    if (x->sealed.size != y->sealed.size)
        return x->sealed.size > y->sealed.size ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int wanted_jobs(const struct ph_archive_check_opts *opts)
{
    enum { MOST = 256 };
    long n = opts->jobs ? opts->jobs : sysconf(_SC_NPROCESSORS_ONLN);
    if (n > opts->archive->n_shards)
        n = opts->archive->n_shards;
    return n < 1 ? 1 : n > MOST ? MOST : (int)n;
}

/* The caller's thread is one of them, and does all where no others are to be had. */
static void check_shards(struct check *c)
{
    const struct ph_archive *a = c->opts->archive;
    int n = c->out->jobs = wanted_jobs(c->opts), begun = 0;
    pthread_t thread[256];
    c->order = ph_arena_calloc(c->arena, (size_t)a->n_shards + 1, sizeof(*c->order));
    for (int i = 0; i < a->n_shards; i++)
        c->order[i] = &a->shards[i];
    qsort(c->order, (size_t)a->n_shards, sizeof(*c->order), biggest_first);
    while (begun < n - 1 && pthread_create(&thread[begun], NULL, work, c) == 0)
        begun++;
    work(c);
    for (int i = 0; i < begun; i++)
        pthread_join(thread[i], NULL);
}

/* The rest of the directory. */

static void check_job(struct check *c)
{
    static const char name[] = "job.json";
    const struct ph_dir *dir = c->opts->dir;
    struct ph_err why;
    bool there;
    bool ok = ph_manifest_confirm(c->opts->archive, dir->fd, dir->shown, &there, &why);
    if (ok && !there)
        ok = ph_err_set(&why, PH_DAMAGED, "%s/%s is missing", dir->shown, name);
    c->out->files++;
    if (!ok)
        find(c, name, NULL, why.text);
}

static void check_schema(struct check *c)
{
    const struct ph_archive_schema *schema = c->opts->archive->schema;
    const struct ph_dir *dir = c->opts->dir;
    for (int i = 0; schema && i < PH_SCHEMA_FILES; i++) {
        struct ph_buf content = {0};
        struct ph_err why;
        bool ok =
            ph_schema_read(schema, (enum ph_schema_file)i, dir->fd, dir->shown, &content, &why);
        ph_buf_fini(&content);
        c->out->files++;
        c->out->stored += ok ? schema->file[i].size : 0;
        if (!ok)
            find(c, ph_schema_files[i], NULL, why.text);
    }
}

static int order_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct named {
    struct check *check;
    const char **file;
    size_t n;
};

static bool note_stray(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    struct named *named = arg;
    struct ph_archive_check *out = named->check->out;
    (void)size;
    (void)err;
    if (named->n && bsearch(&name, named->file, named->n, sizeof *named->file, order_texts))
        return true;
    if (out->n_strays < PH_ARCHIVE_FINDINGS)
        out->stray[out->n_strays] = ph_arena_strdup(named->check->arena, name);
    out->n_strays++;
    return true;
}

static bool look_for_strays(struct check *c, struct ph_err *err)
{
    const struct ph_archive *a = c->opts->archive;
    struct named named = {.check = c, .n = (size_t)a->n_shards};
    named.file = ph_arena_calloc(c->arena, named.n + 1, sizeof(*named.file));
    for (size_t i = 0; i < named.n; i++)
        named.file[i] = a->shards[i].file;
    qsort(named.file, named.n, sizeof *named.file, order_texts);
    return ph_dir_list(c->opts->dir, ".lz4", note_stray, &named, err);
}

bool ph_archive_check(struct ph_archive_check *out, const struct ph_archive_check_opts *opts,
                      struct ph_arena *arena, struct ph_err *err)
{
    *out = (struct ph_archive_check){0};
    struct check c = {
        .opts = opts, .out = out, .arena = arena, .err = err, .lock = PTHREAD_MUTEX_INITIALIZER};
    double begin = ph_clock_s();
    if (!opts->rows_only) {
        check_job(&c);
        check_schema(&c);
    }
    check_shards(&c);
    pthread_mutex_destroy(&c.lock);
    out->seconds = ph_clock_s() - begin;
    out->files++; /* the manifest: whoever has read it has checked it */
    if (c.failed && err->code == PH_INTERRUPTED)
        return ph_err_set(err, PH_INTERRUPTED, "interrupted after %llu of %d files",
                          (unsigned long long)out->files,
                          opts->archive->n_shards + 2 +
                              (opts->archive->schema ? PH_SCHEMA_FILES : 0));
    return !c.failed && (opts->rows_only || look_for_strays(&c, err));
}

/* Of an unfinished archive. */

static void look_at(struct ph_archive *archive, struct ph_archive_shard *shard,
                    const struct ph_place *place, struct ph_arena *arena, int *n)
{
    const struct ph_archive_table *table = &archive->tables[shard->tab - 1];
    const char *name = ph_archive_file_name(arena, table->schema, table->name, shard->id, NULL);
    struct ph_shardin *file = NULL;
    struct ph_err ignored; /* what cannot be opened will be written again */
    if (!ph_shardin_open(&file, place->ring, place->dir, place->shown, name, false, &ignored))
        return;
    const struct ph_receipt *r = ph_shardin_receipt(file);
    if (!strcmp(r->set, archive->set) && r->shard == shard->id) {
        shard->file = name;
        shard->sealed = *ph_shardin_sealed(file);
        shard->tally = ph_receipt_tally(r);
        shard->snapshot = r->snapshot;
        (*n)++;
    }
    ph_shardin_close(file);
}

bool ph_archive_survey(struct ph_archive *archive, const struct ph_dir *dir, int io,
                       struct ph_arena *arena, int *n, struct ph_err *err)
{
    struct ph_place place =
        new_place(&(struct ph_archive_check_opts){.dir = dir, .archive = archive, .io = io}, NULL);
    *n = 0;
    if (!ph_place_ready(&place, err))
        return false;
    for (int i = 0; i < archive->n_shards; i++)
        look_at(archive, &archive->shards[i], &place, arena, n);
    ph_place_fini(&place);
    return true;
}

/* What a verify leaves that is stopped in the middle of a table: the sums so far, and which chunks
 * they are of, in a file of the job's state directory, for nothing is written to the servers.
 *
 * A file is gone on with only where that is as good as reading everything anew: it is of the same
 * question (relations, columns, bounds of buckets, receipts), and the rows of those chunks are the
 * same rows still (verify_census.c).
 *
 *     head | chunks | sums | XXH3 of all that
 *
 * It is read by the host that wrote it, so its numbers are the host's own. A verdict takes it away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "haul/verify_run.h"
#include "io/dir.h"
#include "io/file.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <xxhash.h>
#pragma GCC diagnostic pop

enum { MOST_CHUNKS = 1 << 20, FORM = 1 };
static const double pace_s = 5; /* between two notes */
static const size_t most_size = (size_t)256 << 20;
static const char *const stages[] = {"readback", "survey", "servers"}; /* ph_reading_stage */

struct head {
    uint64_t form;
    uint64_t question[2]; /* XXH3 of what was asked, and of the state of what was read */
    int64_t begun;        /* seconds since 1970 */
    uint64_t oldest[2];   /* transaction in progress then, by side */
    uint64_t n_chunks, n_sums;
};

/* The directory and the name. */

static bool open_directory(const struct ph_spill_opts *o, const char *job, struct ph_dir *dir,
                           bool make)
{
    struct ph_err ignored;
    struct ph_buf path = {0};
    if (o->state_dir)
        ph_buf_add(&path, o->state_dir);
    else if (o->state_base)
        ph_buf_addf(&path, "%s/%s", o->state_base, job);
    enum ph_dir_make how = !make ? PH_DIR_EXISTS : o->state_dir ? PH_DIR_MAKE : PH_DIR_MAKE_ALL;
    bool ok = path.len > 0 && ph_dir_open(dir, path.data, how, &ignored);
    ph_buf_fini(&path);
    return ok;
}

static void close_directory(const struct ph_spill_opts *o, struct ph_dir *dir)
{
    if (!o->state_dir)
        rmdir(dir->shown); /* it was made for the job: it goes when nothing is in it */
    ph_dir_close(dir);
}

static void name_of(const struct ph_verify *v, const struct ph_unit *unit, const char *stage,
                    char name[static 64])
{
    struct ph_buf text = {0};
    ph_buf_addf(&text, "%s|%s|%s|%s", v->how, v->run.tag, unit->result->source,
                unit->result->target);
    snprintf(name, 64, "verify.%016" PRIx64 ".%s", XXH3_64bits(text.data, text.len), stage);
    ph_buf_fini(&text);
}

/* The question. */

static void add_question(const struct ph_verify *v, const struct ph_reading *r, struct ph_buf *text)
{
    const struct ph_plan *plan = v->run.plan;
    ph_buf_addf(text, "%s|%s|%" PRIu64 ".%u|%" PRIu64 ".%u", PGHAUL_VERSION, v->how,
                plan->source.system_id, plan->source.database_oid, plan->target.system_id,
                plan->target.database_oid);
    for (int i = 0; i < r->n; i++) {
        const struct ph_readout_rel *rel = &r->rels[i];
        ph_buf_addf(text, "\n%d|%s|%s|%s|%s|%s|%d", rel->side, rel->from,
                    rel->where ? rel->where : "", rel->lead, rel->select,
                    rel->inner ? rel->inner : "", rel->number);
    }
    ph_buf_addc(text, '\n');
    ph_buf_addn(text, r->depends, r->depends_size);
}

/* Writing. */

static void add_raw(struct ph_buf *out, const void *bytes, size_t n)
{
    ph_buf_addn(out, bytes, n);
}

static void write_note(struct ph_note *note)
{
    struct ph_verify *v = note->v;
    const struct ph_reading *r = note->reading;
    struct ph_dir dir = {.fd = -1, .lock = -1};
    struct ph_buf out = {0};
    struct ph_err ignored;
    const struct head head = {FORM,
                              {note->question[0], note->question[1]},
                              note->begun,
                              {note->oldest[0], note->oldest[1]},
                              (uint64_t)note->cut->n,
                              r->sums_size};
    add_raw(&out, &head, sizeof head);
    add_raw(&out, note->cut->items, (size_t)note->cut->n * sizeof *note->cut->items);
    add_raw(&out, r->sums, r->sums_size);
    uint64_t hash = XXH3_64bits(out.data, out.len);
    add_raw(&out, &hash, sizeof hash);
    if (open_directory(&v->job.spill, v->run.plan->job_name, &dir, true)) {
        ph_file_replace(dir.fd, dir.shown, note->name, out.data, out.len, &ignored);
        ph_dir_close(&dir);
    }
    ph_buf_fini(&out);
}

void ph_note_ended(void *arg, int worker, const struct ph_readout_rel *rel, bool whole)
{
    struct ph_note *note = arg;
    const struct ph_reading *r = note->reading;
    r->ended(r->arg, worker, rel, whole);
    if (!note->of_use || !whole)
        return;
    bool now = PH_FAULT("verify.part");
    if (!now && ph_clock_s() - note->last_s < pace_s)
        return;
    write_note(note);
    note->last_s = ph_clock_s();
    (void)PH_FAULT("verify.part_noted");
}

/* Reading. */

/* A snapshot of the job's may be older than what was seen of the side before. */
static bool is_older(const struct ph_note *note, const struct head *head)
{
    const struct ph_verify *v = note->v;
    return (v->snapshot[0] && v->next[0] < head->oldest[0]) ||
           (v->snapshot[1] && v->next[1] < head->oldest[1]);
}

static bool is_sound(const struct ph_note *note, const char *data, size_t len, struct head *head)
{
    const struct ph_reading *r = note->reading;
    uint64_t hash;
    if (len < sizeof *head + sizeof hash)
        return false;
    memcpy(head, data, sizeof *head);
    memcpy(&hash, data + len - sizeof hash, sizeof hash);
    return head->form == FORM && head->n_chunks <= MOST_CHUNKS && head->n_sums == r->sums_size &&
           len == sizeof *head + head->n_chunks * sizeof *note->cut->items + r->sums_size +
                      sizeof hash &&
           hash == XXH3_64bits(data, len - sizeof hash) && head->question[0] == note->question[0] &&
           head->question[1] == note->question[1] && !is_older(note, head);
}

/* Blocks of a chunk, for the share of the whole that was read. */
static double blocks_of(const struct ph_reading *r, const struct ph_readout_chunk *chunk)
{
    int64_t hi = chunk->hi >= 0 ? chunk->hi : r->rels[chunk->rel].blocks;
    return hi > chunk->lo ? (double)(hi - chunk->lo) : 1;
}

static double share_done(const struct ph_note *note)
{
    double done = 0, all = 0;
    for (int i = 0; i < note->cut->n; i++) {
        double blocks = blocks_of(note->reading, &note->cut->items[i]);
        all += blocks;
        done += note->cut->items[i].done ? blocks : 0;
    }
    return all > 0 ? done / all : 0;
}

static bool take_chunks(const struct head *head, const char *data, struct ph_readout_cut *cut,
                        struct ph_err *err)
{
    size_t size = head->n_chunks * sizeof *cut->items;
    *cut = (struct ph_readout_cut){malloc(size + 1), (int)head->n_chunks};
    if (!cut->items)
        return ph_err_nomem(err);
    memcpy(cut->items, data + sizeof *head, size);
    return true;
}

/* The note is good: the reading goes on with it. */
static void take_note(struct ph_note *note, const char *data, const struct head *head,
                      struct ph_readout_cut *cut)
{
    const struct ph_reading *r = note->reading;
    struct ph_verify_table *result = r->unit->result;
    char when[32];
    struct tm utc;
    time_t begun = (time_t)head->begun;
    memcpy(r->sums, data + sizeof *head + head->n_chunks * sizeof *cut->items, r->sums_size);
    free(note->cut->items);
    *note->cut = *cut;
    *cut = (struct ph_readout_cut){0};
    note->begun = head->begun;
    memcpy(note->oldest, head->oldest, sizeof note->oldest);
    gmtime_r(&begun, &utc);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &utc);
    result->read_before = share_done(note);
    r->unit->read_before =
        ph_arena_printf(note->v->arena,
                        "%.0f %% of it was read by a verify that was stopped, begun at %s UTC, and"
                        " has not changed since",
                        result->read_before * 100, when);
}

/* Whether rows have changed. */

/* No transaction has begun there since. */
static bool is_quiet(const struct ph_note *note, const struct head *head, int side)
{
    const struct ph_verify *v = note->v;
    return !v->snapshot[side] || head->oldest[side] == v->next[side];
}

/* Counts the rows of the chunks that are done. */
static bool count_rows(const struct ph_note *note, const struct head *head,
                       const struct ph_readout_cut *cut, struct ph_census *census,
                       struct ph_err *err)
{
    const struct ph_reading *r = note->reading;
    struct ph_verify *v = note->v;
    struct ph_readout_rel *rels = ph_arena_calloc(v->arena, (size_t)r->n, sizeof *rels);
    struct ph_readout_cut done = {malloc((size_t)cut->n * sizeof *cut->items + 1), cut->n};
    if (!done.items)
        return ph_err_nomem(err);
    for (int i = 0; i < r->n; i++)
        rels[i] = ph_census_rel(v, &r->rels[i], head->oldest[r->rels[i].side], 0);
    for (int i = 0; i < cut->n; i++) {
        done.items[i] = cut->items[i];
        done.items[i].done =
            !cut->items[i].done || is_quiet(note, head, rels[cut->items[i].rel].side);
    }
    bool ok = ph_census_take(v, rels, &done, census, err);
    free(done.items);
    return ok;
}

static bool is_unchanged(const struct ph_note *note, const struct head *head, const char *data,
                         const struct ph_readout_cut *cut, bool *yes, struct ph_err *err)
{
    const struct ph_reading *r = note->reading;
    const void *sums = data + sizeof *head + head->n_chunks * sizeof *cut->items;
    struct ph_census census = {0};
    if (!count_rows(note, head, cut, &census, err))
        return false;
    *yes = true;
    for (int side = 0; side < 2; side++)
        *yes = *yes && (is_quiet(note, head, side) ||
                        (atomic_load(&census.young[side]) == 0 &&
                         atomic_load(&census.rows[side]) == r->count(sums, r->sums_size, side)));
    return true;
}

static bool may_keep(const struct ph_verify *v, const struct ph_reading *r)
{
    return r->unit && v->n_units == 1 && (v->job.spill.state_dir || v->job.spill.state_base);
}

/* Whether notes are made, and of what question. */
static bool ask_question(struct ph_note *note, struct ph_err *err)
{
    struct ph_verify *v = note->v;
    const struct ph_reading *r = note->reading;
    struct ph_buf question = {0};
    bool known = true, ok = true;
    if (!may_keep(v, r))
        return true;
    add_question(v, r, &question);
    for (int side = 0; ok && side < 2; side++)
        if (v->snapshot[side]) {
            uint64_t files;
            ok = ph_census_files(v, r->unit, side, &files, err);
            ph_buf_addf(&question, "%" PRIx64, files);
            known = known && files != 0;
            note->oldest[side] = v->oldest[side];
        }
    XXH128_hash_t hash = XXH3_128bits(question.data, question.len);
    ph_buf_fini(&question);
    note->question[0] = hash.low64;
    note->question[1] = hash.high64;
    note->of_use = ok && known;
    name_of(v, r->unit, stages[r->stage], note->name);
    return ok;
}

bool ph_note_open(struct ph_note *note, struct ph_verify *v, const struct ph_reading *r,
                  struct ph_readout_cut *cut, struct ph_err *err)
{
    struct ph_dir dir = {.fd = -1, .lock = -1};
    struct ph_readout_cut found = {0};
    struct ph_err ignored;
    struct head head;
    char *data = NULL;
    size_t len = 0;
    bool ok = true, good = false;
    *note = (struct ph_note){.v = v, .reading = r, .cut = cut, .begun = (int64_t)time(NULL)};
    note->last_s = ph_clock_s();
    if (!ask_question(note, err))
        return false;
    if (!note->of_use)
        return true;
    if (!open_directory(&v->job.spill, v->run.plan->job_name, &dir, false)) {
        r->unit->stages_read |= 1u << r->stage;
        return true;
    }
    /* what is read again is read again for a reason */
    if (r->unit->stages_read >> r->stage & 1)
        ph_file_remove(dir.fd, dir.shown, note->name, &ignored);
    else if (ph_file_read(dir.fd, dir.shown, note->name, most_size, &data, &len, &ignored) &&
             data && is_sound(note, data, len, &head))
        ok = take_chunks(&head, data, &found, err) &&
             is_unchanged(note, &head, data, &found, &good, err);
    if (ok && good)
        take_note(note, data, &head, &found);
    if (ok)
        r->unit->stages_read |= 1u << r->stage;
    free(found.items);
    free(data);
    ph_dir_close(&dir);
    return ok;
}

void ph_note_forget(const struct ph_verify *v, const struct ph_unit *unit)
{
    struct ph_dir dir = {.fd = -1, .lock = -1};
    struct ph_err ignored;
    char name[64];
    if (!open_directory(&v->job.spill, v->run.plan->job_name, &dir, false))
        return;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        name_of(v, unit, stages[i], name);
        ph_file_remove(dir.fd, dir.shown, name, &ignored);
    }
    close_directory(&v->job.spill, &dir);
}

static bool remove_ours(void *arg, const char *name, uint64_t size, struct ph_err *err)
{
    const struct ph_dir *dir = arg;
    (void)size;
    return strncmp(name, "verify.", 7) != 0 || ph_file_remove(dir->fd, dir->shown, name, err);
}

void ph_verify_clean(const struct ph_spill_opts *opts, const char *job)
{
    struct ph_dir dir = {.fd = -1, .lock = -1};
    struct ph_err ignored;
    if (!open_directory(opts, job, &dir, false))
        return;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        ph_dir_list(&dir, stages[i], remove_ours, &dir, &ignored);
    close_directory(opts, &dir);
}

/* Reading a shard file: the tail first, then frame by frame, each proven before a byte of it goes on. */
#include "archive/shardfile.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "archive/tail.h"
#include "base/fault.h"
#include "io/frame.h"

struct ph_shardin {
    struct ph_infile *in;
    struct ph_arena arena;
    char *dir_shown, *name;
    struct ph_tail tail;
    uint32_t next; /* entry of the next frame */
    bool failed;
    /* the frame in hand */
    bool within;
    struct ph_frame_view view;
    uint64_t raw; /* bytes of it that were lent */
    char block[PH_FRAME_BLOCK];
};

/* Failures of reading have the file's name already. */
static bool refuse(const struct ph_shardin *file, struct ph_err *err)
{
    return ph_err_prefix(err, "%s/%s cannot be used", file->dir_shown, file->name);
}

static bool check_tail(struct ph_shardin *file, const char *data, size_t size, size_t buffer,
                       struct ph_err *err)
{
    if (!ph_tail_parse(&file->tail, &file->arena, data, size, ph_infile_size(file->in), err))
        return refuse(file, err);
    for (uint32_t i = 0; i < file->tail.n_entries; i++)
        if (file->tail.entries[i].stored > buffer) {
            ph_err_set(err, PH_FAILED, "the buffers are smaller than its frames");
            return refuse(file, err);
        }
    return true;
}

static bool read_tail(struct ph_shardin *file, size_t buffer, struct ph_err *err)
{
    uint64_t file_size = ph_infile_size(file->in);
    char footer[PH_TAIL_FOOTER];
    if (file_size < sizeof footer) {
        ph_err_set(err, PH_FAILED, "the file is damaged or was never finished: it is too short");
        return refuse(file, err);
    }
    if (!ph_infile_at(file->in, file_size - sizeof footer, footer, sizeof footer, err))
        return false;
    size_t size;
    if (!ph_tail_size(footer, file_size, &size, err))
        return refuse(file, err);
    char *data = malloc(size);
    if (!data)
        return ph_err_nomem(err);
    bool ok = ph_infile_at(file->in, file_size - size, data, size, err) &&
              check_tail(file, data, size, buffer, err);
    free(data);
    return ok;
}

bool ph_shardin_open(struct ph_shardin **out, struct ph_ring *ring, int dir, const char *dir_shown,
                     const char *name, bool direct, struct ph_err *err)
{
    struct ph_shardin *file = calloc(1, sizeof *file);
    if (!file)
        return ph_err_nomem(err);
    if (!ph_infile_open(&file->in, ring, dir, dir_shown, name, direct, err)) {
        free(file);
        return false;
    }
    file->dir_shown = ph_arena_strdup(&file->arena, dir_shown);
    file->name = ph_arena_strdup(&file->arena, name);
    bool ok = read_tail(file, ph_ring_buffer_size(ring), err);
    if (ok && file->tail.n_entries > 0)
        ok = ph_infile_begin(file->in, 0, file->tail.offset, err);
    if (!ok) {
        ph_shardin_close(file);
        return false;
    }
    *out = file;
    return true;
}

void ph_shardin_close(struct ph_shardin *file)
{
    if (!file)
        return;
    ph_infile_close(file->in);
    ph_arena_fini(&file->arena);
    free(file);
}

const struct ph_receipt *ph_shardin_receipt(const struct ph_shardin *file)
{
    return &file->tail.receipt;
}

const struct ph_sealed *ph_shardin_sealed(const struct ph_shardin *file)
{
    return &file->tail.sealed;
}

/* The file's own failures are named; those of reading have its name already. */
static bool broken(const struct ph_shardin *file, struct ph_err *err)
{
    return ph_err_prefix(err, "%s/%s is damaged", file->dir_shown, file->name);
}

static bool begin_frame(struct ph_shardin *file, struct ph_err *err)
{
    const struct ph_tail_entry *entry = &file->tail.entries[file->next];
    const char *data;
    if (!ph_infile_take(file->in, entry->stored, &data, err))
        return false;
    if (PH_FAULT("archive.frame") || XXH3_64bits(data, entry->stored) != entry->hash) {
        ph_err_set(err, PH_FAILED, "the checksum of a frame is not right");
        return broken(file, err);
    }
    if (!ph_frame_open(&file->view, data, entry->stored, err))
        return broken(file, err);
    file->within = true;
    file->raw = 0;
    return true;
}

/* *len is 0 when the frame in hand is at its end. */
static bool next_block(struct ph_shardin *file, const char **data, size_t *len, struct ph_err *err)
{
    const struct ph_tail_entry *entry = &file->tail.entries[file->next];
    if (!ph_frame_next(&file->view, file->block, data, len, err))
        return broken(file, err);
    file->raw += *len;
    if (*len ? file->raw > entry->raw : file->raw != entry->raw) {
        ph_err_set(err, PH_FAILED, "a frame has not the length that its index gives");
        return broken(file, err);
    }
    if (*len == 0) {
        file->within = false;
        file->next++;
    }
    return true;
}

static bool next(struct ph_shardin *file, const char **data, size_t *len, struct ph_err *err)
{
    *data = "";
    *len = 0;
    while (*len == 0 && (file->within || file->next < file->tail.n_entries)) {
        if (!file->within && !begin_frame(file, err))
            return false;
        if (!next_block(file, data, len, err))
            return false;
    }
    return true;
}

bool ph_shardin_next(struct ph_shardin *file, const char **data, size_t *len, struct ph_err *err)
{
    if (file->failed)
        return ph_err_set(err, PH_FAILED, "reading a shard file that has failed before");
    file->failed = !next(file, data, len, err);
    return !file->failed;
}

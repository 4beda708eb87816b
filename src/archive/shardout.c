/* Writing a shard file: blocks gather to frames in memory, and a frame that is full goes to the file.
 *
 * A block is made of the batch where it lies, straight into the frame; the frame is copied once, into the ring's
 * buffer.
 */
#include "archive/shardfile.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "archive/pays.h"
#include "archive/receipt.h"
#include "archive/tail.h"
#include "base/clock.h"
#include "copy/stream.h"
#include "io/frame.h"

_Static_assert((int)PH_SHARDFILE_FRAME == (int)PH_TAIL_STORED, "the largest frame");

struct ph_shardout {
    struct ph_outfile *out;
    struct ph_ring *ring;
    const struct ph_receipt *receipt;
    enum ph_compress compress;
    struct ph_pays own, *pays;
    struct ph_buf index;
    uint64_t rows, bytes; /* that were put */
    bool failed;
    /* the frame in hand; not begun while blocks is 0 */
    unsigned blocks;
    size_t len;
    uint32_t frame_raw, frame_rows;
    char frame[PH_TAIL_STORED];
};

static bool flush_frame(struct ph_shardout *file, struct ph_err *err)
{
    if (file->blocks == 0)
        return true;
    file->len += ph_frame_end(file->frame + file->len);
    struct ph_tail_entry entry = {.offset = ph_outfile_size(file->out),
                                  .stored = (uint32_t)file->len,
                                  .raw = file->frame_raw,
                                  .rows = file->frame_rows,
                                  .hash = XXH3_64bits(file->frame, file->len)};
    if (!ph_outfile_add(file->out, file->frame, file->len, err))
        return false;
    ph_tail_add(&file->index, &entry);
    file->blocks = 0;
    file->len = 0;
    file->frame_raw = file->frame_rows = 0;
    return true;
}

/* Appends a block to the frame; returns the bytes that its data took. */
static uint32_t make_block(struct ph_shardout *file, const char *data, size_t len, uint32_t rows,
                           bool compress)
{
    if (file->blocks == 0)
        file->len = ph_frame_begin(file->frame);
    size_t n = ph_frame_block(file->frame + file->len, data, len, compress);
    file->len += n;
    file->blocks++;
    file->frame_raw += (uint32_t)len;
    file->frame_rows += rows;
    return (uint32_t)(n - PH_FRAME_BLOCK_EXTRA);
}

/* A full block ends its frame as well. Behind one, lz4 1.9 (the program) asks for four bytes more of each compressed block
 * than there are, and loses them when the next frame begins with them: a wrong hint of its library, which counts
 * the checksum twice. Its own files fail it likewise when they are joined. */
static bool end_block(struct ph_shardout *file, size_t len, struct ph_err *err)
{
    bool full = file->blocks == PH_TAIL_BLOCKS || len == PH_FRAME_BLOCK;
    return !full || flush_frame(file, err);
}

static bool put_block(struct ph_shardout *file, const char *data, size_t len, uint32_t rows,
                      struct ph_err *err)
{
    struct ph_pays_block block = {.tried = ph_pays_ask(file->pays, file->compress),
                                  .raw = (uint32_t)len};
    /* the clock is a system call, so it is asked only by the policy that wants to know */
    bool timed = block.tried && file->compress == PH_COMPRESS_PAYS;
    uint64_t begin = timed ? ph_clock_thread_ns() : 0;
    block.stored = make_block(file, data, len, rows, block.tried);
    block.cpu_ns = timed ? ph_clock_thread_ns() - begin : 0;
    if (!end_block(file, len, err))
        return false;
    block.waited_ns = ph_ring_wait_ns(file->ring);
    ph_pays_note(file->pays, &block);
    return true;
}

/* Header and trailer: small blocks, too small for anything but storing. */
static bool put_mark(struct ph_shardout *file, const char *mark, size_t len, struct ph_err *err)
{
    make_block(file, mark, len, 0, false);
    return end_block(file, len, err);
}

/* A receipt that cannot be written is found before hours of work, not after. */
static bool check_receipt(const struct ph_receipt *receipt, struct ph_err *err)
{
    struct ph_receipt empty = *receipt;
    empty.rows = empty.bytes = empty.hash_lo = empty.hash_hi = 0;
    size_t len;
    char *text = ph_receipt_format(&empty, &len, err);
    free(text);
    return text != NULL;
}

bool ph_shardout_open(struct ph_shardout **out, struct ph_ring *ring,
                      const struct ph_shardout_opts *opts, struct ph_err *err)
{
    if (!check_receipt(opts->receipt, err))
        return ph_err_prefix(err, "writing %s/%s", opts->file.dir_shown, opts->file.name);
    struct ph_shardout *file = calloc(1, sizeof *file);
    if (!file)
        return ph_err_nomem(err);
    file->ring = ring;
    file->receipt = opts->receipt;
    file->compress = opts->compress;
    file->pays = opts->pays ? opts->pays : &file->own;
    ph_pays_begin(file->pays, ph_ring_wait_ns(ring));
    if (!ph_outfile_open(&file->out, ring, &opts->file, err)) {
        free(file);
        return false;
    }
    if (file->receipt->format == PH_BINARY)
        put_mark(file, ph_stream_header, PH_STREAM_HEADER, err);
    *out = file;
    return true;
}

/* Rows of the batch that end within its first `end` bytes, beyond the first `done` rows. */
static uint32_t rows_until(const struct ph_batch *batch, size_t done, size_t end)
{
    if (batch->piece)
        return batch->last_piece && end == batch->len;
    if (end == batch->len)
        return (uint32_t)(batch->rows - done);
    uint32_t n = 0;
    while (done + n < batch->rows && batch->edge[done + n] <= end)
        n++;
    return n;
}

bool ph_shardout_put(struct ph_shardout *file, const struct ph_batch *batch, struct ph_err *err)
{
    if (file->failed)
        return ph_err_set(err, PH_FAILED, "writing a shard file that has failed before");
    size_t done = 0;
    for (size_t at = 0; at < batch->len;) {
        size_t len = batch->len - at < PH_FRAME_BLOCK ? batch->len - at : PH_FRAME_BLOCK;
        uint32_t rows = rows_until(batch, done, at + len);
        if (!put_block(file, batch->data + at, len, rows, err)) {
            file->failed = true;
            return false;
        }
        at += len;
        done += rows;
        file->rows += rows;
    }
    file->bytes += batch->len;
    return true;
}

uint64_t ph_shardout_size(const struct ph_shardout *file)
{
    return ph_outfile_size(file->out) + file->len;
}

static bool finish(struct ph_shardout *file, const struct ph_tally *tally, struct ph_sealed *sealed,
                   struct ph_err *err)
{
    if (file->failed)
        return ph_err_set(err, PH_FAILED, "finishing a shard file that has failed before");
    if (tally->rows != file->rows || tally->bytes != file->bytes || tally->open_row)
        return ph_err_set(err, PH_FAILED, "what was tallied is not what was put into a shard file");
    struct ph_receipt receipt = *file->receipt;
    receipt.rows = tally->rows;
    receipt.bytes = tally->bytes;
    receipt.hash_lo = tally->hash_lo;
    receipt.hash_hi = tally->hash_hi;
    if (receipt.format == PH_BINARY && !put_mark(file, ph_stream_trailer, PH_STREAM_TRAILER, err))
        return false;
    if (!flush_frame(file, err))
        return false;
    struct ph_buf tail = {0};
    bool ok =
        ph_tail_format(&tail, &file->index, &receipt, ph_outfile_size(file->out), sealed, err) &&
        ph_outfile_add(file->out, tail.data, tail.len, err);
    ph_buf_fini(&tail);
    return ok;
}

bool ph_shardout_seal(struct ph_shardout *file, const struct ph_tally *tally,
                      struct ph_sealed *sealed, struct ph_err *err)
{
    bool ok = finish(file, tally, sealed, err);
    if (ok) {
        ok = ph_outfile_seal(file->out, err);
        file->out = NULL; /* freed, whatever came of it */
    }
    ph_shardout_discard(file);
    return ok;
}

void ph_shardout_discard(struct ph_shardout *file)
{
    if (!file)
        return;
    ph_outfile_discard(file->out);
    ph_buf_fini(&file->index);
    free(file);
}

#include "archive/tail.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "archive/receipt.h"
#include "io/frame.h"

static const char magic[8] = {'p', 'g', 'h', 'a', 'u', 'l', 'S', 'F'};

/* Where the fields of the footer are. Magic, version, tail and hash stay there in every version, so that each version
 * can tell a newer file from a damaged one. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_TAIL = 12,    /* bytes of the tail */
    AT_FRAMES = 16,  /* entries in the index */
    AT_RECEIPT = 20, /* bytes of the receipt */
    AT_STREAM = 24,
    AT_ROWS = 32,
    AT_OFFSET =
        40, /* of the tail in the file: a file that lost or won bytes in front of it is found */
    AT_HASH = 48,
};

_Static_assert((int)PH_TAIL_RAW == (int)PH_TAIL_BLOCKS * PH_FRAME_BLOCK, "blocks of a frame");
_Static_assert((int)PH_TAIL_STORED ==
                   PH_FRAME_HEAD + (int)PH_TAIL_BLOCKS * (PH_FRAME_BLOCK + PH_FRAME_BLOCK_EXTRA) +
                       PH_FRAME_END,
               "a frame whose blocks are all stored");
_Static_assert((int)AT_HASH + (int)PH_SHARDFILE_HASH == (int)PH_TAIL_FOOTER, "the hash is last");

static void write32(char *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void write64(char *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t read32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t read64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* In the form that xxh128sum shows. */
static void hash_of(const char *data, size_t len, unsigned char out[static PH_SHARDFILE_HASH])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, len));
    memcpy(out, canonical.digest, PH_SHARDFILE_HASH);
}

void ph_tail_add(struct ph_buf *index, const struct ph_tail_entry *entry)
{
    char bytes[PH_TAIL_ENTRY];
    write64(bytes, entry->offset);
    write32(bytes + 8, entry->stored);
    write32(bytes + 12, entry->raw);
    write32(bytes + 16, entry->rows);
    write64(bytes + 20, entry->hash);
    ph_buf_addn(index, bytes, sizeof bytes);
}

static struct ph_tail_entry entry_at(const char *bytes)
{
    return (struct ph_tail_entry){.offset = read64(bytes),
                                  .stored = read32(bytes + 8),
                                  .raw = read32(bytes + 12),
                                  .rows = read32(bytes + 16),
                                  .hash = read64(bytes + 20)};
}

static void add_footer(struct ph_buf *out, size_t begin, uint32_t size, uint32_t frames,
                       uint32_t receipt_len, const struct ph_receipt *receipt, uint64_t offset)
{
    char footer[PH_TAIL_FOOTER] = {0};
    memcpy(footer + AT_MAGIC, magic, sizeof magic);
    write32(footer + AT_VERSION, PH_ARCHIVE_VERSION);
    write32(footer + AT_TAIL, size);
    write32(footer + AT_FRAMES, frames);
    write32(footer + AT_RECEIPT, receipt_len);
    write64(footer + AT_STREAM, ph_receipt_stream(receipt));
    write64(footer + AT_ROWS, receipt->rows);
    write64(footer + AT_OFFSET, offset);
    ph_buf_addn(out, footer, AT_HASH);
    unsigned char hash[PH_SHARDFILE_HASH];
    hash_of(out->data + begin, out->len - begin, hash);
    ph_buf_addn(out, (char *)hash, sizeof hash);
}

bool ph_tail_format(struct ph_buf *out, const struct ph_buf *index,
                    const struct ph_receipt *receipt, uint64_t offset, struct ph_sealed *sealed,
                    struct ph_err *err)
{
    size_t receipt_len;
    char *text = ph_receipt_format(receipt, &receipt_len, err);
    if (!text)
        return ph_err_prefix(err, "writing a shard's receipt");
    size_t size = PH_FRAME_SKIP_HEAD + index->len + receipt_len + PH_TAIL_FOOTER;
    if (size > UINT32_MAX) {
        free(text);
        return ph_err_set(err, PH_FAILED, "the index of a shard file would be larger than 4 GiB");
    }
    size_t begin = out->len;
    char head[PH_FRAME_SKIP_HEAD];
    ph_buf_addn(out, head, ph_frame_skip(head, (uint32_t)(size - PH_FRAME_SKIP_HEAD)));
    ph_buf_addn(out, ph_buf_text(index), index->len);
    ph_buf_addn(out, text, receipt_len);
    free(text);
    add_footer(out, begin, (uint32_t)size, (uint32_t)(index->len / PH_TAIL_ENTRY),
               (uint32_t)receipt_len, receipt, offset);

    /* what is written can be read */
    struct ph_arena arena = {0};
    struct ph_tail again;
    bool ok = ph_tail_parse(&again, &arena, out->data + begin, size, offset + size, err);
    if (ok)
        *sealed = again.sealed;
    ph_arena_fini(&arena);
    return ok;
}

static bool damaged(struct ph_err *err, const char *what)
{
    return ph_err_set(err, PH_FAILED, "the file is damaged or was never finished: %s", what);
}

bool ph_tail_size(const char *footer, uint64_t file_size, size_t *size, struct ph_err *err)
{
    *size = read32(footer + AT_TAIL);
    if (memcmp(footer + AT_MAGIC, magic, sizeof magic) != 0)
        return damaged(err, "it does not end as a shard file does");
    if (*size < PH_FRAME_SKIP_HEAD + PH_TAIL_FOOTER || *size > file_size)
        return damaged(err, "its footer gives an impossible length");
    return true;
}

/* What holds in every version: the frame around the tail, its hash, its version. */
static bool check_envelope(const char *data, size_t len, uint64_t file_size, struct ph_err *err)
{
    if (len < PH_FRAME_SKIP_HEAD + PH_TAIL_FOOTER || len > file_size)
        return damaged(err, "it is too short");
    const char *footer = data + len - PH_TAIL_FOOTER;
    size_t size;
    if (!ph_tail_size(footer, file_size, &size, err))
        return false;
    unsigned char hash[PH_SHARDFILE_HASH];
    hash_of(data, len - PH_SHARDFILE_HASH, hash);
    if (size != len || memcmp(hash, footer + AT_HASH, PH_SHARDFILE_HASH) != 0)
        return damaged(err, "the checksum of its tail is not right");
    uint32_t version = read32(footer + AT_VERSION), content;
    if (version > PH_ARCHIVE_VERSION) {
        ph_err_set(err, PH_OTHER_JOB,
                   "the file is of version %u of the format, this pghaul knows version %d", version,
                   PH_ARCHIVE_VERSION);
        return ph_err_hint(err, "use a newer pghaul");
    }
    if (version != PH_ARCHIVE_VERSION)
        return damaged(err, "its version is none");
    if (!ph_frame_is_skip(data, &content) || content != len - PH_FRAME_SKIP_HEAD)
        return damaged(err, "its tail is not where it should be");
    return true;
}

/* The frames follow each other from the file's first byte to the tail, and add up. */
static bool check_entries(const struct ph_tail *tail, uint64_t rows, struct ph_err *err)
{
    uint64_t at = 0, raw_sum = 0, row_sum = 0;
    for (uint32_t i = 0; i < tail->n_entries; i++) {
        const struct ph_tail_entry *e = &tail->entries[i];
        if (e->offset != at || e->stored < PH_FRAME_SMALLEST || e->stored > PH_TAIL_STORED)
            return damaged(err, "its frames do not follow each other");
        if (e->raw < 1 || e->raw > PH_TAIL_RAW || e->rows > e->raw)
            return damaged(err, "a frame of an impossible size");
        at += e->stored;
        raw_sum += e->raw;
        row_sum += e->rows;
    }
    const struct ph_receipt *receipt = &tail->receipt;
    if (at != tail->offset)
        return damaged(err, "its frames do not reach to its tail");
    if (raw_sum != tail->stream || raw_sum != ph_receipt_stream(receipt))
        return damaged(err, "index, footer and receipt are not of one size");
    if (row_sum != rows || row_sum != receipt->rows)
        return damaged(err, "index, footer and receipt have not the same number of rows");
    return true;
}

bool ph_tail_parse(struct ph_tail *tail, struct ph_arena *arena, const char *data, size_t len,
                   uint64_t file_size, struct ph_err *err)
{
    if (!check_envelope(data, len, file_size, err))
        return false;
    const char *footer = data + len - PH_TAIL_FOOTER;
    *tail = (struct ph_tail){.n_entries = read32(footer + AT_FRAMES),
                             .offset = read64(footer + AT_OFFSET),
                             .stream = read64(footer + AT_STREAM),
                             .sealed.size = file_size};
    memcpy(tail->sealed.hash, footer + AT_HASH, PH_SHARDFILE_HASH);
    uint64_t index_len = (uint64_t)tail->n_entries * PH_TAIL_ENTRY;
    uint64_t receipt_len = read32(footer + AT_RECEIPT);
    if (index_len + receipt_len != len - PH_FRAME_SKIP_HEAD - PH_TAIL_FOOTER ||
        tail->offset != file_size - len)
        return damaged(err, "its footer gives impossible lengths");
    const char *index = data + PH_FRAME_SKIP_HEAD;
    struct ph_tail_entry *entries =
        ph_arena_calloc(arena, tail->n_entries, sizeof(struct ph_tail_entry));
    for (uint32_t i = 0; i < tail->n_entries; i++)
        entries[i] = entry_at(index + (size_t)i * PH_TAIL_ENTRY);
    tail->entries = entries;
    return ph_receipt_parse(&tail->receipt, arena, index + index_len, (size_t)receipt_len, err) &&
           check_entries(tail, read64(footer + AT_ROWS), err);
}

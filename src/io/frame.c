#include "io/frame.h"

#include <endian.h>
#include <lz4.h>
#include <string.h>
#include <xxhash.h>

enum {
    MAGIC = 0x184D2204,
    SKIP_MAGIC = 0x184D2A57, /* any of ..50 to ..5F may be skipped; 5E is what seekable zstd uses */
    VERSION_01 = 0x40,
    INDEPENDENT = 0x20,
    BLOCK_CHECKSUM = 0x10,
    BLOCK_64K = 4 << 4,
    /* lz4's acceleration. In blocks of 64 KiB of COPY rows, 4 compared with 1 takes 0.75 of the time for mixed columns, and as
     * long for narrow ones; what becomes of them is 0.98 and 1.02 of the size. */
    ACCELERATION = 4,
    SHRINKS_BY = 32, /* a block that does not lose this fraction of itself is not worth decoding */
};

#define STORED 0x80000000u

/* FLG and BD. */
static const unsigned char descriptor[] = {VERSION_01 | INDEPENDENT | BLOCK_CHECKSUM, BLOCK_64K};

static void write32(char *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t read32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

size_t ph_frame_begin(char *out)
{
    write32(out, MAGIC);
    memcpy(out + 4, descriptor, sizeof descriptor);
    out[6] = (char)((XXH32(descriptor, sizeof descriptor, 0) >> 8) & 0xff);
    return PH_FRAME_HEAD;
}

size_t ph_frame_block(char *out, const char *data, size_t len, bool compress)
{
    char *to = out + 4;
    int most = (int)(len - len / SHRINKS_BY - 1), size = 0;
    if (compress && most > 0)
        size = LZ4_compress_fast(data, to, (int)len, most, ACCELERATION);
    bool stored = size <= 0;
    if (stored) {
        size = (int)len;
        memcpy(to, data, len);
    }
    write32(out, (uint32_t)size | (stored ? STORED : 0));
    write32(to + size, XXH32(to, (size_t)size, 0));
    return (size_t)size + PH_FRAME_BLOCK_EXTRA;
}

size_t ph_frame_end(char *out)
{
    write32(out, 0);
    return PH_FRAME_END;
}

size_t ph_frame_skip(char *out, uint32_t len)
{
    write32(out, SKIP_MAGIC);
    write32(out + 4, len);
    return PH_FRAME_SKIP_HEAD;
}

bool ph_frame_is_skip(const char *data, uint32_t *len)
{
    *len = read32(data + 4);
    return read32(data) == SKIP_MAGIC;
}

static bool broken(struct ph_err *err, const char *what)
{
    return ph_err_set(err, PH_FAILED, "an LZ4 frame is malformed: %s", what);
}

bool ph_frame_open(struct ph_frame_view *view, const char *data, size_t len, struct ph_err *err)
{
    char head[PH_FRAME_HEAD];
    ph_frame_begin(head);
    if (len < PH_FRAME_HEAD || memcmp(data, head, PH_FRAME_HEAD) != 0)
        return broken(err, "its head is not of the kind that pghaul writes");
    *view = (struct ph_frame_view){.at = data + PH_FRAME_HEAD, .end = data + len};
    return true;
}

bool ph_frame_next(struct ph_frame_view *view, char *out, const char **data, size_t *len,
                   struct ph_err *err)
{
    size_t left = (size_t)(view->end - view->at);
    if (left < 4)
        return broken(err, "it has no end mark");
    uint32_t word = read32(view->at), size = word & ~STORED;
    if (word == 0) {
        *data = view->at;
        *len = 0;
        return left == PH_FRAME_END || broken(err, "there are bytes behind its end mark");
    }
    if (size == 0 || size > PH_FRAME_BLOCK)
        return broken(err, "a block of an impossible size");
    if (left - 4 < (size_t)size + 4)
        return broken(err, "a block that is not all there");
    const char *block = view->at + 4;
    if (XXH32(block, size, 0) != read32(block + size))
        return broken(err, "a block whose checksum is not that of its bytes");
    view->at = block + size + 4;
    if (word & STORED) {
        *data = block;
        *len = size;
        return true;
    }
    int n = LZ4_decompress_safe(block, out, (int)size, PH_FRAME_BLOCK);
    if (n <= 0)
        return broken(err, "a block that does not decompress");
    *data = out;
    *len = (size_t)n;
    return true;
}

/* Fuzzes the frame decoder: the bytes as they are, then with every block's checksum put right, and the bytes as content. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void need(bool holds)
{
    if (!holds)
        abort();
}

/* Reads every byte, in code that the sanitizers see. */
static void touch(const char *data, size_t n)
{
    static volatile char sink;
    char sum = 0;
    for (size_t i = 0; i < n; i++)
        sum ^= data[i];
    sink = sum;
}

/* Decodes all; the number of bytes, SIZE_MAX when it is refused. Sanitizers see a step beyond either buffer. */
static size_t decode(const char *frame, size_t len, const char *expected)
{
    struct ph_frame_view view;
    struct ph_err err;
    if (!ph_frame_open(&view, frame, len, &err))
        return SIZE_MAX;
    char *out = malloc(PH_FRAME_BLOCK);
    size_t total = 0, n = 1;
    while (n > 0) {
        const char *data;
        if (!ph_frame_next(&view, out, &data, &n, &err)) {
            need(err.code == PH_FAILED);
            total = SIZE_MAX;
            break;
        }
        need(n <= PH_FRAME_BLOCK);
        if (expected)
            need(memcmp(data, expected + total, n) == 0);
        total += n;
        touch(data, n);
    }
    free(out);
    return total;
}

/* Puts the head and the checksums right, so that what is behind them is reached. */
static void mend(char *frame, size_t len)
{
    if (len < PH_FRAME_HEAD)
        return;
    ph_frame_begin(frame);
    for (size_t at = PH_FRAME_HEAD; len - at >= 8;) {
        uint32_t size;
        memcpy(&size, frame + at, 4);
        size = le32toh(size) & 0x7fffffff;
        if (size > len - at - 8)
            return;
        uint32_t sum = htole32(XXH32(frame + at + 4, size, 0));
        memcpy(frame + at + 4 + size, &sum, 4);
        at += size + 8;
    }
}

static void round_trip(const char *data, size_t len, bool compress)
{
    if (len < 1 || len > PH_FRAME_BLOCK)
        return;
    char *frame = malloc(PH_FRAME_HEAD + len + PH_FRAME_BLOCK_EXTRA + PH_FRAME_END);
    size_t n = ph_frame_begin(frame);
    n += ph_frame_block(frame + n, data, len, compress);
    n += ph_frame_end(frame + n);
    need(decode(frame, n, data) == len);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *frame = malloc(len ? len : 1);
    if (len)
        memcpy(frame, bytes, len);
    round_trip(frame, len, true);
    round_trip(frame, len, false);
    decode(frame, len, NULL);
    mend(frame, len);
    decode(frame, len, NULL);
    free(frame);
    return 0;
}

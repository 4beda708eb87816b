/* Fuzzes the tail of a shard file, index and receipt in it: the bytes as they are, then with lengths and hash put right. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "archive/receipt.h"
#include "archive/tail.h"
#include "io/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { AT_TAIL = 12, AT_FRAMES = 16, AT_RECEIPT = 20, AT_OFFSET = 40, AT_HASH = 48 };

static void need(bool holds)
{
    if (!holds)
        abort();
}

/* What was accepted is sound, and can be written again. */
static void check(const struct ph_tail *tail)
{
    uint64_t at = 0, raw = 0, rows = 0;
    for (uint32_t i = 0; i < tail->n_entries; i++) {
        need(tail->entries[i].offset == at);
        at += tail->entries[i].stored;
        raw += tail->entries[i].raw;
        rows += tail->entries[i].rows;
    }
    need(at == tail->offset && raw == tail->stream && rows == tail->receipt.rows);
    need(raw == ph_receipt_stream(&tail->receipt));
    struct ph_err err;
    size_t len;
    char *text = ph_receipt_format(&tail->receipt, &len, &err);
    need(text != NULL);
    free(text);
}

static void parse(const char *data, size_t len, uint64_t file_size)
{
    struct ph_arena arena = {0};
    struct ph_tail tail;
    struct ph_err err = {0};
    if (ph_tail_parse(&tail, &arena, data, len, file_size, &err))
        check(&tail);
    else
        need(err.code == PH_FAILED || err.code == PH_OTHER_JOB);
    ph_arena_fini(&arena);
}

static void put32(char *at, size_t v)
{
    uint32_t number = htole32((uint32_t)v);
    memcpy(at, &number, sizeof number);
}

/* Returns the size of a file that would end with this tail. */
static uint64_t mend(char *data, size_t len)
{
    char *footer = data + len - PH_TAIL_FOOTER;
    ph_frame_skip(data, (uint32_t)(len - PH_FRAME_SKIP_HEAD));
    uint32_t frames;
    memcpy(&frames, footer + AT_FRAMES, sizeof frames);
    size_t room = len - PH_FRAME_SKIP_HEAD - PH_TAIL_FOOTER,
           index = (size_t)le32toh(frames) * PH_TAIL_ENTRY;
    memcpy(footer, "pghaulSF", 8);
    put32(footer + AT_TAIL, len);
    if (index <= room)
        put32(footer + AT_RECEIPT, room - index);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(data, len - PH_SHARDFILE_HASH));
    memcpy(footer + AT_HASH, hash.digest, sizeof hash.digest);
    uint64_t offset;
    memcpy(&offset, footer + AT_OFFSET, sizeof offset);
    return le64toh(offset) + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *data = malloc(len ? len : 1);
    if (len)
        memcpy(data, bytes, len);
    parse(data, len, len);
    if (len >= PH_FRAME_SKIP_HEAD + PH_TAIL_FOOTER)
        parse(data, len, mend(data, len));
    struct ph_arena arena = {0};
    struct ph_receipt receipt;
    struct ph_err err;
    ph_receipt_parse(&receipt, &arena, (const char *)bytes, len, &err);
    ph_arena_fini(&arena);
    free(data);
    return 0;
}

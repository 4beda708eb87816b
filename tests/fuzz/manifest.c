/* Fuzzes job.json and manifest.json: the bytes as they are, then with the right last line under them. */
#include <stdlib.h>
#include <string.h>

#include "archive/manifest.h"
#include "archive/manifest_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void need(bool holds)
{
    if (!holds)
        abort();
}

/* What was accepted can be written again, and is the same text the second time. */
static void check(const struct ph_archive *archive)
{
    struct ph_arena arena = {0};
    struct ph_archive *again;
    struct ph_err err;
    bool sealed = archive->sealed_at != NULL;
    size_t len, len_again;
    char *text = ph_manifest_format(archive, sealed, &len);
    need(text && ph_manifest_parse(&again, &arena, text, len, &err));
    char *text_again = ph_manifest_format(again, sealed, &len_again);
    need(text_again && len == len_again && memcmp(text, text_again, len) == 0);
    free(text);
    free(text_again);
    ph_arena_fini(&arena);
}

static void parse(const char *data, size_t len)
{
    struct ph_arena arena = {0};
    struct ph_archive *archive;
    struct ph_err err = {0};
    if (ph_manifest_parse(&archive, &arena, data, len, &err))
        check(archive);
    else
        need(err.code == PH_FAILED || err.code == PH_OTHER_JOB);
    ph_arena_fini(&arena);
}

/* Without the last line, if it looks like one, and the newline before where there is none. */
static size_t body(const char *data, size_t len)
{
    bool line = len > PH_MANIFEST_LINE && !memcmp(data + len - PH_MANIFEST_LINE, "xxh3-128:", 9);
    return line ? len - PH_MANIFEST_LINE : len;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *data = malloc(len + 2 + PH_MANIFEST_LINE);
    if (len)
        memcpy(data, bytes, len);
    parse(data, len);
    size_t n = body(data, len);
    data[n++] = '\n';
    ph_manifest_line(data + n, data, n);
    /* in memory of exactly its size */
    n += PH_MANIFEST_LINE;
    char *exact = malloc(n);
    memcpy(exact, data, n);
    parse(exact, n);
    free(exact);
    free(data);
    return 0;
}

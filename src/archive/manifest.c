#include "archive/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(bool sealed)
{
    return sealed ? "manifest.json" : "job.json";
}

bool ph_manifest_read(struct ph_archive **archive, struct ph_arena *arena, int dir,
                      const char *dir_shown, bool sealed, struct ph_err *err)
{
    enum { LARGEST = 1 << 30 };
    const char *name = name_of(sealed);
    char *data;
    size_t len;
    *archive = NULL;
    if (!ph_file_read(dir, dir_shown, name, LARGEST, &data, &len, err))
        return false;
    if (!data)
        return true;
    bool ok = ph_manifest_parse(archive, arena, data, len, err);
    free(data);
    /* one under the other's name passes every other check */
    if (ok && sealed != ((*archive)->sealed_at != NULL)) {
        *archive = NULL;
        ok = ph_err_set(err, PH_FAILED,
                        sealed ? "it is of an archive that is not finished"
                               : "it is that of a finished archive");
    }
    return ok || ph_err_prefix(err, "%s/%s cannot be used", dir_shown, name);
}

/* The same job, to the last field: as text, each has one form. */
static bool same_job(const struct ph_archive *a, const struct ph_archive *b)
{
    size_t a_len = 0, b_len = 0;
    char *a_text = ph_manifest_format(a, false, &a_len);
    char *b_text = ph_manifest_format(b, false, &b_len);
    bool same = a_text && b_text && a_len == b_len && memcmp(a_text, b_text, a_len) == 0;
    free(a_text);
    free(b_text);
    return same;
}

bool ph_manifest_confirm(const struct ph_archive *archive, int dir, const char *dir_shown,
                         bool *there, struct ph_err *err)
{
    struct ph_arena arena = {0};
    struct ph_archive *job = NULL;
    bool ok = ph_manifest_read(&job, &arena, dir, dir_shown, false, err);
    *there = !ok || job;
    if (job && !same_job(job, archive))
        ok = ph_err_set(err, PH_FAILED, "%s/%s is not the one that the manifest repeats", dir_shown,
                        name_of(false));
    ph_arena_fini(&arena);
    return ok;
}

bool ph_manifest_write(const struct ph_archive *archive, int dir, const char *dir_shown,
                       bool sealed, struct ph_err *err)
{
    const char *name = name_of(sealed);
    if (sealed && !archive->sealed_at)
        return ph_err_set(err, PH_FAILED, "%s/%s cannot be written: it has no time of sealing",
                          dir_shown, name);
    size_t len = 0;
    char *data = ph_manifest_format(archive, sealed, &len);
    if (!data)
        return ph_err_nomem(err);
    /* what is written can be read */
    struct ph_arena arena = {0};
    struct ph_archive *again;
    bool ok = ph_manifest_parse(&again, &arena, data, len, err);
    ph_arena_fini(&arena);
    ok = ok ? ph_file_replace(dir, dir_shown, name, data, len, err)
            : ph_err_prefix(err, "%s/%s cannot be written", dir_shown, name);
    free(data);
    return ok;
}

/* At most `most` bytes of the text, with every byte that a shell or a file system might mind replaced. */
static const char *plain(struct ph_arena *arena, const char *text, size_t most)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strnlen(text, most);
    char *out = ph_arena_alloc(arena, n + 2);
    for (size_t i = 0; i < n; i++)
        out[i] = strchr(good, text[i]) ? text[i] : '_';
    if (out[0] == '.' || out[0] == '-' || out[0] == '\0')
        out[0] = '_'; /* neither hidden nor an option */
    return out;
}

const char *ph_archive_file_name(struct ph_arena *arena, const char *schema, const char *table,
                                 int64_t shard, const char *token)
{
    /* 255 bytes are what file systems take; ".part" comes on top while the file is written */
    enum { NAME = 63, TOKEN = 64 };
    return ph_arena_printf(arena, "%s.%s.s%06" PRId64 "%s%s.lz4", plain(arena, schema, NAME),
                           plain(arena, table, NAME), shard, token ? "." : "",
                           token ? plain(arena, token, TOKEN) : "");
}

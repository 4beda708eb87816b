#include "archive/schema.h"

#include <stdlib.h>
#include <xxhash.h>

const char *const ph_schema_files[PH_SCHEMA_FILES] = {"job-schema.dump", "job-schema.json"};

static struct ph_archive_file describe(const char *data, size_t len)
{
    XXH128_hash_t hash = XXH3_128bits(data, len);
    return (struct ph_archive_file){.size = len, .hash_hi = hash.high64, .hash_lo = hash.low64};
}

bool ph_schema_write(struct ph_archive_schema *schema, enum ph_schema_file which, int dir,
                     const char *dir_shown, const struct ph_buf *content, struct ph_err *err)
{
    const char *data = ph_buf_text(content);
    schema->file[which] = describe(data, content->len);
    return ph_file_replace(dir, dir_shown, ph_schema_files[which], data, content->len, err);
}

bool ph_schema_read(const struct ph_archive_schema *schema, enum ph_schema_file which, int dir,
                    const char *dir_shown, struct ph_buf *content, struct ph_err *err)
{
    enum { LARGEST = 1 << 30 };
    const char *name = ph_schema_files[which];
    const struct ph_archive_file *wanted = &schema->file[which];
    char *data = NULL;
    size_t len = 0;
    if (!ph_file_read(dir, dir_shown, name, LARGEST, &data, &len, err)) {
        err->code = PH_DAMAGED;
        return false;
    }
    if (!data)
        return ph_err_set(err, PH_DAMAGED, "%s/%s is missing", dir_shown, name);
    struct ph_archive_file found = describe(data, len);
    bool ok = found.size == wanted->size && found.hash_hi == wanted->hash_hi &&
              found.hash_lo == wanted->hash_lo;
    if (ok)
        ph_buf_addn(content, data, len);
    free(data);
    return ok || ph_err_set(err, PH_DAMAGED, "%s/%s is not what was written: it is damaged",
                            dir_shown, name);
}

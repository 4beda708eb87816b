/* job.json or manifest.json as a struct ph_archive: nothing is believed that was not checked.
 *
 * A large archive has a hundred thousand shards; as one tree of JSON they would need a quarter of a gigabyte. Each stands on a
 * line of its own, which the format promises, and is read alone. A raw newline cannot be within a text of JSON, so a
 * line that looks like the one that opens the list is that one, or the rest is no JSON.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "archive/fields.h"
#include "archive/manifest.h"
#include "archive/manifest_line.h"
#include "archive/receipt.h"
#include "base/buf.h"

const char *const ph_archive_splits[PH_ARCHIVE_SPLITS] = {"none", "block", "key", "hash"};

static bool check_line(const char *data, size_t len, struct ph_err *err)
{
    char line[PH_MANIFEST_LINE + 1];
    if (len > PH_MANIFEST_LINE && data[len - PH_MANIFEST_LINE - 1] == '\n') {
        ph_manifest_line(line, data, len - PH_MANIFEST_LINE);
        if (!memcmp(data + len - PH_MANIFEST_LINE, line, PH_MANIFEST_LINE))
            return true;
    }
    return ph_err_set(err, PH_FAILED,
                      "it is damaged or was never finished: its last line is not its checksum");
}

/* Before anything else: what a newer version means by its fields nobody knows. */
static bool check_version(struct ph_fields *f, struct ph_err *err)
{
    static const char *const kind[] = {"pghaul archive"};
    ph_fields_word(f, "format", kind, 1);
    int64_t version = ph_fields_int(f, "version", 1, INT64_MAX);
    if (f->failed || version <= PH_ARCHIVE_VERSION)
        return !f->failed;
    ph_err_set(err, PH_OTHER_JOB,
               "the archive is of version %" PRId64 " of the format, this pghaul knows version %d",
               version, PH_ARCHIVE_VERSION);
    return ph_err_hint(err, "use a newer pghaul");
}

static const json_t *list_of(struct ph_fields *f, const char *name, int *n)
{
    const json_t *list = ph_fields_get(f, name);
    if (list && !json_is_array(list))
        ph_fields_complain(f, name, "is no list");
    *n = f->failed ? 0 : (int)json_array_size(list);
    return list;
}

static bool read_snapshots(struct ph_fields *outer, struct ph_archive *a)
{
    const json_t *list = list_of(outer, "snapshots", &a->n_snapshots);
    a->snapshots = ph_arena_calloc(outer->arena, (size_t)a->n_snapshots, sizeof *a->snapshots);
    int last = 0;
    for (int i = 0; i < a->n_snapshots; i++) {
        struct ph_fields f;
        ph_fields_begin_nth(&f, outer, json_array_get(list, (size_t)i), "snapshot", i + 1);
        struct ph_archive_snapshot *s = &a->snapshots[i];
        *s = (struct ph_archive_snapshot){
            .no = (int)ph_fields_int(&f, "no", last < INT_MAX ? last + 1 : last, INT_MAX),
            .id = ph_fields_name(&f, "id"),
            .pg_snapshot = ph_fields_text_or_null(&f, "pg_snapshot"),
            .lsn = ph_fields_lsn(&f, "lsn"),
            .taken_at = ph_fields_time(&f, "taken_at"),
            .oldest = (uint64_t)ph_fields_int(&f, "oldest", 0, INT64_MAX),
        };
        if (s->no <= last)
            ph_fields_complain(&f, "no", "does not grow");
        last = s->no;
        if (!ph_fields_end(&f))
            return false;
    }
    return !outer->failed;
}

static bool read_tables(struct ph_fields *outer, struct ph_archive *a)
{
    const json_t *list = list_of(outer, "tables", &a->n_tables);
    a->tables = ph_arena_calloc(outer->arena, (size_t)a->n_tables, sizeof *a->tables);
    for (int i = 0; i < a->n_tables; i++) {
        struct ph_fields f;
        ph_fields_begin_nth(&f, outer, json_array_get(list, (size_t)i), "table", i + 1);
        struct ph_archive_table *t = &a->tables[i];
        *t = (struct ph_archive_table){
            .id = (int)ph_fields_int(&f, "id", i + 1, i + 1),
            .schema = ph_fields_name(&f, "schema"),
            .name = ph_fields_name(&f, "name"),
            .format =
                ph_fields_word(&f, "format", ph_format_names, 2) == PH_TEXT ? PH_TEXT : PH_BINARY,
            .split = ph_archive_splits[ph_fields_word(&f, "split", ph_archive_splits,
                                                      PH_ARCHIVE_SPLITS)],
            .filter = ph_fields_text_or_null(&f, "filter"),
            .bytes = ph_fields_int(&f, "bytes", 0, INT64_MAX),
        };
        int n_types;
        t->columns = ph_fields_names(&f, "columns", &t->n_columns);
        t->types = ph_fields_names(&f, "types", &n_types);
        if (n_types != t->n_columns)
            ph_fields_complain(&f, "types", "has not one for each column");
        if (!ph_fields_end(&f))
            return false;
    }
    return !outer->failed;
}

/* Only what ph_archive_file_name makes: no path, nothing hidden, none of the archive's other files. */
static const char *read_file_name(struct ph_fields *f)
{
    enum { LONGEST = 255 };
    static const char ending[] = ".lz4",
                      plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *name = ph_fields_text(f, "file");
    size_t n = strlen(name), end = sizeof ending - 1;
    if (n <= end || n > LONGEST || name[0] == '.' || name[0] == '-' || strspn(name, plain) != n ||
        strcmp(name + n - end, ending) != 0)
        ph_fields_complain(f, "file", "is not the name of a shard file");
    return name;
}

static bool has_snapshot(const struct ph_archive *a, int no)
{
    for (int i = 0; i < a->n_snapshots; i++)
        if (a->snapshots[i].no == no)
            return true;
    return false;
}

static void read_sealed(struct ph_fields *f, const struct ph_archive *a, struct ph_archive_shard *s)
{
    s->file = read_file_name(f);
    s->sealed.size = (uint64_t)ph_fields_int(f, "size", 1, INT64_MAX);
    uint64_t half[2];
    ph_fields_u128(f, "hash", &half[0], &half[1]);
    for (int i = 0; i < PH_SHARDFILE_HASH; i++)
        s->sealed.hash[i] = (unsigned char)(half[i / 8] >> (56 - 8 * (i % 8)));
    s->tally.rows = (uint64_t)ph_fields_int(f, "rows", 0, INT64_MAX);
    s->tally.bytes = (uint64_t)ph_fields_int(f, "bytes", 0, INT64_MAX);
    ph_fields_u128(f, "tally", &s->tally.hash_hi, &s->tally.hash_lo);
    s->snapshot = (int)ph_fields_int(f, "snapshot", 1, INT_MAX);
    if (!has_snapshot(a, s->snapshot))
        ph_fields_complain(f, "snapshot", "is of no snapshot of the archive");
}

/* The lines of the shards. */
struct lines {
    const char *at, *end;
};

/* Takes the head of the document, without its shards, into *head; PH_FAILED when the layout is another. */
static bool split(const char *data, size_t len, struct ph_buf *head, struct lines *lines,
                  struct ph_err *err)
{
    static const char opens[] = ",\n \"shards\": [\n", closes[] = " ]\n}\n";
    const size_t n_opens = sizeof opens - 1, n_closes = sizeof closes - 1;
    const char *open = memmem(data, len, opens, n_opens);
    const char *end = open ? data + len - n_closes : NULL;
    if (!open || end < open + n_opens || memcmp(end, closes, n_closes) != 0)
        return ph_err_set(err, PH_FAILED, "its shards do not stand on a line each");
    *lines = (struct lines){.at = open + n_opens, .end = end};
    ph_buf_addn(head, data, (size_t)(open - data));
    ph_buf_add(head, "\n}\n");
    return true;
}

static int count(const struct lines *lines)
{
    int n = 0;
    for (const char *p = lines->at; p < lines->end; n++) {
        const char *newline = memchr(p, '\n', (size_t)(lines->end - p));
        p = newline ? newline + 1 : lines->end;
    }
    return n;
}

/* The object on the next line, which a comma ends unless it is the last one. */
static json_t *take(struct lines *lines, struct ph_err *err)
{
    const char *begin = lines->at, *end = memchr(begin, '\n', (size_t)(lines->end - begin));
    lines->at = end ? end + 1 : lines->end;
    bool last = lines->at == lines->end;
    if (!end || (!last && *--end != ',')) {
        ph_err_set(err, PH_FAILED, "its shards do not stand on a line each");
        return NULL;
    }
    return ph_fields_load(begin, (size_t)(end - begin), err);
}

static void read_shard(struct ph_fields *f, const struct ph_archive *a, struct ph_archive_shard *s,
                       int64_t id)
{
    *s = (struct ph_archive_shard){
        .id = ph_fields_int(f, "id", id, id),
        .tab = (int)ph_fields_int(f, "tab", 1, a->n_tables),
        .where = ph_fields_text(f, "where"),
        .lo = ph_fields_text_or_null(f, "lo"),
        .hi = ph_fields_text_or_null(f, "hi"),
        .weight = ph_fields_int(f, "weight", 0, INT64_MAX),
    };
    if (a->sealed_at)
        read_sealed(f, a, s);
}

static bool read_shards(struct ph_fields *outer, struct ph_archive *a, struct lines *lines)
{
    a->n_shards = count(lines);
    a->shards = ph_arena_calloc(outer->arena, (size_t)a->n_shards, sizeof *a->shards);
    for (int i = 0; i < a->n_shards; i++) {
        json_t *json = take(lines, outer->err);
        if (!json)
            return ph_err_prefix(outer->err, "shard %d", i + 1);
        struct ph_fields f;
        ph_fields_begin_nth(&f, outer, json, "shard", i + 1);
        read_shard(&f, a, &a->shards[i], i + 1);
        bool ok = ph_fields_end(&f);
        json_decref(json);
        if (!ok)
            return false;
    }
    return true;
}

static int order_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file stands for one shard. */
static bool check_files(const struct ph_archive *a, struct ph_arena *arena, struct ph_err *err)
{
    if (!a->sealed_at || a->n_shards == 0)
        return true;
    size_t n = (size_t)a->n_shards;
    const char **names = ph_arena_calloc(arena, n, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = a->shards[i].file;
    qsort(names, n, sizeof *names, order_names);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(names[i - 1], names[i]))
            return ph_err_set(err, PH_FAILED, "two shards are said to be in the file %s", names[i]);
    return true;
}

static struct ph_archive_file read_file(struct ph_fields *outer, const char *name)
{
    struct ph_fields f;
    struct ph_archive_file file = {0};
    const json_t *json = ph_fields_get(outer, name);
    if (outer->failed)
        return file;
    ph_fields_begin(&f, json, outer->arena, outer->err, name);
    if (!f.failed) {
        file.size = (uint64_t)ph_fields_int(&f, "size", 1, INT64_MAX);
        ph_fields_u128(&f, "hash", &file.hash_hi, &file.hash_lo);
    }
    outer->failed = f.failed || !ph_fields_end(&f);
    return file;
}

/* An archive may have none, and then does not speak of it. */
static bool read_schema(struct ph_fields *outer, struct ph_archive *a)
{
    struct ph_fields f;
    if (outer->failed || !ph_fields_has(outer, "schema"))
        return !outer->failed;
    ph_fields_begin(&f, ph_fields_get(outer, "schema"), outer->arena, outer->err, "schema");
    if (f.failed)
        return false;
    f.bytes = outer->bytes;
    a->schema = ph_arena_alloc(outer->arena, sizeof *a->schema);
    *a->schema = (struct ph_archive_schema){
        .major = (int)ph_fields_int(&f, "pg_dump", 1, INT_MAX),
        .counts = ph_fields_text(&f, "counts"),
        .file = {read_file(&f, "dump"), read_file(&f, "facts")},
    };
    return ph_fields_end(&f);
}

static void read_head(struct ph_fields *f, struct ph_archive *a)
{
    ph_fields_texts(f);
    *a = (struct ph_archive){
        .set = ph_fields_hex(f, "set", 32),
        .name = ph_fields_name(f, "name"),
        .fingerprint = ph_fields_hex(f, "fingerprint", 32),
        .definition = ph_fields_text(f, "definition"),
        .source = ph_fields_text(f, "source"),
        .source_system = ph_fields_text(f, "source_system"),
        .source_database = ph_fields_name(f, "source_database"),
        .source_database_oid = (uint32_t)ph_fields_int(f, "source_database_oid", 0, UINT32_MAX),
        .source_version = (int)ph_fields_int(f, "source_version", 1, INT_MAX),
        .encoding = ph_fields_name(f, "encoding"),
        .created_at = ph_fields_time(f, "created_at"),
        .catalog = ph_fields_text_or_null(f, "catalog"),
    };
    if (json_is_null(json_object_get(f->object, "sealed_at")))
        f->seen++;
    else
        a->sealed_at = ph_fields_time(f, "sealed_at");
}

static bool read_all(struct ph_archive *a, struct ph_arena *arena, const json_t *head,
                     struct lines *lines, struct ph_err *err)
{
    struct ph_fields f;
    ph_fields_begin(&f, head, arena, err, "archive");
    if (!check_version(&f, err))
        return false;
    read_head(&f, a);
    return read_schema(&f, a) && read_snapshots(&f, a) && read_tables(&f, a) && ph_fields_end(&f) &&
           read_shards(&f, a, lines) && check_files(a, arena, err);
}

bool ph_manifest_parse(struct ph_archive **archive, struct ph_arena *arena, const char *data,
                       size_t len, struct ph_err *err)
{
    struct ph_buf head = {0};
    struct lines lines = {0};
    json_t *json = NULL;
    if (check_line(data, len, err) && split(data, len - PH_MANIFEST_LINE, &head, &lines, err))
        json = ph_fields_load(head.data, head.len, err);
    ph_buf_fini(&head);
    if (!json)
        return false;
    struct ph_archive *a = ph_arena_alloc(arena, sizeof *a);
    bool ok = read_all(a, arena, json, &lines, err);
    json_decref(json);
    if (ok)
        *archive = a;
    return ok;
}

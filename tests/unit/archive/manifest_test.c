/* job.json and manifest.json: what comes back, and what is refused. */
#include "archive/shard_maker.h"

#include <inttypes.h>
#include <xxhash.h>

#include "archive/manifest.h"

static const char *const columns[] = {"id", "payload"};
static const char *const types[] = {"bigint", "text"};

static struct ph_archive_snapshot snapshots[] = {
    {.no = 1,
     .id = "00000003-0000001B-1",
     .pg_snapshot = "100:105:101",
     .lsn = "0/1",
     .taken_at = "2026-11-25T11:00:00Z",
     .oldest = 100},
    {.no = 3, .id = "00000003-0000001B-2", .taken_at = "2026-11-25T12:00:00.25Z", .oldest = 200}};

static struct ph_archive_table tables[] = {{.id = 1,
                                            .schema = "public",
                                            .name = "orders",
                                            .format = PH_BINARY,
                                            .split = "block",
                                            .columns = columns,
                                            .types = types,
                                            .n_columns = 2,
                                            .bytes = 123456},
                                           {.id = 2,
                                            .schema = "Grüße",
                                            .name = "say \"hi\"",
                                            .format = PH_TEXT,
                                            .split = "none",
                                            .filter = "id > 5",
                                            .columns = columns,
                                            .types = types,
                                            .n_columns = 1}};

static struct ph_archive_shard shards[] = {
    {.id = 1,
     .tab = 1,
     .where = "ctid < '(10,0)'",
     .hi = "(10,0)",
     .weight = 100,
     .file = "public.orders.s000001.lz4",
     .sealed = {.size = 5000, .hash = {1, 2, 3, 0xff, 0x80}},
     .tally = {.rows = 10, .bytes = 200, .hash_hi = 0xfedcba9876543210, .hash_lo = 7},
     .snapshot = 1},
    {.id = 2,
     .tab = 2,
     .where = "",
     .file = "Gr____e.say__hi_.s000002.lz4",
     .sealed = {.size = 700, .hash = {9}},
     .snapshot = 3}};

static struct ph_archive_schema schema = {
    .major = 15,
    .counts = "{\"tables\": 2}",
    .file = {{.size = 4711, .hash_hi = 0xfedcba9876543210, .hash_lo = 1},
             {.size = 1, .hash_hi = 0, .hash_lo = UINT64_MAX}}};

static struct ph_archive an_archive(void)
{
    return (struct ph_archive){.set = "00112233445566778899aabbccddeeff",
                               .name = "orders-1",
                               .fingerprint = "ffeeddccbbaa99887766554433221100",
                               .definition = "{\"format\":1}",
                               .source = "host=old dbname=shop",
                               .source_system = "7212345678901234567",
                               .source_database = "shop",
                               .source_database_oid = UINT32_MAX,
                               .source_version = 150018,
                               .encoding = "UTF8",
                               .created_at = "2026-11-25T11:00:00Z",
                               .sealed_at = "2026-11-25T13:00:00Z",
                               .catalog = "{ \"verbatim\":  [1] }",
                               .snapshots = snapshots,
                               .n_snapshots = 2,
                               .tables = tables,
                               .n_tables = 2,
                               .shards = shards,
                               .n_shards = 2};
}

static bool with_schema;

static char *text_of(bool sealed, size_t *len)
{
    struct ph_archive archive = an_archive();
    archive.schema = with_schema ? &schema : NULL;
    char *text = ph_manifest_format(&archive, sealed, len);
    assert_non_null(text);
    return text;
}

static bool parses(const char *data, size_t len, struct ph_err *err)
{
    struct ph_arena arena = {0};
    struct ph_archive *archive = NULL;
    bool ok = ph_manifest_parse(&archive, &arena, data, len, err);
    ph_arena_fini(&arena);
    return ok;
}

static void same_text(const char *a, const char *b)
{
    if (!a || !b)
        assert_ptr_equal(a, b);
    else
        assert_string_equal(a, b);
}

static void same_head(const struct ph_archive *a, const struct ph_archive *b)
{
    same_text(a->set, b->set);
    same_text(a->name, b->name);
    same_text(a->fingerprint, b->fingerprint);
    same_text(a->definition, b->definition);
    same_text(a->source, b->source);
    same_text(a->source_system, b->source_system);
    same_text(a->source_database, b->source_database);
    assert_int_equal(a->source_database_oid, b->source_database_oid);
    assert_int_equal(a->source_version, b->source_version);
    same_text(a->encoding, b->encoding);
    same_text(a->created_at, b->created_at);
    same_text(a->catalog, b->catalog);
    assert_true(!a->schema == !b->schema);
    if (!a->schema)
        return;
    assert_int_equal(a->schema->major, b->schema->major);
    same_text(a->schema->counts, b->schema->counts);
    assert_memory_equal(a->schema->file, b->schema->file, sizeof a->schema->file);
}

static void same_tables(const struct ph_archive *a, const struct ph_archive *b)
{
    assert_int_equal(a->n_tables, b->n_tables);
    for (int i = 0; i < a->n_tables; i++) {
        const struct ph_archive_table *x = &a->tables[i], *y = &b->tables[i];
        assert_int_equal(x->id, y->id);
        same_text(x->schema, y->schema);
        same_text(x->name, y->name);
        assert_int_equal(x->format, y->format);
        same_text(x->split, y->split);
        same_text(x->filter, y->filter);
        assert_int_equal(x->n_columns, y->n_columns);
        for (int c = 0; c < x->n_columns; c++) {
            same_text(x->columns[c], y->columns[c]);
            same_text(x->types[c], y->types[c]);
        }
        assert_int_equal(x->bytes, y->bytes);
    }
}

static void same_shards(const struct ph_archive *a, const struct ph_archive *b, bool sealed)
{
    assert_int_equal(a->n_shards, b->n_shards);
    for (int i = 0; i < a->n_shards; i++) {
        const struct ph_archive_shard *x = &a->shards[i], *y = &b->shards[i];
        assert_int_equal(x->id, y->id);
        assert_int_equal(x->tab, y->tab);
        same_text(x->where, y->where);
        same_text(x->lo, y->lo);
        same_text(x->hi, y->hi);
        assert_int_equal(x->weight, y->weight);
        if (!sealed) {
            assert_null(y->file);
            continue;
        }
        same_text(x->file, y->file);
        assert_int_equal(x->sealed.size, y->sealed.size);
        assert_memory_equal(x->sealed.hash, y->sealed.hash, PH_SHARDFILE_HASH);
        assert_int_equal(x->tally.rows, y->tally.rows);
        assert_int_equal(x->tally.bytes, y->tally.bytes);
        assert_int_equal(x->tally.hash_lo, y->tally.hash_lo);
        assert_int_equal(x->tally.hash_hi, y->tally.hash_hi);
        assert_int_equal(x->snapshot, y->snapshot);
    }
}

static void same_snapshots(const struct ph_archive *a, const struct ph_archive *b)
{
    assert_int_equal(a->n_snapshots, b->n_snapshots);
    for (int i = 0; i < a->n_snapshots; i++) {
        const struct ph_archive_snapshot *x = &a->snapshots[i], *y = &b->snapshots[i];
        assert_int_equal(x->no, y->no);
        same_text(x->id, y->id);
        same_text(x->pg_snapshot, y->pg_snapshot);
        same_text(x->lsn, y->lsn);
        same_text(x->taken_at, y->taken_at);
        assert_int_equal(x->oldest, y->oldest);
    }
}

static void comes_back(const struct ph_archive *archive, bool sealed)
{
    struct ph_err err;
    struct ph_arena arena = {0};
    struct ph_archive *again;
    size_t len;
    char *text = ph_manifest_format(archive, sealed, &len);
    if (!ph_manifest_parse(&again, &arena, text, len, &err))
        fail_msg("%s", err.text);
    same_head(archive, again);
    same_text(sealed ? archive->sealed_at : NULL, again->sealed_at);
    same_snapshots(archive, again);
    same_tables(archive, again);
    same_shards(archive, again, sealed);
    free(text);
    ph_arena_fini(&arena);
}

TEST(both_come_back_to_the_last_field)
{
    struct ph_archive archive = an_archive();
    comes_back(&archive, true);
    comes_back(&archive, false);
}

TEST(an_archive_of_nothing_comes_back)
{
    struct ph_archive archive = an_archive();
    archive.catalog = NULL;
    archive.n_shards = archive.n_tables = archive.n_snapshots = 0;
    comes_back(&archive, true);
    comes_back(&archive, false);
}

TEST(names_that_are_no_utf_8_come_back_byte_by_byte)
{
    struct ph_archive archive = an_archive();
    struct ph_archive_table table = tables[0];
    table.name = "Gr\xfc\xdf\x65";
    archive.encoding = "LATIN1";
    archive.tables = &table;
    archive.n_tables = 1;
    archive.n_shards = 1;
    archive.source_database = "Grüße";
    comes_back(&archive, true);
    /* found only with the last shard */
    struct ph_archive_shard last = shards[0];
    last.where = "name = '\xfc'";
    archive = an_archive();
    archive.shards = &last;
    archive.n_shards = 1;
    comes_back(&archive, false);
}

TEST(every_flipped_bit_is_found)
{
    struct ph_err err;
    for (int sealed = 0; sealed < 2; sealed++) {
        size_t len;
        with_schema = sealed;
        char *text = text_of(sealed, &len);
        for (size_t at = 0; at < len; at++)
            for (int flip = 0; flip < 9; flip++) {
                char before = text[at];
                text[at] = (char)(flip < 8 ? before ^ (1 << flip) : ~before);
                if (parses(text, len, &err))
                    fail_msg("byte %zu of %zu, flip %d", at, len, flip);
                text[at] = before;
            }
        assert_true(parses(text, len, &err));
        free(text);
    }
    with_schema = false;
}

TEST(a_text_of_any_other_length_is_refused)
{
    struct ph_err err;
    for (int sealed = 0; sealed < 2; sealed++) {
        size_t len;
        char *text = text_of(sealed, &len);
        for (size_t n = 0; n < len; n++) {
            char *copy = malloc(n ? n : 1);
            memcpy(copy, text, n);
            assert_false(parses(copy, n, &err));
            assert_int_equal(err.code, PH_FAILED);
            free(copy);
        }
        char *more = malloc(2 * len);
        memcpy(more, text, len);
        memcpy(more + len, text, len);
        for (size_t n = len + 1; n <= 2 * len; n++)
            assert_false(parses(more, n, &err));
        more[len] = '\n';
        assert_false(parses(more, len + 1, &err));
        assert_false(parses(text + 1, len - 1, &err));
        free(more);
        free(text);
    }
}

/* The text with `old` replaced by `new`, and the right hash under it, parsed. */
static struct ph_err said_of(bool sealed, const char *old, const char *new)
{
    size_t len;
    char *text = text_of(sealed, &len), *at = strstr(text, old), *changed;
    if (!at)
        fail_msg("%s is not in %s", old, text);
    *strstr(text, "xxh3-128:") = '\0';
    int n = asprintf(&changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    assert_true(n > 0);
    XXH128_hash_t hash = XXH3_128bits(changed, (size_t)n);
    char *hashed;
    n = asprintf(&hashed, "%sxxh3-128:%016" PRIx64 "%016" PRIx64 "\n", changed,
                 (uint64_t)hash.high64, (uint64_t)hash.low64);
    struct ph_err err = {0};
    if (parses(hashed, (size_t)n, &err))
        fail_msg("%s instead of %s passed", new, old);
    free(hashed);
    free(changed);
    free(text);
    return err;
}

static void refused(const char *old, const char *new, const char *why)
{
    struct ph_err err = said_of(true, old, new);
    assert_int_equal(err.code, PH_FAILED);
    assert_contains(err.text, why);
}

TEST(a_schema_comes_back_and_what_is_wrong_with_it_is_said)
{
    struct ph_archive archive = an_archive();
    archive.schema = &schema;
    comes_back(&archive, true);
    comes_back(&archive, false);
    with_schema = true;
    refused("\"pg_dump\": 15", "\"pg_dump\": 0", "\"pg_dump\" of the schema is out of range");
    refused("\"size\": 4711", "\"size\": 0", "\"size\" of the dump is out of range");
    refused("\"size\": 4711", "\"size\": 4711, \"file\": 1", "the dump has fields");
    refused("\"pg_dump\": 15,", "\"pg_dump\": 15, \"facts2\": 1,", "the schema has fields");
    refused("fedcba9876543210000", "fedcba987654321000", "\"hash\" of the dump");
    refused("\"facts\"", "\"fact\"", "\"facts\" of the schema is missing");
    refused("\"schema\": {", "\"schema\": 5, \"schemas\": {", "schema is no object");
    with_schema = false;
}

TEST(a_newer_version_is_named_before_anything_else_is_looked_at)
{
    struct ph_err err = said_of(true, "\"version\": 1", "\"version\": 2, \"set\": 5, \"new\": []");
    /* but a doubled key is no JSON of anybody's */
    assert_int_equal(err.code, PH_FAILED);
    err = said_of(true, "\"version\": 1", "\"version\": 2, \"new\": []");
    assert_int_equal(err.code, PH_OTHER_JOB);
    assert_contains(err.text, "version 2");
    assert_contains(err.hint, "newer");
    refused("\"version\": 1", "\"version\": 0", "out of range");
    refused("pghaul archive", "another archive", "\"format\"");
}

TEST(ids_that_are_not_in_order_are_refused)
{
    refused("\"id\": 2,\n   \"schema\"", "\"id\": 1,\n   \"schema\"", "table 2");
    refused("{\"id\":2,", "{\"id\":3,", "\"id\" of the shard 2 is out of range");
    refused("\"no\": 3", "\"no\": 1", "snapshot 2");
    refused("\"no\": 1", "\"no\": 0", "snapshot 1");
}

TEST(references_to_nothing_are_refused)
{
    refused("\"tab\":2", "\"tab\":3", "\"tab\" of the shard 2 is out of range");
    refused("\"tab\":2", "\"tab\":0", "out of range");
    refused("\"snapshot\":3", "\"snapshot\":2", "no snapshot of the archive");
    refused("\"snapshot\":3", "\"snapshot\":0", "out of range");
}

TEST(file_names_that_lead_elsewhere_are_refused)
{
    static const char *const bad[] = {
        "../x.lz4",   "/x.lz4",  ".x.lz4",  ".lz4", "a/b.lz4",  "x",         "manifest.json",
        "x.lz4.part", "-rf.lz4", "a b.lz4", "",     "x\\n.lz4", "x.lz4\\\\", "Gr\xc3\xbc.lz4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused("public.orders.s000001.lz4", bad[i], "not the name of a shard file");
    char longest[300];
    memset(longest, 'x', sizeof longest);
    snprintf(longest + 252, 48, ".lz4");
    refused("public.orders.s000001.lz4", longest, "not the name of a shard file");
    refused("public.orders.s000001.lz4", "Gr____e.say__hi_.s000002.lz4", "two shards");
}

TEST(fields_of_the_wrong_type_or_range_are_refused)
{
    refused("\"size\":5000", "\"size\":0", "out of range");
    refused("\"size\":5000", "\"size\":\"5000\"", "no whole number");
    refused("\"size\":5000", "\"size\":5e3", "no whole number");
    refused("\"hash\":\"010203", "\"hash\":\"01020", "hexadecimal");
    refused("\"hash\":\"010203", "\"hash\":\"01020G", "hexadecimal");
    refused("\"tally\":\"fedcba", "\"tally\":\"FEDCBA", "hexadecimal");
    refused("\"rows\":10", "\"rows\":-1", "out of range");
    refused("\"weight\":100", "\"weight\":-1", "out of range");
    refused("\"where\":\"\"", "\"where\":null", "no text");
    refused("\"split\": \"block\"", "\"split\": \"blocks\"", "known words");
    refused("\"format\": \"binary\"", "\"format\": \"csv\"", "known words");
    refused("\"filter\": null", "\"filter\": false", "no text");
    refused("\"bytes\": 123456", "\"bytes\": -1", "out of range");
    refused("4294967295", "4294967296", "out of range");
    refused("\"source_version\": 150018", "\"source_version\": 0", "out of range");
    refused("\"name\": \"orders\"", "\"name\": \"\"", "empty");
    refused("\"created_at\": \"2026-11-25T11:00:00Z\"", "\"created_at\": \"yesterday\"", "UTC");
    refused("\"created_at\": \"2026-11-25T11:00:00Z\"",
            "\"created_at\": \"2026-11-25T11:00:00+01\"", "UTC");
    refused("\"sealed_at\": \"2026-11-25T13:00:00Z\"", "\"sealed_at\": \"2026-11-25 13:00:00Z\"",
            "UTC");
    refused("\"lsn\": \"0/1\"", "\"lsn\": \"01\"", "no LSN");
    refused("\"shards\": [\n", "\"shards\": [\n  7,\n", "shard 1");
    refused("\"set\": \"00", "\"set\": \"", "hexadecimal");
}

TEST(missing_doubled_and_unknown_fields_are_refused)
{
    refused("\"encoding\": \"UTF8\",", "", "\"encoding\" of the archive is missing");
    refused("\"sealed_at\": \"2026-11-25T13:00:00Z\",", "", "\"sealed_at\"");
    refused("\"encoding\": \"UTF8\"", "\"encoding\": \"UTF8\", \"encoding\": \"UTF8\"", "JSON");
    refused("\"weight\":100", "\"weight\":100,\"colour\":\"red\"", "shard 1 has fields");
    refused("\"oldest\": 100", "\"oldest\": 100, \"x\": 1", "snapshot 1 has fields");
    refused("\"encoding\"", "\"x\": 1, \"encoding\"", "archive has fields");
    refused("\"tables\": [", "\"tables\": {}, \"tebles\": [",
            "\"tables\" of the archive is no list");
    refused("]\n}\n", "]\n}\n{}\n", "a line each");
}

TEST(shards_that_are_laid_out_otherwise_are_refused)
{
    refused("\"shards\": [\n", "\"shards\": [ \n", "a line each");
    refused("\"shards\": [\n", "\"shards\": [", "a line each");
    refused("\n ]\n}\n", "]\n}\n", "a line each");
    refused("\n ]\n}\n", ",\n ]\n}\n", "shard 2");
    refused("},\n  {\"id\":2", "}\n  {\"id\":2", "shard 1");
    refused("},\n  {\"id\":2", "},{\"id\":2", "shard 1");
    refused("},\n  {\"id\":2", "},\n\n  {\"id\":2", "shard 2");
    refused("\"where\":\"\"", "\"where\":\n\"\"", "shard 2");
    refused("\"shards\": [\n", "\"shards\": [\n ],\n \"shards\": [\n", "shard 1");
    refused("\"encoding\"", "\"shards\": [], \"encoding\"", "fields that this version has not");
}

TEST(a_job_has_no_files_and_a_manifest_has)
{
    struct ph_err err =
        said_of(false, "\"sealed_at\": null", "\"sealed_at\": \"2026-11-25T13:00:00Z\"");
    assert_contains(err.text, "\"file\" of the shard 1 is missing");
    refused("\"sealed_at\": \"2026-11-25T13:00:00Z\"", "\"sealed_at\": null", "has fields");
}

TEST(they_are_written_to_a_directory_and_read_from_it)
{
    struct ph_err err;
    struct place place;
    struct ph_arena arena = {0};
    struct ph_archive archive = an_archive(), *again = &archive;
    place_init(&place);
    assert_true(ph_manifest_read(&again, &arena, place.dir, place.path, true, &err));
    assert_null(again);
    assert_true(ph_manifest_write(&archive, place.dir, place.path, false, &err));
    assert_true(ph_manifest_read(&again, &arena, place.dir, place.path, true, &err));
    assert_null(again);
    assert_true(ph_manifest_read(&again, &arena, place.dir, place.path, false, &err));
    same_head(&archive, again);
    assert_true(ph_manifest_write(&archive, place.dir, place.path, true, &err));
    assert_true(ph_manifest_read(&again, &arena, place.dir, place.path, true, &err));
    same_shards(&archive, again, true);
    /* the one under the other's name */
    assert_int_equal(renameat(place.dir, "job.json", place.dir, "manifest.json"), 0);
    assert_false(ph_manifest_read(&again, &arena, place.dir, "/backup", true, &err));
    assert_null(again);
    assert_contains(err.text, "/backup/manifest.json cannot be used");
    assert_contains(err.text, "not finished");
    place_remove(&place, "manifest.json");
    place_fini(&place);
    ph_arena_fini(&arena);
}

TEST(what_could_not_be_read_is_not_written)
{
    struct ph_err err;
    struct place place;
    struct ph_archive archive = an_archive();
    struct ph_archive_shard wrong = shards[0];
    place_init(&place);
    wrong.file = "../elsewhere.lz4";
    archive.shards = &wrong;
    archive.n_shards = 1;
    assert_false(ph_manifest_write(&archive, place.dir, place.path, true, &err));
    assert_contains(err.text, "manifest.json cannot be written");
    archive = an_archive();
    archive.sealed_at = NULL;
    assert_false(ph_manifest_write(&archive, place.dir, place.path, true, &err));
    assert_int_equal(faccessat(place.dir, "manifest.json", F_OK, 0), -1);
    place_fini(&place);
}

TEST(file_names_are_plain_whatever_the_table_is_called)
{
    struct ph_arena a = {0};
    assert_string_equal(ph_archive_file_name(&a, "public", "orders", 12, NULL),
                        "public.orders.s000012.lz4");
    assert_string_equal(ph_archive_file_name(&a, "public", "orders", 1234567, "k3-f_9"),
                        "public.orders.s1234567.k3-f_9.lz4");
    assert_string_equal(ph_archive_file_name(&a, "../..", "a/b c\n", 1, "../x"),
                        "_._...a_b_c_.s000001._._x.lz4");
    assert_string_equal(ph_archive_file_name(&a, "-rf", "Gr\xfc\xc3\xbc", 1, NULL),
                        "_rf.Gr___.s000001.lz4");
    assert_string_equal(ph_archive_file_name(&a, "", "t", 1, NULL), "_.t.s000001.lz4");
    char wide[600];
    memset(wide, 'w', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    assert_true(strlen(ph_archive_file_name(&a, wide, wide, INT64_MAX, wide)) <= 250);
    ph_arena_fini(&a);
}

int main(void)
{
    return RUN(cmocka_unit_test(both_come_back_to_the_last_field),
               cmocka_unit_test(an_archive_of_nothing_comes_back),
               cmocka_unit_test(names_that_are_no_utf_8_come_back_byte_by_byte),
               cmocka_unit_test(a_schema_comes_back_and_what_is_wrong_with_it_is_said),
               cmocka_unit_test(every_flipped_bit_is_found),
               cmocka_unit_test(a_text_of_any_other_length_is_refused),
               cmocka_unit_test(a_newer_version_is_named_before_anything_else_is_looked_at),
               cmocka_unit_test(ids_that_are_not_in_order_are_refused),
               cmocka_unit_test(references_to_nothing_are_refused),
               cmocka_unit_test(file_names_that_lead_elsewhere_are_refused),
               cmocka_unit_test(fields_of_the_wrong_type_or_range_are_refused),
               cmocka_unit_test(missing_doubled_and_unknown_fields_are_refused),
               cmocka_unit_test(shards_that_are_laid_out_otherwise_are_refused),
               cmocka_unit_test(a_job_has_no_files_and_a_manifest_has),
               cmocka_unit_test(they_are_written_to_a_directory_and_read_from_it),
               cmocka_unit_test(what_could_not_be_read_is_not_written),
               cmocka_unit_test(file_names_are_plain_whatever_the_table_is_called));
}

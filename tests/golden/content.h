/* What the golden archives hold: make.c writes it, tests/unit/archive/golden_test.c expects it, for ever.
 *
 * Never change what is here for a version that was released: make another set for the next version.
 */
#ifndef GOLDEN_CONTENT_H
#define GOLDEN_CONTENT_H

#include <stdbool.h>
#include <string.h>

#include "archive/manifest.h"
#include "base/buf.h"

enum { GOLDEN_TABLES = 2, GOLDEN_SHARDS = 5, GOLDEN_VARIANTS = 2, GOLDEN_WIDE_ROW = 130 };

/* One archive a variant: of a database in UTF-8, and of one in LATIN1, whose names are no UTF-8. */
static const char *const golden_folders[GOLDEN_VARIANTS] = {"utf8", "latin1"};

static const char *const golden_columns[GOLDEN_VARIANTS][3] = {{"id", "größe", "note"},
                                                               {"id", "gr\xf6\xdf\x65", "note"}};
static const char *const golden_types[3] = {"bigint", "text", "character varying(20)"};

struct golden_shard {
    int tab, first, last; /* its rows */
    enum ph_compress compress;
    const char *where, *lo, *hi;
};

static const struct golden_shard golden_shards[GOLDEN_SHARDS] = {
    {1, 1, 100, PH_COMPRESS_ALWAYS, "id < 101", NULL, "101"},
    {1, 101, 150, PH_COMPRESS_ALWAYS, "id >= 101 AND id < 151", "101",
     "151"},                                                    /* a wide row in it */
    {1, 151, 150, PH_COMPRESS_NEVER, "id >= 151", "151", NULL}, /* empty */
    {2, 1, 80, PH_COMPRESS_ALWAYS, "(id % 2) = 0", NULL, NULL},
    {2, 81, 120, PH_COMPRESS_NEVER, "(id % 2) = 1", NULL, NULL},
};

static inline void golden_table(struct ph_archive_table *table, int variant, int id)
{
    *table = (struct ph_archive_table){.id = id,
                                       .schema = "public",
                                       .name = id == 1   ? "orders"
                                               : variant ? "gr\xfc\xdf\x65"
                                                         : "grüße",
                                       .format = id == 1 ? PH_BINARY : PH_TEXT,
                                       .split = id == 1 ? "key" : "hash",
                                       .filter = id == 1 ? NULL : "id > 0",
                                       .columns = golden_columns[variant],
                                       .types = golden_types,
                                       .n_columns = 3,
                                       .bytes = 81920 * id};
}

static inline void golden_receipt(struct ph_receipt *receipt, const struct ph_archive_table *table,
                                  int variant, int shard)
{
    const struct golden_shard *s = &golden_shards[shard];
    *receipt = (struct ph_receipt){.set = variant ? "1234567890abcdef1234567890abcdef"
                                                  : "0123456789abcdef0123456789abcdef",
                                   .shard = shard + 1,
                                   .tab = s->tab,
                                   .attempt = shard % 2 + 1,
                                   .schema = table->schema,
                                   .table = table->name,
                                   .format = table->format,
                                   .encoding = variant ? "LATIN1" : "UTF8",
                                   .columns = table->columns,
                                   .types = table->types,
                                   .n_columns = table->n_columns,
                                   .where = s->where,
                                   .lo = s->lo,
                                   .hi = s->hi,
                                   .snapshot = shard < 3 ? 1 : 2,
                                   .pg_snapshot = shard < 3 ? "1000:1005:1001" : "2000:2000:",
                                   .lsn = shard < 3 ? "0/1A2B3C4D" : NULL};
}

static inline void golden_int(struct ph_buf *buf, uint64_t v, int bytes)
{
    while (bytes-- > 0)
        ph_buf_addc(buf, (char)(v >> (8 * bytes)));
}

static inline void golden_field(struct ph_buf *buf, const char *bytes, size_t n)
{
    golden_int(buf, n, 4);
    ph_buf_addn(buf, bytes, n);
}

/* Appends row i as it stands in the stream. */
static inline void golden_row(struct ph_buf *buf, enum ph_format format, int i)
{
    struct ph_buf text = {0};
    ph_buf_addf(&text, "row %d of the golden archive, ", i);
    size_t n = i == GOLDEN_WIDE_ROW ? 70000 : (size_t)(20 + i * 7 % 50);
    for (unsigned k = 0; text.len < n; k++)
        ph_buf_addc(&text, (char)('a' + (k * k + (unsigned)i) % 26));
    if (format == PH_TEXT) {
        ph_buf_addf(buf, "%d\t%s\t%s\n", i, text.data, i % 3 ? "short" : "\\N");
    } else {
        golden_int(buf, 3, 2);
        golden_int(buf, 8, 4);
        golden_int(buf, (uint64_t)i, 8);
        golden_field(buf, text.data, text.len);
        if (i % 3)
            golden_field(buf, "short", 5);
        else
            golden_int(buf, UINT32_MAX, 4);
    }
    ph_buf_fini(&text);
}

/* The archive without files and tallies; tables, snapshots and shards have room for theirs. */
static inline void golden_archive(struct ph_archive *a, int variant,
                                  struct ph_archive_table *tables,
                                  struct ph_archive_snapshot *snapshots,
                                  struct ph_archive_shard *shards)
{
    *a = (struct ph_archive){.set = variant ? "1234567890abcdef1234567890abcdef"
                                            : "0123456789abcdef0123456789abcdef",
                             .name = "golden-1",
                             .fingerprint = "00112233445566778899aabbccddeeff",
                             .definition = "{\"format\":1,\"mode\":\"append\"}",
                             .source = "host=old dbname=golden",
                             .source_system = "7212345678901234567",
                             .source_database = "golden",
                             .source_database_oid = 16384,
                             .source_version = 150018,
                             .encoding = variant ? "LATIN1" : "UTF8",
                             .created_at = "2026-11-25T10:00:00Z",
                             .sealed_at = "2026-11-25T11:30:00.5Z",
                             .catalog = "{\"types\": [ ]}",
                             .snapshots = snapshots,
                             .n_snapshots = 2,
                             .tables = tables,
                             .n_tables = GOLDEN_TABLES,
                             .shards = shards,
                             .n_shards = GOLDEN_SHARDS};
    snapshots[0] = (struct ph_archive_snapshot){.no = 1,
                                                .id = "00000003-0000001B-1",
                                                .pg_snapshot = "1000:1005:1001",
                                                .lsn = "0/1A2B3C4D",
                                                .taken_at = "2026-11-25T10:00:01Z",
                                                .oldest = 1000};
    snapshots[1] = (struct ph_archive_snapshot){.no = 2,
                                                .id = "00000004-0000002C-1",
                                                .pg_snapshot = "2000:2000:",
                                                .taken_at = "2026-11-25T11:00:01Z",
                                                .oldest = 2000};
    for (int i = 0; i < GOLDEN_TABLES; i++)
        golden_table(&tables[i], variant, i + 1);
    for (int i = 0; i < GOLDEN_SHARDS; i++)
        shards[i] = (struct ph_archive_shard){.id = i + 1,
                                              .tab = golden_shards[i].tab,
                                              .where = golden_shards[i].where,
                                              .lo = golden_shards[i].lo,
                                              .hi = golden_shards[i].hi,
                                              .weight = 1000 * (i + 1),
                                              .snapshot = i < 3 ? 1 : 2};
}

#endif

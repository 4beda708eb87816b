/* Writes the golden archives:  golden-make DIR
 *
 * They are made once for each version of the format, by the pghaul that introduces it, and then kept; see README.md beside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "content.h"

static struct ph_err err;

static void check(bool ok)
{
    if (ok)
        return;
    fprintf(stderr, "golden-make: %s\n", err.text);
    exit(1);
}

static void put(struct ph_shardout *out, struct ph_tally *tally, const struct ph_batch *batch)
{
    check(ph_shardout_put(out, batch, &err) && ph_tally_add(tally, batch));
}

/* Batches of up to 16 rows, and a wide row in pieces. */
static void put_rows(struct ph_shardout *out, enum ph_format format, const struct golden_shard *s,
                     struct ph_tally *tally)
{
    enum { BATCH = 16, PIECE = 65536 };
    struct ph_buf buf = {0};
    uint32_t edge[BATCH];
    size_t n = 0;
    for (int i = s->first; i <= s->last; i++) {
        bool wide = format == PH_BINARY && i == GOLDEN_WIDE_ROW;
        if (n > 0 && (n == BATCH || wide)) {
            put(out, tally, &(struct ph_batch){buf.data, buf.len, edge, n, false, false});
            ph_buf_clear(&buf);
            n = 0;
        }
        golden_row(&buf, format, i);
        for (size_t at = 0; wide && at < buf.len; at += PIECE) {
            size_t len = buf.len - at < PIECE ? buf.len - at : PIECE;
            put(out, tally,
                &(struct ph_batch){buf.data + at, len, NULL, 0, true, at + len == buf.len});
        }
        if (wide)
            ph_buf_clear(&buf);
        else
            edge[n++] = (uint32_t)buf.len;
    }
    if (n > 0)
        put(out, tally, &(struct ph_batch){buf.data, buf.len, edge, n, false, false});
    ph_buf_fini(&buf);
}

static void make_shard(struct ph_ring *ring, int dir, int variant, const struct ph_archive *archive,
                       int shard)
{
    struct ph_archive_shard *s = &archive->shards[shard];
    struct ph_receipt receipt;
    struct ph_shardout *out;
    golden_receipt(&receipt, &archive->tables[s->tab - 1], variant, shard);
    check(ph_shardout_open(
        &out, ring,
        &(struct ph_shardout_opts){.file = {.dir = dir, .dir_shown = ".", .name = s->file},
                                   .compress = golden_shards[shard].compress,
                                   .receipt = &receipt},
        &err));
    put_rows(out, receipt.format, &golden_shards[shard], &s->tally);
    check(ph_shardout_seal(out, &s->tally, &s->sealed, &err));
}

static void make_archive(struct ph_ring *ring, int dir, int variant)
{
    struct ph_archive archive;
    struct ph_archive_table tables[GOLDEN_TABLES];
    struct ph_archive_snapshot snapshots[2];
    struct ph_archive_shard shards[GOLDEN_SHARDS];
    struct ph_arena arena = {0};
    golden_archive(&archive, variant, tables, snapshots, shards);
    check(ph_manifest_write(&archive, dir, ".", false, &err));
    for (int i = 0; i < GOLDEN_SHARDS; i++) {
        const struct ph_archive_table *t = &tables[shards[i].tab - 1];
        shards[i].file =
            ph_archive_file_name(&arena, t->schema, t->name, i + 1, i % 2 ? "k3" : NULL);
        make_shard(ring, dir, variant, &archive, i);
    }
    check(ph_manifest_write(&archive, dir, ".", true, &err));
    ph_arena_fini(&arena);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: golden-make DIR\n");
        return 2;
    }
    struct ph_ring *ring;
    check(ph_ring_new(&ring, &(struct ph_ring_opts){.io = PH_IO_POSIX}, &err));
    for (int variant = 0; variant < GOLDEN_VARIANTS; variant++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], golden_folders[variant]);
        int dir = mkdir(path, 0777) == 0 ? open(path, O_RDONLY | O_DIRECTORY) : -1;
        if (dir < 0) {
            perror(path);
            return 1;
        }
        make_archive(ring, dir, variant);
    }
    ph_ring_free(ring);
    return 0;
}

/* What files cost by each way of writing and reading them: pwrite or io_uring, through the page cache or past it. One file
 * is written and made durable, read at once, and read again when nothing of it is cached. Prints markdown; the
 * best of several passes, since what disturbs a pass only makes it longer.
 *
 *     ring [DIR [MIB [BUFFER [DEPTH [AHEAD]]]]]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/file.h"

enum { PASSES = 3, PIECE = 64 * 1024 };

static struct ph_err err;
static char piece[PIECE];
static const char *folder = "/var/tmp";
static int dir;
static uint64_t size = 512ull << 20, ahead;
static struct ph_ring_opts ring_opts;

struct cost {
    double s, cpu_s;
};

static void must(bool ok)
{
    if (ok)
        return;
    fprintf(stderr, "ring: %s\n", err.text);
    exit(1);
}

static void begin(struct cost *cost)
{
    *cost = (struct cost){ph_clock_s(), ph_clock_cpu_s()};
}

static void end(struct cost *cost, struct cost *best)
{
    cost->s = ph_clock_s() - cost->s;
    cost->cpu_s = ph_clock_cpu_s() - cost->cpu_s;
    if (best->s == 0 || cost->s < best->s)
        *best = *cost;
}

static void write_it(struct ph_ring *ring, bool direct)
{
    struct ph_outfile *file;
    struct ph_outfile_opts opts = {.dir = dir,
                                   .dir_shown = folder,
                                   .name = "pghaul-bench-ring",
                                   .direct = direct,
                                   .ahead = ahead};
    must(ph_outfile_open(&file, ring, &opts, &err));
    for (uint64_t at = 0; at < size; at += PIECE)
        must(ph_outfile_add(file, piece, PIECE, &err));
    must(ph_outfile_seal(file, &err));
}

static void read_it(struct ph_ring *ring, bool direct)
{
    struct ph_infile *file;
    const char *data;
    must(ph_infile_open(&file, ring, dir, folder, "pghaul-bench-ring", direct, &err));
    must(ph_infile_begin(file, 0, size, &err));
    for (uint64_t at = 0; at < size; at += PIECE) {
        must(ph_infile_take(file, PIECE, &data, &err));
        /* Into the processor's cache with it, as whoever takes it would. */
        if (memcmp(data, piece, PIECE) != 0) {
            fprintf(stderr, "ring: what was read is not what was written\n");
            exit(1);
        }
    }
    ph_infile_close(file);
}

static void forget(void)
{
    int fd = openat(dir, "pghaul-bench-ring", O_RDONLY);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void show(const struct cost *cost)
{
    double gb = (double)size / 1e9;
    printf(" %.2f (%.2f) |", gb / cost->s, cost->cpu_s / gb);
}

/* The best of what a file costs that is written one way and read both ways, cached as its writing left it and not at all. */
static void measure(enum ph_io io, bool direct)
{
    struct ph_ring *ring;
    struct cost cost, out = {0}, in[4] = {{0}};
    ring_opts.io = io;
    must(ph_ring_new(&ring, &ring_opts, &err));
    for (int i = 0; i < PASSES * 4; i++) {
        begin(&cost);
        write_it(ring, direct);
        end(&cost, &out);
        bool reads_direct = i % 2 == 0, cold = i % 4 >= 2;
        if (cold)
            forget();
        begin(&cost);
        read_it(ring, reads_direct);
        end(&cost, &in[i % 4]);
        unlinkat(dir, "pghaul-bench-ring", 0);
    }
    printf("| %s | %s |", io == PH_IO_POSIX ? "pread, pwrite" : "io_uring",
           direct ? "O_DIRECT" : "page cache");
    show(&out);
    for (int i = 0; i < 4; i++)
        show(&in[i]);
    printf("\n");
    ph_ring_free(ring);
}

int main(int argc, char **argv)
{
    folder = argc > 1 ? argv[1] : folder;
    size = argc > 2 ? strtoull(argv[2], NULL, 10) << 20 : size;
    ring_opts.buffer = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    ring_opts.depth = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    ahead = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    dir = open(folder, O_RDONLY | O_DIRECTORY);
    if (dir < 0) {
        perror(folder);
        return 1;
    }
    uint64_t seed = 1;
    for (size_t i = 0; i < PIECE; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        piece[i] = (char)(seed >> 56);
    }
    struct ph_ring *ring;
    must(ph_ring_new(&ring, &(struct ph_ring_opts){0}, &err));
    printf("| engine | written by | written, synced | read soon, O_DIRECT | read soon, page cache "
           "| read cold, O_DIRECT "
           "| read cold, page cache |\n|---|---|---|---|---|---|---|\n");
    bool uring = strstr(ph_ring_shown(ring), "io_uring,") != NULL;
    ph_ring_free(ring);
    for (int io = PH_IO_URING; io <= PH_IO_POSIX; io++)
        for (int direct = 1; direct >= 0; direct--)
            if (io != PH_IO_URING || uring)
                measure((enum ph_io)io, direct);
    return 0;
}

/* Flips bits of an archive's files, one at a time, and expects each to be found: all in one process, so that thousands can be tried.
 *
 *     flip DIR STRIDE all|one
 *
 * Of the smallest file every offset is tried, of the others every STRIDE-th; at each all eight bits, or one of them, another
 * at each offset. Every file but `lock` is tried, and is what it was afterwards. Prints how many were flipped; exit status 1
 * when one was not found, which is named.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/place.h"
#include "base/num.h"
#include "haul/archive_check.h"

enum { MOST = 64 };

struct file {
    char name[256];
    off_t size;
};

static struct ph_dir dir;
static long flipped, missed;

static int posix_buffered(void)
{
    int i = 0;
    while (strcmp(ph_place_choices[i], "posix-buffered") != 0)
        i++;
    return i;
}

static bool is_sound(void)
{
    struct ph_arena arena = {0};
    struct ph_archive *archive;
    struct ph_archive_check check = {0};
    struct ph_err err;
    bool ok =
        ph_manifest_read(&archive, &arena, dir.fd, dir.shown, true, &err) && archive &&
        ph_archive_check(&check,
                         &(struct ph_archive_check_opts){
                             .dir = &dir, .archive = archive, .jobs = 1, .io = posix_buffered()},
                         &arena, &err) &&
        check.damaged == 0;
    ph_arena_fini(&arena);
    return ok;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(2);
}

static void flip(const struct file *file, int fd, off_t at, int bit)
{
    unsigned char was, is;
    if (pread(fd, &was, 1, at) != 1)
        fail("cannot read");
    is = (unsigned char)(was ^ 1 << bit);
    if (pwrite(fd, &is, 1, at) != 1)
        fail("cannot write");
    flipped++;
    if (is_sound()) {
        missed++;
        printf("not found: bit %d at %lld of %s\n", bit, (long long)at, file->name);
    }
    if (pwrite(fd, &was, 1, at) != 1)
        fail("cannot write");
}

static void flip_all(const struct file *file, off_t stride, bool all)
{
    int fd = openat(dir.fd, file->name, O_RDWR);
    if (fd < 0)
        fail(file->name);
    for (off_t at = 0; at < file->size; at += stride)
        for (int bit = 0; bit < 8; bit++)
            if (all || bit == (at / stride) % 8)
                flip(file, fd, at, bit);
    close(fd);
}

static int list(struct file files[MOST], int *smallest)
{
    DIR *entries = opendir(dir.shown);
    int n = 0;
    *smallest = 0;
    for (struct dirent *e; entries && (e = readdir(entries));) {
        struct stat st;
        if (e->d_name[0] == '.' || !strcmp(e->d_name, "lock") || n == MOST ||
            fstatat(dir.fd, e->d_name, &st, 0) != 0)
            continue;
        snprintf(files[n].name, sizeof files[n].name, "%s", e->d_name);
        files[n].size = st.st_size;
        if (st.st_size < files[*smallest].size)
            *smallest = n;
        n++;
    }
    if (entries)
        closedir(entries);
    return n;
}

int main(int argc, char **argv)
{
    struct file files[MOST];
    struct ph_err err;
    int64_t stride;
    int smallest;
    if (argc != 4 || !ph_num_int(argv[2], 1, 1 << 20, &stride, &err))
        fail("usage: flip DIR STRIDE all|one");
    if (!ph_dir_open(&dir, argv[1], PH_DIR_EXISTS, &err))
        fail(err.text);
    if (!is_sound())
        fail("the archive was not sound to begin with");
    int n = list(files, &smallest);
    for (int i = 0; i < n; i++)
        flip_all(&files[i], i == smallest ? 1 : stride, !strcmp(argv[3], "all"));
    if (!is_sound())
        fail("the archive is not what it was");
    printf("%ld bits flipped in %d files, %ld not found\n", flipped, n, missed);
    ph_dir_close(&dir);
    return missed > 0;
}

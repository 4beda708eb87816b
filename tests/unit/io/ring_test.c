#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "io/ring.h"

enum { BUFFER = 8192, DEPTH = 4 };

static const enum ph_io engines[] = {PH_IO_POSIX, PH_IO_AUTO};

#define FOR_EACH_ENGINE(io) for (const enum ph_io *io = engines; io < engines + 2; io++)

static struct ph_ring *make_ring(enum ph_io io)
{
    struct ph_ring *ring;
    struct ph_err err;
    struct ph_ring_opts opts = {.io = io, .depth = DEPTH, .buffer = BUFFER};
    if (!ph_ring_new(&ring, &opts, &err))
        fail_msg("%s", err.text);
    return ring;
}

/* A nameless file. */
static int make_file(int flags)
{
    char path[] = "/var/tmp/pghaul-ring-XXXXXX";
    int fd = mkostemp(path, flags);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static void fill(struct ph_ring *ring, unsigned i, int c)
{
    memset(ph_ring_buffer(ring, i), c, BUFFER);
}

static bool is_all(const char *data, size_t len, int c)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != (char)c)
            return false;
    return true;
}

/* Writes DEPTH buffers, reads them back in another order. */
static bool go_round(struct ph_ring *ring, int fd)
{
    struct ph_err err;
    for (unsigned i = 0; i < DEPTH; i++) {
        fill(ring, i, 'a' + (int)i);
        if (!ph_ring_write(ring, fd, i, BUFFER, (off_t)i * BUFFER, &err))
            return false;
    }
    if (!ph_ring_sync(ring, fd, &err))
        return false;
    for (unsigned i = 0; i < DEPTH; i++)
        if (!ph_ring_read(ring, fd, i, BUFFER, (off_t)(DEPTH - 1 - i) * BUFFER, &err))
            return false;
    for (unsigned i = 0; i < DEPTH; i++) {
        size_t done;
        if (!ph_ring_wait(ring, i, &done, &err) || done != BUFFER ||
            !is_all(ph_ring_buffer(ring, i), BUFFER, 'a' + (int)(DEPTH - 1 - i)))
            return false;
    }
    return true;
}

TEST(a_ring_has_what_was_asked_for)
{
    struct ph_err err;
    struct ph_ring *ring;
    FOR_EACH_ENGINE(io)
    {
        ring = make_ring(*io);
        assert_int_equal(ph_ring_depth(ring), DEPTH);
        assert_int_equal(ph_ring_buffer_size(ring), BUFFER);
        for (unsigned i = 0; i < DEPTH; i++)
            assert_int_equal((uintptr_t)ph_ring_buffer(ring, i) % 4096, 0);
        ph_ring_free(ring);
    }
    assert_true(ph_ring_new(&ring, &(struct ph_ring_opts){.io = PH_IO_POSIX}, &err));
    assert_string_equal(ph_ring_shown(ring), "pread and pwrite");
    assert_int_equal(ph_ring_depth(ring), 4);
    assert_int_equal(ph_ring_buffer_size(ring), 512 * 1024);
    ph_ring_free(ring);
    assert_false(ph_ring_new(&ring, &(struct ph_ring_opts){.buffer = 1000}, &err));
    assert_null(ring);
    assert_false(
        ph_ring_new(&ring, &(struct ph_ring_opts){.depth = 1u << 31, .buffer = 1ul << 40}, &err));
    ph_ring_free(NULL);
}

TEST(buffers_go_out_and_come_back)
{
    static const int flags[] = {0, O_DIRECT};
    for (int f = 0; f < 2; f++) {
        FOR_EACH_ENGINE(io)
        {
            struct ph_ring *ring = make_ring(*io);
            int fd = make_file(flags[f]);
            assert_true(go_round(ring, fd));
            assert_true(go_round(ring, fd));
            assert_true(ph_ring_wait_ns(ring) > 0);
            close(fd);
            ph_ring_free(ring);
        }
    }
}

TEST(a_read_is_short_at_the_end_of_the_file_only)
{
    static const int flags[] = {0, O_DIRECT};
    struct ph_err err;
    for (int f = 0; f < 2; f++) {
        FOR_EACH_ENGINE(io)
        {
            struct ph_ring *ring = make_ring(*io);
            int fd = make_file(flags[f]);
            assert_true(go_round(ring, fd));
            assert_int_equal(ftruncate(fd, BUFFER + 4097), 0);
            size_t done;
            assert_true(ph_ring_read(ring, fd, 0, BUFFER, BUFFER, &err));
            assert_true(ph_ring_read(ring, fd, 1, BUFFER, 0, &err));
            assert_true(ph_ring_read(ring, fd, 2, BUFFER, 4 * BUFFER, &err));
            assert_true(ph_ring_wait(ring, 0, &done, &err));
            assert_int_equal(done, 4097);
            assert_true(ph_ring_wait(ring, 1, &done, &err));
            assert_int_equal(done, BUFFER);
            assert_true(ph_ring_wait(ring, 2, &done, &err));
            assert_int_equal(done, 0);
            close(fd);
            ph_ring_free(ring);
        }
    }
}

TEST(what_direct_io_refuses_is_done_without_it)
{
    struct ph_err err;
    FOR_EACH_ENGINE(io)
    {
        struct ph_ring *ring = make_ring(*io);
        int fd = make_file(O_DIRECT);
        fill(ring, 0, 'x');
        size_t done;
        assert_true(ph_ring_write(ring, fd, 0, 1000, 13, &err)); /* no alignment at all */
        assert_true(ph_ring_wait(ring, 0, &done, &err));
        assert_int_equal(done, 1000);
        assert_true(ph_ring_read(ring, fd, 1, BUFFER, 13, &err));
        assert_true(ph_ring_wait(ring, 1, &done, &err));
        assert_int_equal(done, 1000);
        assert_true(is_all(ph_ring_buffer(ring, 1), 1000, 'x'));
        close(fd);
        ph_ring_free(ring);
    }
}

TEST(an_error_belongs_to_its_buffer_and_the_others_are_reaped)
{
    struct ph_err err;
    FOR_EACH_ENGINE(io)
    {
        struct ph_ring *ring = make_ring(*io);
        int fd = make_file(0);
        int closed = make_file(0);
        close(closed);
        for (unsigned i = 0; i < DEPTH; i++)
            fill(ring, i, 'x');
        assert_true(ph_ring_write(ring, fd, 0, BUFFER, 0, &err));
        assert_true(ph_ring_write(ring, closed, 1, BUFFER, BUFFER, &err));
        assert_true(ph_ring_write(ring, closed, 2, BUFFER, BUFFER, &err));
        assert_true(ph_ring_write(ring, fd, 3, BUFFER, BUFFER, &err));
        assert_true(ph_ring_wait(ring, 0, NULL, &err));
        assert_false(ph_ring_wait(ring, 1, NULL, &err));
        assert_contains(err.text, "cannot write: Bad file descriptor");
        assert_int_equal(err.code, PH_FAILED);
        assert_true(err.transient);
        err = (struct ph_err){0};
        assert_false(ph_ring_drain(ring, &err));
        assert_contains(err.text, "cannot write: Bad file descriptor");
        assert_true(ph_ring_drain(ring, &err)); /* said once */
        assert_true(go_round(ring, fd));
        close(fd);
        ph_ring_free(ring);
    }
}

TEST(an_error_that_nobody_asked_for_is_not_lost)
{
    struct ph_err err = {0};
    FOR_EACH_ENGINE(io)
    {
        struct ph_ring *ring = make_ring(*io);
        int fd = make_file(0);
        int closed = make_file(0);
        close(closed);
        assert_true(ph_ring_write(ring, closed, 1, BUFFER, 0, &err));
        assert_false(ph_ring_write(ring, fd, 1, BUFFER, 0, &err));
        assert_contains(err.text, "Bad file descriptor");
        assert_true(ph_ring_read(ring, closed, 2, BUFFER, 0, &err));
        assert_false(ph_ring_sync(ring, fd, &err));
        assert_contains(err.text, "cannot read: Bad file descriptor");
        assert_true(ph_ring_sync(ring, fd, &err));
        close(fd);
        ph_ring_free(ring);
    }
}

TEST(a_failed_sync_is_an_error)
{
    struct ph_err err;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    FOR_EACH_ENGINE(io)
    {
        struct ph_ring *ring = make_ring(*io);
        assert_false(ph_ring_sync(ring, ends[0], &err));
        assert_contains(err.text, "cannot sync: ");
        assert_true(err.transient);
        ph_ring_free(ring);
    }
    close(ends[0]);
    close(ends[1]);
}

TEST(a_ring_that_is_freed_waits_for_what_is_in_flight)
{
    struct ph_err err;
    FOR_EACH_ENGINE(io)
    {
        struct ph_ring *ring = make_ring(*io);
        int fd = make_file(O_DIRECT);
        for (unsigned i = 0; i < DEPTH; i++) {
            fill(ring, i, 'x');
            assert_true(ph_ring_write(ring, fd, i, BUFFER, (off_t)i * BUFFER, &err));
        }
        ph_ring_free(ring);
        assert_int_equal(lseek(fd, 0, SEEK_END), DEPTH * BUFFER);
        close(fd);
    }
}

TEST(a_full_file_system_is_no_room_and_then_serves_again)
{
    char small[] = "/tmp/pghaul-small-XXXXXX";
    assert_non_null(mkdtemp(small));
    if (geteuid() != 0 || mount("none", small, "tmpfs", 0, "size=32k") != 0) {
        rmdir(small);
        skip();
    }
    int dir = open(small, O_RDONLY | O_DIRECTORY);
    FOR_EACH_ENGINE(io)
    {
        struct ph_err err = {0};
        struct ph_ring *ring = make_ring(*io);
        int fd = openat(dir, "f", O_RDWR | O_CREAT, 0600);
        bool ok = true;
        for (unsigned i = 0; i < 3 * DEPTH; i++)
            ok = ph_ring_write(ring, fd, i % DEPTH, BUFFER, (off_t)i * BUFFER, ok ? &err : NULL) &&
                 ok;
        ok = ph_ring_drain(ring, ok ? &err : NULL) && ok;
        assert_false(ok);
        assert_int_equal(err.code, PH_NO_ROOM);
        assert_contains(err.text, "cannot write: No space left on device");
        assert_true(err.transient);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_true(go_round(ring, fd));
        close(fd);
        unlinkat(dir, "f", 0);
        ph_ring_free(ring);
    }
    close(dir);
    assert_int_equal(umount(small), 0);
    rmdir(small);
}

static void on_alarm(int number __attribute__((unused)))
{
}

TEST(signals_disturb_nothing)
{
    struct sigaction act = {.sa_handler = on_alarm}, old; /* without SA_RESTART */
    sigaction(SIGALRM, &act, &old);
    struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
    FOR_EACH_ENGINE(io)
    {
        struct ph_ring *ring = make_ring(*io);
        int fd = make_file(O_DIRECT);
        setitimer(ITIMER_REAL, &often, NULL);
        bool ok = true;
        for (int i = 0; ok && i < 50; i++)
            ok = go_round(ring, fd);
        setitimer(ITIMER_REAL, &never, NULL);
        assert_true(ok);
        close(fd);
        ph_ring_free(ring);
    }
    sigaction(SIGALRM, &old, NULL);
}

struct work {
    enum ph_io io;
    bool ok;
};

static void *run_thread(void *arg)
{
    struct work *work = arg;
    struct ph_ring *ring;
    struct ph_err err;
    struct ph_ring_opts opts = {.io = work->io, .depth = DEPTH, .buffer = BUFFER};
    if (!ph_ring_new(&ring, &opts, &err))
        return NULL;
    int fd = make_file(O_DIRECT);
    work->ok = true;
    for (int i = 0; work->ok && i < 50; i++)
        work->ok = go_round(ring, fd);
    close(fd);
    ph_ring_free(ring);
    return NULL;
}

TEST(two_threads_have_two_rings)
{
    FOR_EACH_ENGINE(io)
    {
        pthread_t thread[2];
        struct work work[2] = {{.io = *io}, {.io = *io}};
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, run_thread, &work[i]), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
        assert_true(work[0].ok && work[1].ok);
    }
}

/* The system calls of io_uring, as far as they are in `calls`, fail with errno e from here on. */
static bool forbid(const long *calls, size_t n, unsigned e)
{
    struct sock_filter filter[16];
    size_t at = 0;
    filter[at++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < n; i++) {
        filter[at++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
        filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | e);
    }
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)at, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static const long all_calls[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};

/* In a child, whose number of the failed line is its exit status. */
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                             \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static void in_a_child(int (*run)(const void *), const void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run(arg));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

struct ban {
    const long *calls;
    size_t n;
    unsigned e;
    const char *shown;
};

static int live_with(const void *arg)
{
    const struct ban *ban = arg;
    struct ph_ring *ring;
    struct ph_err err;
    CHECK(forbid(ban->calls, ban->n, ban->e));
    CHECK(ph_ring_new(&ring, &(struct ph_ring_opts){.depth = DEPTH, .buffer = BUFFER}, &err));
    CHECK(strstr(ph_ring_shown(ring), "pread and pwrite ("));
    CHECK(strstr(ph_ring_shown(ring), ban->shown));
    int fd = make_file(O_DIRECT);
    CHECK(go_round(ring, fd));
    ph_ring_free(ring);
    CHECK(!ph_ring_new(&ring, &(struct ph_ring_opts){.io = PH_IO_URING}, &err));
    CHECK(ring == NULL && err.code == PH_WRONG && strstr(err.text, ban->shown));
    return 0;
}

TEST(where_io_uring_is_forbidden_plain_calls_do_it)
{
    static const struct ban bans[] = {
        {all_calls, 3, EPERM, "io_uring is forbidden here"},
        {all_calls, 3, EACCES, "io_uring is forbidden here"},
        {all_calls, 3, ENOSYS, "no io_uring"},
        {all_calls, 3, ENOMEM, "no memory for io_uring"},
        {all_calls, 3, EINVAL, "Invalid argument"},
        {all_calls + 1, 1, EPERM, "io_uring is forbidden here"}, /* enter alone */
        {all_calls + 2, 1, EPERM, ""},                           /* register alone */
    };
    for (size_t i = 0; i < sizeof bans / sizeof *bans; i++)
        in_a_child(live_with, &bans[i]);
}

/* Nothing like it happens, but then it must not hang, nor give memory back that the kernel writes into. */
static int lose_it_midway(const void *arg)
{
    struct ph_ring *ring;
    struct ph_err err = {0};
    (void)arg;
    CHECK(ph_ring_new(&ring, &(struct ph_ring_opts){.depth = DEPTH, .buffer = BUFFER}, &err));
    if (!strstr(ph_ring_shown(ring), "io_uring,"))
        return 0; /* this machine has none to lose */
    int fd = make_file(0), dir = open("/var/tmp", O_RDONLY | O_DIRECTORY);
    CHECK(go_round(ring, fd));
    struct ph_outfile *file;
    char name[64];
    snprintf(name, sizeof name, "pghaul-ring-%d", getpid());
    struct ph_outfile_opts opts = {.dir = dir, .dir_shown = "DIR", .name = name};
    CHECK(ph_outfile_open(&file, ring, &opts, &err));
    CHECK(forbid(all_calls, 3, EPERM));
    CHECK(ph_outfile_add(file, "some", 4, &err));
    CHECK(!ph_outfile_seal(file, &err));
    CHECK(strstr(err.text, "io_uring has broken: Operation not permitted"));
    strncat(name, ".part", sizeof name - strlen(name) - 1);
    CHECK(faccessat(dir, name, F_OK, 0) != 0);
    CHECK(!ph_ring_write(ring, fd, 2, BUFFER, 0, &err));
    CHECK(!ph_ring_drain(ring, &err));
    CHECK(!ph_ring_sync(ring, fd, &err));
    ph_ring_free(ring);
    return 0;
}

TEST(an_io_uring_that_is_taken_away_midway_is_an_error)
{
    in_a_child(lose_it_midway, NULL);
}

static int live_on_little(const void *arg)
{
    static const struct rlimit little = {65536, 65536};
    struct ph_ring *ring;
    struct ph_err err;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &little) == 0);
    CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    CHECK(ph_ring_new(&ring, &(struct ph_ring_opts){.depth = 16, .buffer = BUFFER}, &err));
    if (*(const bool *)arg)
        CHECK(!strcmp(ph_ring_shown(ring), "io_uring, buffers not registered (ulimit -l)"));
    int fd = make_file(O_DIRECT);
    CHECK(go_round(ring, fd));
    ph_ring_free(ring);
    return 0;
}

TEST(little_lockable_memory_costs_the_registration_only)
{
    if (geteuid() != 0)
        skip();
    struct ph_ring *ring = make_ring(PH_IO_AUTO);
    bool uring = strstr(ph_ring_shown(ring), "io_uring,") != NULL;
    ph_ring_free(ring);
    in_a_child(live_on_little, &uring);
}

static int live_without_descriptors(const void *arg)
{
    struct ph_ring *ring;
    struct ph_err err;
    (void)arg;
    int fd = make_file(0);
    struct rlimit none = {(rlim_t)fd + 1, (rlim_t)fd + 1};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK(ph_ring_new(&ring, &(struct ph_ring_opts){.depth = DEPTH, .buffer = BUFFER}, &err));
    CHECK(strstr(ph_ring_shown(ring), "pread and pwrite ("));
    CHECK(go_round(ring, fd));
    ph_ring_free(ring);
    return 0;
}

TEST(without_a_free_descriptor_plain_calls_do_it)
{
    in_a_child(live_without_descriptors, NULL);
}

int main(void)
{
    return RUN(cmocka_unit_test(a_ring_has_what_was_asked_for),
               cmocka_unit_test(buffers_go_out_and_come_back),
               cmocka_unit_test(a_read_is_short_at_the_end_of_the_file_only),
               cmocka_unit_test(what_direct_io_refuses_is_done_without_it),
               cmocka_unit_test(an_error_belongs_to_its_buffer_and_the_others_are_reaped),
               cmocka_unit_test(an_error_that_nobody_asked_for_is_not_lost),
               cmocka_unit_test(a_failed_sync_is_an_error),
               cmocka_unit_test(a_ring_that_is_freed_waits_for_what_is_in_flight),
               cmocka_unit_test(a_full_file_system_is_no_room_and_then_serves_again),
               cmocka_unit_test(signals_disturb_nothing),
               cmocka_unit_test(two_threads_have_two_rings),
               cmocka_unit_test(where_io_uring_is_forbidden_plain_calls_do_it),
               cmocka_unit_test(an_io_uring_that_is_taken_away_midway_is_an_error),
               cmocka_unit_test(little_lockable_memory_costs_the_registration_only),
               cmocka_unit_test(without_a_free_descriptor_plain_calls_do_it));
}

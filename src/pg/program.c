#include "pg/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_FILE = 10, MOST_COMPLAINTS = 64 << 10 };

extern char **environ;

const char *ph_program_file(int n)
{
    static const char *const names[PH_PROGRAM_FILES] = {"/proc/self/fd/10", "/proc/self/fd/11"};
    return names[n];
}

/* Anonymous memory with these bytes; -1 on failure. */
static int make_file(const struct ph_buf *bytes)
{
    int fd = memfd_create("pghaul", MFD_CLOEXEC);
    for (size_t at = 0; fd >= 0 && at < bytes->len;) {
        ssize_t n = write(fd, bytes->data + at, bytes->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    return fd;
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return !strncmp(a, b, n) && b[n] == '=';
}

/* Our environment with theirs over it; malloc'ed, the texts are borrowed. */
static char **make_environment(const char *const *more)
{
    size_t n = 0, m = 0, at = 0;
    while (environ[n])
        n++;
    while (more && more[m])
        m++;
    char **env = calloc(n + m + 1, sizeof *env);
    if (!env)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        bool ours = true;
        for (size_t k = 0; k < m; k++)
            ours = ours && !same_name(more[k], environ[i]);
        if (ours)
            env[at++] = environ[i];
    }
    for (size_t k = 0; k < m; k++)
        env[at++] = (char *)more[k];
    return env;
}

/* A child that is our own pipes' other end, and nothing else of ours. */
struct child {
    pid_t pid;
    int out, complaints; /* our ends */
};

static int spawn(const struct ph_program *program, const int files[], const int out[2],
                 const int complaints[2], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, complaints[1], 2);
    for (int i = 0; i < PH_PROGRAM_FILES; i++)
        if (files[i] >= 0)
            posix_spawn_file_actions_adddup2(&actions, files[i], FIRST_FILE + i);
    /* what we ignore or block is not what it should */
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETPGROUP);
    char **env = make_environment(program->env);
    int rc = env ? posix_spawn(pid, program->path, &actions, &attributes,
                               (char *const *)program->argv, env)
                 : ENOMEM;
    free(env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* A descriptor that no dup2 of the child's will tread on. */
static int lift(int fd)
{
    int high = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FILE + PH_PROGRAM_FILES) : -1;
    if (fd >= 0)
        close(fd);
    return high;
}

static void close_all(int *fds, int n)
{
    for (int i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static bool start(const struct ph_program *program, struct child *child, struct ph_err *err)
{
    int out[2] = {-1, -1}, complaints[2] = {-1, -1}, files[PH_PROGRAM_FILES];
    bool ok = pipe2(out, O_CLOEXEC) == 0 && pipe2(complaints, O_CLOEXEC) == 0;
    int rc = ok ? 0 : errno;
    for (int i = 0; i < 2; i++) {
        out[i] = lift(out[i]);
        complaints[i] = lift(complaints[i]);
    }
    for (int i = 0; i < PH_PROGRAM_FILES; i++) {
        files[i] = program->files[i] ? lift(make_file(program->files[i])) : -1;
        if (rc == 0 && program->files[i] && files[i] < 0)
            rc = errno;
    }
    if (rc == 0)
        rc = spawn(program, files, out, complaints, &child->pid);
    close_all(files, PH_PROGRAM_FILES);
    close_all(&out[1], 1);
    close_all(&complaints[1], 1);
    child->out = out[0];
    child->complaints = complaints[0];
    if (rc == 0)
        return true;
    close_all(out, 1);
    close_all(complaints, 1);
    return ph_err_set(err, PH_FAILED, "cannot run %s: %s", program->path, strerror(rc));
}

/* Takes what is there; closes the descriptor at its end. */
static void take(int *fd, struct ph_buf *buf, size_t most)
{
    char piece[65536];
    ssize_t n = read(*fd, piece, sizeof piece);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        if (buf->len < most)
            ph_buf_addn(buf, piece, (size_t)n);
        return;
    }
    close(*fd);
    *fd = -1;
}

/* False: we were interrupted. */
static bool gather(const struct ph_program *program, struct child *child, struct ph_buf *out,
                   struct ph_buf *complaints)
{
    while (child->out >= 0 || child->complaints >= 0) {
        struct pollfd p[3] = {
            {.fd = child->out, .events = POLLIN},
            {.fd = child->complaints, .events = POLLIN},
            {.fd = ph_interrupt_fd(program->interrupt, 1), .events = POLLIN},
        };
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return true;
        if (ph_interrupt_at(program->interrupt, 1))
            return false;
        if (p[0].revents)
            take(&child->out, out, (size_t)-1);
        if (p[1].revents)
            take(&child->complaints, complaints, MOST_COMPLAINTS);
    }
    return true;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The first "error: " of what it says; the last line where there is none. */
static bool failed(const struct ph_program *program, int status, struct ph_buf *complaints,
                   struct ph_err *err)
{
    const char *name = name_of(program->path), *text = ph_buf_text(complaints);
    const char *line = strstr(text, "error: ");
    line = line ? line + strlen("error: ") : text;
    size_t n = strcspn(line, "\n");
    if (WIFSIGNALED(status))
        return ph_err_set(err, PH_FAILED, "%s was ended by signal %d", name, WTERMSIG(status));
    if (n == 0)
        return ph_err_set(err, PH_FAILED, "%s failed with status %d", name, WEXITSTATUS(status));
    return ph_err_set(err, PH_FAILED, "%s: %.*s", name, (int)n, line);
}

bool ph_program_run(const struct ph_program *program, struct ph_buf *out, struct ph_err *err)
{
    struct child child;
    struct ph_buf complaints = {0};
    int status = 0;
    if (!start(program, &child, err))
        return false;
    bool whole = gather(program, &child, out, &complaints);
    if (!whole)
        kill(child.pid, SIGKILL);
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
        ;
    close_all(&child.out, 1);
    close_all(&child.complaints, 1);
    bool ok = whole ? status == 0 || failed(program, status, &complaints, err)
                    : ph_err_set(err, PH_INTERRUPTED, "interrupted");
    ph_buf_fini(&complaints);
    return ok;
}

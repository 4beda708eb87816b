#include "haul/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/dir.h"

static const char socket_name[] = "control.sock";
/* Who asks is more patient than who answers: one who says nothing holds the next one up, and no longer than that. */
enum { SILENCE_S = 1, PATIENCE_S = 5, RETRY_MS = 1000 };

static void name_socket(struct sockaddr_un *addr, int dir, const char *name)
{
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(addr->sun_path, sizeof addr->sun_path, "/proc/self/fd/%d/%s", dir, name);
}

static int connect_to(int dir)
{
    struct sockaddr_un addr;
    name_socket(&addr, dir, socket_name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static char *directory_of(const char *state_dir, const char *state_base, const char *job)
{
    struct ph_buf path = {0};
    if (state_dir)
        ph_buf_add(&path, state_dir);
    else if (state_base)
        ph_buf_addf(&path, "%s/%s", state_base, job);
    return path.data;
}

/* The run's end. */

/* Under a name of its own first: there is never a moment in which others than we could connect, or in which a living socket is
 * missing. */
static int listen_at(struct ph_control *c, struct ph_err *err)
{
    char name[48];
    struct sockaddr_un addr;
    struct stat st;
    snprintf(name, sizeof name, "%s.%d", socket_name, (int)getpid());
    name_socket(&addr, c->dir, name);
    unlinkat(c->dir, name, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0 &&
              bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0 &&
              fchmodat(c->dir, name, 0600, 0) == 0 && listen(fd, 8) == 0 &&
              fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
              renameat(c->dir, name, c->dir, socket_name) == 0;
    if (!ok) {
        ph_err_set(err, PH_FAILED, "cannot listen at %s: %s", socket_name, strerror(errno));
        unlinkat(c->dir, name, 0);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    c->socket_dev = (uint64_t)st.st_dev;
    c->socket_ino = (uint64_t)st.st_ino;
    return fd;
}

/* Takes the socket, unless a live run has it. */
static bool take_socket(struct ph_control *c, struct ph_err *err)
{
    int living = connect_to(c->dir);
    if (living >= 0) {
        close(living);
        return true;
    }
    c->listener = listen_at(c, err);
    return c->listener >= 0;
}

bool ph_control_socket_open(struct ph_control *c, struct ph_err *err)
{
    struct ph_dir dir = {.fd = -1, .lock = -1};
    char *path = directory_of(c->opts.state_dir, c->opts.state_base, c->opts.job);
    bool ok =
        path && ph_dir_open(&dir, path, c->opts.state_dir ? PH_DIR_MAKE : PH_DIR_MAKE_ALL, err);
    if (ok) {
        c->dir = dup(dir.fd);
        fcntl(c->dir, F_SETFD, FD_CLOEXEC);
        ph_dir_close(&dir);
        ok = take_socket(c, err);
    }
    free(path);
    return ok;
}

void ph_control_socket_close(struct ph_control *c)
{
    struct stat st;
    if (c->listener >= 0) {
        bool ours = fstatat(c->dir, socket_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    (uint64_t)st.st_dev == c->socket_dev && (uint64_t)st.st_ino == c->socket_ino;
        if (ours)
            unlinkat(c->dir, socket_name, 0);
        close(c->listener);
    }
    if (c->dir < 0)
        return;
    close(c->dir);
    /* the directory was made for the job: it goes when nothing is in it */
    char *path = c->opts.state_dir ? NULL : directory_of(NULL, c->opts.state_base, c->opts.job);
    if (path)
        rmdir(path);
    free(path);
}

static bool read_request(int fd, char *request, size_t room)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, request + n, room - 1 - n, 0);
        if (got < 0 || n + (size_t)got + 1 >= room)
            return false;
        n += (size_t)got;
        request[n] = '\0';
        if (got == 0)
            return true;
    }
}

static void send_all(int fd, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        text += sent;
        n -= (size_t)sent;
    }
}

static void answer(struct ph_control *c, int fd)
{
    char request[PH_CONTROL_REQUEST], who[256], *rest = request;
    const char *words[PH_CONTROL_WORDS];
    int n = 0;
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    const struct timeval patience = {.tv_sec = SILENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        !read_request(fd, request, sizeof request))
        return;
    const char *how = strsep(&rest, "\n");
    for (char *word; rest && n < PH_CONTROL_WORDS && (word = strsep(&rest, "\n"));)
        if (*word)
            words[n++] = word;
    ph_control_who(who, sizeof who, peer.uid, peer.pid, c->opts.host);
    char *text = ph_control_answer(c, words, n, !strcmp(how, "keep"), who);
    if (text)
        send_all(fd, text);
    free(text);
}

/* Where another mover of the job has the socket, it is ours when that one has gone. */
void *ph_control_socket_main(void *arg)
{
    struct ph_control *c = arg;
    struct ph_err err;
    while (!ph_interrupt_at(&c->end, 1)) {
        struct pollfd p[2] = {{.fd = ph_interrupt_fd(&c->end, 1), .events = POLLIN},
                              {.fd = c->listener, .events = POLLIN}};
        int n = poll(p, c->listener >= 0 ? 2 : 1, RETRY_MS);
        if (c->listener < 0) {
            take_socket(c, &err);
            continue;
        }
        if (n <= 0 || !(p[1].revents & POLLIN))
            continue;
        int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        answer(c, fd);
        close(fd);
    }
    return NULL;
}

/* The command's end. */

static char *read_answer(int fd)
{
    struct ph_buf text = {0};
    char piece[4096];
    for (ssize_t n; (n = recv(fd, piece, sizeof piece, 0)) > 0;)
        ph_buf_addn(&text, piece, (size_t)n);
    return text.data;
}

static bool no_run(const char *job, const char *path, struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "no live run of job %s on this host answers in %s", job,
               path ? path : "any directory");
    return ph_err_hint(err, "-d DSN steers it by way of the ledger, from any host");
}

bool ph_control_ask(const char *state_dir, const char *state_base, const char *job, bool keep,
                    const char *const *words, int n, char **out, struct ph_err *err)
{
    char *path = directory_of(state_dir, state_base, job);
    int dir = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int fd = dir >= 0 ? connect_to(dir) : -1;
    bool denied = fd < 0 && (errno == EACCES || errno == EPERM);
    *out = NULL;
    if (denied)
        ph_err_set(err, PH_WRONG, "not allowed to steer job %s: its socket belongs to another user",
                   job);
    else if (fd < 0)
        no_run(job, path, err);
    if (fd >= 0) {
        struct ph_buf request = {0};
        ph_buf_add(&request, keep ? "keep\n" : "now\n");
        for (int i = 0; i < n; i++)
            ph_buf_addf(&request, "%s\n", words[i]);
        send_all(fd, ph_buf_text(&request));
        ph_buf_fini(&request);
        shutdown(fd, SHUT_WR);
        *out = read_answer(fd);
        if (!*out)
            ph_err_set(err, PH_FAILED, "the run of job %s does not answer", job);
        close(fd);
    }
    if (dir >= 0)
        close(dir);
    free(path);
    return *out != NULL;
}

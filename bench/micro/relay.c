/* What an ideal relay costs: it takes bytes out of one socket as a server sends them, 8 kB at a time, and puts them into
 * another, 64 KiB at a time, and does nothing else. Prints the relaying threads' nanoseconds of CPU a byte; with PAIRS relays at
 * once, so that as many cores have work as a mover has.
 *
 *     relay [PAIRS [MIB]]
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 8192, PUT = 64 * 1024, MAX_PAIRS = 64 };

static size_t total = 512u << 20;

struct pair {
    int in[2], out[2];
    double cpu_s;
    pthread_t feed, relay, drain;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n <= 0)
            die("write");
        data += n;
        len -= (size_t)n;
    }
}

static void *feed(void *arg)
{
    struct pair *p = arg;
    char message[MESSAGE];
    memset(message, 7, sizeof message);
    for (size_t sent = 0; sent < total; sent += MESSAGE)
        send_all(p->in[0], message, MESSAGE);
    close(p->in[0]);
    return NULL;
}

static void *relay(void *arg)
{
    struct pair *p = arg;
    char *buffer = malloc(PUT);
    size_t have = 0;
    struct timespec t;
    if (!buffer)
        die("malloc");
    for (;;) {
        ssize_t n = read(p->in[1], buffer + have, PUT - have);
        if (n < 0)
            die("read");
        have += (size_t)n;
        if (have == PUT || n == 0) {
            send_all(p->out[0], buffer, have);
            have = 0;
        }
        if (n == 0)
            break;
    }
    close(p->out[0]);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    p->cpu_s = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    free(buffer);
    return NULL;
}

static void *drain(void *arg)
{
    struct pair *p = arg;
    char *buffer = malloc(PUT);
    while (buffer && read(p->out[1], buffer, PUT) > 0)
        ;
    free(buffer);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct pair pairs[MAX_PAIRS];
    int n = argc > 1 ? atoi(argv[1]) : 2;
    double cpu_s = 0;
    total = argc > 2 ? strtoull(argv[2], NULL, 10) << 20 : total;
    if (n < 1 || n > MAX_PAIRS || total == 0)
        return 2;
    for (int i = 0; i < n; i++) {
        struct pair *p = &pairs[i];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, p->in) ||
            socketpair(AF_UNIX, SOCK_STREAM, 0, p->out))
            die("socketpair");
        if (pthread_create(&p->feed, NULL, feed, p) || pthread_create(&p->relay, NULL, relay, p) ||
            pthread_create(&p->drain, NULL, drain, p))
            die("pthread_create");
    }
    for (int i = 0; i < n; i++) {
        pthread_join(pairs[i].feed, NULL);
        pthread_join(pairs[i].relay, NULL);
        pthread_join(pairs[i].drain, NULL);
        cpu_s += pairs[i].cpu_s;
    }
    printf("%.4f\n", cpu_s * 1e9 / (double)total / n);
    return 0;
}

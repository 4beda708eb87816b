#include "base/fault.h"

#ifdef PGHAUL_FAULTS

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_POINTS = 128 };

static struct {
    const char *name;
    unsigned passed;
} points[MAX_POINTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned count_passage(const char *name)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MAX_POINTS - 1 && points[i].name && strcmp(points[i].name, name))
        i++;
    if (!points[i].name) {
        points[i].name = name;
        const char *path = getenv("PGHAUL_FAULT_LOG");
        int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
        if (fd >= 0) {
            dprintf(fd, "%s\n", name);
            close(fd);
        }
    }
    unsigned n = ++points[i].passed;
    pthread_mutex_unlock(&lock);
    return n;
}

static void kill_self(void)
{
    raise(SIGKILL);
    for (;;)
        pause();
}

bool ph_fault_hit(const char *name)
{
    const char *spec = getenv("PGHAUL_FAULT");
    const char *log = getenv("PGHAUL_FAULT_LOG");
    if (!spec && !log)
        return false;
    unsigned n = count_passage(name);
    size_t len = strlen(name);
    for (const char *p = spec; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strncmp(p, name, len) || p[len] != ':')
            continue;
        const char *when = p + len + 1;
        const char *what = strchr(when, ':');
        if (!what || (*when != '*' && strtoul(when, NULL, 10) != n))
            continue;
        what++;
        if (!strncmp(what, "kill", 4))
            kill_self();
        if (!strncmp(what, "hang", 4))
            for (;;)
                pause();
        if (!strncmp(what, "slow", 4)) {
            usleep(300000);
            continue;
        }
        if (!strncmp(what, "error", 5))
            return true;
    }
    return false;
}

#else
/* ISO C wants a translation unit to declare something. */
extern int ph_fault_unused;
#endif

#include "cli/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "base/num.h"

/* A request comes in, is read, is answered and its connection closed: as many steps of the daemon. */
enum { STEPS = 4 };
enum { MOST_CONNECTIONS = 16, PATIENCE_S = 10 };

struct ph_listener {
    struct MHD_Daemon *daemon;
    void (*page)(void *arg, struct ph_buf *out);
    void *arg;
    char url[64];
};

struct place {
    bool six;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Names of this very host only. */
static bool read_host(const char *host, struct place *place)
{
    place->v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    place->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    place->six = !strcmp(host, "[::1]");
    if (place->six || !*host || !strcmp(host, "localhost"))
        return true;
    return inet_pton(AF_INET, host, &place->v4.sin_addr) == 1 &&
           ntohl(place->v4.sin_addr.s_addr) >> 24 == 127;
}

static bool read_place(const char *where, struct place *place, struct ph_err *err)
{
    const char *colon = strrchr(where, ':');
    char host[32] = "";
    int64_t port;
    if (colon)
        snprintf(host, sizeof host, "%.*s", (int)(colon - where), where);
    if ((colon && colon == where) || !read_host(host, place)) {
        ph_err_set(err, PH_WRONG, "it is not an address of this host alone");
        return ph_err_hint(err, "say PORT, 127.0.0.1:PORT or [::1]:PORT, and put a proxy in front"
                                " of it for others");
    }
    if (!ph_num_int(colon ? colon + 1 : where, 0, 65535, &port, err))
        return ph_err_prefix(err, "the port");
    place->v4.sin_port = place->v6.sin6_port = htons((uint16_t)port);
    return true;
}

bool ph_listener_check(const char *where, struct ph_err *err)
{
    struct place place;
    return read_place(where, &place, err);
}

static enum MHD_Result answer(struct MHD_Connection *to, unsigned status, const char *type,
                              struct ph_buf *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        text->len, (void *)(uintptr_t)ph_buf_text(text), MHD_RESPMEM_MUST_COPY);
    ph_buf_fini(text);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    enum MHD_Result ok = MHD_queue_response(to, status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *from, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_len, void **state)
{
    static int head_was_seen;
    struct ph_listener *l = arg;
    struct ph_buf text = {0};
    (void)version, (void)body;
    if (!*state) { /* the head alone: the answer is for when all has come */
        *state = &head_was_seen;
        return MHD_YES;
    }
    if (*body_len) {
        *body_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        ph_buf_add(&text, "there is only something to get\n");
        return answer(from, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &text);
    }
    if (strcmp(path, "/metrics") != 0) {
        ph_buf_add(&text, "there is only /metrics\n");
        return answer(from, MHD_HTTP_NOT_FOUND, "text/plain", &text);
    }
    l->page(l->arg, &text);
    return answer(from, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &text);
}

static void note_url(struct ph_listener *l, const struct place *place)
{
    char host[INET_ADDRSTRLEN] = "";
    const union MHD_DaemonInfo *port = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_BIND_PORT);
    inet_ntop(AF_INET, &place->v4.sin_addr, host, sizeof host);
    snprintf(l->url, sizeof l->url, "http://%s:%u/metrics", place->six ? "[::1]" : host,
             port ? (unsigned)port->port : 0);
}

bool ph_listener_open(struct ph_listener **listener, const char *where,
                      void (*page)(void *arg, struct ph_buf *out), void *arg, struct ph_err *err)
{
    struct place place;
    if (!read_place(where, &place, err))
        return false;
    struct ph_listener *l = calloc(1, sizeof *l);
    if (!l)
        return ph_err_nomem(err);
    l->page = page;
    l->arg = arg;
    const struct sockaddr *at =
        place.six ? (const struct sockaddr *)&place.v6 : (const struct sockaddr *)&place.v4;
    errno = 0;
    /* epoll: a run with many workers has descriptors beyond those that select() knows */
    l->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | (place.six ? (unsigned)MHD_USE_IPv6 : 0u), 0, NULL, NULL, on_request, l,
        MHD_OPTION_SOCK_ADDR, at, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MOST_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE_S, MHD_OPTION_END);
    if (!l->daemon) {
        free(l);
        ph_err_set(err, PH_WRONG, "cannot listen at %s: %s", where,
                   errno ? strerror(errno) : "libmicrohttpd refuses");
        return ph_err_hint(err, "name another port, or 0 for one that is free");
    }
    note_url(l, &place);
    *listener = l;
    return true;
}

void ph_listener_close(struct ph_listener *l)
{
    if (l)
        MHD_stop_daemon(l->daemon);
    free(l);
}

const char *ph_listener_url(const struct ph_listener *l)
{
    return l->url;
}

void ph_listener_serve(struct ph_listener *l)
{
    for (int i = 0; l && i < STEPS; i++)
        MHD_run(l->daemon);
}

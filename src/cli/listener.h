/* A page for whoever asks over HTTP, on loopback only: the figures of a run for Prometheus. The one door to libmicrohttpd.
 *
 *     ph_listener_open → ph_listener_serve, a few times a second → ph_listener_close
 *
 * It has no thread of its own, as a run has to have one alone whenever it forks a keeper (pg/snapshot.h): who asks is answered by the
 * next call of ph_listener_serve, and waits in the backlog until then. All calls come from one thread.
 */
#ifndef PH_CLI_LISTENER_H
#define PH_CLI_LISTENER_H

#include "base/buf.h"
#include "pghaul/err.h"

/* Whether a text is a place to listen at: PORT, 127.0.0.1:PORT, localhost:PORT or [::1]:PORT; port 0 is any that is free. PH_WRONG,
 * also for addresses that others could reach: put a proxy in front of it, which knows who may. */
bool ph_listener_check(const char *where, struct ph_err *err);

struct ph_listener;

/* page adds to `out` what is shown; it is called within ph_listener_serve. PH_WRONG when the port is taken. */
bool ph_listener_open(struct ph_listener **listener, const char *where,
                      void (*page)(void *arg, struct ph_buf *out), void *arg, struct ph_err *err);
void ph_listener_close(struct ph_listener *listener);

/* Where it is: "http://127.0.0.1:9187/metrics". */
const char *ph_listener_url(const struct ph_listener *listener);

/* Answers whoever has asked meanwhile; never waits. NULL: nobody. */
void ph_listener_serve(struct ph_listener *listener);

#endif

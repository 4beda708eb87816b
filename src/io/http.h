/* The one door to libcurl: asks a URL, and tells the status with which it is answered. For who wants to know whether it may go on, so
 * it is short of patience: one try, PH_HTTP_TIMEOUT_S in all, no redirects, and the body does not matter. The connection
 * is kept from one question to the next.
 *
 * Threads: a handle belongs to the thread that opened it. libcurl asks the name server in a thread of its own; ph_http_close waits
 * for that one, so that none is left behind.
 */
#ifndef PH_IO_HTTP_H
#define PH_IO_HTTP_H

#include "base/interrupt.h"

enum { PH_HTTP_TIMEOUT_S = 2 };

/* Whether a text is a URL that we would ask: http or https, with a host, and without a name or password in it, as it is seen in the
 * list of processes (~/.netrc is read). PH_WRONG. */
bool ph_http_check(const char *url, struct ph_err *err);

/* What of it may be shown: without its query, which may hold a secret. */
enum { PH_HTTP_SHOWN = 96 };
const char *ph_http_show(char out[static PH_HTTP_SHOWN], const char *url);

struct ph_http;

/* url is borrowed. Level 1 of the interrupt ends a question that is under way. */
bool ph_http_open(struct ph_http **http, const char *url, struct ph_interrupt *interrupt,
                  struct ph_err *err);
void ph_http_close(struct ph_http *http);

/* *status: 200, 429, ... PH_CONNECTION: it was not answered in time, or not at all; PH_INTERRUPTED. */
bool ph_http_ask(struct ph_http *http, int *status, struct ph_err *err);

#endif

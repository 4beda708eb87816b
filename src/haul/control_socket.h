/* The Unix socket of a run's control, both ends.
 *
 * A request is lines: "keep" or "now", then one word a line; the end is the end of the stream. The answer is one JSON object. The
 * directory's mode (0700) and the socket's (0600) say who may; the kernel says who it was (SO_PEERCRED). A socket's path may have 107
 * bytes only, so both ends go there by way of the open directory: /proc/self/fd/N/control.sock.
 */
#ifndef PH_HAUL_CONTROL_SOCKET_H
#define PH_HAUL_CONTROL_SOCKET_H

#include "haul/control.h"

enum { PH_CONTROL_WORDS = 16, PH_CONTROL_REQUEST = 2048 };

bool ph_control_socket_open(struct ph_control *control, struct ph_err *err);
void ph_control_socket_close(struct ph_control *control);

/* Body of the thread that answers. */
void *ph_control_socket_main(void *control);

/* What a request is answered with; malloc'ed (control.c). */
char *ph_control_answer(struct ph_control *control, const char *const *words, int n, bool keep,
                        const char *who);

#endif

/* What the other end of a descriptor can show, and texts cut to fit it. */
#ifndef PH_CLI_TERM_H
#define PH_CLI_TERM_H

#include <stdbool.h>

#include "base/buf.h"

struct ph_term {
    bool living; /* a terminal that can move its cursor */
    bool color;  /* NO_COLOR and TERM=dumb are respected */
    bool utf8;   /* as the environment's locale says */
    int width, height;
};

/* Looks at a descriptor; call it again for the size after a resize. */
void ph_term_look(struct ph_term *term, int fd);

/* Columns that a text takes; colour sequences take none. */
int ph_term_columns(const char *text);

/* Appends at most `columns` columns of a text, cut with an ellipsis, and spaces up to them when
 * `pad`. */
void ph_term_fit(struct ph_buf *out, const char *text, int columns, bool pad, bool utf8);

/* Appends a text that comes from elsewhere, with control characters made visible as '?'. */
void ph_term_safe(struct ph_buf *out, const char *text);

/* Writes all of it. False with errno when it cannot. */
bool ph_term_write(int fd, const char *bytes, size_t n);

#endif

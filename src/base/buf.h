/* A growable string: for SQL texts, JSON and messages.
 *
 * Zero-initialise it, add to it, read `data` (always terminated, never NULL after the first add),
 * free it with ph_buf_fini(). Running out of memory for such small things ends the process with
 * abort(): there is no state worth saving that the ledger does not have already.
 */
#ifndef PH_BASE_BUF_H
#define PH_BASE_BUF_H

#include <stddef.h>
#include <stdarg.h>

struct ph_buf {
    char *data;
    size_t len;
    size_t cap;
};

void ph_buf_add(struct ph_buf *buf, const char *text);
void ph_buf_addn(struct ph_buf *buf, const char *bytes, size_t n);
void ph_buf_addc(struct ph_buf *buf, char c);
void ph_buf_addf(struct ph_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_buf_vaddf(struct ph_buf *buf, const char *fmt, va_list ap);

/* Adds bytes of any encoding as UTF-8, each as the character of its number (as if they were LATIN1): for JSON. */
void ph_buf_add_bytes(struct ph_buf *buf, const char *bytes);

/* Empties it and keeps the memory. */
void ph_buf_clear(struct ph_buf *buf);

/* Frees the memory; the struct can be used again. */
void ph_buf_fini(struct ph_buf *buf);

/* The text, "" when nothing was added. */
const char *ph_buf_text(const struct ph_buf *buf);

#endif

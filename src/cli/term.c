#include "cli/term.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/names.h"

static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

void ph_term_look(struct ph_term *term, int fd)
{
    const char *kind = getenv("TERM"), *no_color = getenv("NO_COLOR");
    struct winsize size = {0};
    *term = (struct ph_term){.width = 80, .height = 24, .utf8 = locale_is_utf8()};
    if (!isatty(fd))
        return;
    term->living = kind && *kind && strcmp(kind, "dumb") != 0;
    term->color = term->living && !(no_color && *no_color);
    if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
        if (size.ws_col > 0)
            term->width = size.ws_col;
        if (size.ws_row > 0)
            term->height = size.ws_row;
    }
}

/* East Asian wide and emoji, by blocks: enough for names of tables. */
static int columns_of(uint32_t c)
{
    static const struct {
        uint32_t from, to;
        int columns;
    } blocks[] = {
        {0x0300, 0x036f, 0}, {0x1100, 0x115f, 2}, {0x200b, 0x200f, 0},   {0x2e80, 0xa4cf, 2},
        {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2}, {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2}, {0x1f300, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (c >= blocks[i].from && c <= blocks[i].to)
            return blocks[i].columns;
    return 1;
}

/* Length of what stands at p: a colour sequence (no columns), a character, or one stray byte. */
static size_t step(const char *p, int *columns)
{
    if (*p == '\033') {
        size_t n = strcspn(p, "m");
        *columns = 0;
        return p[n] ? n + 1 : n;
    }
    const unsigned char *u = (const unsigned char *)p;
    size_t n = ph_text_char(p, strlen(p));
    uint32_t c = n <= 1 ? u[0] : u[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (u[i] & 0x3fu);
    *columns = n == 0 ? 1 : columns_of(c);
    return n ? n : 1;
}

int ph_term_columns(const char *text)
{
    int total = 0, columns = 0;
    for (; *text; total += columns)
        text += step(text, &columns);
    return total;
}

void ph_term_fit(struct ph_buf *out, const char *text, int columns, bool pad, bool utf8)
{
    int used = 0, next = 0;
    bool cut = ph_term_columns(text) > columns;
    const char *mark = utf8 ? "\u2026" : "~";
    while (*text) {
        size_t n = step(text, &next);
        if (used + next > columns - cut)
            break;
        ph_buf_addn(out, text, n);
        used += next;
        text += n;
    }
    if (cut && columns > 0) {
        ph_buf_add(out, mark);
        used++;
    }
    for (; pad && used < columns; used++)
        ph_buf_addc(out, ' ');
}

void ph_term_safe(struct ph_buf *out, const char *text)
{
    while (*text) {
        const unsigned char *u = (const unsigned char *)text;
        size_t n = ph_text_char(text, strlen(text));
        bool control = n == 0 || u[0] < 0x20 || u[0] == 0x7f || (u[0] == 0xc2 && u[1] < 0xa0);
        if (control)
            ph_buf_addc(out, '?');
        else
            ph_buf_addn(out, text, n);
        text += n ? n : 1;
    }
}

bool ph_term_write(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, 1000);
            continue;
        }
        if (done <= 0)
            return false;
        bytes += done;
        n -= (size_t)done;
    }
    return true;
}

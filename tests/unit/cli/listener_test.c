#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/listener.h"

TEST(it_listens_on_loopback_only)
{
    static const char *const right[] = {"9187", "127.0.0.1:0", "127.9.9.9:1", "localhost:65535",
                                        "[::1]:80"};
    static const char *const wrong[] = {
        "",        "x",      "65536",          "-1",   "0.0.0.0:80", ":80",
        "[::]:80", "::1:80", "192.168.1.1:80", "h:80", "127.0.0.1"};
    struct ph_err err;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        if (!ph_listener_check(right[i], &err))
            fail_msg("%s: %s", right[i], err.text);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (ph_listener_check(wrong[i], &err))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(err.code, PH_WRONG);
    }
}

static void page(void *arg, struct ph_buf *out)
{
    ph_buf_addf(out, "asked %d times\n", ++*(int *)arg);
}

static int call(struct ph_listener *l, const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)strtol(
                                 ph_listener_url(l) + strlen("http://127.0.0.1:"), NULL, 10))};
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_true(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
    return fd;
}

static const char *ask(struct ph_listener *l, const char *request)
{
    static char answer[8192];
    size_t len = 0;
    ssize_t n = 1;
    int fd = call(l, request);
    ph_listener_serve(l); /* one turn is enough for a question that has come whole */
    while (n > 0 && len < sizeof answer - 1) {
        n = recv(fd, answer + len, sizeof answer - 1 - len, len ? MSG_DONTWAIT : 0);
        len += n > 0 ? (size_t)n : 0;
    }
    answer[len] = '\0';
    close(fd);
    return answer;
}

TEST(who_asks_is_answered_by_the_next_turn)
{
    struct ph_listener *l, *second;
    struct ph_err err;
    int asked = 0;
    assert_true(ph_listener_open(&l, "0", page, &asked, &err));
    const char *got = ask(l, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_contains(got, "HTTP/1.1 200");
    assert_contains(got, "version=0.0.4");
    assert_contains(got, "asked 1 times\n");
    assert_contains(ask(l, "GET /metrics HTTP/1.0\r\n\r\n"), "asked 2 times\n");
    assert_contains(ask(l, "GET / HTTP/1.0\r\n\r\n"), " 404 ");
    assert_contains(ask(l, "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
                    " 405 ");
    assert_contains(ask(l, "rm -rf\r\n\r\n"), " 400 ");
    assert_int_equal(asked, 2);
    const char *where = ph_listener_url(l) + strlen("http://");
    char place[64];
    snprintf(place, sizeof place, "%.*s", (int)strcspn(where, "/"), where);
    assert_false(ph_listener_open(&second, place, page, &asked, &err));
    assert_int_equal(err.code, PH_WRONG);
    assert_contains(err.text, "in use");
    ph_listener_close(l);
}

TEST(who_says_nothing_holds_nobody_up)
{
    struct ph_listener *l;
    struct ph_err err;
    int asked = 0, silent[40];
    assert_true(ph_listener_open(&l, "127.0.0.1:0", page, &asked, &err));
    for (int i = 0; i < 8; i++)
        silent[i] = call(l, "GET /met");
    assert_contains(ask(l, "GET /metrics HTTP/1.0\r\n\r\n"), "asked 1 times\n");
    for (int i = 0; i < 8; i++)
        close(silent[i]);
    ph_listener_serve(NULL);
    ph_listener_close(l);
}

int main(void)
{
    return RUN(cmocka_unit_test(it_listens_on_loopback_only),
               cmocka_unit_test(who_asks_is_answered_by_the_next_turn),
               cmocka_unit_test(who_says_nothing_holds_nobody_up));
}

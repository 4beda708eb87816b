#include "unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/http.h"

TEST(a_url_has_a_scheme_and_a_host_and_no_password)
{
    static const char *const right[] = {"http://localhost:80/go", "HTTPS://h",
                                        "http://[::1]/?a=b@c"};
    static const char *const wrong[] = {
        "",          "localhost:80", "ftp://h/", "file:///etc/passwd",
        "http:///x", "http://a b",   "http://?q"};
    struct ph_err err;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        if (!ph_http_check(right[i], &err))
            fail_msg("%s: %s", right[i], err.text);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (ph_http_check(wrong[i], &err))
            fail_msg("\"%s\" was taken", wrong[i]);
    assert_false(ph_http_check("https://me:sesame@host/", &err));
    assert_contains(err.hint, ".netrc");
    assert_null(strstr(err.text, "sesame"));
}

TEST(what_is_shown_of_a_url_ends_before_its_query)
{
    char shown[PH_HTTP_SHOWN], longer[300] = "http://h/";
    assert_string_equal(ph_http_show(shown, "http://h:1/go?token=sesame"), "http://h:1/go");
    memset(longer + 9, 'x', sizeof longer - 10);
    assert_int_equal(strlen(ph_http_show(shown, longer)), PH_HTTP_SHOWN - 1);
}

/* A server that answers each connection with the next text, and then with silence. */
struct server {
    int fd;
    char url[64];
    const char *const *answers;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    for (;;) {
        char request[4096];
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (*s->answers && read(fd, request, sizeof request) > 0)
            assert_true(write(fd, *s->answers, strlen(*s->answers)) > 0);
        else if (!*s->answers)
            continue; /* it stays open, and says nothing */
        s->answers++;
        close(fd);
    }
}

static void begin(struct server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    getsockname(s->fd, (struct sockaddr *)&at, &len);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

TEST(its_status_is_told_and_a_redirect_is_not_followed)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n",
        "220 this is a mail server\r\n", NULL};
    struct server s = {.answers = answers};
    struct ph_interrupt it;
    struct ph_http *http;
    struct ph_err err;
    int status;
    begin(&s);
    assert_true(ph_interrupt_init(&it, &err));
    assert_true(ph_http_open(&http, s.url, &it, &err));
    const int wanted[] = {200, 429, 302};
    for (int i = 0; i < 3; i++) {
        assert_true(ph_http_ask(http, &status, &err));
        assert_int_equal(status, wanted[i]);
    }
    assert_false(ph_http_ask(http, &status, &err));
    assert_int_equal(err.code, PH_CONNECTION);
    ph_http_close(http);
    ph_interrupt_fini(&it);
    end(&s);
}

static void *raise_soon(void *it)
{
    usleep(100000);
    ph_interrupt_raise(it);
    return NULL;
}

TEST(silence_ends_by_its_time_or_by_an_interrupt)
{
    static const char *const nothing[] = {NULL};
    struct server s = {.answers = nothing};
    struct ph_interrupt it;
    struct ph_http *http;
    struct ph_err err;
    pthread_t thread;
    int status;
    begin(&s);
    assert_true(ph_interrupt_init(&it, &err));
    assert_true(ph_http_open(&http, s.url, &it, &err));
    double before = ph_clock_s();
    assert_false(ph_http_ask(http, &status, &err));
    assert_int_equal(err.code, PH_CONNECTION);
    double took = ph_clock_s() - before;
    assert_true(took > PH_HTTP_TIMEOUT_S - 0.1 && took < PH_HTTP_TIMEOUT_S + 1.5);
    assert_int_equal(pthread_create(&thread, NULL, raise_soon, &it), 0);
    assert_false(ph_http_ask(http, &status, &err));
    assert_int_equal(err.code, PH_INTERRUPTED);
    pthread_join(thread, NULL);
    ph_http_close(http);
    ph_interrupt_fini(&it);
    end(&s);
}

int main(void)
{
    return RUN(cmocka_unit_test(a_url_has_a_scheme_and_a_host_and_no_password),
               cmocka_unit_test(what_is_shown_of_a_url_ends_before_its_query),
               cmocka_unit_test(its_status_is_told_and_a_redirect_is_not_followed),
               cmocka_unit_test(silence_ends_by_its_time_or_by_an_interrupt));
}

#include "io/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

struct ph_http {
    CURL *curl;
    struct ph_interrupt *interrupt;
    char error[CURL_ERROR_SIZE];
};

/* The authority: what stands between the scheme and the path. NULL: no URL of ours. */
static const char *authority(const char *url, size_t *len)
{
    size_t scheme = !strncasecmp(url, "http://", 7) ? 7 : !strncasecmp(url, "https://", 8) ? 8 : 0;
    *len = strcspn(url + scheme, "/?#");
    return scheme ? url + scheme : NULL;
}

bool ph_http_check(const char *url, struct ph_err *err)
{
    size_t len;
    const char *host = authority(url, &len);
    if (!host || len == 0 || strpbrk(url, " \t\r\n"))
        return ph_err_set(err, PH_WRONG, "it is not a URL of http or https");
    if (memchr(host, '@', len)) {
        ph_err_set(err, PH_WRONG, "a name or password in a URL is seen by everybody");
        return ph_err_hint(err, "put it into ~/.netrc");
    }
    return true;
}

const char *ph_http_show(char out[static PH_HTTP_SHOWN], const char *url)
{
    int len = (int)strcspn(url, "?#");
    snprintf(out, PH_HTTP_SHOWN, "%.*s", len, url);
    return out;
}

static size_t forget(char *data, size_t size, size_t n, void *arg)
{
    (void)data, (void)arg;
    return size * n;
}

static int is_over(void *http, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return ph_interrupt_at(((struct ph_http *)http)->interrupt, 1);
}

static bool set_up(struct ph_http *h, const char *url)
{
    CURL *c = h->curl;
    return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && /* there are other threads */
           curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, PH_HTTP_TIMEOUT_S * 1000L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "pghaul/" PGHAUL_VERSION) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, forget) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, is_over) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_XFERINFODATA, h) == CURLE_OK;
}

bool ph_http_open(struct ph_http **http, const char *url, struct ph_interrupt *interrupt,
                  struct ph_err *err)
{
    struct ph_http *h = calloc(1, sizeof *h);
    if (!h)
        return ph_err_nomem(err);
    h->interrupt = interrupt;
    h->curl = curl_easy_init();
    if (!h->curl || !set_up(h, url)) {
        ph_http_close(h);
        return ph_err_set(err, PH_FAILED, "libcurl cannot be set up");
    }
    *http = h;
    return true;
}

void ph_http_close(struct ph_http *h)
{
    if (h)
        curl_easy_cleanup(h->curl);
    free(h);
}

bool ph_http_ask(struct ph_http *h, int *status, struct ph_err *err)
{
    long code = 0;
    *h->error = '\0';
    CURLcode got = curl_easy_perform(h->curl);
    if (got == CURLE_ABORTED_BY_CALLBACK)
        return ph_err_set(err, PH_INTERRUPTED, "interrupted");
    if (got != CURLE_OK)
        return ph_err_set(err, PH_CONNECTION, "%s", *h->error ? h->error : curl_easy_strerror(got));
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &code);
    *status = (int)code;
    return true;
}

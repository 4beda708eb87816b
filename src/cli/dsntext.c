#include "cli/dsntext.h"

#include <string.h>

#include "base/buf.h"

/* The text behind postgresql:// or postgres://, NULL when it is no URI. */
static const char *after_scheme(const char *text)
{
    static const char *const schemes[] = {"postgresql://", "postgres://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (!strncmp(text, schemes[i], strlen(schemes[i])))
            return text + strlen(schemes[i]);
    return NULL;
}

/* Where the parameters of a URI begin (its ?, or the end). A ? inside the user's part belongs to
 * that. */
static const char *parameters(const char *p)
{
    size_t user = strcspn(p, "@/");
    return p + user + strcspn(p + user, "?");
}

bool ph_dsntext_check(const char *text, struct ph_err *err)
{
    const char *p = after_scheme(text);
    if (!p)
        return true;
    const char *end = parameters(p);
    const char *at = memchr(p, '@', (size_t)(end - p));
    if (!at || !memchr(at + 1, '@', (size_t)(end - at - 1)))
        return true;
    ph_err_set(err, PH_WRONG, "the connection URI has more than one @");
    return ph_err_hint(err, "percent-encode an @ within user, password or database: %%40");
}

static bool is_secret_key(const char *key, size_t len)
{
    return (len == 8 && !strncmp(key, "password", 8)) ||
           (len == 11 && !strncmp(key, "sslpassword", 11));
}

static const char *clean_uri(struct ph_arena *arena, const char *text, const char *p)
{
    struct ph_buf out = {0};
    const char *end = parameters(p), *at = memchr(p, '@', (size_t)(end - p));
    ph_buf_addn(&out, text, (size_t)(p - text));
    if (at) {
        const char *colon = memchr(p, ':', (size_t)(at - p));
        ph_buf_addn(&out, p, (size_t)((colon ? colon : at) - p));
        p = at;
    }
    ph_buf_addn(&out, p, (size_t)(end - p));
    char joint = '?';
    for (p = end; *p;) {
        p++;
        size_t len = strcspn(p, "&");
        if (!is_secret_key(p, strcspn(p, "=&"))) {
            ph_buf_addc(&out, joint);
            ph_buf_addn(&out, p, len);
            joint = '&';
        }
        p += len;
    }
    char *result = ph_arena_strdup(arena, ph_buf_text(&out));
    ph_buf_fini(&out);
    return result;
}

/* The end of a value in a keyword string: 'quoted', or up to a space; a backslash takes the next
 * one along. */
static const char *value_end(const char *p)
{
    bool quoted = *p == '\'';
    if (quoted)
        p++;
    for (; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (quoted ? *p == '\'' : strchr(" \t\n\r\f\v", *p) != NULL)
            return quoted ? p + 1 : p;
    }
    return quoted ? NULL : p;
}

static const char *clean_keywords(struct ph_arena *arena, const char *text)
{
    static const char spaces[] = " \t\n\r\f\v";
    struct ph_buf out = {0};
    const char *p = text + strspn(text, spaces);
    while (p && *p) {
        const char *key = p;
        size_t len = strcspn(p, "= \t\n\r\f\v");
        p += len + strspn(p + len, spaces);
        if (*p != '=')
            p = NULL;
        else
            p = value_end(p + 1 + strspn(p + 1, spaces));
        if (!p)
            break;
        if (!is_secret_key(key, len)) {
            if (out.len)
                ph_buf_addc(&out, ' ');
            ph_buf_addn(&out, key, (size_t)(p - key));
        }
        p += strspn(p, spaces);
    }
    char *result = p ? ph_arena_strdup(arena, ph_buf_text(&out)) : NULL;
    ph_buf_fini(&out);
    return result;
}

const char *ph_dsntext_without_password(struct ph_arena *arena, const char *text)
{
    const char *p = after_scheme(text);
    if (p)
        return clean_uri(arena, text, p);
    return strchr(text, '=') ? clean_keywords(arena, text) : ph_arena_strdup(arena, text);
}

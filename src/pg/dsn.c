/* Connection strings: parsed once, shown without secrets. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pg/internal.h"

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (!strcmp(o->keyword, keyword))
            return o->val && *o->val ? o->val : NULL;
    return NULL;
}

/* The text for people. Host and user come from the string itself, which may be a mistyped URI with
 * half a password in its host; that case is refused before (see cli), the rest is safe to show. */
char *ph_dsn_show(const PQconninfoOption *options, const char *service)
{
    struct ph_buf buf = {0};
    const char *db = value_of(options, "dbname");
    const char *host = value_of(options, "host");
    const char *port = value_of(options, "port");
    const char *user = value_of(options, "user");
    const char *name = db ? db : service ? NULL : user ? user : "?";
    if (name)
        ph_buf_add(&buf, name);
    if (host)
        ph_buf_addf(&buf, "%sat %s", buf.len ? " " : "", host);
    if (port && strcmp(port, DEF_PGPORT_TEXT) != 0)
        ph_buf_addf(&buf, "%s%s", host ? ":" : buf.len ? " port " : "port ", port);
    if (user)
        ph_buf_addf(&buf, "%sas %s", buf.len ? " " : "", user);
    if (service)
        ph_buf_addf(&buf, buf.len ? " (service %s)" : "service %s", service);
    return buf.data;
}

/* A password, or that of a key file. */
static bool has_secret(const PQconninfoOption *options)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (*o->dispchar == '*' && o->val && *o->val)
            return true;
    return false;
}

static PQconninfoOption *with_defaults(const PQconninfoOption *given)
{
    PQconninfoOption *all = PQconndefaults();
    for (PQconninfoOption *o = all; o && o->keyword; o++) {
        const char *own = value_of(given, o->keyword);
        if (own) {
            PQfreemem(o->val);
            o->val = strdup(own);
        }
    }
    return all;
}

bool ph_dsn_parse(struct ph_dsn **out, const char *side, const char *text, struct ph_err *err)
{
    char *message = NULL;
    PQconninfoOption *given = NULL;
    struct ph_buf plain = {0};
    bool is_name = *text && !strchr(text, '=') && !strstr(text, "://");
    if (is_name) {
        /* psql's habit: a plain word is the name of a database */
        ph_buf_add(&plain, "dbname='");
        for (const char *p = text; *p; p++) {
            if (*p == '\'' || *p == '\\')
                ph_buf_addc(&plain, '\\');
            ph_buf_addc(&plain, *p);
        }
        ph_buf_addc(&plain, '\'');
    }
    given = PQconninfoParse(is_name ? plain.data : text, &message);
    ph_buf_fini(&plain);
    if (!given) {
        /* libpq's own text echoes pieces of the string, perhaps of a password: not shown */
        PQfreemem(message);
        ph_err_set(err, PH_WRONG, "the %s connection string is malformed", side);
        return ph_err_hint(
            err, "it is a URI (postgresql://user@host:port/db, special characters as %%XX) or "
                 "keywords (host=... port=... dbname=... user=...), as psql takes it");
    }
    PQconninfoOption *all = with_defaults(given);
    struct ph_dsn *dsn = calloc(1, sizeof *dsn);
    if (!dsn || !all) {
        PQconninfoFree(given);
        PQconninfoFree(all);
        free(dsn);
        return ph_err_nomem(err);
    }
    dsn->side = strdup(side);
    dsn->given = given;
    /* what a service file says is known when a connection has read it, and defaults are no guess */
    dsn->shown = ph_dsn_show(value_of(given, "service") ? given : all, value_of(all, "service"));
    dsn->has_password = has_secret(given);
    dsn->gss_given = value_of(all, "gssencmode") && value_of(given, "gssencmode");
    PQconninfoFree(all);
    *out = dsn;
    return true;
}

static void add_quoted(struct ph_buf *out, const char *keyword, const char *value)
{
    ph_buf_addf(out, " %s='", keyword);
    for (const char *p = value; *p; p++) {
        if (*p == '\'' || *p == '\\')
            ph_buf_addc(out, '\\');
        ph_buf_addc(out, *p);
    }
    ph_buf_addc(out, '\'');
}

bool ph_dsn_with(struct ph_dsn **out, const struct ph_dsn *dsn, const char *keyword,
                 const char *value, struct ph_err *err)
{
    struct ph_buf text = {0};
    for (const PQconninfoOption *o = dsn->given; o && o->keyword; o++)
        if (o->val && *o->val && strcmp(o->keyword, keyword) != 0)
            add_quoted(&text, o->keyword, o->val);
    if (value)
        add_quoted(&text, keyword, value);
    bool ok = ph_dsn_parse(out, dsn->side, ph_buf_text(&text), err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    ph_buf_fini(&text);
    return ok;
}

const char *ph_dsn_get(const struct ph_dsn *dsn, const char *keyword)
{
    return value_of(dsn->given, keyword);
}

void ph_dsn_free(struct ph_dsn *dsn)
{
    if (!dsn)
        return;
    for (PQconninfoOption *o = dsn->given; o && o->keyword; o++)
        if (o->val && *o->dispchar == '*')
            explicit_bzero(o->val, strlen(o->val));
    PQconninfoFree(dsn->given);
    free(dsn->side);
    free(dsn->shown);
    free(dsn);
}

const char *ph_dsn_shown(const struct ph_dsn *dsn)
{
    return dsn->shown;
}

const char *ph_dsn_side(const struct ph_dsn *dsn)
{
    return dsn->side;
}

bool ph_dsn_has_password(const struct ph_dsn *dsn)
{
    return dsn->has_password;
}

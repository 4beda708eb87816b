/* Errors of libpq and of servers, as ours: the one place that decides by SQLSTATE what an error means,
 * and that keeps rows' values out of its text.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/internal.h"

static atomic_bool show_data;

void ph_conn_show_data(bool on)
{
    atomic_store(&show_data, on);
}

/* The one place that decides, by SQLSTATE, what an error of a server means for us. */
static void classify(struct ph_err *err)
{
    static const char *const lost[] = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"};
    static const char *const again[] = {
        "40001", "40P01", "40003", /* serialization, deadlock, completion unknown */
        "55P03", "55006",          /* lock not available, object in use */
        "57014",                   /* canceled by somebody */
        "53300", "53200", "53400", /* connections, memory, configuration limit */
    };
    const char *state = err->sqlstate;
    if (!strncmp(state, "08", 2))
        err->code = PH_CONNECTION;
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
        if (!strcmp(state, lost[i]))
            err->code = PH_CONNECTION;
    err->transient = err->code == PH_CONNECTION;
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        if (!strcmp(state, again[i]))
            err->transient = true;
}

/* Quotation marks that servers put around values, in all their languages. */
static const char *const quotes[] = {"\"",     "'",      "`",      "\u00ab", "\u00bb",
                                     "\u201e", "\u201c", "\u201d", "\u2018", "\u2019",
                                     "\u2039", "\u203a", "\u300c", "\u300d"};

static size_t quote_at(const char *p)
{
    for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++)
        if (!strncmp(p, quotes[i], strlen(quotes[i])))
            return strlen(quotes[i]);
    return 0;
}

/* Messages of class 22 (data exceptions) quote the offending value: what stands between the first and
 * the last quotation mark goes. Encoding names are quoted too, and stay. What a function raises (class
 * P0) may say anything. */
static void hide_values(char *out, size_t size, const char *message, const char *state)
{
    static const char *const harmless[] = {"22021", "22P05", "22023"};
    bool hide = !strncmp(state, "22", 2) && !atomic_load(&show_data);
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        hide = hide && strcmp(state, harmless[i]) != 0;
    if (!strncmp(state, "P0", 2) && !atomic_load(&show_data)) {
        snprintf(out, size, "a trigger or function raised an error (--show-data shows its text)");
        return;
    }
    const char *first = NULL, *behind = NULL;
    for (const char *p = message; *p && hide; p++) {
        size_t n = quote_at(p);
        if (n && !first)
            first = p;
        if (n)
            behind = p + n;
    }
    if (first)
        snprintf(out, size, "%.*s\"...\"%s", (int)(first - message), message, behind);
    else
        snprintf(out, size, "%s", message);
}

/* COPY's context says line, column and the value: keep the first two. */
static void add_copy_place(struct ph_err *err, const PGresult *result)
{
    const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);
    const char *line = context ? strstr(context, ", line ") : NULL;
    if (!line || strncmp(context, "COPY ", 5) != 0)
        return;
    char place[128];
    size_t n = 0;
    for (const char *p = line + 2; *p && *p != ':' && *p != '\n' && n + 1 < sizeof place; p++)
        place[n++] = *p;
    place[n] = '\0';
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, " (row of the shard: %s)", place);
}

/* "COPY name, line 5, column b: ...", in whatever language: the first number behind the first comma. The name's is told from
 * it where it has no comma itself. */
static uint64_t copy_row(const PGresult *result)
{
    const char *context = result ? PQresultErrorField(result, PG_DIAG_CONTEXT) : NULL;
    const char *comma = context && !strncmp(context, "COPY ", 5) ? strchr(context, ',') : NULL;
    return comma ? strtoull(comma + strcspn(comma, "0123456789\n"), NULL, 10) : 0;
}

uint64_t ph_conn_copy_row(const struct ph_conn *conn)
{
    return conn->copy_row;
}

bool ph_conn_error(struct ph_conn *conn, const PGresult *result, struct ph_err *err)
{
    struct ph_err local;
    if (!err)
        err = &local;
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    conn->copy_row = copy_row(result);
    if (PQstatus(conn->pg) == CONNECTION_BAD)
        conn->broken = true;
    if (!state) {
        char text[PH_ERR_TEXT];
        snprintf(text, sizeof text, "%s", PQerrorMessage(conn->pg));
        text[strcspn(text, "\n")] = '\0';
        conn->broken = true;
        ph_err_set(err, PH_CONNECTION, "connection to the %s lost%s%s", conn->side,
                   *text ? ": " : "", text);
        err->transient = true;
        return false;
    }
    char text[PH_ERR_TEXT];
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    hide_values(text, sizeof text, primary ? primary : "unknown error", state);
    ph_err_set(err, PH_FAILED, "%s says: %s (SQLSTATE %s)", conn->side, text, state);
    snprintf(err->sqlstate, sizeof err->sqlstate, "%s", state);
    classify(err);
    add_copy_place(err, result);
    if (detail && atomic_load(&show_data))
        ph_err_hint(err, "%s", detail);
    else if (detail && !strncmp(state, "23", 2))
        ph_err_hint(err, "--show-data shows the row's key");
    if (conn->broken) {
        err->code = PH_CONNECTION;
        err->transient = true;
    }
    return false;
}

/* Errors of libpq and of servers, as ours: the one place that decides by SQLSTATE what an error means,
 * and that keeps rows' values out of its text.
 */
#include <stdatomic.h>
#include <stdio.h>
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

/* Messages of class 22 (data exceptions) quote the offending value. Encoding names are quoted too,
 * and stay. */
static void hide_values(char *out, size_t size, const char *message, const char *state)
{
    bool hide = !strncmp(state, "22", 2) && strcmp(state, "22021") != 0 &&
                strcmp(state, "22P05") != 0 && strcmp(state, "22023") != 0 &&
                !atomic_load(&show_data);
    size_t n = 0;
    for (const char *p = message; *p && n + 8 < size; p++) {
        out[n++] = *p;
        if (!hide || *p != '"')
            continue;
        const char *last = strrchr(p, '"');
        if (last > p) {
            memcpy(out + n, "...", 3);
            n += 3;
            p = last - 1;
        }
    }
    out[n] = '\0';
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

bool ph_conn_error(struct ph_conn *conn, const PGresult *result, struct ph_err *err)
{
    struct ph_err local;
    if (!err)
        err = &local;
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
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

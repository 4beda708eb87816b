#include "plan/sqltext.h"

#include <stddef.h>
#include <string.h>

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
    return is_word_start(c) || (c >= '0' && c <= '9') || c == '$';
}

/* Behind the closing quote; a doubled quote does not close, nor does \' in an E'' string. */
static const char *skip_quoted(const char *p, char quote, bool backslashes)
{
    for (p++; *p; p++) {
        if (backslashes && *p == '\\' && p[1])
            p++;
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return p;
}

/* Comments nest. */
static const char *skip_comment(const char *p)
{
    int depth = 0;
    for (; *p; p++) {
        if (p[0] == '/' && p[1] == '*') {
            depth++;
            p++;
        } else if (p[0] == '*' && p[1] == '/') {
            p++;
            if (--depth == 0)
                return p + 1;
        }
    }
    return p;
}

/* $tag$ ... $tag$; a lone dollar sign is a sign like any other. */
static const char *skip_dollar(const char *p)
{
    const char *end = p + 1;
    while (is_word(*end) && *end != '$')
        end++;
    if (*end != '$')
        return p + 1;
    size_t tag = (size_t)(end + 1 - p);
    for (const char *q = end + 1; *q; q++)
        if (!strncmp(q, p, tag))
            return q + tag;
    return p + strlen(p);
}

static const char *skip_space(const char *p)
{
    for (;;) {
        if (*p == ' ' || (*p >= '\t' && *p <= '\r'))
            p++;
        else if (p[0] == '-' && p[1] == '-')
            p += strcspn(p, "\n");
        else if (p[0] == '/' && p[1] == '*')
            p = skip_comment(p);
        else
            return p;
    }
}

static const char *take_word(struct ph_sqltext *text, const char *p, struct ph_arena *arena)
{
    bool quoted = *p == '"';
    const char *end = p;
    if (quoted)
        end = skip_quoted(p, '"', false);
    else
        while (is_word(*end))
            end++;
    char *word = ph_arena_alloc(arena, (size_t)(end - p) + 1);
    size_t n = 0;
    for (const char *q = quoted ? p + 1 : p; q < end; q++) {
        if (quoted && *q == '"') {
            if (q[1] != '"' || q + 1 >= end)
                break;
            q++;
        }
        word[n++] = !quoted && *q >= 'A' && *q <= 'Z' ? (char)(*q - 'A' + 'a') : *q;
    }
    text->word = word;
    return end;
}

bool ph_sqltext_next(struct ph_sqltext *text, struct ph_arena *arena)
{
    const char *p = text->p;
    for (p = skip_space(p); *p; p = skip_space(p)) {
        if (*p == '\'') {
            p = skip_quoted(p, '\'', false);
        } else if ((*p == 'e' || *p == 'E') && p[1] == '\'') {
            p = skip_quoted(p + 1, '\'', true);
        } else if (*p == '$') {
            p = skip_dollar(p);
        } else if (*p >= '0' && *p <= '9') {
            while (is_word(*p))
                p++;
        } else if (*p == '"' || is_word_start(*p)) {
            p = skip_space(take_word(text, p, arena));
            text->is_call = *p == '(';
            text->p = p;
            return true;
        } else {
            p++;
        }
    }
    text->p = p;
    return false;
}

bool ph_sqltext_mentions(const char *sql, const char *name, struct ph_arena *arena)
{
    struct ph_sqltext text = {.p = sql};
    while (ph_sqltext_next(&text, arena))
        if (!strcmp(text.word, name))
            return true;
    return false;
}

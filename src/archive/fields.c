#include "archive/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

static const char *const texts_names[] = {"utf-8", "bytes"};

const char *ph_texts_name(const struct ph_texts *texts)
{
    return texts_names[texts->bytes];
}

/* Each byte becomes the code point of its number. */
static json_t *bytes_json(const char *text)
{
    struct ph_buf buf = {0};
    ph_buf_add_bytes(&buf, text);
    json_t *json = json_string(ph_buf_text(&buf));
    ph_buf_fini(&buf);
    return json;
}

json_t *ph_texts_json(struct ph_texts *texts, const char *text)
{
    if (!text)
        return json_null();
    json_t *json = texts->bytes ? bytes_json(text) : json_string(text);
    if (json)
        return json;
    texts->failed = true;
    return json_null();
}

json_t *ph_texts_list(struct ph_texts *texts, const char *const *items, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(array, ph_texts_json(texts, items[i]));
    return array;
}

/* The way back. NULL when a code point is no byte. */
static const char *from_bytes(struct ph_arena *arena, const char *text)
{
    char *out = ph_arena_alloc(arena, strlen(text) + 1), *p = out;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x80) {
            if (c > 0xC3)
                return NULL;
            /* jansson let only whole UTF-8 through, so there is a second byte */
            c = (unsigned char)((c << 6) | ((unsigned char)*++text & 0x3F));
        }
        *p++ = (char)c;
    }
    return out;
}

json_t *ph_fields_load(const char *data, size_t len, struct ph_err *err)
{
    json_error_t why;
    json_t *json = json_loadb(data, len, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        ph_err_set(err, PH_FAILED, "not the JSON that was written: line %d, column %d", why.line,
                   why.column);
    if (json && !json_is_object(json)) {
        ph_err_set(err, PH_FAILED, "not the JSON that was written: no object");
        json_decref(json);
        json = NULL;
    }
    return json;
}

void ph_fields_begin(struct ph_fields *fields, const json_t *object, struct ph_arena *arena,
                     struct ph_err *err, const char *what)
{
    *fields = (struct ph_fields){.object = object, .arena = arena, .err = err};
    snprintf(fields->what, sizeof fields->what, "%s", what);
    if (!json_is_object(object)) {
        fields->failed = true;
        ph_err_set(err, PH_FAILED, "%s is no object", what);
    }
}

void ph_fields_begin_nth(struct ph_fields *fields, const struct ph_fields *outer,
                         const json_t *object, const char *kind, int64_t n)
{
    char what[sizeof fields->what];
    snprintf(what, sizeof what, "%s %" PRId64, kind, n);
    ph_fields_begin(fields, object, outer->arena, outer->err, what);
    fields->bytes = outer->bytes;
}

void ph_fields_complain(struct ph_fields *fields, const char *name, const char *why)
{
    if (!fields->failed)
        ph_err_set(fields->err, PH_FAILED, "the field \"%s\" of the %s %s", name, fields->what,
                   why);
    fields->failed = true;
}

const json_t *ph_fields_get(struct ph_fields *fields, const char *name)
{
    const json_t *value = json_object_get(fields->object, name);
    fields->seen++;
    if (!value)
        ph_fields_complain(fields, name, "is missing");
    return value;
}

int64_t ph_fields_int(struct ph_fields *fields, const char *name, int64_t min, int64_t max)
{
    const json_t *value = ph_fields_get(fields, name);
    if (value && !json_is_integer(value))
        ph_fields_complain(fields, name, "is no whole number");
    int64_t number = json_integer_value(value);
    if (json_is_integer(value) && (number < min || number > max))
        ph_fields_complain(fields, name, "is out of range");
    return fields->failed ? min : number;
}

static const char *text_of(struct ph_fields *fields, const char *name, const json_t *value)
{
    const char *text = json_string_value(value);
    if (!text) {
        ph_fields_complain(fields, name, "is no text");
        return "";
    }
    text = fields->bytes ? from_bytes(fields->arena, text) : ph_arena_strdup(fields->arena, text);
    if (!text)
        ph_fields_complain(fields, name, "has a character that is no byte");
    return text ? text : "";
}

const char *ph_fields_text(struct ph_fields *fields, const char *name)
{
    const json_t *value = ph_fields_get(fields, name);
    return value ? text_of(fields, name, value) : "";
}

const char *ph_fields_name(struct ph_fields *fields, const char *name)
{
    const char *text = ph_fields_text(fields, name);
    if (!*text)
        ph_fields_complain(fields, name, "is empty");
    return text;
}

const char *ph_fields_text_or_null(struct ph_fields *fields, const char *name)
{
    const json_t *value = ph_fields_get(fields, name);
    return !value || json_is_null(value) ? NULL : text_of(fields, name, value);
}

int ph_fields_word(struct ph_fields *fields, const char *name, const char *const *words, int n)
{
    const char *text = ph_fields_text(fields, name);
    for (int i = 0; i < n; i++)
        if (!strcmp(text, words[i]))
            return i;
    ph_fields_complain(fields, name, "is none of the known words");
    return 0;
}

static bool is_hex(const char *text, size_t digits)
{
    return strspn(text, "0123456789abcdef") == digits && !text[digits];
}

const char *ph_fields_hex(struct ph_fields *fields, const char *name, size_t digits)
{
    const char *text = ph_fields_text(fields, name);
    if (!is_hex(text, digits))
        ph_fields_complain(fields, name, "has not the hexadecimal digits that it should have");
    return text;
}

void ph_fields_u128(struct ph_fields *fields, const char *name, uint64_t *high, uint64_t *low)
{
    const char *text = ph_fields_hex(fields, name, 32);
    *high = *low = 0;
    for (int i = 0; !fields->failed && i < 32; i++) {
        unsigned digit = (unsigned)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
        uint64_t *half = i < 16 ? high : low;
        *half = *half << 4 | digit;
    }
}

const char *ph_fields_lsn(struct ph_fields *fields, const char *name)
{
    enum { HALF = 8 }; /* digits, at most */
    const char *text = ph_fields_text_or_null(fields, name);
    if (!text)
        return NULL;
    size_t high = strspn(text, "0123456789ABCDEF");
    size_t low = text[high] == '/' ? strspn(text + high + 1, "0123456789ABCDEF") : 0;
    if (high < 1 || high > HALF || low < 1 || low > HALF || text[high + 1 + low])
        ph_fields_complain(fields, name, "is no LSN");
    return text;
}

const char *ph_fields_time(struct ph_fields *fields, const char *name)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    const char *text = ph_fields_text(fields, name), *p = text;
    for (const char *s = shape; *s; s++, p++)
        if (*s == 'd' ? *p < '0' || *p > '9' : *p != *s) {
            ph_fields_complain(fields, name, "is no time in UTC");
            return text;
        }
    if (*p == '.')
        p += 1 + strspn(p + 1, "0123456789");
    if (strcmp(p, "Z") != 0)
        ph_fields_complain(fields, name, "is no time in UTC");
    return text;
}

const char *const *ph_fields_names(struct ph_fields *fields, const char *name, int *n)
{
    *n = 0;
    const json_t *list = ph_fields_get(fields, name);
    if (list && !json_is_array(list))
        ph_fields_complain(fields, name, "is no list");
    size_t count = json_array_size(list);
    const char **names = ph_arena_calloc(fields->arena, count, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = text_of(fields, name, json_array_get(list, i));
        if (!*names[i])
            ph_fields_complain(fields, name, "has an empty text in it");
    }
    *n = (int)count;
    return names;
}

const char *ph_fields_value(struct ph_fields *fields, const char *name, const json_t *value)
{
    return json_is_null(value) ? NULL : text_of(fields, name, value);
}

bool ph_fields_has(const struct ph_fields *fields, const char *name)
{
    return json_object_get(fields->object, name) != NULL;
}

void ph_fields_texts(struct ph_fields *fields)
{
    fields->bytes = ph_fields_word(fields, "texts", texts_names, 2) == 1;
}

bool ph_fields_end(const struct ph_fields *fields)
{
    if (!fields->failed && json_object_size(fields->object) != fields->seen)
        return ph_err_set(fields->err, PH_FAILED, "the %s has fields that this version has not",
                          fields->what);
    return !fields->failed;
}

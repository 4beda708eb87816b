#include "cli/yamltree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yaml.h>

#include "base/buf.h"
#include "cli/names.h"

enum { MAX_BYTES = 16 << 20, MAX_DEPTH = 8 };

struct reader {
    struct ph_arena *arena;
    const char *name;
    yaml_parser_t parser;
    yaml_event_t event; /* the one in hand */
    bool has_event;
};

static bool wrong_at(const struct reader *r, size_t line, size_t column, const char *what,
                     struct ph_err *err)
{
    return ph_err_set(err, PH_WRONG, "%s:%zu:%zu: %s", r->name, line, column, what);
}

static bool wrong_here(const struct reader *r, const char *what, struct ph_err *err)
{
    return wrong_at(r, r->event.start_mark.line + 1, r->event.start_mark.column + 1, what, err);
}

/* libyaml's problems quote characters and anchors, never a value. */
static bool parser_error(const struct reader *r, struct ph_err *err)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return ph_err_nomem(err);
    struct ph_buf what = {0};
    ph_buf_addf(&what, "not valid YAML: %s", p->problem ? p->problem : "unreadable");
    if (p->context)
        ph_buf_addf(&what, ", %s from line %zu", p->context, p->context_mark.line + 1);
    wrong_at(r, p->problem_mark.line + 1, p->problem_mark.column + 1, ph_buf_text(&what), err);
    ph_buf_fini(&what);
    return false;
}

static bool advance(struct reader *r, struct ph_err *err)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) == 1;
    if (!r->has_event)
        return parser_error(r, err);
    if (r->event.type == YAML_ALIAS_EVENT)
        return wrong_here(r, "aliases (*name) are not taken here: write the value out", err);
    return true;
}

static bool is_null(const yaml_event_t *event)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (!strcmp((const char *)event->data.scalar.value, nulls[i]))
            return true;
    return false;
}

static bool take_scalar(struct reader *r, struct ph_node *node, struct ph_err *err)
{
    const char *value = (const char *)r->event.data.scalar.value;
    if (memchr(value, '\0', r->event.data.scalar.length))
        return wrong_here(r, "a NUL character within a value", err);
    node->kind = is_null(&r->event) ? PH_NODE_NULL : PH_NODE_SCALAR;
    node->text = ph_arena_strdup(r->arena, value);
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct ph_node *x = *(struct ph_node *const *)a, *y = *(struct ph_node *const *)b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->key_line > y->key_line) - (x->key_line < y->key_line);
}

/* A sorted copy, since a map may be as long as 16 MiB allow. */
static bool check_keys(const struct reader *r, const struct ph_node *map, struct ph_err *err)
{
    struct ph_node **all = calloc((size_t)map->n + 1, sizeof *all);
    if (!all)
        return ph_err_nomem(err);
    int n = 0;
    bool ok = true;
    for (struct ph_node *child = map->first; child; child = child->next)
        all[n++] = child;
    qsort(all, (size_t)n, sizeof *all, by_key);
    for (int i = 1; i < n && ok; i++)
        if (!strcmp(all[i - 1]->key, all[i]->key))
            ok = ph_err_set(err, PH_WRONG, "%s:%d:%d: key \"%.64s\" stands twice, first in line %d",
                            r->name, all[i]->key_line, all[i]->key_column, all[i]->key,
                            all[i - 1]->key_line);
    free(all);
    return ok;
}

static bool take_node(struct reader *r, struct ph_node **out, int depth, struct ph_err *err);

/* Children up to the closing event, which is left in hand. */
static bool take_children(struct reader *r, struct ph_node *parent, int depth, struct ph_err *err)
{
    bool map = parent->kind == PH_NODE_MAP;
    yaml_event_type_t end = map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    struct ph_node **tail = &parent->first, key = {0};
    for (;;) {
        if (!advance(r, err))
            return false;
        if (r->event.type == end)
            return !map || check_keys(r, parent, err);
        if (map) {
            if (r->event.type != YAML_SCALAR_EVENT)
                return wrong_here(r, "a key has to be a word", err);
            key = (struct ph_node){.line = (int)r->event.start_mark.line + 1,
                                   .column = (int)r->event.start_mark.column + 1};
            if (!take_scalar(r, &key, err) || !advance(r, err))
                return false;
        }
        if (!take_node(r, tail, depth, err))
            return false;
        (*tail)->key = key.text;
        (*tail)->key_line = key.line;
        (*tail)->key_column = key.column;
        tail = &(*tail)->next;
        parent->n++;
    }
}

/* The node whose first event is in hand. */
static bool take_node(struct reader *r, struct ph_node **out, int depth, struct ph_err *err)
{
    struct ph_node *node = ph_arena_alloc(r->arena, sizeof *node);
    node->line = (int)r->event.start_mark.line + 1;
    node->column = (int)r->event.start_mark.column + 1;
    *out = node;
    if (depth > MAX_DEPTH)
        return wrong_here(r, "nested too deeply", err);
    if (r->event.type == YAML_SCALAR_EVENT)
        return take_scalar(r, node, err);
    node->kind = r->event.type == YAML_MAPPING_START_EVENT ? PH_NODE_MAP : PH_NODE_LIST;
    return take_children(r, node, depth + 1, err);
}

static bool take_document(struct reader *r, struct ph_node **root, struct ph_err *err)
{
    if (!advance(r, err) || !advance(r, err)) /* stream, document */
        return false;
    if (r->event.type == YAML_STREAM_END_EVENT)
        return wrong_at(r, 1, 1, "the file is empty", err);
    if (!advance(r, err) || !take_node(r, root, 0, err))
        return false;
    if (!advance(r, err) || !advance(r, err)) /* end of the document, what follows */
        return false;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return wrong_here(r, "a second document: the file is to have one", err);
    return true;
}

/* Line and column of a byte. */
static bool wrong_byte(const struct reader *r, const char *text, size_t at, struct ph_err *err)
{
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            line++;
            begin = i + 1;
        }
    const char *what = text[at] == '\0'                 ? "a NUL byte: this is no text file"
                       : (unsigned char)text[at] < 0x80 ? "a control character"
                                                        : "not valid UTF-8";
    return wrong_at(r, line, at - begin + 1, what, err);
}

bool ph_yaml_parse(struct ph_arena *arena, const char *name, const char *text, size_t len,
                   struct ph_node **root, struct ph_err *err)
{
    struct reader r = {.arena = arena, .name = name};
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        len -= 3;
    }
    size_t bad = ph_text_bad_byte(text, len, false);
    if (bad < len)
        return wrong_byte(&r, text, bad, err);
    if (!yaml_parser_initialize(&r.parser))
        return ph_err_nomem(err);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    bool ok = take_document(&r, root, err);
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return ok;
}

/* Files
 * ---------------------------------------------------------------------------------------------------------
 */

static bool cannot(const char *verb, const struct ph_yaml_file *file, struct ph_err *err)
{
    ph_err_set(err, PH_WRONG, "cannot %s %s \"%s\": %s", verb, file->what, file->path,
               strerror(errno));
    return ph_err_hint(err, "%s", file->hint);
}

static bool slurp(int fd, const struct ph_yaml_file *file, struct ph_buf *out, struct ph_err *err)
{
    static char chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) /* a directory, for one */
            return cannot("read", file, err);
        if (n == 0)
            return true;
        ph_buf_addn(out, chunk, (size_t)n);
        if (out->len > MAX_BYTES)
            return ph_err_set(err, PH_WRONG, "%s \"%s\" is larger than 16 MiB", file->what,
                              file->path);
    }
}

bool ph_yaml_read(struct ph_arena *arena, const struct ph_yaml_file *file, struct ph_node **root,
                  struct ph_err *err)
{
    bool is_stdin = !strcmp(file->path, "-");
    const char *name = is_stdin ? "standard input" : file->path;
    int fd = is_stdin ? STDIN_FILENO : open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return cannot("open", file, err);
    struct ph_buf text = {0};
    bool ok = slurp(fd, file, &text, err);
    if (!is_stdin)
        close(fd);
    ok = ok && ph_yaml_parse(arena, name, ph_buf_text(&text), text.len, root, err);
    ph_buf_fini(&text);
    return ok;
}

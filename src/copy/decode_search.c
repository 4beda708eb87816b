/* Text search: tsvector and tsquery. */
#include <stdlib.h>

#include "copy/decode_value.h"

/* Quotes and backslashes are doubled. */
static void add_lexeme(struct ph_buf *out, const char *text, size_t len)
{
    ph_buf_addc(out, '\'');
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\'' || text[i] == '\\')
            ph_buf_addc(out, text[i]);
        ph_buf_addc(out, text[i]);
    }
    ph_buf_addc(out, '\'');
}

/* ":1A,2": places in the text; of the four weights D is not shown. */
static bool add_places(struct ph_bytes *in, struct ph_buf *out)
{
    uint16_t n, place;
    if (!ph_bytes_u16(in, &n))
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (!ph_bytes_u16(in, &place))
            return false;
        ph_buf_addc(out, i ? ',' : ':');
        ph_value_add_uint(out, place & 0x3FFF);
        if (place >> 14)
            ph_buf_addc(out, "DCBA"[place >> 14]);
    }
    return true;
}

bool ph_value_tsvector(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    int32_t n;
    if (!ph_bytes_i32(in, &n))
        return false;
    if (n < 0)
        return ph_bytes_bad(in, "its number of words is impossible");
    for (int32_t i = 0; i < n; i++) {
        const char *text;
        size_t len;
        if (!ph_bytes_string(in, &text, &len))
            return false;
        if (i)
            ph_buf_addc(out, ' ');
        add_lexeme(out, text, len);
        if (!add_places(in, out))
            return false;
    }
    return true;
}

/* A query is a tree, sent root first and each operator's right side before its left. */
enum oper { VALUE = 0, NOT = 1, AND = 2, OR = 3, PHRASE = 4 };

struct item {
    enum oper oper;
    unsigned weights, prefix; /* of a value */
    const char *text;
    size_t len;
    int distance; /* of a phrase */
    uint32_t end; /* the first item behind its subtree */
};

static int priority(enum oper oper)
{
    static const int of[] = {[VALUE] = 5, [NOT] = 4, [PHRASE] = 3, [AND] = 2, [OR] = 1};
    return of[oper];
}

static bool read_item(struct ph_bytes *in, struct item *item)
{
    enum { ITEM_VALUE = 1, ITEM_OPERATOR = 2 };
    unsigned type, oper;
    if (!ph_bytes_u8(in, &type))
        return false;
    if (type == ITEM_VALUE) {
        item->oper = VALUE;
        return ph_bytes_u8(in, &item->weights) && ph_bytes_u8(in, &item->prefix) &&
               ph_bytes_string(in, &item->text, &item->len);
    }
    if (type != ITEM_OPERATOR)
        return ph_bytes_bad(in, "a node of it is of no known kind");
    if (!ph_bytes_u8(in, &oper))
        return false;
    if (oper < NOT || oper > PHRASE)
        return ph_bytes_bad(in, "an operator of it is not known");
    item->oper = (enum oper)oper;
    uint16_t distance;
    if (oper == PHRASE) {
        if (!ph_bytes_u16(in, &distance))
            return false;
        item->distance = (int16_t)distance;
    }
    return true;
}

/* From the last to the first, so that what is below an item is known before it. */
static bool find_ends(struct item *items, uint32_t n)
{
    for (uint32_t i = n; i-- > 0;) {
        uint32_t end = i + 1;
        int operands = items[i].oper == VALUE ? 0 : items[i].oper == NOT ? 1 : 2;
        for (; operands > 0; operands--) {
            if (end >= n)
                return false;
            end = items[end].end;
        }
        items[i].end = end;
    }
    return items[0].end == n;
}

static void add_value(struct ph_buf *out, const struct item *item)
{
    add_lexeme(out, item->text, item->len);
    if (!item->weights && !item->prefix)
        return;
    ph_buf_addc(out, ':');
    if (item->prefix)
        ph_buf_addc(out, '*');
    for (unsigned bit = 0; bit < 4; bit++)
        if (item->weights & 8u >> bit)
            ph_buf_addc(out, "ABCD"[bit]);
}

/* What is still to be printed, the next on top: trees may be deeper than a thread's stack. */
struct step {
    enum { SUBTREE, OPERATOR, CLOSE } what;
    uint32_t item;
    int around;        /* the priority of the operator above */
    bool right_phrase; /* it is the right side of a phrase */
};

static void add_operator(struct ph_buf *out, const struct item *item)
{
    if (item->oper == PHRASE && item->distance != 1)
        ph_buf_addf(out, " <%d> ", item->distance);
    else
        ph_buf_add(out, item->oper == PHRASE ? " <-> " : item->oper == AND ? " & " : " | ");
}

/* Prints what comes first of a subtree and pushes the rest; returns the stack's new height. */
static size_t open_subtree(struct ph_buf *out, const struct item *items, const struct step *step,
                           struct step *stack, size_t height)
{
    const struct item *item = &items[step->item];
    if (item->oper == VALUE) {
        add_value(out, item);
        return height;
    }
    int own = priority(item->oper);
    if (own < step->around || (item->oper == PHRASE && step->right_phrase)) {
        ph_buf_add(out, "( ");
        stack[height++] = (struct step){.what = CLOSE};
    }
    uint32_t right = step->item + 1;
    if (item->oper == NOT) {
        ph_buf_addc(out, '!');
        stack[height++] = (struct step){SUBTREE, right, own, false};
        return height;
    }
    stack[height++] = (struct step){SUBTREE, right, own, item->oper == PHRASE};
    stack[height++] = (struct step){.what = OPERATOR, .item = step->item};
    stack[height++] = (struct step){SUBTREE, items[right].end, own, false};
    return height;
}

/* An item puts at most four steps onto the stack, once. */
static void add_tree(struct ph_buf *out, const struct item *items, struct step *stack)
{
    size_t height = 0;
    stack[height++] = (struct step){SUBTREE, 0, -1, false};
    while (height > 0) {
        struct step step = stack[--height];
        if (step.what == SUBTREE)
            height = open_subtree(out, items, &step, stack, height);
        else if (step.what == OPERATOR)
            add_operator(out, &items[step.item]);
        else
            ph_buf_add(out, " )");
    }
}

bool ph_value_tsquery(const struct ph_shape *shape, struct ph_bytes *in, struct ph_buf *out)
{
    (void)shape;
    uint32_t n;
    if (!ph_bytes_u32(in, &n))
        return false;
    if (n > in->left / 2)
        return ph_bytes_bad(in, "its number of nodes is impossible");
    if (n == 0)
        return true;
    struct item *items = calloc(n, sizeof *items);
    struct step *stack = calloc((size_t)n * 4 + 1, sizeof *stack);
    bool ok = (items && stack) || ph_bytes_bad(in, "it does not fit into memory");
    for (uint32_t i = 0; ok && i < n; i++)
        ok = read_item(in, &items[i]);
    ok = ok && (find_ends(items, n) || ph_bytes_bad(in, "its tree is broken"));
    if (ok)
        add_tree(out, items, stack);
    free(items);
    free(stack);
    return ok;
}

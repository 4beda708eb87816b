/* The choice of the cut, table by table. See split.h for what the ways are; cut.c does the cutting.
 */
#include "plan/split.h"

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/feature.h"
#include "base/near.h"
#include "base/num.h"
#include "plan/cut_catalog.h"
#include "plan/make.h"

#define MIB ((uint64_t)1 << 20)

/* Beyond this a table's shards are not worth their receipts. */
enum { MAX_SHARDS = 100000 };

const char *ph_split_name(enum ph_split split)
{
    static const char *const names[] = {"auto", "block", "key", "hash", "none"};
    return names[split];
}

void ph_split_warn(struct ph_plan *plan, struct ph_table *table, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ph_make_vwarn(&plan->arena, &table->warnings, &table->n_warnings, fmt, ap);
    va_end(ap);
}

/* Some 16 shards a worker: then the last one running is a few percent of the job. Below 4 MiB the
 * fixed price of a shard (a transaction, a receipt) shows; above 64 MiB a retry is dear. */
static uint64_t choose_shard_size(const struct ph_plan *plan)
{
    if (plan->spec->shard_size)
        return plan->spec->shard_size;
    uint64_t total = 0;
    for (int i = 0; i < plan->n_tables; i++)
        total += plan->tables[i].bytes > 0 ? (uint64_t)plan->tables[i].bytes : 0;
    int jobs = plan->jobs > 0 ? plan->jobs : plan->spec->jobs;
    uint64_t size = total / (16 * (uint64_t)(jobs > 0 ? jobs : 4));
    return size < 4 * MIB ? 4 * MIB : size > 64 * MIB ? 64 * MIB : size;
}

int ph_split_count(const struct ph_plan *plan, const struct ph_table *table, int64_t bytes)
{
    double n = 1;
    uint64_t rows_wanted = plan->spec->shard_rows;
    if (rows_wanted) {
        /* A table that nobody has analyzed: rows of 100 bytes are a fair guess. */
        double rows = table->rows_estimate > 0 ? table->rows_estimate : (double)bytes / 100;
        n = rows / (double)rows_wanted;
    }
    if (!rows_wanted || plan->spec->shard_size) {
        double by_size = (double)bytes / (double)plan->shard_size;
        n = by_size > n ? by_size : n;
    }
    if (n > MAX_SHARDS)
        return MAX_SHARDS;
    int whole = (int)n;
    whole += (double)whole < n;
    return whole > 1 ? whole : 1;
}

/* What is known while one table is looked at. */
struct choice {
    struct ph_plan *plan;
    struct ph_table *table;
    const struct ph_cut_facts *facts; /* NULL: not read, keys are not needed */
    bool heap;
    int count;
    bool asked; /* this way of cutting is the user's wish */
    struct ph_err *err;
};

static const char *name_of(const struct choice *c)
{
    return ph_plan_name(c->plan, c->table->source_schema, c->table->source_name);
}

static void settle(const struct choice *c, enum ph_split split, int n_shards, const char *reason)
{
    c->table->split = split;
    c->table->split_reason = reason;
    c->table->n_shards = n_shards;
    if (split == PH_SPLIT_BLOCK || split == PH_SPLIT_NONE) {
        c->table->key = NULL;
        c->table->n_key = 0;
    }
}

/* "(a, b)" */
static const char *columns_shown(const struct choice *c, const struct ph_plan_key *key, int n)
{
    const char *text = "(";
    for (int i = 0; i < n; i++)
        text = ph_arena_printf(&c->plan->arena, "%s%s%s", text, i ? ", " : "", key[i].column);
    return ph_arena_printf(&c->plan->arena, "%s)", text);
}

static const struct ph_cut_column *column_by_name(const struct ph_cut_facts *facts,
                                                  const char *name)
{
    for (int i = 0; i < facts->n_columns; i++)
        if (strcmp(facts->columns[i].key.column, name) == 0)
            return &facts->columns[i];
    return NULL;
}

/* The source column that feeds a target column; NULL when an expression does. */
static const char *source_of(const struct ph_table *table, const char *target_column)
{
    for (int i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, target_column) == 0)
            return table->columns[i].is_expression ? NULL : table->columns[i].source;
    return NULL;
}

static bool no_such_column(const struct choice *c, const char *name)
{
    const struct ph_table *t = c->table;
    const char **known = ph_arena_calloc(&c->plan->arena, (size_t)t->n_columns + 1, sizeof *known);
    for (int i = 0; i < t->n_columns; i++)
        known[i] = t->columns[i].is_expression ? NULL : t->columns[i].source;
    ph_err_set(c->err, PH_WRONG, "table %s has no column \"%s\" that could be a key", name_of(c),
               name);
    const char *near = ph_near(name, known, (size_t)t->n_columns);
    return near ? ph_err_hint(c->err, "did you mean \"%s\"?", near) : false;
}

/* A candidate: what a table could be cut by. */
struct key {
    const struct ph_cut_column **columns;
    int n;
    const char *what; /* "the primary key", ... */
    bool unique;
};

static struct key key_from_index(const struct choice *c, const struct ph_cut_index *index)
{
    struct key key = {.columns = index->columns, .n = index->n_columns, .unique = true};
    key.what = index->primary ? "the primary key"
                              : ph_arena_printf(&c->plan->arena, "unique index %s", index->name);
    return key;
}

/* Columns of the table itself, in an index that promises something about every row. */
static bool index_promises(const struct ph_cut_index *index)
{
    if (!index->unique || !index->valid || index->partial || index->expression)
        return false;
    for (int i = 0; i < index->n_columns; i++)
        if (!index->columns[i]) /* a system column */
            return false;
    return index->n_columns > 0;
}

static bool any_nullable(const struct key *key)
{
    for (int i = 0; i < key->n; i++)
        if (key->columns[i]->key.nullable)
            return true;
    return false;
}

/* The first column without an order (or without a hash); NULL when there is none. */
static const struct ph_cut_column *unfit(const struct key *key, enum ph_split split)
{
    for (int i = 0; i < key->n; i++)
        if (split == PH_SPLIT_HASH ? !key->columns[i]->hashable : !key->columns[i]->key.op_schema)
            return key->columns[i];
    return NULL;
}

/* The primary key, else a unique index without nullable columns, else with `nullable` any unique
 * index. False when none can be used. */
static bool key_by_index(const struct choice *c, bool nullable, struct key *out)
{
    for (int pass = 0; pass <= nullable; pass++) {
        for (int i = 0; i < c->facts->n_indexes; i++) {
            const struct ph_cut_index *index = &c->facts->indexes[i];
            if (!index_promises(index))
                continue;
            struct key key = key_from_index(c, index);
            if (unfit(&key, PH_SPLIT_KEY) || (pass == 0 && any_nullable(&key)))
                continue;
            *out = key;
            return true;
        }
    }
    return false;
}

/* The columns that the user named, by source name or target name. */
static bool key_by_request(const struct choice *c, struct key *out)
{
    const struct ph_table *t = c->table;
    *out = (struct key){.n = t->n_key, .what = "the given key"};
    out->columns = ph_arena_calloc(&c->plan->arena, (size_t)t->n_key, sizeof *out->columns);
    for (int i = 0; i < t->n_key; i++) {
        const char *name = t->key[i].column;
        const char *mapped = source_of(t, name);
        out->columns[i] = column_by_name(c->facts, name);
        if (!out->columns[i] && mapped)
            out->columns[i] = column_by_name(c->facts, mapped);
        if (!out->columns[i])
            return no_such_column(c, name);
    }
    return true;
}

/* The columns of the source that feed the upsert key. False when one of them is an expression. */
static bool key_by_conflict(const struct choice *c, struct key *out)
{
    const struct ph_table *t = c->table;
    *out =
        (struct key){.n = t->n_conflict, .what = "the upsert key", .unique = t->source_key_unique};
    out->columns = ph_arena_calloc(&c->plan->arena, (size_t)t->n_conflict, sizeof *out->columns);
    for (int i = 0; i < t->n_conflict; i++) {
        const char *source = source_of(t, t->conflict[i]);
        out->columns[i] = source ? column_by_name(c->facts, source) : NULL;
        if (!out->columns[i])
            return false;
    }
    return t->n_conflict > 0;
}

static bool some_index_begins_with(const struct choice *c, const struct key *key)
{
    for (int i = 0; i < c->facts->n_indexes; i++) {
        const struct ph_cut_index *index = &c->facts->indexes[i];
        if (index->valid && !index->partial && index->n_columns > 0 &&
            index->columns[0] == key->columns[0])
            return true;
    }
    return false;
}

/* Where every shard scans the whole table, more shards than a few a worker are only more scans; a
 * size that the user asked for is kept to. */
static int scans_worth(const struct choice *c)
{
    const struct ph_job_spec *spec = c->plan->spec;
    int jobs = c->plan->jobs > 0 ? c->plan->jobs : spec->jobs > 0 ? spec->jobs : 4;
    if (spec->shard_size || spec->shard_rows || c->count < 2 * jobs)
        return c->count;
    return 2 * jobs;
}

static void use_key(const struct choice *c, enum ph_split split, const struct key *key,
                    const char *why)
{
    struct ph_arena *arena = &c->plan->arena;
    struct ph_plan_key *columns = ph_arena_calloc(arena, (size_t)key->n, sizeof *columns);
    for (int i = 0; i < key->n; i++) {
        columns[i] = key->columns[i]->key;
        if (split == PH_SPLIT_HASH) /* see cut_where.h */
            columns[i].op_schema = key->columns[i]->hashable ? "pg_catalog" : NULL;
    }
    c->table->key = columns;
    c->table->n_key = key->n;
    bool scans = split == PH_SPLIT_HASH || !some_index_begins_with(c, key);
    int n = scans ? scans_worth(c) : c->count;
    bool cut = n > 1;
    settle(c, split, n + (cut && split == PH_SPLIT_KEY && any_nullable(key)),
           ph_arena_printf(arena, "%s: %s %s%s", why, key->what, columns_shown(c, columns, key->n),
                           cut ? "" : ", small enough for one shard"));
    if (!cut || !scans)
        return;
    if (split == PH_SPLIT_HASH)
        ph_split_warn(c->plan, c->table, "cut by hash: the table is scanned as a whole %d times",
                      n);
    else
        ph_split_warn(c->plan, c->table,
                      "no index begins with %s: every one of %d shards scans the whole table",
                      columns[0].column, n);
}

static bool block_possible(const struct choice *c)
{
    return c->heap && ph_feature_has(c->plan->source.version, PH_HAS_TID_RANGE_SCAN);
}

static const char *block_reason(const struct choice *c, const char *why)
{
    char blocks[PH_NUM_TEXT];
    uint64_t n = c->table->blocks > 0 ? (uint64_t)c->table->blocks : 0;
    return ph_arena_printf(&c->plan->arena, "%s: TID ranges of %s blocks", why,
                           ph_num_show_count(blocks, n));
}

static void use_block(const struct choice *c, const char *why)
{
    int64_t blocks = c->table->blocks > 1 ? c->table->blocks : 1;
    int n = c->count > blocks ? (int)blocks : c->count;
    settle(c, PH_SPLIT_BLOCK, n, block_reason(c, why));
}

static bool explicit_block(const struct choice *c)
{
    if (c->plan->spec->mode == PH_UPSERT && !c->table->source_key_unique && c->count > 1) {
        ph_err_set(
            c->err, PH_WRONG,
            "%s cannot be cut by block for an upsert: the source does not keep the upsert key"
            " unique, and a doubled key in two shards would go unseen",
            name_of(c));
        return ph_err_hint(c->err, "use --split auto, or --split key");
    }
    if (block_possible(c)) {
        use_block(c, "asked for");
        return true;
    }
    if (!c->heap)
        ph_err_set(c->err, PH_WRONG, "%s cannot be cut by block: it is no heap table", name_of(c));
    else
        ph_err_set(c->err, PH_WRONG,
                   "%s cannot be cut by block: the source is version %d, and only 14 and newer read"
                   " a range of blocks without scanning the rest",
                   name_of(c), c->plan->source.version / 10000);
    return ph_err_hint(c->err, "use --split auto, or --split key");
}

/* Why no index would do, for the error text. */
static const char *why_no_index(const struct choice *c)
{
    for (int i = 0; i < c->facts->n_indexes; i++) {
        const struct ph_cut_index *index = &c->facts->indexes[i];
        if (!index->unique)
            continue;
        const char *why = !index->valid       ? "is not valid"
                          : index->partial    ? "is partial"
                          : index->expression ? "is over an expression"
                                              : "has a column without a usable order";
        return ph_arena_printf(&c->plan->arena, "it has no primary key, and unique index %s %s",
                               index->name, why);
    }
    return "it has neither a primary key nor a unique index";
}

static bool explicit_key(const struct choice *c, enum ph_split split)
{
    struct key key;
    const char *how = ph_split_name(split);
    bool requested = c->table->n_key > 0;
    if (requested && !key_by_request(c, &key))
        return ph_err_prefix(c->err, "cannot cut by %s", how);
    bool upsert = c->plan->spec->mode == PH_UPSERT && !c->table->source_key_unique;
    if (!requested && !(upsert && key_by_conflict(c, &key)) && !key_by_index(c, true, &key)) {
        ph_err_set(c->err, PH_WRONG, "%s cannot be cut by %s: %s", name_of(c), how,
                   why_no_index(c));
        return ph_err_hint(c->err, "name columns with --key, or use --split auto");
    }
    const struct ph_cut_column *bad = unfit(&key, PH_SPLIT_KEY);
    if (split == PH_SPLIT_KEY && bad) {
        ph_err_set(c->err, PH_WRONG,
                   "%s cannot be cut by key: column \"%s\" is of type %s, which has no order",
                   name_of(c), bad->key.column, bad->type_shown);
        return ph_err_hint(c->err, "use --split auto, or --split hash");
    }
    use_key(c, split, &key, "asked for");
    return true;
}

static void one_shard(const struct choice *c, const char *why)
{
    settle(c, PH_SPLIT_NONE, 1, why);
}

/* Upsert wants equal keys in one shard, where a doubled one is found: by key, else by hash, else
 * the whole table is one shard. Where the source keeps the key unique by itself, blocks are as good
 * as a hash. */
static void auto_upsert(const struct choice *c)
{
    struct key key;
    bool mapped = key_by_conflict(c, &key);
    if (mapped && !unfit(&key, PH_SPLIT_KEY) &&
        (!c->table->source_key_unique || !any_nullable(&key)))
        use_key(c, PH_SPLIT_KEY, &key, "upsert");
    else if (c->table->source_key_unique && block_possible(c))
        use_block(c, "upsert, and the source keeps the key unique");
    else if (mapped && !unfit(&key, PH_SPLIT_HASH))
        use_key(c, PH_SPLIT_HASH, &key, "upsert, and the key has no order");
    else
        one_shard(c, "upsert, and nothing else keeps equal keys together");
}

/* Without block ranges: by the given key, else by one that has no NULLs. */
static bool auto_without_blocks(const struct choice *c)
{
    struct key key;
    bool given = c->table->n_key > 0;
    if (given && !key_by_request(c, &key))
        return false;
    if ((given && !unfit(&key, PH_SPLIT_KEY)) || key_by_index(c, false, &key)) {
        use_key(c, PH_SPLIT_KEY, &key, "no block ranges here");
        return true;
    }
    one_shard(c, "neither block ranges nor a key without NULLs");
    ph_split_warn(c->plan, c->table, "cannot be cut: one worker moves it as a whole");
    return true;
}

static bool auto_choice(const struct choice *c)
{
    if (c->count <= 1) {
        char size[PH_NUM_TEXT];
        double bytes = c->table->bytes > 0 ? (double)c->table->bytes : 0;
        one_shard(c, ph_arena_printf(&c->plan->arena, "small: %s", ph_num_show_bytes(size, bytes)));
    } else if (c->plan->spec->mode == PH_UPSERT) {
        auto_upsert(c);
    } else if (block_possible(c)) {
        use_block(c, "one snapshot, no key needed");
    } else {
        return auto_without_blocks(c);
    }
    return true;
}

static bool choose(const struct choice *c)
{
    switch (c->table->split) {
    case PH_SPLIT_BLOCK:
        return explicit_block(c);
    case PH_SPLIT_KEY:
    case PH_SPLIT_HASH:
        return explicit_key(c, c->table->split);
    case PH_SPLIT_NONE:
        one_shard(c, c->table->split_reason ? c->table->split_reason : "asked for");
        return true;
    case PH_SPLIT_AUTO:
        break;
    }
    return auto_choice(c);
}

struct lists {
    struct ph_cut_list kinds; /* whose access method matters */
    struct ph_cut_list keys;
    const char **names; /* of columns that may be keys, of all tables */
    int n_names, cap_names;
};

static void add_name(struct lists *lists, const char *name)
{
    for (int i = 0; i < lists->n_names; i++)
        if (strcmp(lists->names[i], name) == 0)
            return;
    if (lists->n_names < lists->cap_names)
        lists->names[lists->n_names++] = name;
}

static void add_names(struct lists *lists, const struct ph_table *t)
{
    for (int i = 0; i < t->n_key; i++) {
        const char *mapped = source_of(t, t->key[i].column);
        add_name(lists, t->key[i].column);
        if (mapped)
            add_name(lists, mapped);
    }
    for (int i = 0; i < t->n_conflict; i++) {
        const char *source = source_of(t, t->conflict[i]);
        if (source)
            add_name(lists, source);
    }
}

static void list_tables(struct ph_plan *plan, struct lists *lists)
{
    struct ph_arena *arena = &plan->arena;
    size_t n = (size_t)plan->n_tables;
    lists->kinds.table = ph_arena_calloc(arena, n, sizeof *lists->kinds.table);
    lists->keys.table = ph_arena_calloc(arena, n, sizeof *lists->keys.table);
    for (int i = 0; i < plan->n_tables; i++)
        lists->cap_names += 2 * plan->tables[i].n_key + plan->tables[i].n_conflict;
    lists->names = ph_arena_calloc(arena, (size_t)lists->cap_names + 1, sizeof *lists->names);
    for (int i = 0; i < plan->n_tables; i++) {
        struct ph_table *t = &plan->tables[i];
        if (t->split == PH_SPLIT_AUTO)
            t->split = plan->spec->split;
        bool big = ph_split_count(plan, t, t->bytes) > 1;
        bool is_auto = t->split == PH_SPLIT_AUTO;
        bool by_key = t->split == PH_SPLIT_KEY || t->split == PH_SPLIT_HASH;
        if (t->split == PH_SPLIT_BLOCK || (big && is_auto))
            lists->kinds.table[lists->kinds.n++] = i;
        /* Which tables are no heap is known only later: of big ones keys are read in any case. */
        if (by_key || (big && is_auto)) {
            lists->keys.table[lists->keys.n++] = i;
            add_names(lists, t);
        }
    }
}

static bool choose_all(struct ph_plan *plan, const struct lists *lists,
                       const struct ph_cut_size *sizes, const struct ph_cut_facts *facts,
                       struct ph_err *err)
{
    int kind_at = 0, key_at = 0;
    for (int i = 0; i < plan->n_tables; i++) {
        struct ph_table *t = &plan->tables[i];
        struct choice c = {
            .plan = plan, .table = t, .count = ph_split_count(plan, t, t->bytes), .err = err};
        if (kind_at < lists->kinds.n && lists->kinds.table[kind_at] == i)
            c.heap = sizes[kind_at++].heap;
        if (key_at < lists->keys.n && lists->keys.table[key_at] == i)
            c.facts = &facts[key_at++];
        if (!choose(&c))
            return false;
    }
    return true;
}

bool ph_split_choose(struct ph_plan *plan, struct ph_conn *source, struct ph_err *err)
{
    struct lists lists = {0};
    plan->shard_size = choose_shard_size(plan);
    list_tables(plan, &lists);
    struct ph_cut_size *sizes =
        ph_arena_calloc(&plan->arena, (size_t)lists.kinds.n + 1, sizeof *sizes);
    struct ph_cut_facts *facts =
        ph_arena_calloc(&plan->arena, (size_t)lists.keys.n + 1, sizeof *facts);
    return ph_cut_read_sizes(plan, &lists.kinds, source, sizes, err) &&
           ph_cut_read_keys(plan, &lists.keys, lists.names, lists.n_names, source, facts, err) &&
           choose_all(plan, &lists, sizes, facts, err);
}

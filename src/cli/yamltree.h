/* A YAML text as a tree of nodes that know where they stand.
 *
 * A small subset on purpose: one document; scalars, lists and maps; no aliases (so none that
 * explode), no key twice, not deeper than a job file can be. Everything belongs to the arena.
 */
#ifndef PH_CLI_YAMLTREE_H
#define PH_CLI_YAMLTREE_H

#include "base/arena.h"
#include "pghaul/err.h"

enum ph_node_kind { PH_NODE_NULL, PH_NODE_SCALAR, PH_NODE_LIST, PH_NODE_MAP };

struct ph_node {
    enum ph_node_kind kind;
    int line, column; /* from 1 */
    const char *text; /* of a scalar */
    const char *key;  /* when its parent is a map */
    int key_line, key_column;
    struct ph_node *first, *next; /* children, siblings */
    int n;                        /* children */
};

/* What a file is to be, for errors: "job file", and where one is to be had when it cannot be read. */
struct ph_yaml_file {
    const char *what, *hint;
    const char *path; /* "-": standard input */
};

/* Reads a file of at most 16 MiB. PH_WRONG, the text beginning with file:line:column where a place
 * is known. */
bool ph_yaml_read(struct ph_arena *arena, const struct ph_yaml_file *file, struct ph_node **root,
                  struct ph_err *err);

/* The same from memory; `name` stands for the file's. */
bool ph_yaml_parse(struct ph_arena *arena, const char *name, const char *text, size_t len,
                   struct ph_node **root, struct ph_err *err);

#endif

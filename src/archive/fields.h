/* JSON as archives hold it: strict to read, and with texts that need not be UTF-8.
 *
 * JSON is UTF-8; the names of a source database in LATIN1 are not, and must come back as they were. So a document says once,
 * in its field "texts", how its texts are written: "utf-8", as they are; or "bytes", when one of them is no UTF-8: then
 * each byte of each text is the code point of the same number. ASCII looks the same either way.
 *
 * An object is read field by field, by name and type and range; the first complaint is kept and the rest yields zeros, so
 * that a reader looks like the struct that it fills. ph_fields_end() says whether all went well, and that there was no
 * field that nobody asked for: an archive of version 1 has exactly the fields of version 1.
 *
 *     ph_fields_begin → ph_fields_int, ph_fields_text… → ph_fields_end
 */
#ifndef PH_ARCHIVE_FIELDS_H
#define PH_ARCHIVE_FIELDS_H

#include <jansson.h>
#include <stdint.h>

#include "base/arena.h"
#include "pghaul/err.h"

struct ph_texts {
    bool bytes;  /* how they are written */
    bool failed; /* one was no UTF-8, and `bytes` was not set: write all again with it */
};

/* NULL becomes null. */
json_t *ph_texts_json(struct ph_texts *texts, const char *text);
json_t *ph_texts_list(struct ph_texts *texts, const char *const *items, int n);

/* What the field "texts" says. */
const char *ph_texts_name(const struct ph_texts *texts);

/* The document in [data, data+len), an object without doubled keys and nothing behind it; json_decref it. NULL and PH_FAILED
 * otherwise. Of the text nothing is shown: it may hold values of rows. */
json_t *ph_fields_load(const char *data, size_t len, struct ph_err *err);

struct ph_fields {
    const json_t *object;
    struct ph_arena *arena; /* where texts go */
    struct ph_err *err;
    char what[48]; /* "shard 12", for messages */
    size_t seen;   /* fields that were asked for */
    bool bytes;    /* how texts are written */
    bool failed;
};

void ph_fields_begin(struct ph_fields *fields, const json_t *object, struct ph_arena *arena,
                     struct ph_err *err, const char *what);

/* As above, for the n-th object of a kind; texts are written as in `outer`. */
void ph_fields_begin_nth(struct ph_fields *fields, const struct ph_fields *outer,
                         const json_t *object, const char *kind, int64_t n);

/* A complaint about the field `name`; the first one stays. */
void ph_fields_complain(struct ph_fields *fields, const char *name, const char *why);

const json_t *ph_fields_get(struct ph_fields *fields, const char *name);
int64_t ph_fields_int(struct ph_fields *fields, const char *name, int64_t min, int64_t max);
const char *ph_fields_text(struct ph_fields *fields, const char *name); /* may be empty */
const char *ph_fields_name(struct ph_fields *fields, const char *name); /* may not be empty */
const char *ph_fields_text_or_null(struct ph_fields *fields, const char *name);

/* One of n words; its index. */
int ph_fields_word(struct ph_fields *fields, const char *name, const char *const *words, int n);

/* Exactly `digits` lower-case hexadecimal digits. */
const char *ph_fields_hex(struct ph_fields *fields, const char *name, size_t digits);

/* A number of 128 bits, as 32 hexadecimal digits. */
void ph_fields_u128(struct ph_fields *fields, const char *name, uint64_t *high, uint64_t *low);

/* "16/B374D848", or null. */
const char *ph_fields_lsn(struct ph_fields *fields, const char *name);

/* 2026-11-25T11:00:00Z, with or without a fraction of the second. */
const char *ph_fields_time(struct ph_fields *fields, const char *name);

/* A list of texts, none of them empty. */
const char *const *ph_fields_names(struct ph_fields *fields, const char *name, int *n);

/* A text or null that stands within the field `name`. */
const char *ph_fields_value(struct ph_fields *fields, const char *name, const json_t *value);

/* Whether there is such a field: for those that a document may leave out. */
bool ph_fields_has(const struct ph_fields *fields, const char *name);

/* The field "texts": sets how the others are read. */
void ph_fields_texts(struct ph_fields *fields);

bool ph_fields_end(const struct ph_fields *fields);

#endif

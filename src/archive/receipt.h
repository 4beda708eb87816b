/* The receipt of a shard file as JSON, in memory; see struct ph_receipt in archive/shardfile.h. */
#ifndef PH_ARCHIVE_RECEIPT_H
#define PH_ARCHIVE_RECEIPT_H

#include "archive/shardfile.h"

/* The words for enum ph_format. */
extern const char *const ph_format_names[2];

/* Bytes of the COPY stream of that many bytes of rows: header and trailer come on top of binary ones. */
uint64_t ph_receipt_stream(const struct ph_receipt *receipt);

/* The text, to be freed. What was written can be read: PH_FAILED where a field is not as ph_receipt_parse wants it. */
char *ph_receipt_format(const struct ph_receipt *receipt, size_t *len, struct ph_err *err);

/* PH_FAILED when it is no receipt of version 1, to the last field. Texts go into the arena. */
bool ph_receipt_parse(struct ph_receipt *receipt, struct ph_arena *arena, const char *data,
                      size_t len, struct ph_err *err);

#endif

/* Feeds bytes to decoders, as one value or as a COPY stream: whatever they are, there is an error or a text, never a crash.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Isrc tests/fuzz/decode.c \
 *           src/copy/decode*.c src/copy/stream.c src/base/arena.c src/base/buf.c src/base/err.c -lm
 *
 * The first byte says what the others are: a value of one of the types below, or a stream of three columns, which may be
 * text; the second how it is fed and what is written. Framing that is always the same is put around by us. Values of most
 * types to begin with are in seeds/decode.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "copy/decode.h"
#include "copy/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {
    "tsquery",
    "tsvector",
    "public.row",
    "public.row[]",
    "text[]",
    "integer[]",
    "box[]",
    "numeric",
    "double precision",
    "real",
    "interval",
    "timestamp with time zone",
    "date",
    "time with time zone",
    "inet",
    "cidr",
    "bit varying",
    "bytea",
    "path",
    "polygon",
    "circle",
    "line",
    "lseg",
    "box",
    "point",
    "tsrange",
    "numrange",
    "public.textrange",
    "int4multirange",
    "public.textranges[]",
    "int2vector",
    "oidvector[]",
    "public.hstore",
    "pg_snapshot",
    "public.price[]",
    "jsonb",
    "\"char\"",
    "uuid",
    "tid",
    "macaddr",
    "macaddr8",
    "pg_lsn",
    "xid8",
    "xid",
    "bigint",
    "smallint",
    "boolean",
    "time without time zone",
    "timestamp without time zone",
    "tsquery[]",
};
enum { TYPES = sizeof types / sizeof *types };

static struct ph_decoder *new_decoder(const char *const *columns_types, int n,
                                      enum ph_format format, enum ph_decode_as as)
{
    static const char *const attributes[] = {"integer", "numeric", "text[]", "public.price"};
    static const struct ph_decode_type described[] = {
        {.name = "public.row",
         .kind = PH_DECODE_COMPOSITE,
         .attributes = attributes,
         .n_attributes = 4},
        {.name = "public.textrange", .kind = PH_DECODE_RANGE, .of = "text"},
        {.name = "public.textranges", .kind = PH_DECODE_MULTIRANGE, .of = "public.textrange"},
        {.name = "public.price", .kind = PH_DECODE_DOMAIN, .of = "numeric"},
    };
    static const char *const columns[] = {"a", "b", "c"};
    struct ph_decoder *decoder;
    if (!ph_decoder_new(
            &decoder,
            &(struct ph_decode_opts){.format = format,
                                     .as = as,
                                     .columns = columns,
                                     .types = columns_types,
                                     .n_columns = n,
                                     .described = described,
                                     .n_described = sizeof described / sizeof *described},
            NULL))
        abort();
    return decoder;
}

static void one_value(const char *type, const uint8_t *data, size_t size, enum ph_decode_as as)
{
    struct ph_decoder *decoder = new_decoder(&type, 1, PH_BINARY, as);
    struct ph_buf out = {0};
    struct ph_err err = {0};
    /* of its very size, so that a byte too far is seen */
    char *row = malloc(size + 6);
    if (!row)
        abort();
    const char head[] = {0,         1, (char)(size >> 24), (char)(size >> 16), (char)(size >> 8),
                         (char)size};
    memcpy(row, head, sizeof head);
    if (size)
        memcpy(row + sizeof head, data, size);
    if (!ph_decoder_row(decoder, row, size + sizeof head, &out, &err) && !err.text[0])
        abort();
    free(row);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

static void stream(const uint8_t *data, size_t size, size_t piece, enum ph_format format,
                   enum ph_decode_as as)
{
    static const char *const three[] = {"integer", "numeric(10,2)", "text"};
    struct ph_decoder *decoder = new_decoder(three, 3, format, as);
    struct ph_buf out = {0};
    struct ph_err err = {0};
    bool ok = format == PH_TEXT ||
              ph_decoder_feed(decoder, ph_stream_header, PH_STREAM_HEADER, &out, &err);
    for (size_t at = 0; ok && at < size; at += piece) {
        size_t n = piece < size - at ? piece : size - at;
        char *bytes = malloc(n);
        if (!bytes)
            abort();
        memcpy(bytes, data + at, n);
        ok = ph_decoder_feed(decoder, bytes, n, &out, &err);
        free(bytes);
    }
    if (ok)
        ph_decoder_end(decoder, &err);
    ph_buf_fini(&out);
    ph_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned what = data[0] % (TYPES + 2), how = data[1];
    enum ph_decode_as as = how & 1 ? PH_AS_CSV : PH_AS_TEXT;
    data += 2;
    size -= 2;
    if (what < TYPES)
        one_value(types[what], data, size, as);
    else
        stream(data, size, how & 2 ? 7 : size + 1, what == TYPES ? PH_TEXT : PH_BINARY, as);
    return 0;
}

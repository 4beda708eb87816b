/* Decodes a COPY stream from standard input, for stories: what comes out must be what the server prints.
 *
 *     decode SPEC text|binary text|csv PIECE
 *
 * SPEC is a file of lines whose words are separated by tabs:
 *     version  150018
 *     column   NAME TYPE
 *     enum     NAME
 *     domain|range|multirange  NAME OF
 *     composite  NAME TYPE...
 * PIECE: at most so many bytes are fed at once. With "header" behind it, a header line comes first. Exit status 2 when the
 * columns cannot be decoded, 1 when the stream is malformed; why is said on standard error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/num.h"
#include "copy/decode.h"

enum { MOST = 256 };

static const char *columns[MOST], *types[MOST], *attributes[MOST][MOST];
static struct ph_decode_type described[MOST];
static struct ph_decode_opts opts = {.columns = columns, .types = types, .described = described};

static int fail(const char *what, int status)
{
    fprintf(stderr, "%s\n", what);
    return status;
}

static int words(char *line, char *word[MOST])
{
    int n = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *tab; n < MOST; line = tab + 1) {
        word[n++] = line;
        tab = strchr(line, '\t');
        if (!tab)
            break;
        *tab = '\0';
    }
    return n;
}

static void add_type(char *word[MOST], int n)
{
    static const char *const kinds[] = {"base",  "enum",       "domain",
                                        "range", "multirange", "composite"};
    struct ph_decode_type *type = &described[opts.n_described];
    while (strcmp(kinds[type->kind], word[0]) != 0)
        type->kind++;
    type->name = word[1];
    type->of = n > 2 ? word[2] : NULL;
    for (int i = 2; i < n; i++)
        attributes[opts.n_described][i - 2] = word[i];
    type->attributes = attributes[opts.n_described++];
    type->n_attributes = n - 2;
}

static bool read_spec(struct ph_arena *arena, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    while (file && getline(&line, &room, file) >= 0) {
        char *word[MOST];
        int n = words(ph_arena_strdup(arena, line), word);
        int64_t version;
        if (strcmp(word[0], "version") == 0 && ph_num_int(word[1], 0, INT32_MAX, &version, NULL)) {
            opts.source_version = (int)version;
        } else if (strcmp(word[0], "column") == 0) {
            columns[opts.n_columns] = word[1];
            types[opts.n_columns++] = word[2];
        } else {
            add_type(word, n);
        }
    }
    free(line);
    if (file)
        fclose(file);
    return file != NULL;
}

static void print(struct ph_buf *out)
{
    fwrite(ph_buf_text(out), 1, out->len, stdout);
    ph_buf_clear(out);
}

static bool decode(struct ph_decoder *decoder, size_t piece, struct ph_buf *out, struct ph_err *err)
{
    char *bytes = malloc(piece);
    ssize_t n;
    bool ok = bytes != NULL;
    while (ok && (n = read(STDIN_FILENO, bytes, piece)) > 0) {
        ok = ph_decoder_feed(decoder, bytes, (size_t)n, out, err);
        print(out);
    }
    free(bytes);
    return ok && ph_decoder_end(decoder, err);
}

int main(int argc, char **argv)
{
    struct ph_err err;
    struct ph_decoder *decoder;
    struct ph_buf out = {0};
    struct ph_arena arena = {0};
    int64_t piece;
    if (argc < 5 || !read_spec(&arena, argv[1]) || !ph_num_int(argv[4], 1, 1 << 24, &piece, &err))
        return fail("usage: decode SPEC text|binary text|csv PIECE [header]", 64);
    opts.format = strcmp(argv[2], "text") == 0 ? PH_TEXT : PH_BINARY;
    opts.as = strcmp(argv[3], "text") == 0 ? PH_AS_TEXT : PH_AS_CSV;
    bool made = ph_decoder_new(&decoder, &opts, &err);
    ph_arena_fini(&arena); /* a decoder copies what it is given */
    if (!made)
        return fail(err.text, 2);
    if (argc > 5)
        ph_decoder_names(decoder, &out);
    print(&out);
    bool ok = decode(decoder, (size_t)piece, &out, &err);
    ph_decoder_free(decoder);
    ph_buf_fini(&out);
    return ok ? 0 : fail(err.text, 1);
}

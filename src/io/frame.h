/* The one door to lz4: standard LZ4 frames (lz4_Frame_format.md, version 1.6.x), written and read block by block.
 *
 * Our frames: version 01, independent blocks of at most 64 KiB, each with its checksum (XXH32), no content size, no
 * content checksum, no dictionary. A block that does not shrink by 1/32 is stored. Any lz4 tool reads them; our reader
 * takes only frames of exactly this shape, and trusts no length in them. Memory to memory; no I/O, no allocation but the encoder's own state.
 */
#ifndef PH_IO_FRAME_H
#define PH_IO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "pghaul/err.h"

enum {
    PH_FRAME_BLOCK = 65536,   /* bytes of a block, at most */
    PH_FRAME_HEAD = 7,        /* magic number and descriptor */
    PH_FRAME_END = 4,         /* end mark */
    PH_FRAME_BLOCK_EXTRA = 8, /* size and checksum around a block */
    PH_FRAME_SKIP_HEAD = 8,   /* of a skippable frame: magic number and size */
    PH_FRAME_SMALLEST = PH_FRAME_HEAD + PH_FRAME_BLOCK_EXTRA + 1 + PH_FRAME_END, /* one byte */
};

/* Writes the head of a frame; returns PH_FRAME_HEAD. */
size_t ph_frame_begin(char *out);

/* Writes one block of len (1 to PH_FRAME_BLOCK) bytes, compressed when `compress` says so and it shrinks by 1/32
 * at least, else stored. out has room for len + PH_FRAME_BLOCK_EXTRA. Returns the bytes written: len + PH_FRAME_BLOCK_EXTRA
 * says that it was stored. */
size_t ph_frame_block(char *out, const char *data, size_t len, bool compress);

/* Writes the end mark; returns PH_FRAME_END. */
size_t ph_frame_end(char *out);

/* Head of a skippable frame with `len` bytes of content; returns PH_FRAME_SKIP_HEAD. */
size_t ph_frame_skip(char *out, uint32_t len);

/* Whether the PH_FRAME_SKIP_HEAD bytes are such a head; *len is then what it says of its content. */
bool ph_frame_is_skip(const char *data, uint32_t *len);

/* A frame that lies whole in memory. */
struct ph_frame_view {
    const char *at, *end; /* what is left of it */
};

/* Checks the head. PH_FAILED when it is no frame of ours. */
bool ph_frame_open(struct ph_frame_view *view, const char *data, size_t len, struct ph_err *err);

/* Decodes the next block: *data is in `out` (room for PH_FRAME_BLOCK), or within the frame itself for a stored block.
 * *len 0 at the end of the frame, which must then be the end of the memory too. PH_FAILED
 * when a length, a checksum or the compressed bytes are wrong; the view is then of no more use. */
bool ph_frame_next(struct ph_frame_view *view, char *out, const char **data, size_t *len,
                   struct ph_err *err);

#endif

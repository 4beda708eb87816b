/* A sink that lands a shard in a file, and tells the ledger.
 *
 *     open    takes a name that no file has had
 *     put     a batch becomes a compressed block
 *     commit  the file is sealed: whole, durable, with its receipt inside; then the ledger knows, then the roster
 *
 * The file is a fact before the ledger knows of it. Where the ledger cannot be told now, commit succeeds
 * nevertheless: the roster keeps the file as one that is to be noted later. PH_FENCED: somebody else has the shard; the file is
 * gone. PH_NO_ROOM: the file system is full; the file is gone.
 */
#ifndef PH_SINK_ARCHIVE_H
#define PH_SINK_ARCHIVE_H

#include "archive/place.h"
#include "archive/shardfile.h"
#include "ledger/roster.h"
#include "pghaul/sink.h"

struct ph_sink_archive_opts {
    struct ph_place *place;
    struct ph_roster *roster;
    struct ph_desk *const *desk; /* the one that the worker sits at now */
    enum ph_compress compress;
    bool one_name; /* an archive: a shard's file has one name; else each attempt has another */
    const char *encoding;
    int snapshot; /* that the source reads under */
    const char *pg_snapshot, *lsn;
};

/* Everything in opts is borrowed for the sink's life. */
bool ph_sink_archive_new(struct ph_sink **out, const struct ph_sink_archive_opts *opts,
                         struct ph_err *err);

/* Bytes of the file of the shard in hand, or of the last one. */
uint64_t ph_sink_archive_stored(const struct ph_sink *sink);

#endif

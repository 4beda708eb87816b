/* A source that reads a shard out of its file, see archive/shardfile.h.
 *
 * Whatever is wrong with the file (it is missing, damaged, another's, cannot be read) is PH_DAMAGED: the worker knows whether
 * the shard can be had from elsewhere. The tally of the receipt must be the one that the ledger (or the manifest)
 * expects, so a file that was swapped for another is found before a byte is lent.
 */
#ifndef PH_SOURCE_ARCHIVE_H
#define PH_SOURCE_ARCHIVE_H

#include "archive/place.h"
#include "pghaul/source.h"

/* place: borrowed for the source's life. */
bool ph_source_archive_new(struct ph_source **out, struct ph_place *place, struct ph_err *err);

#endif

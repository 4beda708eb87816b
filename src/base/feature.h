/* What servers can do, by their version: the one place that knows version numbers (a lint looks).
 *
 * Everything else asks for a feature by name. A version is what libpq says: 150018. Only 15 is
 * tested; what stands here about others is from their release notes.
 *
 * Snapshots and transaction ids are asked for by the names of before 13 (txid_current_snapshot(),
 * txid_current()): they print the same and are there in all releases, so nobody has to ask.
 */
#ifndef PH_BASE_FEATURE_H
#define PH_BASE_FEATURE_H

#include <stdbool.h>

enum ph_feature {
    PH_HAS_ALL_THAT_IS_NEEDED,   /* 12: none older is worked with */
    PH_HAS_TRIGGER_PARENTS,      /* 13: pg_trigger.tgparentid */
    PH_HAS_SAFE_WAL_SIZE,        /* 13: pg_replication_slots.safe_wal_size */
    PH_HAS_TID_RANGE_SCAN,       /* 14 */
    PH_HAS_HASH_RECORD,          /* 14: hash_record_extended() */
    PH_HAS_MULTIRANGES,          /* 14 */
    PH_HAS_FOREIGN_PART_OIDS,    /* 14: arrays and composites in binary may name other OIDs of
                                    user-defined types than the server's own */
    PH_HAS_IDLE_SESSION_TIMEOUT, /* 14 */
    PH_HAS_CLIENT_CHECK,         /* 14: client_connection_check_interval */
    PH_HAS_PARAMETER_GRANTS,     /* 15: GRANT SET ON PARAMETER */
    PH_HAS_OCTAL_CHAR,           /* 16: "char" shows bytes that are no ASCII in octal */
    PH_HAS_TRANSACTION_TIMEOUT,  /* 17 */
    PH_HAS_CHECKPOINTER_STATS,   /* 17: pg_stat_checkpointer, before that in pg_stat_bgwriter */
    PH_HAS_INFINITE_INTERVALS,   /* 17: the outermost intervals became infinite */
    PH_HAS_PADDED_LSN,           /* 19: pg_lsn shows zeros in front of its second half */
    PH_N_FEATURES
};

bool ph_feature_has(int version, enum ph_feature feature);

/* The first release that has it: 14. */
int ph_feature_since(enum ph_feature feature);

#endif

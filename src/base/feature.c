#include "base/feature.h"

static const int since[PH_N_FEATURES] = {
    [PH_HAS_ALL_THAT_IS_NEEDED] = 12, [PH_HAS_TRIGGER_PARENTS] = 13,
    [PH_HAS_SAFE_WAL_SIZE] = 13,      [PH_HAS_TID_RANGE_SCAN] = 14,
    [PH_HAS_HASH_RECORD] = 14,        [PH_HAS_MULTIRANGES] = 14,
    [PH_HAS_FOREIGN_PART_OIDS] = 14,  [PH_HAS_IDLE_SESSION_TIMEOUT] = 14,
    [PH_HAS_CLIENT_CHECK] = 14,       [PH_HAS_PARAMETER_GRANTS] = 15,
    [PH_HAS_OCTAL_CHAR] = 16,         [PH_HAS_TRANSACTION_TIMEOUT] = 17,
    [PH_HAS_INFINITE_INTERVALS] = 17, [PH_HAS_CHECKPOINTER_STATS] = 17,
    [PH_HAS_PADDED_LSN] = 19,
};

int ph_feature_since(enum ph_feature feature)
{
    return since[feature];
}

bool ph_feature_has(int version, enum ph_feature feature)
{
    return version / 10000 >= since[feature];
}

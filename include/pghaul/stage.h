/* Where a worker's time goes. Every moment inside a hop is in exactly one stage: waiting is told from working,
 * and the two servers and the files from us. */
#ifndef PGHAUL_STAGE_H
#define PGHAUL_STAGE_H

enum ph_stage {
    PH_STAGE_SOURCE_WAIT, /* for the source to send */
    PH_STAGE_SOURCE_READ, /* taking what it has sent, and finding rows in it */
    PH_STAGE_FINGERPRINT,
    PH_STAGE_COMPRESS,     /* making frames, or opening them: LZ4 and checksums */
    PH_STAGE_SPILL_WRITE,  /* for the medium to take a file */
    PH_STAGE_SPILL_READ,   /* for the medium to give it back */
    PH_STAGE_TARGET_WRITE, /* handing rows to the target's connection */
    PH_STAGE_TARGET_WAIT,  /* for the target to take them */
    PH_STAGE_COMMIT_WAIT,  /* for it to commit, or to note a file */
    PH_STAGE_THROTTLED,    /* held back */
    PH_N_STAGES,
};

/* "source_wait", "source_read", ... */
extern const char *const ph_stage_names[PH_N_STAGES];

#endif

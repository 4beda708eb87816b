#include "pg/tag.h"

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

void ph_tag_of_job(const char *job, uint64_t target_system, uint32_t target_database,
                   char out[static 9])
{
    uint64_t seed = target_system ^ ((uint64_t)target_database << 32);
    XXH64_hash_t h = XXH3_64bits_withSeed(job, strlen(job), seed);
    snprintf(out, 9, "%08x", (unsigned)(h & 0xffffffffu));
}

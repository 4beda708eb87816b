/* Whether there are descriptors enough. libpq calls a socket that it cannot have a server that is
 * out of reach, and servers are waited for.
 */
#include <sys/resource.h>

#include "haul/run.h"

/* Two connections to a worker, and with files a ring and the file itself; the rest is the program's,
 * its guards' and its pulse's. Measured, rounded up. */
enum { OF_PROGRAM = 16, OF_WORKER = 2, OF_WORKER_WITH_FILES = 4 };

bool ph_run_check_descriptors(const struct ph_run *run, struct ph_err *err)
{
    struct rlimit limit;
    int workers = run->plan->jobs;
    bool files =
        run->opts->spec->route != PH_ROUTE_COPY || run->opts->spill.when == PH_SPILL_ALWAYS;
    rlim_t need = OF_PROGRAM + (rlim_t)workers * (rlim_t)(files ? OF_WORKER_WITH_FILES : OF_WORKER);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
        return true;
    struct rlimit more = {.rlim_cur = need, .rlim_max = limit.rlim_max};
    if (limit.rlim_max >= need && setrlimit(RLIMIT_NOFILE, &more) == 0)
        return true;
    ph_err_set(err, PH_WRONG, "%d worker%s need%s about %llu open files, and the limit is %llu",
               workers, workers == 1 ? "" : "s", workers == 1 ? "s" : "", (unsigned long long)need,
               (unsigned long long)limit.rlim_max);
    return ph_err_hint(err, "fewer --jobs, or a higher ulimit -n");
}

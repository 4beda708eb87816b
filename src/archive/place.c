#include "archive/place.h"

bool ph_place_ready(struct ph_place *place, struct ph_err *err)
{
    if (place->ring)
        return true;
    if (!ph_ring_new(&place->ring, &(struct ph_ring_opts){.io = place->io}, err))
        return false;
    ph_log(place->log, PH_LOG_INFO, "files in %s are read and written by %s", place->shown,
           ph_ring_shown(place->ring));
    return true;
}

void ph_place_fini(struct ph_place *place)
{
    ph_ring_free(place->ring);
    place->ring = NULL;
}

const char *const ph_place_choices[] = {"auto",  "uring",          "uring-buffered",
                                        "posix", "posix-buffered", NULL};

void ph_place_choose(struct ph_place *place, int choice, bool soon)
{
    static const enum ph_io io[] = {PH_IO_AUTO, PH_IO_URING, PH_IO_URING, PH_IO_POSIX, PH_IO_POSIX};
    static const bool direct[] = {false, true, false, true, false};
    place->io = io[choice];
    place->direct_in = direct[choice];
    place->direct_out = choice == 0 ? !soon : direct[choice];
}

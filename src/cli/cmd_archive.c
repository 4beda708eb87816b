/* pghaul archive: ls, verify and cat of an archive directory; no database is needed. */
#include "cli/cli.h"

#include <string.h>

bool ph_cmd_archive(struct ph_cli *cli, struct ph_err *err)
{
    const char *verb = cli->settings->operands.item[0], *path = cli->settings->operands.item[1];
    struct ph_archive *archive = NULL;
    if (!ph_cli_read_archive(cli, path, &archive, err))
        return false;
    return ph_err_set(err, PH_WRONG, "archive %s", verb);
}

#!/bin/sh
# Rules of the house that no compiler knows; one line per check, status 1 when one is broken.
#
#   tests/lint/run.sh            all of them
#   tests/lint/run.sh NAME...    only these (names: see the file `checks`)
exec python3 "$(dirname "$0")/lint.py" "$@"

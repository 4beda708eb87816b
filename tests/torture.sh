#!/bin/bash
# The long campaign: kill -9 rounds in every split and mode, every fault point, every story with new dice.
#
#   tests/torture.sh [ROUNDS [SEED]]     30 rounds and a random seed unless given
#   tests/torture.sh ROUNDS SEED NAME... only what is named so
#
# A failure prints the command that replays it. ROUNDS multiplies the stories that throw dice; all fault points are
# visited once, however many rounds there are.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
case ${1-} in
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
rounds=${1:-30}
seed=${2:-$RANDOM}
shift $(($# < 2 ? $# : 2))
exec tests/run.sh --campaign "$rounds" --campaign-seed "$seed" "$@"

#!/bin/bash
# Runs the tests of pghaul, on a machine that has nothing yet but Debian and root or sudo.
#
#   tests/run.sh                     everything: unit tests, lint, stories on throwaway servers, some faults
#   tests/run.sh NAME...             only the tests whose names contain one of the NAMEs
#   tests/run.sh --list              their names
#   tests/run.sh --seed N NAME...    once more with the dice of an earlier run
#
# The last line is `N passed, N failed`, and the exit status says the same. The long campaign is tests/torture.sh.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

if [ "${1-}" = --help ] || [ "${1-}" = -h ]; then
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
fi
. tests/support/setup.sh
if [ "${1-}" = --list ]; then
    exec python3 tests/support/runner.py --build build-test "$@"
fi

build() {
    local generator=()
    [ -f build-test/CMakeCache.txt ] || generator=(-G Ninja)
    cmake -B build-test "${generator[@]}" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPGHAUL_FAULTS=ON -DPGHAUL_TESTS=ON \
        -DCMAKE_COMPILE_WARNING_AS_ERROR=ON && # what lint gcc looks for, without compiling twice
        cmake --build build-test -j "$(nproc)"
}

if ! pghaul_setup; then
    echo "0 passed, 1 failed"
    exit 1
fi
log=$(mktemp)
if ! build >"$log" 2>&1; then
    tail -n 60 "$log"
    rm -f "$log"
    echo "the build failed"
    echo "0 passed, 1 failed"
    exit 1
fi
rm -f "$log"
exec python3 tests/support/runner.py --binary build-test/pghaul --build build-test --jobs 3 "$@"

#!/bin/bash
# Runs the benches and writes what they found into bench/RESULTS.md, one section each.
#
#     bench/run.sh                       all of them
#     bench/run.sh data_phase tiny       these
#
# Needs a build in build/ (or PGHAUL=path). BENCH_ROUNDS (5), BENCH_NARROW, BENCH_MIXED, BENCH_WIDE (rows), BENCH_TINY
# (tables) and BENCH_HUGE (rows) change the amount of work. The machine should have nothing else to do: what others burnt
# meanwhile is in the tables. The exit status is 1 when a bench failed, 3 when all ran and a bar was missed.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. bench/lib.sh

all=(data_phase auto tiny skew memory extract load spill archive verify verified_job throttle protect flat cost micro)
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${all[@]}")

worst=0
for name in "${names[@]}"; do
    script=bench/haul/$name
    [ "$name" != micro ] || script=bench/micro/run.sh
    [ -x "$script" ] || bench_die "no bench is called $name (${all[*]})"
    bench_say "== $name"
    section=$(mktemp)
    "$script" >"$section"
    status=$?
    if [ $status = 0 ] || [ $status = 3 ]; then bench_record "$name" "$section"; fi
    rm -f "$section"
    [ $status = 0 ] || bench_say "$name: exit status $status"
    if [ $status -ne 0 ] && [ $status -ne 3 ]; then worst=1; fi
    if [ $status -eq 3 ] && [ $worst -eq 0 ]; then worst=3; fi
done
exit $worst

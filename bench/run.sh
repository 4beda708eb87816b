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

all=(data_phase tiny skew memory extract load spill archive verify verified_job micro)
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${all[@]}")

# record NAME FILE: the section of that name is replaced by the file's text, or added.
record() {
    python3 - "$1" "$2" <<'PY'
import re, sys
name, path = sys.argv[1:]
results = "bench/RESULTS.md"
head = "# Results\n\nWritten by `bench/run.sh`; each section says how it came about.\n"
try:
    text = open(results).read()
except FileNotFoundError:
    text = head
parts = re.split(r"(?m)^(?=## )", text)
new = open(path).read().strip() + "\n"
for i, part in enumerate(parts):
    if part.startswith("## %s\n" % name):
        parts[i] = new
        break
else:
    parts.append(new)
open(results, "w").write("\n".join(p.rstrip("\n") + "\n" for p in parts))
PY
}

worst=0
for name in "${names[@]}"; do
    script=bench/haul/$name
    [ "$name" != micro ] || script=bench/micro/run.sh
    [ -x "$script" ] || bench_die "no bench is called $name (${all[*]})"
    bench_say "== $name"
    section=$(mktemp)
    "$script" >"$section"
    status=$?
    if [ $status = 0 ] || [ $status = 3 ]; then record "$name" "$section"; fi
    rm -f "$section"
    [ $status = 0 ] || bench_say "$name: exit status $status"
    if [ $status -ne 0 ] && [ $status -ne 3 ]; then worst=1; fi
    if [ $status -eq 3 ] && [ $worst -eq 0 ]; then worst=3; fi
done
exit $worst

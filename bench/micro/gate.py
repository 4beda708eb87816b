#!/usr/bin/env python3
"""Counts the instructions of the mover's paths, which do not depend on the machine's mood, and compares them with those on record.

    gate.py [--renew] PATHS

PATHS is the program of paths.c; the tests build it as build-test/paths and run this as the test `instructions`. The record is
instructions.tsv beside this file: a path may take 3 % more than it says. --renew writes it anew (and so belongs into the commit
that changes it, with the reason). Exit status: 0 as recorded or better · 1 a path takes more · 77 cannot be judged here: no
valgrind, or another compiler than the record's.
"""

import glob
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = os.path.join(HERE, "instructions.tsv")
TOLERANCE = 0.03


def skip(why):
    print("instructions are not counted: " + why)
    sys.exit(77)


def count(program):
    """(build, {path: instructions a row})."""
    with tempfile.TemporaryDirectory(prefix="pghaul-gate.") as folder:
        run = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=%s/out" % folder, program, "count", folder],
                             capture_output=True, text=True)
        if run.returncode:
            sys.exit("%s\n%s" % (run.stdout, run.stderr))
        lines = run.stdout.splitlines()
        units = {k: int(v) for k, v in (line.rsplit(": ", 1) for line in lines[1:])}
        counts = {}
        for path in glob.glob(folder + "/out.*"):
            with open(path) as f:
                text = f.read()
            name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
            if name:
                total = int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1))
                counts[name.group(1)] = total / units[name.group(1)]
        if set(counts) != set(units):
            skip("the program was built without valgrind/callgrind.h")
        return lines[0] + " " + platform.machine(), {k: counts[k] for k in units}


def read():
    with open(RECORD) as f:
        lines = [line.rstrip("\n") for line in f if not line.startswith("# ")]
    return lines[0].partition("\t")[2], {k: float(v) for k, v in (line.split("\t") for line in lines[1:])}


def write(build, counts):
    with open(RECORD, "w") as f:
        f.write("# Instructions a row, by callgrind; renewed by: bench/micro/gate.py --renew build-test/paths\n")
        f.write("built by\t%s\n" % build)
        f.writelines("%s\t%.2f\n" % item for item in counts.items())


def main():
    args = [a for a in sys.argv[1:] if a != "--renew"]
    if len(args) != 1:
        sys.exit(__doc__.strip())
    if not shutil.which("valgrind"):
        skip("valgrind is not installed")
    build, counts = count(args[0])
    if "--renew" in sys.argv:
        write(build, counts)
        return 0
    recorded_by, recorded = read()
    if build != recorded_by:
        skip("this build is by %s, the record's by %s" % (build, recorded_by))
    if set(counts) != set(recorded):
        print("the paths are not those on record: " + ", ".join(sorted(set(counts) ^ set(recorded))))
        return 1
    worse = 0
    for name, now in counts.items():
        change = now / recorded[name] - 1
        verdict = "too many" if change > TOLERANCE else "fewer: renew the record" if change < -TOLERANCE else ""
        worse += change > TOLERANCE
        print("%-22s %10.2f a row, on record %10.2f  %+5.1f %%  %s" % (name, now, recorded[name], change * 100, verdict))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Counts what being throttled, accounted for and seen costs of the mover's instructions, by callgrind.

The same copy of `mixed` runs twice, with a rate that nobody reaches (so that all buckets are charged) and a metrics file: as it is,
for the time that it takes, and under callgrind. What is done for each piece of 64 KiB counts as it is. What is done by the clock (samples,
history, metrics, settling) counts by as much less as callgrind made the run longer. A look at the clock is a system call under valgrind,
and 50 instructions more without it.

A markdown section goes to stdout; the exit status is 1 when a run failed, 3 when it is more than the bar.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PGHAUL = os.environ.get("PGHAUL", os.path.join(HERE, "..", "..", "build", "pghaul"))
PGBIN, DIR = os.environ["BENCH_PGBIN"], os.environ["BENCH_DIR"]
SOURCE, TARGET = os.environ["BENCH_SOURCE"], os.environ["BENCH_TARGET"]
BAR, CLOCK = 1.0, 50
PARTS = (
    ("buckets, pauses and shares: every piece", ("ph_throttle_wait", "ph_throttle_begin", "ph_throttle_end"), False),
    ("accounts of time: every piece", ("ph_laps_begin", "ph_laps_end", "ph_laps_call", "ph_laps_source", "ph_laps_sink", "ph_laps_as"), False),
    ("samples and history: by the clock", ("ph_sight_look", "ph_sight_write", "ph_sight_ask"), True),
    ("metrics: by the clock", ("ph_metrics_tick",), True),
    ("metrics: at the end", ("ph_metrics_end",), False),
    ("settling rates and guards: by the clock", ("ph_throttle_settle", "ph_guards_look"), True),
)


def sql(text):
    run = subprocess.run([PGBIN + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", TARGET], input=text, text=True, capture_output=True)
    if run.returncode:
        sys.exit(run.stderr)


def copy(where, *before):
    """Copies; returns the result."""
    sql("set client_min_messages = warning; truncate mixed; drop schema if exists pghaul cascade")
    run = subprocess.run([*before, PGHAUL, "copy", "-s", SOURCE, "-d", TARGET, "-t", "mixed", "--job", "cost", "--spill", "never", "-j", "2",
                          "--no-progress", "--max-rate", "100GiB/s", "--metrics-file", os.path.join(where, "metrics"), "--json"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": where})
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout)


def read(path):
    """(all instructions, {function: instructions of calls to it, with what it calls}, {function: calls})."""
    names, costs, calls, total, called, pending = {}, {}, {}, 0, None, 0
    with open(path) as f:
        for line in f:
            if line.startswith("totals:"):
                total = int(line.split()[1])
            named = re.match(r"c?fn=\((\d+)\)(?: (\S+))?", line)
            if named and named.group(2):
                names[named.group(1)] = named.group(2)
            if line.startswith("cfn="):
                called = names[named.group(1)]
            elif line.startswith("calls="):
                pending = int(line[6:].split()[0])
            elif pending:
                calls[called] = calls.get(called, 0) + pending
                costs[called] = costs.get(called, 0) + int(line.split()[1])
                pending = 0
    return total, costs, calls


def main():
    with tempfile.TemporaryDirectory(dir=DIR) as where:
        plain = copy(where)["seconds"]
        slow = copy(where, "valgrind", "--tool=callgrind", "-q", "--callgrind-out-file=%s/out.%%p" % where)["seconds"]
        # the keeper, a fork, has written one too
        out = max((os.path.join(where, n) for n in os.listdir(where) if n.startswith("out.")), key=os.path.getsize)
        total, costs, calls = read(out)
    looks = calls.get("ph_clock_ns", 0) + calls.get("ph_clock_s", 0)
    print("## cost\n\nInstructions of the mover (callgrind) while it copies `mixed` by two workers, with a rate that is not reached and a metrics file: "
          "%.0f million in %.1f s, %.1f s without valgrind.\n" % (total / 1e6, slow, plain))
    print("| | of all |\n|---|---|")
    everything = 0
    for words, functions, by_clock in PARTS:
        cost = sum(costs.get(f, 0) for f in functions) * (plain / slow if by_clock else 1)
        everything += cost
        print("| %s | %.2f %% |" % (words, 100 * cost / total))
    everything += CLOCK * looks
    print("| %d looks at the clock, of whomever | %.2f %% |" % (looks, 100 * CLOCK * looks / total))
    percent = 100 * everything / total
    print("| **all of it** | **%.2f %%** |\n\nThe bar, at most %.0f %%: %s." % (percent, BAR, "reached" if percent <= BAR else "**missed**"))
    sys.exit(0 if percent <= BAR else 3)


main()

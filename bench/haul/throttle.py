#!/usr/bin/env python3
"""Measures how exact rates are: a proxy before the target counts bytes, and windows of 10 s and 1 s are laid over them.

The rate has to be within 2 % in any 10 s, and never above 1.25 times of it in any second. Where the servers cannot reach a rate
on this machine, it can only be told that it is not passed. A markdown section goes to stdout; the exit status is 1 when a run
failed, 3 when a bar was missed.
"""

import os
import subprocess
import sys
import tempfile
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "support"))
from proxy import CountingProxy  # noqa: E402

PGHAUL = os.environ.get("PGHAUL", os.path.join(HERE, "..", "..", "build", "pghaul"))
PGBIN, DIR = os.environ["BENCH_PGBIN"], os.environ["BENCH_DIR"]
SOURCE, TARGET = os.environ["BENCH_SOURCE"], os.environ["BENCH_TARGET"]
SECONDS = float(os.environ.get("BENCH_SECONDS", "11.5"))
MIB = 1 << 20
BODY = 8100
BURST = 0.15  # s; nothing for longer than that: what the servers did not take then is lost, as it should be

JOB = """tables:
  - table: public.seed
    target: public.seed
    columns:
      id: id
      body: repeat('x', %d)
""" % BODY


def sql(dsn, text):
    run = subprocess.run([PGBIN + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", dsn], input=text, text=True,
                         capture_output=True)
    if run.returncode:
        sys.exit("%s\n%s" % (text, run.stderr))
    return run.stdout.strip()


def measure(name, options, wanted, row_bytes, rows, workers):
    """wanted: units a second, of row_bytes / wire bytes each. One line of the table."""
    sql(SOURCE, "drop table if exists seed; create unlogged table seed (id int, body text); "
                "insert into seed select i from generate_series(1, %d) i; analyze seed" % rows)
    sql(TARGET, "drop table if exists seed; drop schema if exists pghaul cascade; "
                "create unlogged table seed (id int, body text); alter table seed alter body set storage plain")
    job = os.path.join(DIR, "job.yaml")
    with open(job, "w") as f:
        f.write(JOB)
    directory = tempfile.mkdtemp(dir=DIR)
    cluster = types.SimpleNamespace(sockets=DIR, port=5402)
    with CountingProxy(directory, cluster) as proxy:
        target = TARGET.replace("host=" + DIR, "host=" + directory)
        assert target != TARGET, TARGET
        run = subprocess.run([PGHAUL, "copy", "-f", job, "-s", SOURCE, "-d", target, "--spill", "never", "-j", str(workers),
                              "--shard-rows", str(max(rows // 24, 8)), "--no-progress", *options],
                             capture_output=True, text=True, env={**os.environ, "XDG_STATE_HOME": directory})
    if run.returncode:
        sys.exit("%s: %s" % (name, run.stderr))
    big = [when for when, n in proxy.sent if n > 2000]
    unit = row_bytes
    most10, most1 = proxy.most(10) / unit / 10 / wanted, proxy.most(1) / unit / wanted
    least10 = proxy.least(10, big[0], big[-1]) / unit / 10 / wanted
    reached = sum(n for _, n in proxy.sent) / unit / (big[-1] - big[0]) / wanted
    gaps = [b - a for a, b in zip(big, big[1:])]
    stalled = sum(g - BURST for g in gaps if g > BURST) / (big[-1] - big[0])
    ok = most10 <= 1.02 and most1 <= 1.25 and (least10 >= 0.98 or reached < 0.9)
    print("%s, %d workers: 10 s %.3f to %.3f, 1 s at most %.3f, all %.3f, stalled %.3f%s" % (
        name, workers, least10, most10, most1, reached, stalled, "" if ok else "  MISSED"), file=sys.stderr, flush=True)
    print("| %s | %d | %.3f–%.3f | %.3f | %s |" % (
        name, workers, least10, most10, most1, "yes" if ok and least10 >= 0.98 else
        "not passed; the servers reach %.2f of it" % reached if ok else "**no**"))
    return ok


def main():
    print("## throttle\n\nTimes the rate that was asked for, as a proxy before the target counts bytes, over any 10 s (least and most) "
          "and any 1 s (most); runs of %.1f s, rows of %d bytes made by the source.\n" % (SECONDS, BODY))
    print("| rate | workers | in 10 s | in 1 s at most | within 2 % and 1.25 |\n|---|---|---|---|---|")
    ok, only = True, sys.argv[1:]  # for example: "20 MiB/s"
    wire = 2 + 4 + 4 + 4 + BODY  # a row of COPY BINARY
    for workers in 1, 4:
        for mib in 1, 20, 200:
            if only and "%d MiB/s" % mib not in only:
                continue
            rate = mib * MIB
            rows = int(rate * SECONDS / wire)
            ok &= measure("%d MiB/s" % mib, ["--target-max-rate", "%dMiB" % mib], rate, 1, rows, workers)
    global JOB
    JOB = JOB.replace("repeat('x', %d)" % BODY, "chr(120)")
    for workers in (1, 4) if not only or "50 k rows/s" in only else ():
        ok &= measure("50 k rows/s", ["--target-max-rows", "50k"], 50000, 2 + 4 + 4 + 4 + 1, int(50000 * SECONDS), workers)
    sys.exit(0 if ok else 3)


main()

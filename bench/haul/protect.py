#!/usr/bin/env python3
"""Measures what others' transactions take while a mover works beside them.

pgbench runs on the source and on the target, as an open loop: so many transactions a second are due, whoever is late, and the time
of each counts from when it was due. Three windows make a round: without a mover, with one that nothing holds back, and
with one under guards; their order turns from round to round. The bar: the 99th percentile under guards is at most 1.5
times that without a mover (median of the rounds' ratios), on both servers, and the mover still moves.

A markdown section goes to stdout, the curves to bench/protect.svg; the exit status is 1 when a run failed, 3 when the bar was missed.
"""

import glob
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PGHAUL = os.environ.get("PGHAUL", os.path.join(HERE, "..", "..", "build", "pghaul"))
PGBIN, DIR = os.environ["BENCH_PGBIN"], os.environ["BENCH_DIR"]
SIDES = {"source": os.environ["BENCH_SOURCE"], "target": os.environ["BENCH_TARGET"]}
ROUNDS, SECONDS = int(os.environ.get("BENCH_ROUNDS", "5")), int(os.environ.get("BENCH_SECONDS", "20"))
TPS = os.environ.get("BENCH_TPS", "100")
LEAD = 3  # s that pgbench has to itself before the window: connections, caches
BAR = 1.5
# what the guards steer by is stricter than the bar: they find out by trying
GUARDS = os.environ.get("BENCH_GUARDS", "--canary commit --canary-limit 1.25")
MODES = ("without", "unthrottled", "guarded")
COLOURS = {"without": "#3a7d44", "unthrottled": "#c0392b", "guarded": "#2d6cdf"}


def sql(dsn, text):
    run = subprocess.run([PGBIN + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", dsn], input=text, text=True,
                         capture_output=True)
    if run.returncode:
        sys.exit("%s\n%s" % (text, run.stderr))
    return run.stdout.strip()


def start_pgbench(side, where):
    argv = [PGBIN + "/pgbench", "-n", "-N", "-c", "4", "-j", "1", "-R", TPS, "-T", str(LEAD + SECONDS + 1), "-l",
            "--log-prefix", os.path.join(where, side), SIDES[side]]
    # a file, as nobody reads while it runs: a pipe that is full would stop it
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=open(os.path.join(where, side + "-said"), "w"))


def read_log(where, side):
    """(when it ended, seconds that it took from when it was due) of each transaction."""
    found = []
    for path in glob.glob(os.path.join(where, side) + ".*"):
        with open(path) as f:
            for line in f:
                fields = line.split()
                found.append((int(fields[4]) + int(fields[5]) / 1e6, int(fields[2]) / 1e6))
    return found


def p99(values):
    return sorted(values)[max(0, -(-99 * len(values) // 100) - 1)]


def move(mode, until):
    """Copies again and again until the window ends. Returns the bytes that landed."""
    options = shlex.split(GUARDS) if mode == "guarded" else []
    argv = [PGHAUL, "copy", "-s", SIDES["source"], "-d", SIDES["target"], "-t", "mixed", "--mode", "replace", "--again", "--job",
            "protect", "--spill", "never", "--shard-size", "4MiB", "--json", "--no-progress", *options]
    moved, held = 0, {}
    while time.monotonic() < until:
        run = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": DIR})
        try:
            out, err = run.communicate(timeout=max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)
            run.send_signal(signal.SIGINT)
            out, err = run.communicate()
        if run.returncode not in (0, 130):
            sys.exit("%s: %s" % (mode, err))
        result = json.loads(out)
        moved += result.get("bytes", 0)
        for name, seconds in result.get("throttled_seconds", {}).items():
            held[name] = held.get(name, 0) + seconds
        if run.returncode == 130:
            break
    return moved, held


def window(mode):
    """One window: for each side [(second of the window, latency)], and the MiB/s that the mover moved."""
    sql(SIDES["target"], "truncate mixed; drop schema if exists pghaul cascade")
    for dsn in SIDES.values():
        sql(dsn, "checkpoint")
    with tempfile.TemporaryDirectory(dir=DIR) as where:
        clients = {side: start_pgbench(side, where) for side in SIDES}
        time.sleep(LEAD)
        begin, until = time.time(), time.monotonic() + SECONDS
        moved, held = move(mode, until) if mode != "without" else (0, {})
        time.sleep(max(0, until - time.monotonic()))
        for side, client in clients.items():
            if client.wait():
                with open(os.path.join(where, side + "-said")) as said:
                    sys.exit("pgbench on the %s: %s" % (side, said.read()))
        return {side: [(at - begin, took) for at, took in read_log(where, side) if 0 <= at - begin < SECONDS]
                for side in SIDES}, moved / SECONDS / (1 << 20), held


def curve(seen):
    """p99 of each second; of so few it is the second largest or the largest."""
    return [1e3 * p99([took for at, took in seen if s <= at < s + 1] or [0]) for s in range(SECONDS)]


def draw(path, rounds):
    """The p99 of each second, median of the rounds, on both sides."""
    width, height, left, gap = 640, 180, 60, 50
    top = max(max(row) for side in SIDES for mode in MODES for row in [medians(rounds, mode, side)]) * 1.1
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">'
           % (width + left + 20, 2 * (height + gap) + 30)]
    for i, side in enumerate(SIDES):
        y0 = gap // 2 + i * (height + gap)
        out.append('<text x="%d" y="%d">p99 on the %s, ms, by second</text>' % (left, y0 - 6, side))
        for k in range(5):
            y = y0 + height - height * k / 4
            out.append('<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.3g</text>' % (
                left, y, left + width, left - 6, y + 4, top * k / 4))
        for mode in MODES:
            row = medians(rounds, mode, side)
            points = " ".join("%.1f,%.1f" % (left + width * (s + 0.5) / SECONDS, y0 + height - height * v / top)
                              for s, v in enumerate(row))
            out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (points, COLOURS[mode]))
    for k, mode in enumerate(MODES):
        out.append('<text x="%d" y="%d" fill="%s">%s</text>' % (
            left + 140 * k, 2 * (height + gap) + 20, COLOURS[mode], "without a mover" if mode == "without" else mode))
    with open(path, "w") as f:
        f.write("\n".join(out + ["</svg>"]) + "\n")


def medians(rounds, mode, side):
    return [statistics.median(values) for values in zip(*(curve(r[mode][0][side]) for r in rounds))]


def main():
    rounds = []
    for n in range(ROUNDS):
        order = MODES[n % 3:] + MODES[:n % 3]
        rounds.append({mode: window(mode) for mode in order})
        print("round %d: %s" % (n + 1, "; ".join("%s %s ms, %.1f MiB/s" % (
            mode, "/".join("%.1f" % (1e3 * p99([took for _, took in rounds[-1][mode][0][side]])) for side in SIDES),
            rounds[-1][mode][1]) for mode in MODES)), file=sys.stderr, flush=True)
    draw(os.path.join(HERE, "..", "protect.svg"), rounds)
    print("## protect\n\npgbench (`-N`, open loop, %s transactions a second, each on the source and on the target) beside a mover of `mixed`; "
          "windows of %d s, medians of %d rounds. Guards: `%s`. The curves, p99 by second: [protect.svg](protect.svg).\n" % (
              TPS, SECONDS, ROUNDS, GUARDS))
    print("| | p99 on the source | on the target | times that without: source | target | the mover moves |\n|---|---|---|---|---|---|")
    ok = True
    for mode in MODES:
        every = {side: [1e3 * p99([took for _, took in r[mode][0][side]]) for r in rounds] for side in SIDES}
        times = {side: [mine / (1e3 * p99([took for _, took in r["without"][0][side]]))
                        for mine, r in zip(every[side], rounds)] for side in SIDES}
        moved = [r[mode][1] for r in rounds]
        ratio = {side: statistics.median(times[side]) for side in SIDES}
        if mode == "guarded":
            ok = max(ratio.values()) <= BAR and min(moved) > 0
        print("| %s | %.1f ms | %.1f ms | %.2f (%.2f–%.2f) | %.2f (%.2f–%.2f) | %s |" % (
            mode, *(statistics.median(every[side]) for side in SIDES),
            *(x for side in SIDES for x in (ratio[side], min(times[side]), max(times[side]))),
            "%.1f MiB/s" % statistics.median(moved) if mode != "without" else ""))
    print("\nThe bar, at most %.1f times under guards while it still moves: %s." % (BAR, "reached" if ok else "**missed**"))
    print("\np99 by second, ms, medians of the rounds:\n\n| | %s |\n|%s" % (
        " | ".join("%d" % (s + 1) for s in range(SECONDS)), "---|" * (SECONDS + 1)))
    for side in SIDES:
        for mode in MODES:
            print("| %s, %s | %s |" % (side, mode, " | ".join("%.1f" % v for v in medians(rounds, mode, side))))
    sys.exit(0 if ok else 3)


main()

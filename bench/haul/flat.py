#!/usr/bin/env python3
"""Whether a table ten times as long takes ten times as long, and no more memory; and how long the tail of a skewed one is."""

import json
import os
import sys

import measure
from measure import TARGET, SOURCE, Bars, Failed, Run, content, empty, median, pghaul, say, sql

LONG = int(os.environ.get("BENCH_LONG", "100000000"))
TWIN = "narrow_short"  # a tenth of it


def run(table, wanted):
    """One copy of the table, checked: by count and sums, since hashing 100 million rows would take longer than all else."""
    empty([table])
    done = Run(pghaul("-t", table))
    if sums(TARGET, table) != wanted:
        raise Failed("%s: not the same rows" % table)
    result = json.loads(done.out)
    done.rows_s = result["rows"] / done.wall
    done.tail = result["tail_seconds"]
    say("  %-14s %7.2f s  %9.0f rows/s  tail %.2f s  rss %.0f MiB" % (table, done.wall, done.rows_s, done.tail, done.rss / 2**20))
    return done


def sums(dsn, table):
    return sql(dsn, "SELECT count(*), sum(id), sum(a), sum(b::bigint * c), bit_xor(id * a + c) FROM " + table)


def flat(args):
    """A narrow table of 100 million rows against one of 10 million, defaults, in turns; and 2 million rows with skewed keys."""
    bars, out = Bars(), ["", "| rows | wall s | rows/s | by round | tail s | RSS MiB | own CPU share |", "|---|---|---|---|---|---|---|"]
    tables, runs = (TWIN, "narrow"), {TWIN: [], "narrow": []}
    wanted = {t: sums(SOURCE, t) for t in tables}
    for i in range(args.rounds):
        for t in tables if i % 2 == 0 else tables[::-1]:
            runs[t].append(run(t, wanted[t]))
            empty([t])
    for t in tables:
        r = runs[t]
        own = sum(x.self_cpu / x.cpu for x in r) / len(r)
        out.append("| %s | %.2f | %s | %s | %.2f | %.0f | %.1f %% |" % (
            format(int(wanted[t].split("|")[0]), ","), median(r, "wall"), format(int(median(r, "rows_s")), ","),
            ", ".join("%.2f" % x.wall for x in r), median(r, "tail"), max(x.rss for x in r) / 2**20, 100 * own))
    rate = median(runs["narrow"], "rows_s") / median(runs[TWIN], "rows_s")
    bars.check("rows a second of the long table against the short one: slower by", 1 - rate, 0.10)
    bars.check("memory of the long table against the short one",
               max(x.rss for x in runs["narrow"]) / max(x.rss for x in runs[TWIN]), 1.10)
    skew = []
    for _ in range(args.rounds):
        empty(["skewed"])
        done = Run(pghaul("-t", "skewed"))
        if content(SOURCE, "skewed") != content(TARGET, "skewed"):
            raise Failed("skewed: not the same rows")
        skew.append(json.loads(done.out)["tail_seconds"] / done.wall)
    bars.check("tail of the skewed table, of the wall", 100 * sorted(skew)[len(skew) // 2], 3, " %")
    return out, bars


if __name__ == "__main__":
    sys.exit(measure.main({"flat": flat}))

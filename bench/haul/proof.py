#!/usr/bin/env python3
"""Measures what proof costs: verify at its levels against copying and against md5 sums. See measure.py for how."""

import json
import shlex
import sys

import measure as m

MD5 = "SELECT count(*), sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint::numeric) FROM %s t"


def verify_command(table, *args):
    return [m.PGHAUL, "verify", "-s", m.SOURCE, "-d", m.TARGET, "--json", "-t", table, *args]


def proven(table, *args):
    run = m.Run(verify_command(table, *args))
    result = json.loads(run.out)
    if not result["equal"] or result["tables"][0]["why"]:
        raise m.Failed("%s: not the proof that was asked for: %s" % (table, run.out))
    return run


def copied(*tables, verify=False):
    m.empty(tables)
    args = [x for t in tables for x in ("-t", t)] + (["--verify"] if verify else [])
    run = m.Run(m.pghaul(*args))
    if verify and not json.loads(run.out)["verify"]["equal"]:
        raise m.Failed("not equal after copying: %s" % run.out)
    return run


def md5_script(*tables):
    """Sums of both servers at once, table by table, as one would by hand."""
    lines = ["set -e"]
    for t in tables:
        sums = [shlex.join([m.PGBIN + "/psql", "-XqAtd", dsn, "-c", MD5 % t]) for dsn in (m.SOURCE, m.TARGET)]
        lines.append("a=$(%s & %s; wait); [ $(sort -u <<<\"$a\" | wc -l) = 1 ]" % tuple(sums))
    return "\n".join(lines)


def md5_sums(*tables):
    return m.Run(["bash", "-c", md5_script(*tables)])


def dump_and_sums(*tables):
    """pg_dump and pg_restore through a directory, the rows only, then md5 sums on both sides."""
    m.empty(tables)
    names = " ".join("-t " + t for t in tables)
    script = "set -e; d=%s/dump; rm -rf $d; %s/pg_dump -a -Fd -Z0 -j2 %s -f $d -d %s; %s/pg_restore -a -j2 -d %s $d; rm -rf $d\n" % (
        m.DIR, m.PGBIN, names, shlex.quote(m.SOURCE), m.PGBIN, shlex.quote(m.TARGET))
    return m.Run(["bash", "-c", script + md5_script(*tables)])


def verify(args):
    """What proof costs, against copying the same table and against md5(row::text) sums run in both servers at once. Every
    verdict is checked; the target has no indexes."""
    bars, out = m.Bars(), []
    for table in args.tables or ["narrow", "mixed"]:
        m.say("%s:" % table)
        copied(table)
        # each contender finds the target loaded, and those that load leave it loaded
        runs = m.rounds(args.rounds, {
            "copy": lambda: copied(table),
            "readback": lambda: proven(table),
            "source": lambda: proven(table, "--level", "source"),
            "source --in-server": lambda: proven(table, "--level", "source", "--in-server"),
            "md5 sums": lambda: md5_sums(table),
            "copy --verify": lambda: copied(table, verify=True),
        }, lambda: None, lambda: None, args.patience)
        out += ["", "**%s**" % table, ""] + m.table_of(runs, "copy")
        wall = {name: m.median(list_, "wall") for name, list_ in runs.items()}
        bars.check("%s, copy --verify against copy" % table, wall["copy --verify"] / wall["copy"], 1.5)
        bars.check("%s, source against copy" % table, wall["source"] / wall["copy"], 0.85)
        bars.check("%s, in-server against copy" % table, wall["source --in-server"] / wall["copy"], 0.6)
        bars.check("%s, in-server against md5 sums" % table, wall["source --in-server"] / wall["md5 sums"], 0.45)
    return out, bars


def verified_job(args):
    """Time until a job of two tables is there and proven: copy --verify against pg_dump, pg_restore and md5 sums."""
    tables = args.tables or ["narrow", "mixed"]
    runs = m.rounds(args.rounds, {
        "pghaul copy --verify": lambda: copied(*tables, verify=True),
        "pg_dump, pg_restore, md5": lambda: dump_and_sums(*tables),
    }, lambda: None, lambda: None, args.patience)
    return ["", *m.table_of(runs, "pg_dump, pg_restore, md5")], m.Bars()


if __name__ == "__main__":
    sys.exit(m.main({"verify": verify, "verified_job": verified_job}))

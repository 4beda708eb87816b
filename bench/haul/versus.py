#!/usr/bin/env python3
"""pghaul against its peers on the same work (see bench/versus, which makes the clusters).

Contenders are run in turns (1 2 3, 3 2 1, ...), each into a target database made anew, with both servers' caches warm and a
checkpoint behind them. Every run is checked by content on both sides: count and order-free sum of hashes of the rows, table by
table. A peer that fails, takes too long, or loses rows is shown as such and does not run again; one that is very slow runs once.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LIB = os.path.join(HERE, "..", "lib.sh")

# name: (what makes it, size at --scale 1, indexes that it gets beside what that makes)
SETS = {
    "narrow": ("make_narrow", 4000000, "ALTER TABLE narrow ADD PRIMARY KEY (id); CREATE INDEX ON narrow (a)"),
    "mixed": ("make_mixed", 1500000, "ALTER TABLE mixed ADD PRIMARY KEY (id); CREATE INDEX ON mixed (customer); "
                                     "CREATE INDEX ON mixed (created); CREATE INDEX ON mixed (code)"),
    "pgbench": ("make_pgbench", 30, ""),
    "broad": ("make_broad", 40, "ALTER TABLE broad ADD PRIMARY KEY (id)"),
    "tiny": ("make_tiny", 1000, ""),
    "skewed": ("make_skewed", 2000000, ""),
}
WHAT = {
    "narrow": "rows of 4 integers",
    "mixed": "rows of 16 columns of 14 types, with TOAST",
    "pgbench": "pgbench's tables",
    "broad": "rows of 1 to 16 MB and three of 100 MB",
    "tiny": "tables of ten rows",
    "skewed": "rows with keys 1 to N and one of 2,000,000,000",
}
KIND = {
    "data": "Data only: the target has the tables, without indexes.",
    "indexed": "Loaded and indexed: the target is an empty database.",
    "verified": "Loaded, indexed and verified: pghaul by --verify, peers by md5 sums of all rows in both servers at once.",
}


def options(argv):
    p = argparse.ArgumentParser(prog="bench/versus", description=__doc__.splitlines()[0])
    names = lambda text: [n.strip() for n in text.split(",")]
    p.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--sets", type=names, default=list(SETS), help="of %s; default: all" % ",".join(SETS))
    p.add_argument("--peers", type=names, help="peers whose names begin with one of these (psql, pg_dump, pgcopydb, ...); default: all")
    p.add_argument("--kind", choices=KIND, default="data", help="what is done; default: data")
    p.add_argument("--rounds", type=int, default=3, help="that count, after one of pghaul's to warm up; default: 3")
    p.add_argument("--scale", type=float, default=1.0, help="size of the data; only 1 is recorded in RESULTS.md")
    p.add_argument("--patience", type=int, default=1, help="seconds to wait for others to leave the machine alone before each run")
    p.add_argument("--timeout", type=int, default=180, help="seconds that a peer may take; default: 180")
    p.add_argument("--no-record", action="store_true", help="leave RESULTS.md and bench/plots alone")
    args = p.parse_args(argv)
    for name in args.sets:
        if name not in SETS:
            p.error("no set is called %s (%s)" % (name, ", ".join(SETS)))
    return args


class Contender:
    def __init__(self, name, argv, why):
        self.name, self.argv, self.why, self.runs = name, argv, why, []
        self.enough = False
        self.ours = name in peers.OURS

    def seconds(self):
        return [r.wall for r in self.runs]

    def median(self, what):
        return statistics.median(getattr(r, what) for r in self.runs)


# --- data ------------------------------------------------------------------------------------------------------------

def make(name, scale):
    """The set's database on both sides; peers get it as Data."""
    maker, size, more = SETS[name]
    size = max(int(size * scale), 1)
    m.say("%s: %s %d" % (name, maker, size))
    dsn = {}
    for side, base in (("source", m.SOURCE), ("target", m.TARGET)):
        m.sql(base, "CREATE DATABASE %s" % name)
        dsn[side] = re.sub("dbname=\\S+", "dbname=" + name, base)
    env = {**os.environ, "BENCH_SOURCE": dsn["source"], "BENCH_TARGET": dsn["target"]}
    run = subprocess.run(["bash", "-c", ". %s; %s %d" % (m.q(LIB), maker, size)], env=env, capture_output=True, text=True)
    if run.returncode:
        raise m.Failed("%s: %s" % (maker, run.stderr.strip()))
    if more:
        m.sql(dsn["source"], more)
    m.sql(dsn["source"], "VACUUM (FREEZE, ANALYZE)")
    listed = m.sql(dsn["source"], "SELECT c.oid::regclass, pg_relation_size(c.oid) / 8192, pg_table_size(c.oid) FROM pg_class c "
                   "JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' "
                   "AND nspname <> 'information_schema' ORDER BY 3 DESC, 1").splitlines()
    rows = [line.split("|") for line in listed]
    return peers.Data(name, dsn["source"], dsn["target"], [r[0] for r in rows], int(rows[0][1]), sum(int(r[2]) for r in rows))


def contents(data, dsn):
    """{table: "count|sum"}; a table that is not there is told as such."""
    there = set(m.sql(dsn, "SELECT oid::regclass FROM pg_class WHERE relkind = 'r'").splitlines())
    found = [t for t in data.tables if t in there]
    out = {t: "is not there" for t in data.tables}
    one = "SELECT '%s', count(*), coalesce(sum(hash_record_extended(t, 0)::numeric), 0) FROM %s t"
    if found:
        workers = m.CORES if len(found) < 20 else 0  # for a thousand of ten rows, starting them is the work
        text = m.sql(dsn, "SET max_parallel_workers_per_gather = %d;" % workers + " UNION ALL ".join(one % (t, t) for t in found))
        for line in text.splitlines():
            table, _, sums = line.partition("|")
            out[table] = sums
    return out


def difference(data, wanted):
    """Why the target is not right, or None."""
    got = contents(data, data.target)
    for t in data.tables:
        if got[t] != wanted[t]:
            rows, want = got[t].split("|")[0], wanted[t].split("|")[0]
            return "%s has %s rows of %s" % (t, rows, want) if rows != want else "%s has other values" % t
    return None


def indexes(dsn):
    return m.sql(dsn, "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace "
                      "WHERE nspname !~ '^(pg_|information_schema|pghaul)' AND indisvalid")


def fresh(data, kind):
    """The target's database anew: empty, or with its tables and no index."""
    m.sql(m.TARGET, "DROP DATABASE IF EXISTS %s WITH (FORCE)" % data.name)
    m.sql(m.TARGET, "CREATE DATABASE %s" % data.name)
    if kind == "data":
        tables = "%s | %s" % (peers.dump(data, "--section=pre-data"), m.q(m.PGBIN + "/psql", "-Xq", "-o", "/dev/null", "-d", data.target))
        if subprocess.run(["bash", "-c", "set -o pipefail; " + tables]).returncode:
            raise m.Failed("the tables cannot be made")
    m.sql(m.TARGET, "CHECKPOINT")
    m.sql(m.SOURCE, "CHECKPOINT")


# --- runs ------------------------------------------------------------------------------------------------------------

def why_failed(error, limit):
    text = str(error)
    if "exit status 124" in text:
        return "took longer than %d s" % limit
    said = [x.strip() for x in text.splitlines() if x.strip()]
    telling = [x for x in said if re.search("error|fatal|failed|differ", x, re.I) and "ON_ERROR_STOP" not in x]
    return "failed: " + (telling or said)[-1][:140]


def one(c, data, args, wanted, counts):
    """One run, checked. False: it is out."""
    fresh(data, args.kind)
    m.quiet(args.patience)
    argv = c.argv if c.ours else ["timeout", str(args.timeout), *c.argv]
    hold = watch.Hold(data.source)
    try:
        run = m.Run(argv)
        hold.stop()
        run.hold = hold.seconds
        c.why = difference(data, wanted)
        if not c.why and args.kind != "data" and indexes(data.target) != indexes(data.source):
            c.why = "it has %s indexes of %s" % (indexes(data.target), indexes(data.source))
    except m.Failed as e:
        hold.stop()
        c.why = why_failed(e, args.timeout)
    if c.why:
        m.say("  %-26s %s" % (c.name, c.why))
        return False
    m.say("  %-26s %6.2f s  source %5.2f  target %5.2f  self %5.2f  rss %4.0f MiB  hold %5.2f s  others %.2f s" % (
        c.name, run.wall, run.source_cpu, run.target_cpu, run.self_cpu, run.rss / 2**20, run.hold, run.others))
    if counts:
        c.runs.append(run)
    return True


def spare(everybody):
    """Who took five times as long as we did, or half a minute more, has shown what there was to show: one run of it is enough."""
    base = next((c for c in everybody if c.ours and c.runs), None)
    for c in everybody:
        if base and not c.ours and c.runs:
            c.enough = c.runs[0].wall > min(5 * base.runs[0].wall, base.runs[0].wall + 30)


def chosen(data, args):
    names = list(peers.OURS) + [n for n in peers.THEIRS if not args.peers or any(n.startswith(p) for p in args.peers)]
    out = []
    for name in names:
        argv, why = peers.command(name, data, args.kind)
        if name == "pghaul + pg_restore" and out and out[0].argv:
            continue  # it makes tables itself
        if argv or why:
            out.append(Contender(name, argv, why))
    return out


def compare(data, args):
    wanted = contents(data, data.source)  # and the source's cache is warm
    everybody = chosen(data, args)
    for i in range(args.rounds + 1):
        m.say("%s, %s" % (data.name, "warm-up" if i == 0 else "round %d" % i))
        ready = [c for c in everybody if c.argv and not c.why and not c.enough and (i or c.ours)]
        for c in reversed(ready) if i % 2 else ready:
            one(c, data, args, wanted, i > 0)
        spare(everybody)
    return everybody, wanted


# --- telling ---------------------------------------------------------------------------------------------------------

def table(everybody, base, args):
    out = ["| | s | by round | pghaul takes × of it | source CPU s | target CPU s | own CPU s | cores busy | peak MiB | snapshot held s |",
           "|---" * 10 + "|"]
    for c in everybody:
        name = c.name.replace("|", "\\|")
        if c.why or not c.runs:
            out.append("| %s | %s |" % (name, (c.why or "did not run").replace("|", "\\|")) + " |" * 8)
            continue
        name += " (one run)" if c.enough and args.rounds > 1 else ""
        ratio = "" if c is base or not base else "**%.2f**" % (base.median("wall") / c.median("wall"))
        out.append("| %s | %.2f | %.2f–%.2f | %s | %.2f | %.2f | %.2f | %.0f %% | %.0f | %.2f |" % (
            name, c.median("wall"), min(c.seconds()), max(c.seconds()), ratio, c.median("source_cpu"), c.median("target_cpu"),
            c.median("self_cpu"), c.median("busy") * 100, max(r.rss for r in c.runs) / 2**20, c.median("hold")))
    return out


def tail(base):
    """What our own runs say of their ends: how long some workers had nothing left to do while others had."""
    seconds = []
    for run in base.runs:
        found = re.search(r'"tail_seconds": *([0-9.e-]+)', run.out)
        seconds += [float(found.group(1)) / run.wall] if found else []
    return ["", "Tail of %s: %.1f %% of its time." % (base.name, 100 * statistics.median(seconds))] if seconds else []


def tell(data, args, everybody, wanted):
    name = "versus %s, %s" % (args.kind, data.name)
    base = next((c for c in everybody if c.ours and c.runs and not c.why), None)
    rows = sum(int(w.split("|")[0]) for w in wanted.values())
    others = statistics.median([r.others / r.wall / m.CORES for c in everybody for r in c.runs] or [0])
    what = WHAT[data.name] if data.name != "tiny" else "%s %s" % (format(len(data.tables), ","), WHAT["tiny"])
    size = "%s (%s): %s rows, %d MB" % (data.name, what, format(rows, ","), data.bytes >> 20)
    command = "bench/versus --kind %s --sets %s --rounds %d" % (args.kind, data.name, args.rounds)
    plot = "plots/versus-%s-%s.svg" % (args.kind, data.name)
    text = ["## " + name, "", "%s %s." % (KIND[args.kind], size), "",
            "`%s`, medians of %d · %s · others burnt %.0f %% of the machine" % (command, args.rounds, m.facts(), 100 * others), "",
            *table(everybody, base, args), *(tail(base) if base else []), "", "![%s](%s)" % (name, plot), ""]
    print("\n".join(text), flush=True)
    if args.no_record or args.scale != 1:
        return
    bars = []
    for c in everybody:
        seconds = [] if c.why else c.seconds()
        note = "" if c is base or not base else "×%.2f" % (base.median("wall") / c.median("wall")) if seconds else c.why
        bars.append((c.name, c.ours, seconds, note or ""))
    os.makedirs("bench/plots", exist_ok=True)
    with open("bench/" + plot, "w") as f:
        f.write(draw.bars("%s — %s" % (size, args.kind), bars))
    with tempfile.NamedTemporaryFile("w", suffix=".md") as f:
        f.write("\n".join(text))
        f.flush()
        subprocess.run(["bash", "-c", ". bench/lib.sh; bench_record %s %s" % (m.q(name), m.q(f.name))], check=True)


def main():
    args = options(sys.argv[1:])
    if args.check:
        return 0
    global m, peers, draw, watch
    import measure as m
    import peers
    import plot as draw
    import watch
    if not os.access(m.PGHAUL, os.X_OK):
        m.say("no program at %s: build first (cmake -B build && cmake --build build)" % os.path.relpath(m.PGHAUL))
        return 1
    worst = 0
    for name in args.sets:
        data = make(name, args.scale)
        everybody, wanted = compare(data, args)
        tell(data, args, everybody, wanted)
        worst |= any(c.ours and c.argv and c.why for c in everybody)
        for base in (m.SOURCE, m.TARGET):
            m.sql(base, "DROP DATABASE %s WITH (FORCE)" % name)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())

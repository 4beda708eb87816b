#!/usr/bin/env python3
"""The limit that the two servers set, and how near pghaul comes to it.

For N rows on C cores that both servers and the mover share:   T* = N (s + t + b + k) / C

    s  CPU of the source's backends a row        drains into nothing on one side and feeds from memory on the other, at the same
    t  CPU of the target's backends a row        time and on all cores, as in a run
    b  background: the servers' other processes and the kernel's threads, meanwhile
    k  an ideal relay: bytes out of one socket and into another, nothing else (micro/relay.c)

    F = T*/T = E × U      E: the limit's CPU of what was burnt (the rest: mover, contention)   U: cores in use (the rest: tail, waits)

Each round is: calibrate, run everybody, calibrate. A round whose two calibrations differ by more than 5 % is made again, up to
--patience times. The cross-check is a mover that costs nothing: COPY TO a FIFO within the source's server and COPY FROM it
within the target's, in pairs.
"""

import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

TABLES = {"narrow": ("make_narrow", 4000000), "mixed": ("make_mixed", 1500000), "pgbench_accounts": ("make_pgbench", 30),
          "wide": ("make_wide", 12000), "skewed": ("make_skewed", 2000000)}
PASSES = 2  # of the drains: reading is cheaper than writing, and both shall last equally long


def options(argv):
    p = argparse.ArgumentParser(prog="bench/limit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("tables", nargs="*", metavar="TABLE", help="of %s; default: the first three" % ", ".join(TABLES))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--try", dest="tries", action="append", default=[], metavar="OPTIONS", help="of pghaul copy, beside the defaults; repeatable")
    p.add_argument("--patience", type=int, default=2)
    p.add_argument("--scale", type=float, default=1.0, help="size of the data; only 1 is recorded in RESULTS.md")
    p.add_argument("--no-record", action="store_true", help="leave RESULTS.md alone")
    args = p.parse_intermixed_args(argv)
    args.tables = args.tables or list(TABLES)[:3]
    for t in args.tables:
        if t not in TABLES:
            p.error("no table is called %s (%s)" % (t, ", ".join(TABLES)))
    return args


# --- CPU by whom -----------------------------------------------------------------------------------------------------

def on_cpu(pid):
    """Seconds, to the nanosecond."""
    try:
        with open("/proc/%d/schedstat" % pid) as f:
            return int(f.read().split()[0]) / 1e9
    except OSError:
        return 0.0


def background(name):
    """CPU of a server's processes that are no backends; these live as long as the server."""
    with open("%s/%s/postmaster.pid" % (m.DIR, name)) as f:
        postmaster = int(f.readline())
    total = 0.0
    for pid in m.children(postmaster):
        try:
            with open("/proc/%d/cmdline" % pid) as f:
                if re.search("checkpointer|background writer|walwriter|logical replication launcher", f.read()):
                    total += on_cpu(pid)
        except OSError:
            pass
    return total


def kernel():
    """CPU of the kernel's own threads."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                fields = f.read().rpartition(")")[2].split()
            if fields[1] == "2":
                total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / m.TICK


class Cpu:
    def __init__(self):
        self.source_background, self.target_background, self.kernel = background("source"), background("target"), kernel()
        self.source = m.server_cpu("source") - self.source_background
        self.target = m.server_cpu("target") - self.target_background

    def since(self, old):
        """(source's backends, target's backends, background)"""
        return (self.source - old.source, self.target - old.target,
                self.source_background - old.source_background + self.target_background - old.target_background
                + self.kernel - old.kernel)


# --- calibration -----------------------------------------------------------------------------------------------------

class Table:
    def __init__(self, name, scale):
        maker, size = TABLES[name]
        m.say("%s: %s %d" % (name, maker, size * scale))
        lib = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib.sh")
        run = subprocess.run(["bash", "-c", ". %s; %s %d" % (m.q(lib), maker, size * scale)], capture_output=True, text=True)
        if run.returncode:
            raise m.Failed(run.stderr.strip())
        if name == "pgbench_accounts":  # as for all others: no index
            m.sql(m.TARGET, "ALTER TABLE pgbench_accounts DROP CONSTRAINT IF EXISTS pgbench_accounts_pkey")
        if name == "skewed":
            m.sql(m.TARGET, "ALTER TABLE skewed DROP CONSTRAINT skewed_pkey")
        self.name = name
        self.wanted = m.content(m.SOURCE, name)
        self.rows = int(self.wanted.split("|")[0])
        self.blocks = int(m.sql(m.SOURCE, "SELECT pg_relation_size('%s') / 8192" % name))
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else m.DIR
        self.folder = tempfile.mkdtemp(prefix="pghaul-limit.", dir=memory)
        self.files = []
        for i, select in enumerate(self.selects(m.CORES)):
            self.files.append("%s/%d" % (self.folder, i))
            subprocess.run(["bash", "-c", "%s >%s" % (m.copy_out(select), m.q(self.files[-1]))], check=True)
        self.bytes = sum(os.path.getsize(f) for f in self.files)

    def selects(self, n):
        return peers.ctid_parts(self.name, self.blocks, n)

    def drop(self):
        for f in self.files:
            os.unlink(f)
        os.rmdir(self.folder)

    def check(self):
        if m.content(m.TARGET, self.name) != self.wanted:
            raise m.Failed("%s: not the same rows" % self.name)


class Calibration:
    """Microseconds of CPU a row: s, t, b, k."""

    def __init__(self, table):
        m.empty([table.name])
        drains = [m.q(m.PGBIN + "/psql", "-Xqd", m.SOURCE, *["-c", "COPY (%s) TO STDOUT (FORMAT binary)" % s] * PASSES)
                  + " >/dev/null" for s in table.selects(m.CORES)]
        feeds = [m.q(m.PGBIN + "/psql", "-Xqd", m.TARGET, "-c", "COPY %s FROM STDIN (FORMAT binary)" % table.name)
                 + " <" + m.q(f) for f in table.files]
        before = Cpu()
        run = m.Run(m.at_once(*drains, *feeds))
        source, target, b = Cpu().since(before)
        table.check()
        relay = subprocess.run([m.DIR + "/relay", str(m.CORES), "256"], capture_output=True, text=True, check=True)
        self.s, self.t = source / table.rows / PASSES * 1e6, target / table.rows * 1e6
        self.b = b / table.rows * 1e6
        self.k = float(relay.stdout) * table.bytes / table.rows / 1e3
        self.busy = run.busy + max(run.others, 0) / run.wall / m.CORES

    @property
    def row(self):
        return self.s + self.t + self.b + self.k

    def __str__(self):
        return "s %.3f  t %.3f  b %.3f  k %.3f µs a row (cores %.0f %% busy)" % (self.s, self.t, self.b, self.k, self.busy * 100)


# --- runs ------------------------------------------------------------------------------------------------------------

def fifos(table, n):
    """n pairs of server-side COPYs."""
    parts = []
    for i, select in enumerate(table.selects(n)):
        path = "%s/fifo%d" % (m.DIR, i)
        if not os.path.exists(path):
            os.mkfifo(path)
            os.chmod(path, 0o666)
        parts.append(m.q(m.PGBIN + "/psql", "-Xqd", m.SOURCE, "-c", "COPY (%s) TO '%s' (FORMAT binary)" % (select, path)))
        parts.append(m.q(m.PGBIN + "/psql", "-Xqd", m.TARGET, "-c", "COPY %s FROM '%s' (FORMAT binary)" % (table.name, path)))
    return m.at_once(*parts)


def contenders(table, args):
    out = {"pghaul": lambda: m.pghaul_run("-t", table.name)}
    for words in args.tries:
        out["pghaul " + words] = lambda words=words: m.pghaul_run("-t", table.name, *shlex.split(words))
    out["psql ×2"] = lambda: m.Run(m.halves(table.name))
    for n in (m.CORES, 2 * m.CORES):
        out["FIFO ×%d" % n] = lambda n=n: m.Run(fifos(table, n))
    return out


def one(table, start):
    """A run with, beside what m.Run tells, its CPU by whom."""
    m.empty([table.name])
    waits = {side: watch.Waits(dsn) for side, dsn in (("source", m.SOURCE), ("target", m.TARGET))}
    before = Cpu()
    try:
        run = start()
    finally:
        for w in waits.values():
            w.stop()
    run.split = Cpu().since(before)
    run.waits = {side: w.shares() for side, w in waits.items()}
    table.check()
    run.burnt = sum(run.split) + run.self_cpu
    return run


def judge(run, limit_row, table):
    """E, U and F of the whole command; F of the data phase."""
    limit = limit_row * 1e-6 * table.rows / m.CORES
    run.limit, run.e = limit, limit * m.CORES / run.burnt
    run.u, run.f, run.f_data = run.burnt / m.CORES / run.wall, limit / run.wall, limit / run.data_wall


def a_round(table, everybody, order, patience):
    for attempt in range(patience + 1):
        first = Calibration(table)
        m.say("  " + str(first))
        runs = {name: one(table, everybody[name]) for name in order}
        last = Calibration(table)
        m.say("  " + str(last))
        if abs(first.row / last.row - 1) <= 0.05:
            break
        m.say("  the calibrations differ by %.0f %%%s" % (abs(first.row / last.row - 1) * 100,
                                                          "" if attempt == patience else ": once more"))
    for name, run in runs.items():
        judge(run, (first.row + last.row) / 2, table)
        m.say("  %-18s %5.2f s, data %5.2f  F %.2f = E %.2f × U %.2f  data F %.2f" % (
            name, run.wall, run.data_wall, run.f, run.e, run.u, run.f_data))
    return runs, [first, last]


def measure(table, args):
    everybody = contenders(table, args)
    runs, calibrations = {name: [] for name in everybody}, []
    for i in range(args.rounds):
        m.say("%s, round %d" % (table.name, i + 1))
        order = list(everybody)
        done, two = a_round(table, everybody, reversed(order) if i % 2 else order, args.patience)
        calibrations += two
        for name, run in done.items():
            runs[name].append(run)
    return runs, calibrations


def waits_shown(runs, side):
    """The most frequent waits, medians over the runs."""
    events = {e for r in runs for e in r.waits[side]}
    share = {e or "on CPU or ready": statistics.median(r.waits[side].get(e, 0) for r in runs) for e in events}
    return ", ".join("%s %.0f %%" % (e, 100 * n) for e, n in sorted(share.items(), key=lambda x: -x[1])[:6] if n >= 0.005)


def tell(table, args, runs, calibrations):
    med = statistics.median
    c = {x: med(getattr(k, x) for k in calibrations) for x in ("s", "t", "b", "k", "row", "busy")}
    spread = max(abs(a.row / b.row - 1) for a, b in zip(calibrations[::2], calibrations[1::2]))
    words = "".join(' --try "%s"' % t for t in args.tries)
    out = ["## limit, " + table.name, "",
           "How near to what the servers allow (`bench/limit --help` says how): %s rows, %d bytes a row in COPY BINARY." % (
               format(table.rows, ","), table.bytes / table.rows), "",
           "`bench/limit --rounds %d%s %s`, medians of %d · %s" % (args.rounds, words, table.name, args.rounds, m.facts()), "",
           "µs a row: s %.3f, t %.3f, b %.3f, k %.3f, together %.3f; cores %.0f %% busy meanwhile; two calibrations of a round differ by up to %.1f %%. T* = %.2f s." % (
               c["s"], c["t"], c["b"], c["k"], c["row"], c["busy"] * 100, spread * 100, c["row"] * table.rows / 1e6 / m.CORES), "",
           "| | wall s | F | = E | × U | data phase s | its F | source backends × s | target backends × t | background × b | own CPU s | own share |",
           "|---" * 12 + "|"]
    for name, list_ in runs.items():
        get = lambda f: med(f(r) for r in list_)
        out.append("| %s | %.2f | **%.2f** | %.2f | %.2f | %.2f | **%.2f** | %.2f | %.2f | %.2f | %.2f | %.1f %% |" % (
            name, get(lambda r: r.wall), get(lambda r: r.f), get(lambda r: r.e), get(lambda r: r.u), get(lambda r: r.data_wall),
            get(lambda r: r.f_data), *[get(lambda r: r.split[i] / table.rows * 1e6 / max(c["stb"[i]], 1e-9)) for i in range(3)],
            get(lambda r: r.self_cpu), get(lambda r: r.self_cpu / r.burnt) * 100))
    out += ["", "What active backends waited for, of all looks at them (ClientRead and ClientWrite: for the mover, and it mostly for the other server):",
            "", "| | target | source |", "|---|---|---|"]
    for name, list_ in runs.items():
        out.append("| %s | %s | %s |" % (name, *[waits_shown(list_, side) for side in ("target", "source")]))
    text = "\n".join(out) + "\n"
    print(text, flush=True)
    if args.scale == 1 and not args.no_record:
        with tempfile.NamedTemporaryFile("w", suffix=".md") as f:
            f.write(text)
            f.flush()
            subprocess.run(["bash", "-c", ". bench/lib.sh; bench_record %s %s" % (m.q("limit, " + table.name), m.q(f.name))], check=True)


def main():
    args = options(sys.argv[1:])
    if args.check:
        return 0
    global m, peers, watch
    import measure as m
    import peers
    import watch
    try:
        for name in args.tables:
            table = Table(name, args.scale)
            try:
                tell(table, args, *measure(table, args))
            finally:
                table.drop()
            for dsn in (m.SOURCE, m.TARGET):
                m.sql(dsn, "DROP TABLE %s CASCADE" % name)
    except m.Failed as e:
        m.say("limit failed: %s" % e)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Measures pghaul against its opponents on two running clusters (see bench/lib.sh).

Contenders are run in turns (1 2 3, 3 2 1, ...), every run is checked by content, and what is told is medians and
ratios of one session. A run during which others burnt more than 15 % of the machine says little and is repeated, up to
--patience times, and the least disturbed one counts; what others burnt in the runs that count is told too. Progress goes to stderr, a markdown section to stdout. The exit status is 1 when a run failed or a
check did not hold, 3 when everything ran but a bar was missed.

CPU is counted for whole process trees: a server is its postmaster, its live children, and the children that it has
reaped (cutime and cstime in /proc/PID/stat); a contender is what wait4() says of it, with the children it waited for.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))
HERE = os.path.dirname(os.path.abspath(__file__))
PGHAUL = os.environ.get("PGHAUL", os.path.join(HERE, "..", "..", "build", "pghaul"))
PGBIN = os.environ["BENCH_PGBIN"]
DIR = os.environ["BENCH_DIR"]
SOURCE, TARGET = os.environ["BENCH_SOURCE"], os.environ["BENCH_TARGET"]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Failed(Exception):
    pass


# --- servers ---------------------------------------------------------------------------------------------------------

def sql(dsn, text):
    run = subprocess.run([PGBIN + "/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn], input=text,
                         capture_output=True, text=True)
    if run.returncode:
        raise Failed("%s\n%s" % (text, run.stderr.strip()))
    return run.stdout.strip()


def stat_seconds(pid, with_children):
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(v) for v in fields[11:15 if with_children else 13]) / TICK


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(p) for p in f.read().split()]
    except OSError:
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
        return [int(p) for p in out.stdout.split()]


def server_cpu(name):
    with open("%s/%s/postmaster.pid" % (DIR, name)) as f:
        postmaster = int(f.readline())
    return stat_seconds(postmaster, True) + sum(stat_seconds(p, False) for p in children(postmaster))


def machine_cpu():
    """Busy seconds of the whole machine, everybody's."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / TICK


# --- one run ---------------------------------------------------------------------------------------------------------

class Run:
    """What one run of one contender cost."""

    def __init__(self, argv, env=None):
        self.argv = argv
        time.sleep(0.2)  # let the servers' clean-up of the last connection end
        source, target, machine = server_cpu("source"), server_cpu("target"), machine_cpu()
        peak = Peak()
        out = open(os.path.join(DIR, "run.out"), "w+")
        errors = open(os.path.join(DIR, "run.err"), "w+")
        begin = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
                                   env={**os.environ, **(env or {})})
        peak.watch(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        self.rss = peak.stop()
        self.self_cpu = usage.ru_utime + usage.ru_stime
        time.sleep(0.1)  # backends end and are reaped
        self.source_cpu = server_cpu("source") - source
        self.target_cpu = server_cpu("target") - target
        self.others = machine_cpu() - machine - self.cpu
        self.samples = peak.samples
        self.data_wall, self.data_busy = self.wall, self.busy
        out.seek(0)
        errors.seek(0)
        self.out, self.errors = out.read(), errors.read()
        out.close()
        errors.close()
        if process.returncode:
            raise Failed("exit status %d: %s\n%s" % (process.returncode, shlex.join(argv), self.errors[-2000:]))

    def narrow_to(self, begin, end):
        """Restricts data_wall and data_busy to a part of the run, given by the clock."""
        first = max((x for x in self.samples if x[0] <= begin), default=self.samples[0])
        last = min((x for x in self.samples if x[0] >= end), default=self.samples[-1])
        span = last[0] - first[0]
        ours = last[1] - first[1] - max(self.others, 0) * span / self.wall
        self.data_wall, self.data_busy = end - begin, ours / span / CORES

    @property
    def cpu(self):
        return self.source_cpu + self.target_cpu + self.self_cpu

    @property
    def share(self):
        return self.self_cpu / self.cpu

    @property
    def busy(self):
        return self.cpu / self.wall / CORES


class Peak:
    """The largest resident memory of a process and its descendants together, sampled 50 times a second. A single
    process is asked for its VmHWM, so that nothing between two samples is missed."""

    def watch(self, pid):
        self.pid, self.peak, self.done = pid, 0, threading.Event()
        self.samples = [(time.time(), machine_cpu())]
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def tree(self, pid, what):
        try:
            with open("/proc/%d/status" % pid) as f:
                found = re.search(what + r":\s+(\d+) kB", f.read())
        except OSError:
            return 0
        return (int(found.group(1)) * 1024 if found else 0) + sum(self.tree(p, what) for p in children(pid))

    def look(self):
        while not self.done.wait(0.02):
            what = "VmRSS" if children(self.pid) else "VmHWM"
            self.peak = max(self.peak, self.tree(self.pid, what))
            self.samples.append((time.time(), machine_cpu()))

    def stop(self):
        self.done.set()
        self.thread.join()
        self.samples.append((time.time(), machine_cpu()))
        return self.peak


def q(*words):
    return " ".join(shlex.quote(w) for w in words)


def at_once(*commands):
    """All of them in parallel; the first failure is the failure."""
    script = "set -o pipefail\n" + "\n".join("{ %s; } & p%d=$!" % (c, i) for i, c in enumerate(commands))
    return ["bash", "-c", script + "\n" + "\n".join("wait $p%d || exit 1" % i for i in range(len(commands)))]


def pghaul(*args):
    return [PGHAUL, "copy", "-s", SOURCE, "-d", TARGET, "--json", "--no-progress", *args]


def pghaul_run(*args):
    """A run whose data phase the ledger tells: from the first claim to the last receipt."""
    run = Run(pghaul(*args))
    begin, end = sql(TARGET, "SELECT extract(epoch FROM min(claimed_at)), (SELECT extract(epoch FROM max(landed_at)) "
                             "FROM pghaul.receipt) FROM pghaul.shard").split("|")
    run.narrow_to(float(begin), float(end))
    return run


def psql_pipe(*pairs):
    """`psql COPY | psql COPY`, one pipe for each (SELECT, table), all at once."""
    return at_once(*["%s | %s" % (copy_out(select), q(PGBIN + "/psql", "-Xqd", TARGET, "-c",
                                                       "COPY %s FROM STDIN (FORMAT binary)" % table))
                     for select, table in pairs])


def copy_out(select):
    return q(PGBIN + "/psql", "-Xqd", SOURCE, "-c", "COPY (%s) TO STDOUT (FORMAT binary)" % select)


def half_selects(table):
    middle = int(sql(SOURCE, "SELECT pg_relation_size('%s') / current_setting('block_size')::int / 2" % table))
    return ["SELECT * FROM %s WHERE ctid %s '(%d,0)'" % (table, which, middle) for which in ("<", ">=")]


def halves(table):
    return psql_pipe(*[(select, table) for select in half_selects(table)])


def forget():
    """No ledger, so that the next run is a first run."""
    sql(TARGET, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS pghaul CASCADE")


def content(dsn, table):
    return sql(dsn, "SELECT count(*), coalesce(sum(hash_record_extended(t, 0)::numeric), 0) FROM %s t" % table)


def empty(tables):
    forget()
    sql(TARGET, "TRUNCATE %s" % ", ".join(tables))
    sql(TARGET, "CHECKPOINT")
    sql(SOURCE, "CHECKPOINT")


# --- rounds ----------------------------------------------------------------------------------------------------------

def quiet(seconds):
    """Waits until others leave the machine alone, at most so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = machine_cpu()
        time.sleep(1)
        if machine_cpu() - before < 0.1 * CORES:
            return


def rounds(n, contenders, prepare, check, patience):
    """contenders: {name: argv or callable}. Returns {name: [Run]}; a round too many to warm up is thrown away."""
    runs = {name: [] for name in contenders}
    for i in range(n + 1):
        order = list(contenders)
        if i % 2:
            order.reverse()
        for name in order:
            best = None
            for attempt in range(patience + 1):
                prepare()
                if patience:
                    quiet(30)
                argv = contenders[name]
                run = argv() if callable(argv) else Run(argv)
                check()
                disturbed = run.others > 0.15 * run.wall * CORES
                say("  %-11s %s %5.2f s data, %5.2f s wall  source %5.2f  target %5.2f  self %5.2f (%4.1f %%)  busy %3.0f %%  rss %4.0f MiB  "
                    "others %4.2f s%s" % (name, "warm-up" if i == 0 else "round %d" % i, run.data_wall, run.wall, run.source_cpu,
                                          run.target_cpu, run.self_cpu, run.share * 100, run.data_busy * 100,
                                          run.rss / 2**20, run.others, "  disturbed" if disturbed else ""))
                if not best or run.others / run.wall < best.others / best.wall:
                    best = run
                if i == 0 or not disturbed:
                    break
            if i:
                runs[name].append(best)
    return runs


def median(runs, what):
    return statistics.median(getattr(r, what) for r in runs)


def table_of(runs, base):
    """Markdown rows; ratios to the contender `base`, by medians, with the spread over the rounds."""
    out = ["| | data phase s | ratio | by round | wall s | ratio | by round | source CPU s | target CPU s | own CPU s | own share "
           "| cores busy | RSS MiB | others' CPU s |", "|---" * 14 + "|"]

    def ratio(list_, what):
        if list_ is runs[base]:
            return "1 | "
        pairs = [getattr(a, what) / getattr(b, what) for a, b in zip(list_, runs[base])]
        return "**%.2f** | %.2f–%.2f" % (median(list_, what) / median(runs[base], what), min(pairs), max(pairs))

    for name, list_ in runs.items():
        out.append("| %s | %.2f | %s | %.2f | %s | %.2f | %.2f | %.2f | %.1f %% | %.0f %% | %.0f | %.2f |" % (
            name, median(list_, "data_wall"), ratio(list_, "data_wall"), median(list_, "wall"), ratio(list_, "wall"),
            median(list_, "source_cpu"), median(list_, "target_cpu"), median(list_, "self_cpu"),
            median(list_, "share") * 100, median(list_, "data_busy") * 100, max(r.rss for r in list_) / 2**20,
            median(list_, "others")))
    return out


class Bars:
    """The figures that have to be reached."""

    def __init__(self):
        self.lines, self.missed = [], 0

    def tell(self, what, value):
        self.lines.append("- %s: %.4g" % (what, value))

    def check(self, what, value, bar, unit="", at_least=False):
        ok = value >= bar if at_least else value <= bar
        self.missed += not ok
        self.lines.append("- %s: %.4g%s (bar: %s %g%s) — %s" % (
            what, value, unit, "≥" if at_least else "≤", bar, unit, "reached" if ok else "**missed**"))


def facts():
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1)) / 2**20
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return "%s · %d cores (%s) · %.0f GiB RAM · Linux %s · PostgreSQL %s · commit %s" % (
        time.strftime("%Y-%m-%d", time.gmtime()), CORES, model.group(1) if model else "?", memory,
        os.uname().release, sql(SOURCE, "SHOW server_version").split()[0], commit.stdout.strip() or "?")


def pghaul_here(args):
    if not args.opponents and not os.access(PGHAUL, os.X_OK):
        raise Failed("no program at %s: build first (cmake -B build && cmake --build build), or --opponents" %
                     os.path.relpath(PGHAUL))
    return not args.opponents


# --- data_phase ------------------------------------------------------------------------------------------------------

def data_phase(args):
    """One big table, target empty and without indexes: `pghaul copy` against two `psql COPY (… ctid half) | psql COPY` in
    parallel. "wall" is the whole command; "data phase" leaves out planning and making the ledger (for psql: nothing): by the ledger's clock,
    from the first claim to the last receipt. "busy" is of that phase."""
    bars, out = Bars(), []
    for table in args.tables:
        say("%s:" % table)
        wanted = content(SOURCE, table)
        contenders = {"psql ×2": halves(table)}
        if pghaul_here(args):
            contenders["pghaul"] = lambda: pghaul_run("-t", table)
            if args.jobs4:
                contenders["pghaul -j 4"] = lambda: pghaul_run("-t", table, "-j", "4")

        def check():
            got = content(TARGET, table)
            if got != wanted:
                raise Failed("%s: the target has (count|hash) %s, the source %s" % (table, got, wanted))

        runs = rounds(args.rounds, contenders, lambda: empty([table]), check, args.patience)
        size = sql(SOURCE, "SELECT pg_size_pretty(pg_table_size('%s'))" % table)
        out += ["", "**%s** (%s rows, %s)" % (table, format(int(wanted.split("|")[0]), ","), size), ""]
        out += table_of(runs, "psql ×2")
        if "pghaul" in runs:
            p = runs["pghaul"]
            base = runs["psql ×2"]
            bars.check("%s, data phase against psql ×2" % table, median(p, "data_wall") / median(base, "data_wall"), 1.0)
            bars.tell("%s, whole command against psql ×2" % table, median(p, "wall") / median(base, "wall"))
            share = {"narrow": 10, "mixed": 7}.get(table)
            if share:
                bars.check("%s, own share of all CPU" % table, median(p, "share") * 100, share, " %")
            # wide: the backends wait for WAL writes and the relation's extension lock, not for a core; so do psql's
            bars.check("%s, cores busy" % table, median(p, "data_busy") * 100, 85, " %", at_least=True)
            four = runs.get("pghaul -j 4", p)
            bars.check("%s, memory at -j 4" % table, max(r.rss for r in four) / 2**20, 64, " MiB")
    return out, bars


# --- tiny ------------------------------------------------------------------------------------------------------------

def tiny(args):
    """1,000 tables of ten rows with a primary key: `pghaul copy --schema tiny` into tables that are there, against
    pg_dump -Fd -j2 and pg_restore -j2, data only (the same work) and with the schema (pg_restore then also creates
    the tables and their indexes, which this release of pghaul leaves to it)."""
    bars = Bars()
    names = sql(SOURCE, "SELECT format('tiny.%I', relname) FROM pg_class WHERE relnamespace = 'tiny'::regnamespace "
                        "AND relkind = 'r' ORDER BY 1").split()
    total = " UNION ALL ".join("SELECT count(*) n, coalesce(sum(hash_record_extended(t, 0)::numeric), 0) h FROM %s t" % n
                               for n in names)
    total = "SET max_parallel_workers_per_gather = 0; SELECT count(*), sum(n), sum(h) FROM (%s) x" % total
    wanted = sql(SOURCE, total)
    schema = subprocess.run([PGBIN + "/pg_dump", "-d", SOURCE, "-n", "tiny", "--schema-only"], capture_output=True,
                            text=True, check=True).stdout
    dump = os.path.join(DIR, "dump")

    def dumped(*more):
        return ["bash", "-ec", "rm -rf %s; %s/pg_dump -Fd -j2 -n tiny %s -d %s -f %s; %s/pg_restore -j2 %s -d %s %s" % (
            q(dump), PGBIN, " ".join(more), q(SOURCE), q(dump), PGBIN, " ".join(more), q(TARGET), q(dump))]

    def fresh(with_tables):
        forget()
        drop = "SET client_min_messages = warning; " + "".join(
            "BEGIN; %s COMMIT; " % "".join("DROP TABLE IF EXISTS %s;" % n for n in names[i:i + 100])
            for i in range(0, len(names), 100))
        sql(TARGET, drop + "DROP SCHEMA IF EXISTS tiny;")
        if with_tables:
            sql(TARGET, schema)
        sql(TARGET, "VACUUM")  # thousands of dead catalog rows would be the next contender's burden
        sql(TARGET, "CHECKPOINT")

    def check():
        got = sql(TARGET, total)
        if got != wanted:
            raise Failed("tiny: the target has (tables|rows|hash) %s, the source %s" % (got, wanted))

    contenders = {"pg_dump -a, pg_restore -a": (dumped("-a"), True), "pg_dump, pg_restore": (dumped(), False)}
    if pghaul_here(args):
        contenders["pghaul"] = (None, True)
    contenders = {n: c for n, c in contenders.items() if not args.tables or n in args.tables}

    def one(name):
        argv, with_tables = contenders[name]
        fresh(with_tables)
        if args.patience:
            quiet(30)
        return Run(argv) if argv else pghaul_run("--schema", "tiny")

    runs = rounds(args.rounds, {n: (lambda n=n: one(n)) for n in contenders}, lambda: None, check,
                  args.patience)
    out = ["", "%d tables of 10 rows" % len(names), ""] + table_of(runs, "pg_dump -a, pg_restore -a")
    if "pghaul" in runs:
        for name in [n for n in contenders if n != "pghaul"]:
            bars.check("wall against %s" % name, median(runs["pghaul"], "wall") / median(runs[name], "wall"), 1.0)
    return out, bars


# --- skew ------------------------------------------------------------------------------------------------------------

def skew(args):
    """Rows of each shard when a table has keys 1 to 100,000 and one of 2,000,000,000."""
    bars, out = Bars(), ["", "| split | shards | mean rows | largest | largest / mean |", "|---|---|---|---|---|"]
    if not pghaul_here(args):
        return out, bars
    for split in ("key", "block", "hash"):
        empty(["skewed"])
        job = "skew-" + split
        Run(pghaul("-t", "skewed", "--split", split, "--shard-rows", "5000", "--job", job))
        if content(SOURCE, "skewed") != content(TARGET, "skewed"):
            raise Failed("skewed: not the same rows")
        status = subprocess.run([PGHAUL, "status", "-d", TARGET, "--job", job, "--shards", "--json"],
                                capture_output=True, text=True, check=True)
        rows = [s["rows"] for s in json.loads(status.stdout)["shards"]]
        mean = sum(rows) / len(rows)
        out.append("| %s | %d | %.0f | %d | %.2f |" % (split, len(rows), mean, max(rows), max(rows) / mean))
        bars.check("%s, largest shard against the mean" % split, max(rows) / mean, 2)
        if len(rows) < 4:
            raise Failed("skewed by %s: only %d shards, which says nothing" % (split, len(rows)))
    return out, bars


# --- memory ----------------------------------------------------------------------------------------------------------

def memory(args):
    """Rows of 200 MB among 100,000 small ones, -j 4, within --memory 512MiB."""
    bars, out = Bars(), ["", "| | wall s | peak RSS MiB |", "|---|---|---|"]
    wanted = content(SOURCE, "huge")

    def run(name, argv):
        empty(["huge"])
        done = Run(argv)
        if content(TARGET, "huge") != wanted:
            raise Failed("huge: not the same rows")
        say("  %-28s %6.2f s  rss %.0f MiB" % (name, done.wall, done.rss / 2**20))
        out.append("| %s | %.2f | %.0f |" % (name, done.wall, done.rss / 2**20))
        return done

    # What libpq alone makes of such a row: the psql that reads, by itself.
    reader = Run([PGBIN + "/psql", "-Xqd", SOURCE, "-o", "/dev/null", "-c", "COPY huge TO STDOUT (FORMAT binary)"])
    out.append("| psql COPY TO /dev/null, one stream | %.2f | %.0f |" % (reader.wall, reader.rss / 2**20))
    say("  %-28s %6.2f s  rss %.0f MiB" % ("psql COPY TO, one stream", reader.wall, reader.rss / 2**20))
    run("psql COPY to psql COPY", psql_pipe(("SELECT * FROM huge", "huge")))
    if pghaul_here(args):
        done = run("pghaul -j 4", pghaul("-t", "huge", "-j", "4"))
        bars.check("peak RSS at -j 4 with --memory 512MiB (the default)", done.rss / 2**20, 512, " MiB")
        result = json.loads(done.out)
        if result["retries"] or result["parked"]:
            raise Failed("huge: %d retries, %d parked" % (result["retries"], result["parked"]))
    out += ["", "libpq holds a whole message, and a row is one: its buffer doubles until the row fits (256 MiB for 200 MB), "
            "and copying the row out costs its size once more unless it is taken in pieces."]
    return out, bars


# --- command line ----------------------------------------------------------------------------------------------------

def main(benches, one_run_each=(), default_tables=()):
    """benches: {name: function(args) -> (lines, Bars)}; those of default_tables take names of tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", choices=benches)
    parser.add_argument("tables", nargs="*", help="of narrow mixed wide, default: all; for tiny: these contenders only")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "5")))
    parser.add_argument("--patience", type=int, default=int(os.environ.get("BENCH_PATIENCE", "3")))
    parser.add_argument("--opponents", action="store_true", help="without pghaul")
    parser.add_argument("--no-jobs4", dest="jobs4", action="store_false", help="data_phase without -j 4")
    args = parser.parse_intermixed_args()
    if args.bench in default_tables and not args.tables:
        args.tables = ["narrow", "mixed", "wide"]
    bench = benches[args.bench]
    try:
        out, bars = bench(args)
    except Failed as e:
        say("%s failed: %s" % (args.bench, e))
        return 1
    print("## %s" % args.bench)
    print()
    print(" ".join(bench.__doc__.split()))
    print()
    how = "one run each" if args.bench in one_run_each else "medians of %d rounds" % args.rounds
    print("`bench/run.sh %s`, %s · %s" % (args.bench, how, facts()))
    print("\n".join(out))
    if bars.lines:
        print()
        print("\n".join(bars.lines))
    for line in bars.lines:
        say(line)
    return 3 if bars.missed else 0


# --- auto ------------------------------------------------------------------------------------------------------------

def auto(args):
    """`--jobs auto`, which finds the number of workers while it copies, against fixed numbers; one big table, target empty and
    without indexes."""
    bars = Bars()
    wanted = content(SOURCE, "narrow")

    def check():
        if content(TARGET, "narrow") != wanted:
            raise Failed("narrow: content differs")

    def with_jobs(jobs):
        return lambda: pghaul_run("-t", "narrow", "-j", jobs)

    runs = rounds(args.rounds, {"-j " + jobs: with_jobs(jobs) for jobs in ("1", "2", "3", "4", "auto")},
                  lambda: empty(["narrow"]), check, args.patience)
    found = runs.pop("-j auto")
    best = min(runs, key=lambda name: median(runs[name], "wall"))
    lines = table_of({**runs, "-j auto": found}, best)
    bars.check("speed of -j auto against the best fixed number (%s)" % best, median(runs[best], "wall") / median(found, "wall"),
               0.97, at_least=True)
    return ["", *lines], bars


if __name__ == "__main__":
    sys.exit(main({"data_phase": data_phase, "tiny": tiny, "skew": skew, "memory": memory, "auto": auto}, ("skew", "memory"),
                  ("data_phase",)))

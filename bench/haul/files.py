#!/usr/bin/env python3
"""Measures what pghaul does by way of files: extract, load, spill, archive verify.

The manner is that of measure.py: contenders in turns, medians and ratios of one session, everything checked. What a
contender leaves behind is checked by loading it: after the last round into the target, and its content compared there;
after each round by its size and, where there is a count, by its rows.
"""

import json
import os
import shutil
import sys

import measure
from measure import (CORES, DIR, PGBIN, PGHAUL, SOURCE, TARGET, Bars, Failed, Run, at_once, content, copy_out, empty,
                     half_selects, halves, median, pghaul, pghaul_here, q, rounds, say, sql)

MB = 1e6


def place(*names):
    return os.path.join(DIR, "files", *names)


def fresh(*names):
    """An empty directory, and nobody's writing under way."""
    shutil.rmtree(place(*names), ignore_errors=True)
    os.makedirs(place(*names))
    os.sync()


def stored(path):
    """Bytes of all files below."""
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(path) for f in files)


def fits(tables):
    return {t: content(SOURCE, t) for t in tables}


def must_have(table, wanted, whose):
    got = content(TARGET, table)
    if got != wanted:
        raise Failed("%s, %s: the target has (count|hash) %s, the source %s" % (table, whose, got, wanted))


def title(table, wanted):
    payload = Run(["bash", "-c", copy_out("SELECT * FROM " + table) + " | wc -c"])
    count = int(wanted.split("|")[0])
    return "**%s** (%s rows, %.0f MB as COPY BINARY)" % (table, format(count, ","), int(payload.out) / MB)


def ratios(list_, base, what):
    pairs = [getattr(a, what) / getattr(b, what) for a, b in zip(list_, base)]
    return "**%.2f** | %.2f–%.2f" % (median(list_, what) / median(base, what), min(pairs), max(pairs))


def table_of(runs, base, *more):
    """Markdown rows. more: (heading, format, attribute of a run) of further columns."""
    heads = (["", "wall s", "ratio", "by round"] + [m[0] for m in more] +
             ["source CPU s", "target CPU s", "own CPU s", "cores busy", "RSS MiB", "others' CPU s"])
    out = ["| %s |" % " | ".join(heads), "|---" * len(heads) + "|"]
    for name, list_ in runs.items():
        cells = [name, "%.2f" % median(list_, "wall"), "1 | " if name == base else ratios(list_, runs[base], "wall")]
        cells += [form % median(list_, what) if hasattr(list_[0], what) else "" for _, form, what in more]
        cells += ["%.2f" % median(list_, what) for what in ("source_cpu", "target_cpu", "self_cpu")]
        cells += ["%.0f %%" % (median(list_, "busy") * 100), "%.0f" % (max(r.rss for r in list_) / 2**20),
                  "%.2f" % median(list_, "others")]
        out.append("| %s |" % " | ".join(cells))
    return out


def against(bars, what, runs, name, base, bar, attribute="wall"):
    bars.check("%s: %s against %s" % (what, name, base),
               median(runs[name], attribute) / median(runs[base], attribute), bar)


# --- extract ---------------------------------------------------------------------------------------------------------

def dump_argv(table, to):
    return [PGBIN + "/pg_dump", "-Fd", "-j2", "--compress=1", "-a", "-t", table, "-d", SOURCE, "-f", to]


def halves_argv(table, to):
    files = [os.path.join(to, "%d.lz4" % i) for i in (1, 2)]
    argv = at_once(*["%s | lz4 -1 -q > %s" % (copy_out(s), q(f)) for s, f in zip(half_selects(table), files)])
    argv[2] += "\nsync -d %s" % q(*files)
    return argv


def extract_argv(table, to, *more):
    return [PGHAUL, "extract", "-s", SOURCE, "-d", "archive:" + to, "-t", table, "--json", "--no-progress", *more]


def load_argv(table, directory, *more):
    return [PGHAUL, "load", "-s", "archive:" + directory, "-d", TARGET, "-t", table, "--json", "--no-progress", *more]


def restore_argv(directory):
    return [PGBIN + "/pg_restore", "-j2", "--data-only", "-d", TARGET, directory]


def loading(name, table, directory):
    """How what a contender has written comes back."""
    if name == "pg_dump":
        return restore_argv(directory)
    if name == "psql, lz4":
        return at_once(*["lz4 -dcq %s | %s" % (q(os.path.join(directory, f)), q(
            PGBIN + "/psql", "-Xqd", TARGET, "-c", "COPY %s FROM STDIN (FORMAT binary)" % table))
                         for f in ("1.lz4", "2.lz4")])
    return load_argv(table, directory)


def extract(args):
    """One big table into files on a local disk, durable at the end: `pghaul extract`, `pg_dump -Fd -j2 --compress=1 -a`, and
    two `psql COPY (… ctid half) binary | lz4 -1` at once with a `sync -d` at the end. The whole command counts, planning and
    manifest included. "stored" is the size of all files. What each wrote last was loaded into the target and compared by content."""
    bars, out = Bars(), []
    for table in args.tables:
        say("%s:" % table)
        wanted = content(SOURCE, table)
        commands = {"pg_dump": dump_argv(table, place("pg_dump", "out")),
                    "psql, lz4": halves_argv(table, place("psql, lz4"))}
        if pghaul_here(args):
            commands["pghaul -j 2"] = extract_argv(table, place("pghaul -j 2", "out"), "-j", "2")
            commands["pghaul"] = extract_argv(table, place("pghaul", "out"))

        def one(name):
            fresh(name)
            run = Run(commands[name])
            run.stored = stored(place(name)) / MB
            if name.startswith("pghaul"):
                result = json.loads(run.out)
                if result["state"] != "completed" or result["rows"] != int(wanted.split("|")[0]):
                    raise Failed("%s: %s" % (table, run.out))
            return run

        runs = rounds(args.rounds, {n: (lambda n=n: one(n)) for n in commands}, lambda: None, lambda: None, args.patience)
        for name in commands:
            empty([table])
            Run(loading(name, table, place(name) if name == "psql, lz4" else place(name, "out")))
            must_have(table, wanted, name)
            shutil.rmtree(place(name))
        out += ["", title(table, wanted), ""] + table_of(runs, "pg_dump", ("stored MB", "%.1f", "stored"))
        for name in [n for n in runs if n.startswith("pghaul")]:
            against(bars, table, runs, name, "pg_dump", 0.6)
            against(bars, table, runs, name, "psql, lz4", 1.0)
    return out, bars


# --- load ------------------------------------------------------------------------------------------------------------

def load(args):
    """The same data into an empty table without indexes: `pghaul load` of an archive, against `pg_restore -j2 --data-only` of
    what `pg_dump -Fd -j2 --compress=1` wrote (one table is one stream there). Both lie in the page cache. The target is truncated, and its ledger dropped, before each."""
    bars, out = Bars(), []
    for table in args.tables:
        say("%s:" % table)
        wanted = content(SOURCE, table)
        commands = {"pg_restore -j2": restore_argv(place("dump", "out"))}
        fresh("dump")
        Run(dump_argv(table, place("dump", "out")))
        if pghaul_here(args):
            fresh("archive")
            Run(extract_argv(table, place("archive", "out")))
            commands["pghaul -j 2"] = load_argv(table, place("archive", "out"), "-j", "2")
            commands["pghaul"] = load_argv(table, place("archive", "out"))
        read_all(place())
        runs = rounds(args.rounds, commands, lambda: empty([table]), lambda: must_have(table, wanted, "load"), args.patience)
        out += ["", title(table, wanted), ""] + table_of(runs, "pg_restore -j2")
        for name in [n for n in runs if n.startswith("pghaul")]:
            against(bars, table, runs, name, "pg_restore -j2", 0.6)
        empty([table])
        shutil.rmtree(place())
    return out, bars


def read_all(path):
    """Into the page cache."""
    for d, _, files in os.walk(path):
        for f in files:
            with open(os.path.join(d, f), "rb") as file:
                while file.read(1 << 20):
                    pass


# --- spill -----------------------------------------------------------------------------------------------------------

def spill(args):
    """`pghaul copy --spill never`, `auto` and `always` of one big table, and reading it to nowhere: two `psql COPY (… ctid
    half) binary > /dev/null` at once. "held" is how long the source's snapshot was held. The target has no indexes and nothing
    holds it back, so `auto` has no reason to spill."""
    bars, out = Bars(), []
    for table in args.tables:
        say("%s:" % table)
        wanted = content(SOURCE, table)
        nowhere = at_once(*[copy_out(s) + " > /dev/null" for s in half_selects(table)])

        def read(_):
            return Run(nowhere)

        def copied(when):
            run = Run(pghaul("-t", table, "--spill", when, "--spill-dir", place("spill")))
            result = json.loads(run.out)
            run.held, run.spilled = result["snapshot_held_seconds"], result["spilled_bytes"] / MB
            if (run.spilled > 0) != (when == "always"):
                raise Failed("%s, --spill %s: %.1f MB were spilled" % (table, when, run.spilled))
            must_have(table, wanted, "--spill " + when)
            return run

        contenders = {"nowhere": read}
        if pghaul_here(args):
            contenders.update({when: copied for when in ("never", "auto", "always")})

        def prepare():
            empty([table])
            fresh("spill")

        runs = rounds(args.rounds, {n: (lambda n=n, f=f: f(n)) for n, f in contenders.items()}, prepare, lambda: None,
                      args.patience)
        base = "never" if "never" in runs else "nowhere"
        out += ["", title(table, wanted), ""]
        out += table_of(runs, base, ("held s", "%.2f", "held"), ("spilled MB", "%.1f", "spilled"))
        if "always" in runs:
            hold, reading = median(runs["always"], "held"), median(runs["nowhere"], "wall")
            bars.check("%s: hold of always against reading to nowhere" % table, hold / reading, 1.5)
            against(bars, table, runs, "always", "never", 1.3)
            bars.check("%s: the mover's CPU, auto against never" % table,
                       median(runs["auto"], "self_cpu") / median(runs["never"], "self_cpu"), 1.02)
    return out, bars


# --- archive ---------------------------------------------------------------------------------------------------------

def archive(args):
    """`pghaul archive verify` of archives that lie in the page cache, GB of raw rows (the manifest's bytes) a second: with one worker, and
    with as many as there are cores. Beside it `lz4 -t` of the same files, which checks only the frames' own checksums."""
    bars, out = Bars(), []
    pghaul_here(args)
    for table in args.tables:
        say("%s:" % table)
        wanted = content(SOURCE, table)
        fresh("archive")
        directory = place("archive", "out")
        Run(extract_argv(table, directory))
        with open(os.path.join(directory, "manifest.json")) as f:
            manifest = f.read()
        rows, raw = raw_of(directory)
        if rows != int(wanted.split("|")[0]):
            raise Failed("%s: the archive has %d rows, the source %s (%s)" % (table, rows, wanted, manifest[:200]))
        read_all(directory)
        files = sorted(os.path.join(directory, f) for f in os.listdir(directory) if f.endswith(".lz4"))
        commands = {"lz4 -t": ["bash", "-c", "cat %s | lz4 -tq" % q(*files)]}
        for jobs in sorted({1, CORES}):
            commands["verify -j %d" % jobs] = [PGHAUL, "archive", "verify", directory, "-j", str(jobs), "--json"]

        def one(name):
            run = Run(commands[name])
            run.speed, run.by_core = raw / 1e9 / run.wall, raw / 1e9 / run.self_cpu
            return run

        runs = rounds(args.rounds, {n: (lambda n=n: one(n)) for n in commands}, lambda: None, lambda: None, args.patience)
        out += ["", title(table, wanted) + ", %.0f MB stored" % (stored(directory) / MB), ""]
        out += table_of(runs, "lz4 -t", ("GB/s", "%.2f", "speed"), ("GB a CPU s", "%.2f", "by_core"))
        bars.check("%s: verify -j 1" % table, median(runs["verify -j 1"], "speed"), 1, " GB/s", at_least=True)
        must_find(directory, files[0])
        shutil.rmtree(place("archive"))
    return out, bars


def raw_of(directory):
    """Rows and bytes by `archive ls`."""
    tables = json.loads(Run([PGHAUL, "archive", "ls", directory, "--json"]).out)["tables"]
    return sum(t["rows"] for t in tables), sum(t["bytes"] for t in tables)


def must_find(directory, path):
    """A verify that is quick because it does not look."""
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
    try:
        Run([PGHAUL, "archive", "verify", directory])
    except Failed:
        return
    raise Failed("a flipped bit in %s was not found" % path)


if __name__ == "__main__":
    sys.exit(measure.main({"extract": extract, "load": load, "spill": spill, "archive": archive},
                          default_tables=("extract", "load", "spill", "archive")))

"""Random tables, random options, random weather, a source that is written to; afterwards every table is what it was at the snapshot.

What the content must be is told by the history that the writer keeps (support/dice.py), not by pghaul.
"""

import glob
import os
import random
import signal
import subprocess
import time

import dice
import ledger
from cluster import bindir, clean_env, wait_for
from pgwire import ConnectionLost, PgError
from story import story
from weather import Tiny, Weather, WeatherProxy

POINTS = ("archive.frame archive.opened build.claimed build.done build.sent copyin.put copyout.receive create.chunk create.chunk.done "
          "create.sequences create.written desk.claimed extract.seal hop.put io.dirsync io.open io.read io.rename io.short io.sync "
          "io.write job.completed keeper.started ledger.commit ledger.committed pq.send sink.commit sink.committed sink.committing "
          "sink.counted sink.opened source.opened spill.seal spill.sealed worker.landed").split()


class Torture:
    def __init__(self, t, kind):
        self.t, self.kind, self.rng = t, kind, random.Random(t.seed)
        rng = self.rng
        self.mode = rng.choice(("append", "append", "replace", "upsert")) if kind == "copy" else "append"
        self.tables = dice.make(rng, t.source)
        if self.mode == "upsert" and any(x.key in ("none", "nullable") for x in self.tables):
            self.mode = "replace"
        self.defer = kind == "copy" and self.mode != "upsert" and rng.random() < 0.4
        self.proxies, self.tiny, self.writer, self.forget = [], None, None, []
        self.dsns = [t.source.dsn, t.target.dsn]
        if rng.random() < 0.5:
            self.proxies = [WeatherProxy("%s/p%d" % (t.rig.sockets, t.seed * 2 + n), c)
                            for n, c in enumerate((t.source_cluster, t.target_cluster))]
            self.dsns = [p.dsn(d) for p, d in zip(self.proxies, (t.source, t.target))]
        self.weather = Weather(t, self.proxies)
        if kind != "create":
            self.make_target()
        self.small = None
        if kind == "copy" and rng.random() < 0.25:
            self.make_small()
        self.args = self.options()
        t.note("%s %s; %s" % (kind, " ".join(self.args), ", ".join("%s[%s%s%s %d]" % (
            x.name, x.key, " parted" if x.parted else "", " unique" if x.unique else "", x.rows) for x in self.tables)))
        self.shape = self.catalog(t.source if kind == "create" else t.target)

    # Before -----------------------------------------------------------------------------------------------

    def make_target(self):
        t, rng = self.t, self.rng
        ddl = subprocess.run([bindir() + "/pg_dump", "-s", "-N", "hist", "-d", t.source.dsn], env=clean_env(), check=True,
                             capture_output=True, text=True).stdout
        t.target_cluster.psql(t.target.name, ddl)
        t.target.forget()
        if not self.defer:
            t.target.query("do $$ declare r record; begin for r in select conrelid::regclass::text as t, conname as n from pg_constraint "
                           "where contype = 'f' and conparentid = 0 loop execute format('alter table %s drop constraint %I', r.t, r.n); "
                           "end loop; end $$")
        for x in self.tables:
            if rng.random() < 0.15 and not x.parted and not x.referenced and not x.parent:
                t.target.query("alter table %s set unlogged" % x.q)
            if self.mode == "replace" and x.rows and x.live and not x.parent:
                t.target.query("insert into %s (id) select -i from generate_series(1, 50) i" % x.q)
            if self.mode == "upsert" and x.rows > 1 and x.live:
                low, = t.source.column("select min(id) from %s" % x.q)
                t.target.query("insert into %s (id) select %s + (i - 1) * %d from generate_series(1, %d) i" % (
                    x.q, low, x.step, min(x.rows // 2, 200)))

    def make_small(self):
        """The target's tables and indexes lie where there is hardly room for them."""
        self.small = Tiny(self.t.directory + "/small", self.rng.choice(("1m", "3m", "6m")))
        self.t.target.query("create tablespace small location '%s'" % self.small.path)
        self.t.target.query("alter table all in tablespace pg_default set tablespace small")
        self.t.target.query("alter index all in tablespace pg_default set tablespace small")

    def options(self):
        rng = self.rng
        args = ["-j", rng.choice(("1", "2", "2", "3", "4", "auto"))]
        args += ["--io", rng.choice(("auto", "posix")), "--shard-size", rng.choice(("64kB", "128kB", "256kB", "1MB"))]
        if self.kind == "load":
            return args
        keyed = all(x.key not in ("none", "nullable") for x in self.tables)
        args += ["--split", rng.choice(("auto", "block", "key", "hash") if keyed else ("auto", "block"))]
        if self.kind == "create":
            args += ["--all", "--create", "--exclude-schema", "hist"]
        else:
            args += ["--schema", "public"]
        if self.kind == "copy":
            args += ["--mode", self.mode] + (["--defer-indexes"] if self.defer else [])
        if self.kind in ("copy", "create"):
            args += ["--spill", rng.choice(("auto", "auto", "never", "always", "always"))]
            if rng.random() < 0.25:
                self.tiny = Tiny(self.t.directory + "/tiny", rng.choice(("300k", "1m", "3m")))
                args += ["--spill-dir", self.tiny.path + "/s"]
        args += ["--compress", rng.choice(("auto", "never", "always"))]
        return args

    # The job -----------------------------------------------------------------------------------------------

    def archive(self):
        return "archive:" + os.path.join(self.t.directory, "archive")

    def command(self, kind=None):
        kind = kind or self.kind
        if kind == "extract":
            return ["extract", "-s", self.dsns[0], "-d", self.archive(), "--schema", "public", *self.args]
        if kind == "load":
            return ["load", "-s", self.archive(), "-d", self.dsns[1], "--all", *self.args[:4]]
        return ["copy", "-s", self.dsns[0], "-d", self.dsns[1], *self.args]

    def start(self, kind, fault=None, join=False, slow=None, host=0):
        args = self.command(kind)
        if join:
            args += ["--join"]
        if slow:
            args += ["--max-rate", slow]
        if host and self.kind in ("copy", "create") and not self.tiny:
            args += ["--state-dir", "%s/host%d" % (self.t.directory, host)]
        env = {"PGHAUL_MAX_OUTAGE": "20s"}
        return self.t.mover.start(*args, "--no-progress", env=env, fault=fault, timeout=100)

    def mover_of(self, kind):
        self.args += self.forget
        return self.start(kind)

    def faulty_run(self, kind):
        t, rng = self.t, self.rng
        fault = None
        if rng.random() < 0.4:
            fault = ",".join("%s:%d:%s" % (rng.choice(POINTS), rng.choice((1, 1, 2, 3, 5, 9)), rng.choice(("kill", "error", "error", "slow")))
                             for _ in range(rng.randint(1, 3)))
        join = kind in ("copy", "load") and rng.random() < 0.3
        slow = rng.choice((None, "300kB/s", "1MB/s", "3MB/s"))
        runs = [self.start(kind, fault, join, slow)]
        if join:
            runs += [self.start(kind, None, True, slow, n + 1) for n in range(rng.randint(1, 2))]
        t.note("  run %s, %s%s" % (len(runs), slow, " fault " + fault if fault else ""))
        began = ledger.landed(t.target)
        end = time.monotonic() + 3
        goal = began + rng.randint(0, 4)
        while any(r.alive() for r in runs) and time.monotonic() < end and ledger.landed(t.target) < goal:
            time.sleep(0.005)
        for _ in range(rng.randint(0, 3)):
            time.sleep(rng.uniform(0, 0.15))
            alive = [r for r in runs if r.alive()]
            if alive:
                self.weather.storm(alive)
        last = rng.choice(((None, None) if slow is None else ()) + (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, "twice"))
        time.sleep(rng.uniform(0, 0.3))
        for r in runs:
            for number in ((signal.SIGINT, signal.SIGINT) if last == "twice" else (last,) if last else ()):
                if r.alive():
                    r.signal(number)
        self.heal_slowly()
        results = []
        for r in runs:
            if r.process.wait(110) in (-signal.SIGINT, -signal.SIGTERM):
                results.append(-2)
                continue
            result = r.wait()
            results.append(result.rc)
            assert result.rc in (0, 1, 130, 4, -9) or result.rc == 2 and not_begun(result), result
        t.note("  ended by %s: %s" % (last, results))
        return 0 in results

    def heal_slowly(self):
        if self.proxies:
            time.sleep(self.rng.uniform(0, 0.5))
            for p in self.proxies:
                p.budget = None
                p.still.set()
        for disk in (self.tiny, self.small):
            if disk and self.rng.random() < 0.6:
                disk.grow("200m")

    def go(self):
        t, rng = self.t, self.rng
        if rng.random() < 0.6 and any(x.live for x in self.tables):
            self.writer = dice.Writer(t.source, self.tables, random.Random(t.seed + 1), rng.choice((0.01, 0.05, 0.2)), self.mode == "upsert")
            self.writer.start()
        kinds = ["extract", "load"] if self.kind == "load" else [self.kind]
        for kind in kinds:
            for _ in range(rng.randint(1, 4) if len(kinds) == 1 else rng.randint(0, 2)):
                ended = self.faulty_run(kind)
                self.between()
                if ended:
                    break
            if kind == "extract" or kind == kinds[-1]:
                self.last_run(kind)

    def between(self):
        t = self.t
        wait_for(lambda: all(answers(x) for x in (t.source, t.target)), "servers that recover")
        if not any(p.orphans for p in self.proxies):
            wait_for(lambda: not t.target.backends(), "the end of target backends", 15)
            t.check_ledger(rows=self.mode != "upsert")
        if self.rng.random() < 0.2:
            self.weather.restart(self.rng.choice((t.source, t.target)))
        if self.kind in ("copy", "create") and self.rng.random() < 0.4:
            self.spoil()
        if self.mode == "replace" and self.rng.random() < 0.15 and ledger.exists(t.target):
            clean = t.run("clean", "-d", t.target.dsn, "--yes", timeout=40)
            t.note("  clean: %s" % clean)
            assert clean.rc or self.catalog(t.target) == self.shape, "clean lost indexes"

    def spoil(self):
        """Damages files that shards lie in."""
        for path in glob.glob(self.t.directory + "/**/*.lz4", recursive=True):
            how = self.rng.choice(("", "", "flip", "cut", "gone", "empty"))
            size = os.path.getsize(path)
            if not how or not size:
                continue
            self.t.note("    %s %s" % (how, path[-30:]))
            if how == "gone":
                os.unlink(path)
                continue
            with open(path, "r+b") as f:
                if how == "flip":
                    f.seek(self.rng.randrange(size))
                    byte = f.read(1)
                    f.seek(-1, 1)
                    f.write(bytes([byte[0] ^ (1 << self.rng.randrange(8))]))
                else:
                    f.truncate(0 if how == "empty" else self.rng.randrange(size))

    def last_run(self, kind):
        for disk in filter(None, (self.tiny, self.small)):
            disk.grow("200m")
        for p in self.proxies:
            p.heal()
        for attempt in range(4):
            with self.mover_of(kind) as run:
                result = run.wait()
            if result.rc == 1 and "where no mover works" in result.err:
                self.forget = ["--forget-spill"]
            elif result.rc != 4:
                break
        self.t.note("  last run: %s" % result.rc)
        result.expect(0)

    # After -------------------------------------------------------------------------------------------------

    def catalog(self, side):
        return side.query("select c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid "
                          "where c.relnamespace = 'public'::regnamespace order by 1") + \
            side.query("select conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated from pg_constraint "
                       "where connamespace = 'public'::regnamespace order by 1, 2")

    def prove(self):
        t = self.t
        if self.writer:
            self.writer.stop()
            t.note("%d changes" % self.writer.done)
        snapshot, number = t.target.query("select pg_snapshot, no from pghaul.snapshot order by no desc limit 1")[0]
        t.note("%s snapshots" % number)
        dice.check(t.source, t.target, self.tables, snapshot)
        assert self.catalog(t.target) == self.shape, "indexes or constraints: %s" % [
            x for x in self.shape if x not in self.catalog(t.target)]
        t.check_ledger(complete=True)
        t.nothing_left()
        verify = t.run("verify", "-s", t.source.dsn, "-d", t.target.dsn, "--schema", "public", timeout=60)
        assert verify.rc == 0 or self.mode == "upsert" or (verify.rc == 3 and self.writer), verify

    def close(self):
        if self.writer:
            self.writer.halt.set()
        for p in self.proxies:
            p.close()
        for disk in filter(None, (self.tiny, self.small)):
            disk.close()


def answers(database):
    try:
        return database.one("select 1")
    except (PgError, ConnectionLost, OSError):
        return None


def not_begun(result):
    """Refused for a passing reason: a server that could not be asked."""
    return any(w in result.err for w in ("connect", "fault point", "server", "no space", "No space"))


def torture(t, kind):
    job = None
    try:
        job = Torture(t, kind)
        job.go()
        job.prove()
    finally:
        if job:
            job.close()


@story(own=True, dice=True, campaign=True, timeout=300)
def any_copy_of_any_tables_in_any_weather_is_the_source_at_its_snapshot(t):
    torture(t, "copy")


@story(own=True, dice=True, campaign=True, timeout=300)
def a_whole_database_in_any_weather_is_the_source_at_its_snapshot(t):
    torture(t, "create")


@story(own=True, dice=True, campaign=True, timeout=300)
def an_archive_in_any_weather_is_the_source_at_its_snapshot(t):
    torture(t, "load")

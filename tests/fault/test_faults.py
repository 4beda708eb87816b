"""Every fault point, killed and failed: afterwards the same command goes on, everything is there once, the ledger is sound.

The points are not listed anywhere: a run without faults tells which ones it passed (PGHAUL_FAULT_LOG), so a new one is
visited without anybody's doing. Every day a sample that fits into a time budget, in the long campaign all of
them.
"""

import glob
import os
import re
import shutil
import signal
import time

import data
import ledger
from cluster import wait_for
from story import Skip, story

EVERY_DAY_S = 3
SMALL = ("--shard-size", "256kB")


class Scenario:
    """before: brings the databases to where the faulted run begins; args: the command that is then run, faulted and later
    again."""

    rows = 12000

    def __init__(self, *args):
        self.args = ("-t", "narrow", "-j", 2, *SMALL, *args)

    def make(self, t):
        data.narrow(t, self.rows)

    def reset(self, t):
        for pid in t.mover.processes():
            os.kill(pid, signal.SIGKILL)
        t.source.terminate(t.source.backends())
        t.target.terminate(t.target.backends())
        wait_for(lambda: not t.target.backends() and not t.source.backends(), "the end of all backends")
        t.target.query("drop schema if exists pghaul cascade; truncate narrow")

    def before(self, t):
        pass

    def start(self, t, **kwargs):
        return t.start_copy(*self.args, **kwargs)

    def run(self, t, **kwargs):
        with self.start(t, **kwargs) as run:
            return run.wait()

    def check(self, t):
        t.whole("narrow")


class FromOldRows(Scenario):
    """upsert and replace: the target has rows, some with keys of the source."""

    def before(self, t):
        t.target.query("insert into narrow select i, -1 from generate_series(1, 4000) i")


class NewRound(Scenario):
    """A completed job, run again after the source has changed."""

    def before(self, t):
        t.copy(*[a for a in self.args if a != "--again"]).expect(0)
        t.source.query("update narrow set c = c + 1 where id % 7 = 0")

    def check(self, t):
        # A round that has been begun is gone on with; one that has not is begun now.
        t.copy(*self.args).expect(0)
        t.whole("narrow")


class DeferringIndexes(Scenario):
    """The target's indexes go and come back; in the end the catalog says of them what it said before."""

    shape = "select pg_get_indexdef(indexrelid) as i, indisvalid::text from pg_index where indrelid = 'narrow'::regclass " \
            "union all select conname, pg_get_constraintdef(oid) from pg_constraint where 'narrow'::regclass in (conrelid, confrelid) " \
            "order by 1"

    def __init__(self):
        super().__init__("--defer-indexes", "--mode", "replace")

    def make(self, t):
        super().make(t)
        t.target.query("create table pointing (id int)")

    def reset(self, t):
        t.target.query("drop table pointing")
        super().reset(t)
        t.target.query("drop table narrow")
        t.target.query(data.NARROW)
        t.target.query("create index narrow_b on narrow (b); create index narrow_c on narrow using brin (c);"
                       "create unique index narrow_ba on narrow (b, a, id); alter table narrow cluster on narrow_b;"
                       "create table pointing (id int references narrow (id))")
        t.same_indexes = t.target.query(self.shape)

    def check(self, t):
        super().check(t)
        found = t.target.query(self.shape)
        assert found == t.same_indexes and len(found) > 5, "indexes: %s" % found


class ByFiles(Scenario):
    """Every shard through a file; nothing may be left of them. What is left of a run that failed is the next one's to find."""

    def __init__(self, *args):
        super().__init__("--spill", "always", *args)

    def reset(self, t):
        super().reset(t)
        shutil.rmtree(t.directory + "/state", ignore_errors=True)

    def check(self, t):
        t.whole("narrow")
        left = glob.glob(t.directory + "/state/**/spill.*", recursive=True)
        assert not left, "left behind: %s" % [left, glob.glob(left[0] + "/*")]


class InLargeFiles(ByFiles):
    """Files that are longer than a buffer."""

    rows = 60000

    def __init__(self):
        super().__init__("--compress", "never")
        self.args = tuple("8MB" if a == SMALL[1] else a for a in self.args)


class FromFiles(ByFiles):
    """Everything has been read and lies in files, and the source has been let go: the second hop alone."""

    def before(self, t):
        t.copy(*self.args, "--target-max-rate", "100kB/s", fault="archive.opened:3:kill")
        wait_for(lambda: not t.target.backends(), "the end of all backends")


class Extracting(Scenario):
    rows = 20000

    def archive(self, t):
        return "archive:" + os.path.join(t.directory, "archive")

    def reset(self, t):
        super().reset(t)
        shutil.rmtree(self.archive(t)[8:], ignore_errors=True)

    def start(self, t, **kwargs):
        return t.mover.start("extract", "-s", t.source.dsn, "-d", self.archive(t), *self.args, **kwargs)

    def load(self, t, **kwargs):
        return t.mover.start("load", "-s", self.archive(t), "-d", t.target.dsn, "--all", "-j", 2, *self.io(), **kwargs)

    def io(self):
        return self.args[self.args.index("--io"):][:2] if "--io" in self.args else ()

    def check(self, t):
        t.run("archive", "verify", self.archive(t)[8:]).expect(0)
        with self.load(t) as run:
            run.wait().expect(0)
        t.whole("narrow")


class Loading(Extracting):
    def before(self, t):
        with super().start(t) as run:
            run.wait().expect(0)

    def start(self, t, **kwargs):
        return self.load(t, **kwargs)

    def check(self, t):
        t.whole("narrow")


class LostSnapshot(Scenario):
    """Some shards have landed, the snapshot is gone, the source has changed in a subtransaction."""

    rows = 40000

    def reset(self, t):
        super().reset(t)
        t.source.query("truncate narrow; insert into narrow select i, 1, 2, 3 from generate_series(1, %d) i" % self.rows)

    def before(self, t):
        with t.start_copy(*self.args) as run:
            t.when_landed(3, run)
            run.signal(signal.SIGINT)
            run.wait()
        t.source.terminate(t.source.backends())
        wait_for(lambda: not t.mover.processes(), "the end of the keeper")
        if ledger.landed(t.target):
            row = t.target.one("select min(id) from narrow")
            t.source.query("begin; savepoint a; update narrow set c = -1 where id = %s; release a; commit" % row)


def passed_points(t, scenario):
    scenario.reset(t)
    scenario.before(t)
    log = os.path.join(t.directory, "points")
    if os.path.exists(log):
        os.unlink(log)
    scenario.run(t, env={"PGHAUL_FAULT_LOG": log}).expect(0)
    scenario.check(t)
    if not os.path.exists(log):
        raise Skip("no fault points: not built with -DPGHAUL_FAULTS=ON")
    with open(log) as f:
        return sorted(set(f.read().split()))


def visit(t, scenario, fault):
    """One fault, then the same command without it."""
    scenario.reset(t)
    scenario.before(t)
    began = time.monotonic()
    hurt = scenario.run(t, fault=fault, timeout=60)
    allowed = (0, -signal.SIGKILL) if fault.endswith("kill") else (0, 1, 2)
    assert hurt.rc in allowed, "%s: exit status %s\n%s" % (fault, hurt.rc, hurt)
    assert hurt.rc == -signal.SIGKILL or hurt.rc == 0 or "pghaul: " in hurt.err, "%s: failed without a word" % fault
    wait_for(lambda: not t.target.backends(), "the end of target backends after " + fault, 10)
    if ledger.exists(t.target):
        t.check_ledger()
    again = scenario.run(t)
    assert again.rc == 0, "after %s the same command does not go on:\n%s\nit had said:\n%s" % (fault, again, hurt)
    try:
        scenario.check(t)
    except AssertionError as e:
        raise AssertionError("after %s: %s" % (fault, e))
    return time.monotonic() - began


def campaign(t, scenario, every_day_s=EVERY_DAY_S):
    scenario.make(t)
    points = passed_points(t, scenario)
    assert len(points) > 3, "only these points were passed: %s" % points
    todo = [(n, "%s:%d:%s" % (p, n, what)) for p in points for n in (1, 2) for what in ("kill", "error")]
    t.random.shuffle(todo)
    todo.sort(key=lambda x: x[0])  # every first passage before any second one
    end = time.monotonic() + (every_day_s if not t.rig.campaign else 3000)
    visited, failed = 0, []
    for _, fault in todo:
        if time.monotonic() > end:
            break
        try:
            visit(t, scenario, fault)
        except AssertionError as e:
            failed.append("%s: %s" % (fault, e))
        visited += 1
    if t.rig.campaign:
        assert visited == len(todo), "%d of %d faults were visited in time" % (visited, len(todo))
    assert not failed, "%d of %d faults, points %s:\n%s" % (len(failed), visited, points, "\n".join(failed))


@story(heavy=True, timeout=3600)
def a_first_append_survives_every_fault(t):
    campaign(t, Scenario())


@story(heavy=True, timeout=3600)
def an_upsert_survives_every_fault(t):
    campaign(t, FromOldRows("--mode", "upsert", "--split", "key"))


@story(heavy=True, timeout=3600)
def a_replace_survives_every_fault(t):
    campaign(t, FromOldRows("--mode", "replace", "--split", "hash"))


@story(heavy=True, timeout=3600)
def indexes_that_are_deferred_survive_every_fault(t):
    campaign(t, DeferringIndexes(), 6)


@story(campaign=True, timeout=3600)
def a_new_round_survives_every_fault(t):
    campaign(t, NewRound("--mode", "replace", "--again"))


@story(heavy=True, timeout=3600)
def recovery_from_a_lost_snapshot_survives_every_fault_in_a_key_cut(t):
    campaign(t, LostSnapshot("--split", "key"))


@story(campaign=True, timeout=3600)
def recovery_from_a_lost_snapshot_survives_every_fault_in_a_block_cut(t):
    campaign(t, LostSnapshot("--split", "block"))


FILES = (ByFiles("--io", "uring"), ByFiles("--io", "posix"), FromFiles(), Extracting("--io", "uring"), Extracting("--io", "posix-buffered"),
         Loading("--io", "uring"), Loading("--io", "posix"), InLargeFiles())


@story(heavy=True, timeout=3600)
def shards_by_way_of_files_survive_every_fault(t):
    campaign(t, FILES[0], 12)


@story(campaign=True, timeout=3600)
def shards_by_way_of_files_survive_every_fault_without_io_uring(t):
    campaign(t, FILES[1])


@story(campaign=True, timeout=3600)
def shards_in_files_survive_every_fault_on_their_way_out(t):
    campaign(t, FILES[2])


@story(campaign=True, timeout=3600)
def shards_by_way_of_large_files_survive_every_fault(t):
    campaign(t, FILES[7])


@story(campaign=True, timeout=3600)
def an_upsert_by_way_of_files_survives_every_fault(t):
    class Upsert(ByFiles):
        before = FromOldRows.before
    campaign(t, Upsert("--mode", "upsert", "--split", "key"))


@story(heavy=True, timeout=3600)
def an_extract_survives_every_fault(t):
    campaign(t, FILES[3], 10)


@story(campaign=True, timeout=3600)
def an_extract_survives_every_fault_without_io_uring(t):
    campaign(t, FILES[4])


@story(heavy=True, timeout=3600)
def a_load_survives_every_fault(t):
    campaign(t, FILES[5], 8)


@story(campaign=True, timeout=3600)
def a_load_survives_every_fault_without_io_uring(t):
    campaign(t, FILES[6])


@story()
def no_fault_point_of_files_is_dead(t):
    """Each that the source names is passed by one of the scenarios above."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src")
    named = set()
    for path in glob.glob(source + "/**/*.c", recursive=True):
        with open(path) as f:
            named |= set(re.findall(r'PH_FAULT\("((?:io|spill|archive|extract)\.[^"]+)"\)', f.read()))
    assert len(named) > 10, named
    FILES[7].make(t)
    passed = set()
    for scenario in (FILES[7], FILES[3], FILES[5]):
        passed |= set(passed_points(t, scenario))
    assert not named - passed, "never passed: %s" % sorted(named - passed)

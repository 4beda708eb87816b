"""Every fault point, killed and failed: afterwards the same command goes on, everything is there once, the ledger is sound.

The points are not listed anywhere: a run without faults tells which ones it passed (PGHAUL_FAULT_LOG), so a new one is
visited without anybody's doing. Every day a sample that fits into a time budget, in the long campaign all of
them.
"""

import os
import signal
import time

import data
import ledger
from cluster import wait_for
from story import Skip, story

EVERY_DAY_S = 20
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
    t.copy(*scenario.args, env={"PGHAUL_FAULT_LOG": log}).expect(0)
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
    with t.start_copy(*scenario.args, fault=fault, timeout=60) as run:
        hurt = run.wait()
    allowed = (0, -signal.SIGKILL) if fault.endswith("kill") else (0, 1, 2)
    assert hurt.rc in allowed, "%s: exit status %s\n%s" % (fault, hurt.rc, hurt)
    assert hurt.rc == -signal.SIGKILL or hurt.rc == 0 or "pghaul: " in hurt.err, "%s: failed without a word" % fault
    wait_for(lambda: not t.target.backends(), "the end of target backends after " + fault, 10)
    if ledger.exists(t.target):
        t.check_ledger()
    again = t.copy(*scenario.args)
    assert again.rc == 0, "after %s the same command does not go on:\n%s\nit had said:\n%s" % (fault, again, hurt)
    try:
        scenario.check(t)
    except AssertionError as e:
        raise AssertionError("after %s: %s" % (fault, e))
    return time.monotonic() - began


def campaign(t, scenario):
    scenario.make(t)
    points = passed_points(t, scenario)
    assert len(points) > 3, "only these points were passed: %s" % points
    todo = [(n, "%s:%d:%s" % (p, n, what)) for p in points for n in (1, 2) for what in ("kill", "error")]
    t.random.shuffle(todo)
    todo.sort(key=lambda x: x[0])  # every first passage before any second one
    end = time.monotonic() + (EVERY_DAY_S if not t.rig.campaign else 3000)
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


@story(campaign=True, timeout=3600)
def a_new_round_survives_every_fault(t):
    campaign(t, NewRound("--mode", "replace", "--again"))


@story(heavy=True, timeout=3600)
def recovery_from_a_lost_snapshot_survives_every_fault_in_a_key_cut(t):
    campaign(t, LostSnapshot("--split", "key"))


@story(campaign=True, timeout=3600)
def recovery_from_a_lost_snapshot_survives_every_fault_in_a_block_cut(t):
    campaign(t, LostSnapshot("--split", "block"))

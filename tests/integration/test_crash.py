"""What dies: the mover, servers, backends, the answer to a COMMIT. Afterwards every row is there once."""

import os
import signal
import time

import data
import ledger
from cluster import wait_for
from proxy import CommitProxy
from story import sleep_random, story

SPLITS = ("auto", "block", "key", "hash")
MODES = ("append", "upsert", "replace")
SMALL = ("--shard-size", "256kB")


def quiet(t):
    """Waits until the dead mover's backends in the target are gone: a COMMIT may still be on its way."""
    wait_for(lambda: not t.target.backends(), "the end of the target backends of a dead mover", 10)


def kill_somewhere(t, args, most):
    """Runs and kills -9: in one of four cases soon after the start, else after some shard has landed."""
    with t.start_copy(*args) as run:
        if t.random.random() < 0.25:
            sleep_random(t.random, 0.4)
        else:
            t.when_landed(t.random.randint(1, most), run)
            sleep_random(t.random, 0.03)
        killed = run.kill9()
    quiet(t)
    return killed


@story(dice=True, rounds=2, heavy=True)
def killed_at_random_moments_it_goes_on_and_has_every_row_once(t):
    r = t.random
    mode, split, jobs = r.choice(MODES), r.choice(SPLITS), r.randint(1, 4)
    kind = r.choice(("narrow", "mixed", "wide"))
    make, rows = data.KINDS[kind]
    make(t, 2 * rows)
    if mode != "append":
        t.target.query("insert into %s (id%s) select i%s from generate_series(1, 50) i" % (
            kind, *((", a", ", 0") if kind == "narrow" else ("", ""))))
    args = ["-t", kind, "--mode", mode, "--split", split, "-j", jobs, *SMALL]
    t.note("mode %s, split %s, jobs %d, table %s" % (mode, split, jobs, kind))
    planned, kills = t.plan(*args)["tables"][0]["shards"], r.randint(1, 3)
    landed, died = {}, 0
    for _ in range(kills):
        died += kill_somewhere(t, args, max(1, planned - 2))
        t.check_ledger()
        now = ledger.receipts(t.target) if ledger.exists(t.target) else {}
        assert all(now.get(i) == landed[i] for i in landed), "a receipt changed after its shard had landed"
        landed = now
    t.copy(*args).expect(0)
    now = ledger.receipts(t.target)
    assert all(now[i] == landed[i] for i in landed), "a shard was done twice"
    wasted = ledger.wasted_attempts(t.target)
    assert wasted <= jobs * died, "%d shards were read again after %d kills of %d workers" % (wasted, died, jobs)
    t.whole(kind)
    t.check_ledger(source=t.source)


@story()
def replace_empties_once_and_never_what_finished_shards_have_loaded(t):
    data.narrow(t, 60000)
    t.target.query("insert into narrow select -i, 0 from generate_series(1, 3000) i")
    args = ("-t", "narrow", "--mode", "replace", "-j", 1, *SMALL)
    for n in (1, 3, 6):
        with t.start_copy(*args) as run:
            assert t.when_landed(n, run), "it ended before it could be killed"
            run.kill9()
        quiet(t)
        assert t.target.int("select count(*) from narrow where id < 0") == 0, "old rows and new ones side by side"
        t.check_ledger()
        assert ledger.landed(t.target) >= n, "landed shards were taken away"
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(own=True, campaign=True)
def killed_source_backends_cost_retries_and_nothing_else(t):
    data.mixed(t, 60000)
    with t.start_copy("-t", "mixed", "-j", 2, "--json", *SMALL) as run:
        kills = storm(t, run, t.source, keep="not (application_name ~ 'keeper')")
        result = run.wait().expect(0).json
    assert kills and result["retries"] > 0, "%d kills, %s retries" % (kills, result["retries"])
    t.whole("mixed")


@story(own=True, campaign=True)
def killed_target_backends_cost_retries_and_nothing_else(t):
    data.mixed(t, 60000)
    with t.start_copy("-t", "mixed", "-j", 2, "--json", *SMALL) as run:
        kills = storm(t, run, t.target)
        result = run.wait().expect(0).json
    assert kills, "nothing was killed"
    t.whole("mixed")


def storm(t, run, side, keep="true"):
    """Terminates a random backend of pghaul's a few times while it copies. Returns how many."""
    kills = 0
    for n in (1, 3, 5, 8, 11, 14):
        if not t.when_landed(n, run):
            break
        pids = side.backends(keep + " and state <> 'idle' or application_name ~ '/[0-9]+/[0-9]+$'")
        if pids:
            side.terminate([t.random.choice(pids)])
            kills += 1
    return kills


@story(own=True, dice=True, campaign=True)
def a_storm_that_spares_nobody_leaves_a_job_that_goes_on(t):
    """Keeper and all: whatever the run's end, the same command brings it to a good one."""
    data.narrow(t, 80000)
    args = ("-t", "narrow", "-j", 2, "--split", t.random.choice(SPLITS), *SMALL)
    with t.start_copy(*args) as run:
        for n in range(1, 12, 2):
            if not t.when_landed(n, run):
                break
            for side in (t.source, t.target):
                pids = side.backends()
                side.terminate(t.random.sample(pids, min(len(pids), 2)))
        assert run.wait().rc in (0, 1)
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(own=True, heavy=True)
def the_target_crashes_and_comes_back_under_a_running_copy(t):
    data.mixed(t, 60000)
    with t.start_copy("-t", "mixed", "-j", 2, "--json", *SMALL, timeout=90) as run:
        assert t.when_landed(4, run), "it ended before the crash"
        t.target_cluster.crash()
        time.sleep(0.5)
        t.target_cluster.start()
        result = run.wait().expect(0).json
    assert result["snapshots"] == 1, "the source's snapshot was lost by a crash of the target"
    t.whole("mixed")


@story(own=True, campaign=True)
def a_target_that_stays_away_ends_the_run_and_the_next_one_goes_on(t):
    data.mixed(t, 40000)
    args = ("-t", "mixed", "-j", 2, *SMALL)
    with t.start_copy(*args, "--max-outage", "3s") as run:
        assert t.when_landed(3, run), "it ended before the crash"
        t.target_cluster.crash()
        run.wait().expect(1, "target", "hint")
    t.target_cluster.start()
    before = ledger.receipts(t.target)
    t.copy(*args).expect(0)
    after = ledger.receipts(t.target)
    assert len(before) >= 1 and all(after[i] == before[i] for i in before), "finished shards were done again"
    t.whole("mixed")


@story(own=True)
def rows_and_receipts_of_an_unlogged_table_vanish_together(t):
    data.narrow(t, 60000)
    data.mixed(t, 20000)
    t.target.query("alter table narrow set unlogged")
    args = ("-t", "narrow", "-t", "mixed", "-j", 1, *SMALL)
    with t.start_copy(*args) as run:
        assert t.when_landed(5, run), "it ended before it could be interrupted"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    logged = t.target.int("select count(*) from pghaul.receipt")
    t.target_cluster.crash()
    t.target_cluster.start()
    assert t.target.int("select count(*) from pghaul.receipt") == logged
    t.copy(*args).expect(0)
    t.whole("narrow", "mixed")
    # And after completion: the table is empty again, and the same command fills it.
    t.target_cluster.crash()
    t.target_cluster.start()
    assert t.rows("narrow") == 0
    t.copy(*args).expect(0)
    t.whole("narrow", "mixed")


ASYNC = {"target": {"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "wal_buffers": "64MB",
                    "commit_siblings": "0", "bgwriter_lru_maxpages": "0"}}


@story(settings=ASYNC)
def exit_status_0_means_that_a_crash_takes_nothing_away(t):
    data.narrow(t, 40000)
    t.target.query("create table control (a int)")
    t.copy("-t", "narrow", "-j", 2, *SMALL).expect(0)
    with t.target.session() as s:
        s.query("set synchronous_commit = off; insert into control values (1)")
    t.target_cluster.crash()
    t.target_cluster.start()
    assert t.rows("control") == 0, "the rig loses no asynchronous commit, so this story proves nothing"
    t.same("narrow")
    t.check_ledger(complete=True)
    t.copy("-t", "narrow", *SMALL).expect(0, "nothing")


@story(settings=ASYNC)
def a_crash_in_the_middle_takes_rows_and_receipts_together(t):
    data.narrow(t, 60000)
    with t.start_copy("-t", "narrow", "-j", 2, "--max-outage", "2s", *SMALL) as run:
        assert t.when_landed(6, run), "it ended before the crash"
        t.target_cluster.crash()
        run.wait().expect(1)
    t.target_cluster.start()
    if ledger.exists(t.target):
        t.check_ledger()
    t.copy("-t", "narrow", "-j", 2, *SMALL).expect(0)
    t.whole("narrow")


def lost_commits(t, cuts, mode, split):
    data.mixed(t, 20000)
    t.target.query("create role hauler superuser login password 'secret'")
    passfile = t.write("pass", "127.0.0.1:*:*:hauler:secret\n")
    os.chmod(passfile, 0o600)
    with CommitProxy(t.target_cluster.port, cuts) as proxy:
        result = t.run("copy", "-s", t.source.dsn, "-d", t.target.tcp_dsn("hauler", proxy.port), "-t", "mixed", "-j", 2,
                       "--mode", mode, "--split", split, "--json", *SMALL, env={"PGPASSFILE": passfile}).expect(0).json
        assert sorted(proxy.done) == sorted(cuts.items()), "cut %s, wanted %s" % (proxy.done, cuts)
    assert result["rows"] == 20000, result
    t.whole("mixed")


@story(tcp=True)
def a_commit_whose_answer_is_lost_is_settled_by_the_ledger(t):
    lost_commits(t, {1: "after", 4: "before", 6: "unawaited", 9: "after", 10: "after"}, "append", "block")


@story(tcp=True, campaign=True)
def a_lost_answer_is_settled_for_an_upsert_too(t):
    lost_commits(t, {1: "unawaited", 3: "after", 5: "before"}, "upsert", "key")


@story(own=True)
def a_mover_that_was_stopped_for_long_is_fenced(t):
    """SIGSTOP, its sessions killed, another mover finishes; when it wakes up it changes nothing any more."""
    data.narrow(t, 60000)
    args = ("-t", "narrow", "-j", 2, *SMALL)
    with t.start_copy(*args) as zombie:
        assert t.when_landed(4, zombie), "it ended before it could be stopped"
        zombie.signal(signal.SIGSTOP)
        t.target.terminate(t.target.backends())
        quiet(t)
        t.copy(*args).expect(0)
        t.same("narrow")
        zombie.signal(signal.SIGCONT)
        result = zombie.wait()
        assert result.rc in (0, 1), result
    t.whole("narrow")

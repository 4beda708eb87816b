"""Who may run a job: one mover, joined ones, nobody else. And how a run is told to stop."""

import re
import signal
import socket
import time

import data
import ledger
from cluster import wait_for
from story import story

SMALL = ("--shard-size", "256kB")


@story(own=True)  # a backend whose client is stopped holds up whoever drops a database
def a_second_mover_is_told_who_holds_the_job(t):
    data.narrow(t, 60000)
    args = ("-t", "narrow", "-j", 1, *SMALL)
    with t.start_copy(*args) as first:
        assert t.when_landed(2, first), "it ended too soon"
        first.signal(signal.SIGSTOP)
        second = t.copy(*args).expect(4, str(first.pid), socket.gethostname(), "hint", "--join")
        assert 3 < second.seconds < 9, "it waited %.1f s instead of 5" % second.seconds
        held = t.copy(*args, "--json").expect(4).json
        assert held["error"]["message"] and held["state"], held
        first.signal(signal.SIGCONT)
        first.wait().expect(0)
    t.whole("narrow")


@story(campaign=True)
def clean_leaves_a_held_job_alone(t):
    data.narrow(t, 60000)
    with t.start_copy("-t", "narrow", "-j", 1, "--job", "held", *SMALL) as first:
        assert t.when_landed(2, first), "it ended too soon"
        first.signal(signal.SIGSTOP)
        t.run("clean", "-d", t.target.dsn, "held", "--yes").expect(4, str(first.pid), "pghaul control held stop")
        first.signal(signal.SIGCONT)
        first.wait().expect(0)
    t.whole("narrow")


@story()
def another_job_may_not_load_a_table_of_an_unfinished_one(t):
    data.narrow(t, 60000)
    with t.start_copy("-t", "narrow", "-j", 1, "--job", "first", *SMALL) as run:
        assert t.when_landed(2, run), "it ended too soon"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    t.copy("-t", "narrow", "--job", "second", "--mode", "replace").expect(2, "first", "hint")
    t.copy("-t", "narrow", "--job", "first", *SMALL).expect(0)
    t.whole("narrow")


@story()
def a_killed_movers_job_is_taken_over_at_once(t):
    data.narrow(t, 60000)
    args = ("-t", "narrow", "-j", 2, *SMALL)
    with t.start_copy(*args) as run:
        assert t.when_landed(2, run), "it ended too soon"
        run.kill9()
    t.copy(*args).expect(0)
    t.whole("narrow")


@story()
def joined_movers_share_the_shards(t):
    data.mixed(t, 60000)
    args = ("-t", "mixed", "-j", 1, "--json", *SMALL)
    with t.start_copy(*args) as first:
        assert t.when_landed(2, first), "it ended too soon"
        second = t.copy(*args, "--join").expect(0).json
        first.wait().expect(0)
    assert second["state"] == "completed", second
    movers = t.target.int("select count(distinct mover) from pghaul.receipt")
    assert movers == 2, "%d mover(s) did all the work" % movers
    t.whole("mixed")
    t.check_ledger(source=t.source)


@story(campaign=True)
def of_two_joined_movers_one_is_killed_and_the_other_finishes(t):
    data.mixed(t, 80000)
    args = ("-t", "mixed", "-j", 2, *SMALL)
    victim_first = t.random.random() < 0.5
    with t.start_copy(*args) as first:
        assert t.when_landed(2, first), "it ended too soon"
        with t.start_copy(*args, "--join") as second:
            wait_for(lambda: not second.alive() or t.target.int("select count(*) from pghaul.mover") == 2,
                     "the second mover")
            t.when_landed(ledger.landed(t.target) + 2, second)
            victim, survivor = (first, second) if victim_first else (second, first)
            victim.kill9()
            survivor.wait().expect(0)
    t.same("mixed")
    wasted = ledger.wasted_attempts(t.target)
    assert wasted <= 2, "%d shards were read again after the death of 2 workers" % wasted
    t.whole("mixed")


@story()
def join_simply_runs_when_there_is_nothing_to_join(t):
    data.narrow(t, 1000)
    t.copy("-t", "narrow", "--join").expect(0)
    t.whole("narrow")
    t.copy("-t", "narrow", "--join").expect(0, "nothing")


def begun(result):
    """How many times a shard was begun, by the log of -vv: a claim that was given back unread does not count."""
    return len(re.findall(r"shard \d+ of .*, attempt \d+$", result.err, re.M))


def stopped(t, *signals):
    """Stops a copy by signals and goes on with it. The shards in hand must all have been finished."""
    data.narrow(t, 100000)
    args = ("-t", "narrow", "-j", 2, *SMALL)
    with t.start_copy(*args, "-vv") as run:
        assert t.when_landed(4, run), "it ended before the signal"
        for number in signals:
            run.signal(number)
            time.sleep(0.02)
        began = time.monotonic()
        result = run.wait().expect(130)
        assert time.monotonic() - began < 10
    t.check_ledger()
    left = [s for s in ledger.shards(t.target) if s[1] == "planned"]
    assert left, "nothing was left to do"
    before = ledger.receipts(t.target)
    assert begun(result) == len(before) > 0, "%d shards were begun, %d landed" % (begun(result), len(before))
    t.copy(*args).expect(0)
    after = ledger.receipts(t.target)
    assert all(after[i] == before[i] for i in before), "finished shards were done again"
    t.whole("narrow")
    return result


@story()
def the_first_interrupt_finishes_the_shards_in_hand(t):
    result = stopped(t, signal.SIGINT)
    assert "again" in result.err or "go on" in result.err or "resume" in result.err, result


@story()
def sigterm_is_like_sigint(t):
    stopped(t, signal.SIGTERM)


@story()
def a_closed_terminal_is_like_the_first_interrupt(t):
    stopped(t, signal.SIGHUP)


@story()
def a_second_interrupt_stops_at_once(t):
    t.both("create table w (id int primary key, v text)")
    t.source.query("insert into w select i, repeat(md5(i::text), 20000) from generate_series(1, 60) i")
    t.target.query("create function slow() returns trigger language plpgsql as "
                   "'begin perform pg_sleep(0.5); return new; end'; "
                   "create trigger tg before insert on w for each row execute function slow()")
    args = ("-t", "w", "-j", 2, "--triggers", "fire", "--split", "key", "--shard-rows", 30)
    with t.start_copy(*args) as run:
        wait_for(lambda: t.target.backends("query ~* 'copy' and state = 'active'"), "a COPY into the target")
        time.sleep(0.3)
        run.signal(signal.SIGINT)
        time.sleep(0.5)
        assert run.alive(), "the first interrupt did not wait for the shards in hand"
        run.signal(signal.SIGINT)
        began = time.monotonic()
        run.wait().expect(130)
        assert time.monotonic() - began < 4, "it took %.1f s to stop at once" % (time.monotonic() - began)
    assert t.rows("w") == 0
    t.target.query("drop trigger tg on w")
    t.copy(*args).expect(0)
    t.whole("w")


@story()
def an_interrupt_before_anything_was_begun_leaves_nothing_odd(t):
    data.narrow(t, 20000)
    for delay in (0.0, 0.01, 0.02, 0.04, 0.08):
        with t.start_copy("-t", "narrow", "-j", 1, *SMALL) as run:
            time.sleep(delay)
            run.signal(signal.SIGINT)
            run.process.wait(20)
            if run.process.returncode != -signal.SIGINT:  # it came before the program could catch it
                result = run.wait()
                assert result.rc in (0, 130), result
    t.copy("-t", "narrow", *SMALL).expect(0)
    t.whole("narrow")


@story()
def a_pipe_that_nobody_reads_does_not_kill_the_copy(t):
    data.narrow(t, 30000)
    t.copy("-t", "narrow", "-v", *SMALL, prefix=("/bin/sh", "-c", '"$@" 2>&1 | true', "sh")).expect(0)
    t.copy("-t", "narrow", *SMALL).expect(0)
    t.whole("narrow")


@story()
def status_tells_of_a_running_job_from_another_session(t):
    data.narrow(t, 60000)
    with t.start_copy("-t", "narrow", "-j", 2, "--job", "seen", *SMALL) as run:
        assert t.when_landed(2, run), "it ended too soon"
        run.signal(signal.SIGSTOP)
        status = t.status("--shards", "seen")
        assert status["job"] == "seen" and status["state"] == "running", status["state"]
        assert {w["pid"] for w in status["workers"]} == {run.pid}, status["workers"]
        (table,) = status["tables"]
        assert table["shards"]["landed"] >= 2 and table["shards"]["planned"] > 0 and table["rows"] > 0, table
        assert all(k in status["shards"][0] for k in ("shard", "table", "lo", "hi", "state", "attempt", "rows", "bytes"))
        assert "throttled_by" in status and "eta_seconds" in status and status["snapshot"]["held_seconds"] > 0, status
        run.signal(signal.SIGCONT)
        run.wait().expect(0)
    status = t.status("seen")
    assert status["state"] == "completed" and status["rows" if "rows" in status else "state"], status
    assert status["workers"] == [] and status["tables"][0]["shards"]["planned"] == 0, status

"""Steering a live run: by its socket, and from elsewhere by way of the ledger."""

import os
import socket
import stat
import time

import data
from cluster import wait_for
from story import story

SLOW = ("--spill", "never", "--shard-size", "512kB", "--max-rate", "2MiB")
IN_TRANSACTION = "xact_start is not null and application_name ~ '/[0-9]+/[0-9]+$'"


def control(t, *args, **kwargs):
    return t.run("control", *args, **kwargs)


def by_ledger(t, *args):
    return control(t, *args, "-d", t.target.dsn)


def socket_path(t, job="j"):
    return os.path.join(t.mover.home, "state", "pghaul", job, "control.sock")


def under_way(t, *args, mib=8, **kwargs):
    """A slow copy that has landed something."""
    data.blob(t, mib)
    running = t.start_copy("-t", "blob", "--job", "j", "-j", 2, *SLOW, *args, **kwargs)
    t.when_landed(1, running)
    return running


def is_quiet(t):
    """Nothing of the workers is open on the target."""
    return not t.target.backends(IN_TRANSACTION)


def paused_within_a_second(t):
    wait_for(lambda: is_quiet(t), "no open transaction on the target", 1.0)
    landed = t.landed()
    time.sleep(0.6)
    assert is_quiet(t) and t.landed() == landed, "it goes on though it is paused"


@story()
def a_pause_leaves_nothing_open_and_is_shown_with_who_said_it(t):
    with under_way(t) as run:
        said = control(t, "j", "pause", "--json").expect(0).json
        assert said["state"] == "paused" and said["throttled_by"].startswith("pause by "), said
        paused_within_a_second(t)
        status = wait_for(lambda: (lambda s: s["state"] == "paused" and s)(t.status()), "status: paused", 2)
        assert status["throttled_by"].startswith("pause by "), status
        t.run("status", "-d", t.target.dsn).expect(0, "j: paused", "held back pause by")
        control(t, "j", "resume").expect(0, "running")
        control(t, "j", "rate=off").expect(0)
        result = run.wait().expect(0, "control: pause, by ", "paused: pause by", "control: resume", "through the socket")
    assert result.seconds < 20
    assert t.target.int("select max(failures) from pghaul.shard") == 0, "an abandoned shard was counted as failed"
    t.whole("blob")


@story()
def any_host_steers_by_way_of_the_ledger(t):
    with under_way(t, "--state-dir", t.directory + "/elsewhere") as run:
        control(t, "j", "pause").expect(2, "no live run of job j", "-d")
        began = time.monotonic()
        by_ledger(t, "j", "pause").expect(0, "heard by 1 mover")
        assert time.monotonic() - began < 1.2
        paused_within_a_second(t)
        assert by_ledger(t, "j", "status", "--json").expect(0).json["state"] == "paused"
        by_ledger(t, "j", "rate=off", "resume").expect(0)
        run.wait().expect(0, "through the ledger")
    by_ledger(t, "j", "pause").expect(2, "no live run", "--keep")
    said = t.target.query("select word, keep from pghaul.control order by no")
    assert [list(r) for r in said] == [["pause", "f"], ["rate=off", "f"], ["resume", "f"]], said
    t.whole("blob")


@story()
def rates_and_workers_change_while_it_runs(t):
    data.blob(t, 12)
    with t.start_copy("-t", "blob", "--job", "j", "-j", 1, *SLOW) as run:
        t.when_landed(1, run)
        said = control(t, "j", "rate=3MiB/s", "jobs=4", "--json").expect(0).json
        assert said["settings"]["target_rate"] == 3 << 20 and said["settings"]["jobs"] == 4, said
        wait_for(lambda: t.target.int("select count(distinct slot) from pghaul.shard where mover is not null") == 4,
                 "four workers", 5)
        control(t, "j", "jobs=1").expect(0)
        wait_for(lambda: t.target.int("select count(*) from pghaul.shard where mover is not null") <= 1,
                 "one worker", 5)
        control(t, "j", "rate=off", "rows=off", "jobs=2").expect(0)
        run.wait().expect(0)
    t.whole("blob")


@story()
def the_number_of_workers_is_left_to_the_run_until_somebody_says_one(t):
    data.blob(t, 4)
    with t.start_copy("-t", "blob", "--job", "j", "-j", "auto", *SLOW) as run:
        t.when_landed(1, run)
        said = control(t, "j", "status", "--json").expect(0).json
        assert said["settings"]["jobs"] >= 2, said
        control(t, "j", "jobs=1").expect(0)
        time.sleep(0.5)  # it looks ten times a second
        said = control(t, "j", "status", "--json").expect(0).json
        assert said["settings"]["jobs"] == 1, said
        control(t, "j", "rate=off").expect(0)
        run.wait().expect(0)
    t.whole("blob")


@story()
def what_is_kept_holds_for_the_resumed_run_until_its_like_is_said_again(t):
    with under_way(t, mib=4) as run:
        control(t, "j", "pause", "--keep").expect(0)
        wait_for(lambda: t.target.int("select count(*) from pghaul.control where keep") == 1, "it to be written down", 2)
        control(t, "j", "stop").expect(0)
        run.wait().expect(130)
    with t.start_copy("-t", "blob", "--job", "j", *SLOW) as run:
        wait_for(lambda: t.target.int("select count(*) from pghaul.live where paused") == 1, "the second run paused")
        by_ledger(t, "j", "resume", "stop").expect(0)
        run.wait().expect(130)
    t.copy("-t", "blob", "--job", "j").expect(0)
    t.whole("blob")


@story()
def a_socket_that_a_killed_run_left_behind_is_replaced(t):
    with under_way(t) as run:
        path = socket_path(t)
        mode = os.stat(path).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        run.kill9()
    assert os.path.exists(path)
    control(t, "j", "pause").expect(2, "no live run")
    with t.start_copy("-t", "blob", "--job", "j", *SLOW) as run:
        wait_for(lambda: control(t, "j", "status").rc == 0, "the new run's answer", 5)
        control(t, "j", "rate=off").expect(0)
        run.wait().expect(0)
    assert not os.path.exists(path), "the socket is still there"
    t.whole("blob")


@story()
def nonsense_and_two_at_once_do_no_harm(t):
    with under_way(t) as run:
        control(t, "j", "rat=1MiB").expect(2, "did you mean rate")
        control(t, "j", "jobs=0").expect(2)
        control(t, "j").expect(2, "what to ask")
        control(t).expect(2, "name of a job")
        for junk in b"", b"now\nrm -rf\n", b"\0" * 5000, b"now\n" + b"pause\n" * 600:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(socket_path(t))
                try:
                    s.sendall(junk)
                    s.shutdown(socket.SHUT_WR)
                    s.recv(65536)
                except OSError:
                    pass
        with socket.socket(socket.AF_UNIX) as s:  # one who says nothing holds nobody up for long
            s.connect(socket_path(t))
            both = [t.mover.start("control", "j", "rate=%dMiB" % n, "--json") for n in (5, 7)]
            rates = [r.wait().expect(0).json["settings"]["target_rate"] for r in both]
        assert sorted(rates) == [5 << 20, 7 << 20], rates
        control(t, "j", "rate=off").expect(0)
        run.wait().expect(0)
    t.whole("blob")


@story()
def an_extract_is_steered_by_its_socket_under_a_path_that_is_too_long_for_one(t):
    data.blob(t, 4)
    deep = os.path.join(t.directory, "x" * 100, "y" * 60)
    env = {"XDG_STATE_HOME": deep}
    with t.mover.start("extract", "-s", t.source.dsn, "-d", "archive:" + t.directory + "/archive", "-t", "blob", "--job", "j",
                       "--max-rate", "1MiB", "--shard-size", "256kB", env=env) as run:
        wait_for(lambda: control(t, "j", "status", env=env).rc == 0 or not run.alive(), "an answer", 10)
        assert control(t, "j", "pause", "--json", env=env).expect(0).json["state"] == "paused"
        time.sleep(0.5)
        files = sorted(os.listdir(t.directory + "/archive"))
        time.sleep(0.5)
        assert sorted(os.listdir(t.directory + "/archive")) == files, "it goes on though it is paused"
        control(t, "j", "rate=off", "resume", env=env).expect(0)
        run.wait().expect(0)
    t.run("load", "-s", "archive:" + t.directory + "/archive", "-d", t.target.dsn).expect(0)
    t.same("blob")


@story()
def a_paused_run_is_stopped_and_goes_on_later(t):
    with under_way(t, mib=4) as run:
        control(t, "j", "pause").expect(0)
        paused_within_a_second(t)
        control(t, "j", "stop").expect(0)
        run.wait().expect(130)
    t.copy("-t", "blob", "--job", "j").expect(0)
    t.whole("blob")

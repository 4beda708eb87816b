"""Each guard is provoked once, on real servers: the run pauses or slows down, says why, and goes on when all is well again."""

import http.server
import os
import signal
import subprocess
import threading
import time

import data
from cluster import run_as_ordinary, wait_for
from story import Skip, story

SLOW = ("--spill", "never", "--shard-size", "512kB", "--max-rate", "1MiB", "--job", "j", "-t", "blob", "-j", 2)
IN_TRANSACTION = "xact_start is not null and application_name ~ '/[0-9]+/[0-9]+$'"


def held_by(t, text, state="paused", timeout=8):
    """Waits until the ledger says what holds the run back."""
    def look():
        rows = t.target.query("select held, paused from pghaul.live")
        return rows and rows[0][0] and text in rows[0][0] and (rows[0][1] == "t") == (state == "paused")
    try:
        wait_for(look, "a run that is %s by %s" % (state, text), timeout, 0.05)
    except AssertionError as e:
        raise AssertionError("%s; it says %s, of %s" % (e, t.target.query("select held, paused from pghaul.live"),
                                                        t.target.query("select id, held, paused, ended_at from pghaul.mover"))) from None


def goes_on(t, timeout=8):
    wait_for(lambda: t.target.one("select count(*) from pghaul.live where not paused") == "1", "it to go on", timeout, 0.05)


def nothing_moves(t):
    wait_for(lambda: not t.target.backends(IN_TRANSACTION), "no open transaction on the target", 2)
    landed = t.landed()
    time.sleep(0.5)
    assert t.landed() == landed, "it goes on though it is paused"


def finish(t, run, *said):
    t.mover.run("control", "j", "rate=off").expect(0)
    result = run.wait().expect(0, *said)
    t.whole("blob")
    return result


@story(own=True, heavy=True)
def lag_of_a_standby_pauses_and_so_does_one_that_vanishes(t):
    data.blob(t, 8)
    standby = t.target_cluster.standby(t.directory + "/standby")
    try:
        (name,) = wait_for(lambda: t.target.query("select application_name from pg_stat_replication"), "the standby", 20)[0]
        with t.start_copy(*SLOW, "--max-lag", "1s", "--lag-of", name) as run:
            t.when_landed(1, run)
            standby.psql("postgres", "select pg_wal_replay_pause()")
            held_by(t, "lag: standby %s " % name)
            status = t.status()
            assert status["state"] == "paused" and " behind, limit 1" in status["throttled_by"], status
            nothing_moves(t)
            standby.psql("postgres", "select pg_wal_replay_resume()")
            goes_on(t)
            standby.stop("immediate")
            held_by(t, "its signal is lost: standby")
            nothing_moves(t)
            standby.start()
            goes_on(t)
            finish(t, run, "paused: lag: standby", "has vanished", "it goes on")
        t.copy(*SLOW, "--lag-of", "nobody").expect(2, "--max-lag")
        t.target.query("truncate blob")
        with t.start_copy(*SLOW, "--again", "--max-lag", "1s", "--lag-of", "nobody") as run:
            held_by(t, "standby nobody is on none of the servers")
            t.run("control", "j", "stop").expect(0)
            run.wait().expect(130)
    finally:
        standby.stop("immediate")


@story(own=True)
def the_source_is_read_into_files_while_only_the_target_is_held(t):
    data.blob(t, 6)
    args = ("-t", "blob", "--job", "j", "-j", 2, "--shard-size", "512kB", "--max-xact-age", "300ms")
    with t.target.session() as s:
        s.query("begin; select pg_current_xact_id()")
        time.sleep(0.4)
        with t.start_copy(*args) as run:
            wait_for(lambda: t.target.one("select to_regclass('pghaul.live') is not null") == "t", "the ledger")
            held_by(t, "xact_age: a transaction of ")
            shards = t.target.int("select count(*) from pghaul.shard")
            wait_for(lambda: t.target.int("select count(*) from pghaul.shard where state = 'spilled'") == shards,
                     "every shard in a file", 10)
            assert t.landed() == 0
            s.query("commit")
            result = run.wait().expect(0)
    assert result.seconds < 30
    t.whole("blob")


@story()
def a_query_a_file_and_a_slot_pause_while_they_say_so(t):
    data.blob(t, 6)
    t.target.query("create table flag as select false as up")
    file = os.path.join(t.directory, "pause")
    with t.start_copy(*SLOW, "--pause-query", "select up from flag", "--pause-file", file, "--max-slot-wal", "4MiB") as run:
        t.when_landed(1, run)
        t.target.query("update flag set up = true")
        held_by(t, "query: --pause-query is true on the target")
        open(file, "w").close()
        nothing_moves(t)
        t.target.query("update flag set up = false")
        held_by(t, "file: %s is there" % file)
        os.unlink(file)
        goes_on(t)
        t.target.query("select pg_create_physical_replication_slot('%s', true)" % t.id)
        try:
            t.target.query("create table filler as select repeat(md5(i::text), 20) as x from generate_series(1, 12000) i")
            held_by(t, "slot_wal: slots keep ")
        finally:
            t.target.query("select pg_drop_replication_slot('%s')" % t.id)
        goes_on(t)
        result = finish(t, run, "paused: query", "paused: slot_wal")
    assert "its signal is lost" not in result.err, result


@story(own=True, campaign=True)
def what_will_soon_be_full_pauses_a_file_system_and_a_slot_s_wal(t):
    """The table stands in a tablespace on a small file system; needs the right to mount."""
    small = t.directory + "/small"
    os.mkdir(small)
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m,mode=0777", "none", small],
                                          capture_output=True).returncode:
        raise Skip("no right to mount a small file system")
    try:
        data.blob(t, 24)
        run_as_ordinary(["mkdir", small + "/space"], check=True)
        t.target.query("create tablespace small location '%s/space'" % small)
        t.target.query("alter table blob set tablespace small, alter body set storage plain")
        t.target.query("alter system set max_slot_wal_keep_size = '64MB'")
        t.target.query("select pg_reload_conf()")
        with t.start_copy(*SLOW, "--full-in", "10m") as run:
            t.when_landed(1, run)
            held_by(t, "full: %s/space is full on the target in " % small, timeout=15)
            nothing_moves(t)
            assert subprocess.run(["mount", "-o", "remount,size=60g", small]).returncode == 0
            goes_on(t, 15)
            t.target.query("select pg_create_physical_replication_slot('forgotten', true)")
            held_by(t, "full: slot forgotten loses its WAL on the target in ", timeout=15)
            t.target.query("select pg_drop_replication_slot('forgotten')")
            goes_on(t, 15)
            finish(t, run, "paused: full: ")
    finally:
        t.target_cluster.stop("immediate")
        subprocess.run(["umount", "-l", small])


class Oracle(http.server.ThreadingHTTPServer):
    """Answers every GET with its status; 0: takes the question and says nothing."""
    daemon_threads, status = True, 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = "http://127.0.0.1:%d/go" % self.server_port
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while self.server.status == 0:
            time.sleep(0.1)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@story()
def a_url_pauses_while_it_says_so_and_while_it_says_anything_else_or_nothing(t):
    data.blob(t, 24)
    with Oracle() as oracle:
        oracle.status = 404
        url = oracle.url + "?token=sesame"
        with t.start_copy(*SLOW, "--pause-url", url, "-v") as run:
            wait_for(lambda: t.target.one("select to_regclass('pghaul.live') is not null") == "t", "the ledger")
            held_by(t, "url: not known yet: %s answers 404" % oracle.url)
            assert t.landed() == 0
            oracle.status = 200
            t.when_landed(1, run)
            for status in 503, 429:
                oracle.status = status
                held_by(t, "url: %s answers %d" % (oracle.url, status))
            nothing_moves(t)
            oracle.status = 200
            goes_on(t)
            oracle.status = 0
            held_by(t, "url: its signal is lost: %s: " % oracle.url, timeout=12)
            nothing_moves(t)
            oracle.status = 200
            goes_on(t)
            result = finish(t, run, "paused: url: ", "it goes on")
        assert "sesame" not in result.err, result
    t.copy(*SLOW, "--pause-url", "http://me:sesame@localhost/").expect(2, "netrc")


@story(own=True)  # whoever drops a database asks for a checkpoint
def checkpoints_that_are_asked_for_pause(t):
    data.blob(t, 8)
    with t.start_copy(*SLOW, "--max-checkpoints", "2/2s") as run:
        t.when_landed(1, run)
        for _ in range(4):
            t.target.query("checkpoint")
        held_by(t, "checkpoints: ")
        goes_on(t)
        finish(t, run, "paused: checkpoints: ")


@story()
def a_query_that_fails_and_a_full_disk_pause_from_the_beginning(t):
    data.blob(t, 1)
    for args, text in ((("--pause-query", "select nonsense"), "query of the target: not known yet: target says: column"),
                       (("--pause-query", "source: select 1"), "query of the source: not known yet: --pause-query answers neither"),
                       (("--min-free", "9000TiB"), "free: ")):
        with t.start_copy("-t", "blob", "--job", "j", *args) as run:
            wait_for(lambda: t.target.one("select to_regclass('pghaul.live') is not null") == "t", "the ledger")
            try:
                held_by(t, text)
            except AssertionError as e:
                run.signal(signal.SIGTERM)
                raise AssertionError("%s\n%s" % (e, run.wait())) from None
            assert t.landed() == 0
            t.run("control", "j", "stop").expect(0)
            run.wait().expect(130)
    t.copy("-t", "blob", "--job", "j", "--min-free", "1MiB", "--pause-query", "source:select false").expect(0)
    t.whole("blob")


@story(own=True, heavy=True)
def others_load_and_a_slow_canary_take_workers_away(t):
    data.blob(t, 5)
    t.target.query("create table slow as select 0.002 as s")
    sleepers = [t.target_cluster.session(t.target.name) for _ in range(3)]
    with t.start_copy(*SLOW, "--max-load", "2") as run:
        t.when_landed(1, run)
        for s in sleepers:
            s.send("select pg_sleep(60)")
        held_by(t, "load: ", "running")
        t.mover.run("control", "j", "stop").expect(0)
        run.wait().expect(130)
    for s in sleepers:
        s.close()
    with t.start_copy(*SLOW, "--canary", "commit", "--canary", "select pg_sleep(s) from slow",
                      "--canary-limit", "3", "--json") as run:
        wait_for(lambda: t.target.query("select held from pghaul.live"), "the run")
        t.when_landed(t.landed() + 1, run)
        for server in t.source, t.target:  # of commits there is one for each
            assert server.backends("application_name like '%/guard' and query like '%emit_message(true%'"), server
        t.target.query("update slow set s = 0.1")
        held_by(t, "canary: p99 is ", "running", 15)
        t.target.query("update slow set s = 0.002")
        result = finish(t, run).json
    assert result["throttled_seconds"].get("canary", 0) > 0, result["throttled_seconds"]


@story()
def a_guard_whose_backend_is_ended_comes_back_and_one_that_hangs_pauses(t):
    data.blob(t, 8)
    with t.start_copy(*SLOW, "--max-load", "50") as run:
        t.when_landed(1, run)
        ended = t.target.backends("application_name like '%/guard'")
        t.target.terminate(ended)
        guard = wait_for(lambda: [pid for pid in t.target.backends("application_name like '%/guard'") if pid not in ended],
                         "the guard's new backend", 10)[0]
        os.kill(guard, signal.SIGSTOP)
        try:
            held_by(t, "load of the target: its signal is lost", timeout=10)
            nothing_moves(t)
        finally:
            os.kill(guard, signal.SIGCONT)
        goes_on(t)
        finish(t, run)

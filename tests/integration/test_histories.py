"""Servers whose past is another one: a standby has taken over, a backend's death was a crash, two servers answer to one name."""

import os
import signal
import time

import compare
import data
from cluster import Database, wait_for
from pgwire import ConnectionLost, PgError
from story import story
from test_snapshot import interrupted, lose_snapshot

KEYED = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 3000)


class Heir:
    """A standby of the source, which may take over."""

    def __init__(self, t):
        self.t, self.cluster = t, t.source_cluster.standby(t.directory + "/standby")
        self.dsn = t.source.dsn.replace("port=%d" % t.source_cluster.port, "port=%d" % self.cluster.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.stop("immediate")

    def take_over(self):
        if not self.cluster.running:
            self.cluster.start()
        with self.session() as s:
            s.query("select pg_promote()")

    def session(self):
        return self.cluster.session(self.t.source.name)

    def await_all(self):
        at = self.t.source.one("select pg_current_wal_flush_lsn()")

        def there():
            with self.session() as s:
                return s.one("select pg_last_wal_replay_lsn() >= '%s'" % at) == "t"
        wait_for(there, "the standby")


@story(own=True)
def a_standby_that_takes_over_without_the_last_commits_is_read_again(t):
    """The number of a transaction that it never had is given to another one: the rows look as old as they were."""
    data.narrow(t, 24000)
    with Heir(t) as heir:
        heir.await_all()
        heir.cluster.stop()
        t.source.query("update narrow set c = -1 where id = 3")
        was = int(t.source.one("select xmin from narrow where id = 3"))
        interrupted(t, 4, *KEYED)
        assert t.target.one("select c from narrow where id = 3") == "-1", "its shard has not landed: this story proves nothing"
        kept = t.target.column("select shard from pghaul.receipt where shard > 1")
        t.source.forget()
        t.source_cluster.crash()
        wait_for(lambda: not t.mover.processes(), "the end of the keeper")
        heir.take_over()
        with heir.session() as s:
            while int(s.one("select txid_snapshot_xmax(txid_current_snapshot())")) < was:
                s.query("select txid_current()")
            s.query("update narrow set c = -2 where id = 3")
            assert int(s.one("select xmin from narrow where id = 3")) == was, "another number: this story proves nothing"
        result = t.run("copy", "-s", heir.dsn, "-d", t.target.dsn, *KEYED, "--json").expect(0, "timeline 2", "proven by reading")
        assert t.target.one("select c from narrow where id = 3") == "-2", result
        again = t.target.int("select count(*) from pghaul.receipt where snapshot = 1 and shard in (%s)" % ", ".join(kept))
        assert again >= 3, "shards that were the same were read again: %d of %d stayed" % (again, len(kept))
        with heir.session() as s:
            query = "select md5(string_agg(n::text, ' ' order by id)) from narrow n"
            assert s.one(query) == t.target.one(query)
        t.check_ledger(complete=True)


@story()
def what_a_where_looks_at_may_have_changed_though_no_row_has(t):
    data.narrow(t, 12000)
    t.source.query("create table pick as select id from narrow where id % 2 = 0")
    args = (*KEYED[:-1], 1000, "--where", "id in (select id from pick)")
    landed = interrupted(t, 3, *args)
    lose_snapshot(t)
    row = int(t.target.one("select min(id) from narrow"))
    t.source.query("update pick set id = id + 1 where id = %d" % row)
    t.copy(*args).expect(0)
    assert t.target.column("select id from narrow order by 1") == t.source.column("select id from pick order by 1"), "%d landed" % len(landed)
    t.check_ledger(complete=True)


def crash_by_backend(t, side):
    """One backend dies, and the server recovers by itself: it was not started anew."""
    began = side.one("select pg_postmaster_start_time()")
    recovered = side.one("select pg_stat_get_bgwriter_stat_reset_time()")
    with side.session() as s:
        pid = int(s.one("select pg_backend_pid()"))
        os.kill(pid, signal.SIGKILL)
        try:
            s.query("select pg_sleep(1)")
        except (ConnectionLost, PgError, OSError):
            pass
    side.forget()

    def answers():
        try:
            return side.one("select pg_stat_get_bgwriter_stat_reset_time()") != recovered
        except (ConnectionLost, PgError, OSError):
            side.forget()
            return False
    wait_for(answers, "the server's recovery")
    assert side.one("select pg_postmaster_start_time()") == began


def emptied(t, *levels):
    data.narrow(t, 300000)
    t.target.query("alter table narrow set unlogged; checkpoint")
    for level in levels:
        t.copy("-t", "narrow").expect(0)
        args = ("verify", *t.ends(), "-t", "narrow", "-j", 2, "--level", level)
        t.run(*args, fault="verify.part:*:error,verify.part_noted:3:kill").expect(-signal.SIGKILL)
        crash_by_backend(t, t.target)
        assert t.rows("narrow") == 0, "nothing was lost: this story proves nothing"
        table = t.run(*args, "--json", "--max-differences", 3).expect(3).json["tables"][0]
        assert table["missing"] == 300000 and table["read_before"] == 0, table


@story(own=True)
def what_a_crash_has_emptied_is_not_taken_for_proven(t):
    emptied(t, "source")


@story(own=True, campaign=True)
def what_a_crash_has_emptied_is_not_taken_for_proven_at_any_level(t):
    emptied(t, "readback", "source")
    # and of several tables, those that were proven whole
    t.both("create table other (id int primary key); insert into other select generate_series(1, 100)")
    t.copy("-t", "narrow").expect(0)
    args = ("verify", *t.ends(), "-t", "narrow", "-t", "other", "--level", "source")
    t.run(*args, fault="verify.window:*:error,verify.noted:2:kill").expect(-signal.SIGKILL)
    crash_by_backend(t, t.target)
    tables = {x["source"]: x for x in t.run(*args, "--json", "--max-differences", 3).expect(3).json["tables"]}
    assert tables["public.narrow"]["missing"] == 300000 and tables["public.other"]["equal"], tables


@story(own=True, campaign=True)
def movers_that_read_from_two_servers_do_not_mix_two_moments(t):
    """The first one's snapshot lives on, on a server that the second one does not see."""
    data.narrow(t, 40000)
    with Heir(t) as heir:
        heir.await_all()
        with t.start_copy(*KEYED, "--max-rows", "6k/s") as first:
            assert t.when_landed(2, first), "it ended too soon"
            t.source.query("update narrow set c = -5")
            heir.await_all()
            second = t.mover.run("copy", "-s", heir.dsn, "-d", t.target.dsn, *KEYED, "--join", "--max-rows", "10k/s", timeout=60)
            result = first.wait()
        second.expect(0)
        if result.rc:  # else the other one was done before it had anything to land
            result.expect(1, "another mover reads elsewhere", "hint")
        t.whole("narrow")


def unique_values(t, rows):
    data.narrow(t, rows)
    t.both("alter table narrow add u int")
    t.source.query("update narrow set u = id; alter table narrow add unique (u); analyze narrow")
    t.target.query("alter table narrow add unique (u)")


@story()
def unique_values_that_moved_under_an_upsert_are_followed_or_named(t):
    unique_values(t, 12000)
    args = (*KEYED, "--mode", "upsert")
    interrupted(t, 2, *args)
    lose_snapshot(t)
    # the first shard has a value of the second, that one of the third, and so on: only the last one can land at first
    for low, high in ((11, 3011), (3012, 6012), (6013, 9013)):
        t.source.query("update narrow set u = -id where id = %d" % high)
        t.source.query("update narrow set u = %d where id = %d" % (high, low))
    t.copy(*args).expect(0)
    t.same("narrow")
    # values that were exchanged: no order of shards can do it
    t.source.query("update narrow set u = -u where id in (7, 3007); update narrow set u = 3007 where id = 7; update narrow set u = 7 where id = 3007")
    t.copy(*args, "--again").expect(1, "narrow_u_key", "verify --repair")
    t.check_ledger()
    t.run("clean", "-d", t.target.dsn, "--yes").expect(0)
    t.run("verify", *t.ends(), "-t", "narrow", "--repair").expect(0)
    t.same("narrow")


@story()
def a_mover_that_slept_beyond_its_lease_commits_nothing(t):
    """Its sessions live, with rows in them that were not committed; its heart has not beaten for two minutes, as the ledger has it."""
    data.narrow(t, 30000)
    args = ("-t", "narrow", "-j", 3, "--split", "key", "--shard-rows", 2000)
    with t.start_copy(*args, "--max-rows", "20k/s") as sleeper:
        assert t.when_landed(4, sleeper), "it ended before it could be stopped"
        for _ in range(40):
            sleeper.signal(signal.SIGSTOP)
            if t.target.backends("xact_start is not null and query like '%COPY%'"):
                break
            sleeper.signal(signal.SIGCONT)
            time.sleep(0.02)
        else:
            raise AssertionError("it had nothing in hand: this story proves nothing")
        attempts = dict(t.target.query("select id, attempt from pghaul.shard where mover is not null"))
        t.target.query("update pghaul.mover set beat_at = beat_at - interval '2 minutes'")
        t.copy(*args).expect(0)
        t.same("narrow")
        receipts = t.target.query("select shard, attempt, mover from pghaul.receipt order by 1")
        assert all(int(a) > int(attempts[s]) for s, a, _ in receipts if s in attempts), "a shard was taken over under its old attempt"
        sleeper.signal(signal.SIGCONT)
        result = sleeper.wait()
        assert result.rc in (0, 1), result
        assert t.target.query("select shard, attempt, mover from pghaul.receipt order by 1") == receipts
    t.whole("narrow")


@story()
def a_mover_that_the_ledger_has_forgotten_does_not_say_done(t):
    """As a target has it that fails over to a standby which had not heard of it yet: its barrier would flush nothing."""
    data.narrow(t, 12000)
    args = (*KEYED[:-1], 1000)
    with t.start_copy(*args, "--max-rows", "10k/s") as run:
        assert t.when_landed(2, run), "it ended too soon"
        t.target.query("delete from pghaul.mover")
        run.wait().expect(1, "does not know this mover", "hint")
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(own=True, dice=True, campaign=True, timeout=120)
def any_copy_through_a_failover_is_what_the_new_primary_has(t):
    """The standby has not heard of the last changes, and others are made there, under the same numbers."""
    rng, rows = t.random, t.random.choice((6000, 20000))
    data.narrow(t, rows)
    data.mixed(t, rows // 4)
    args = ("-t", "narrow", "-t", "mixed", "-j", rng.randint(1, 3), "--split", rng.choice(("auto", "key", "block", "hash")), "--shard-size",
            rng.choice(("64kB", "128kB", "256kB")), "--spill", rng.choice(("never", "auto", "always")))
    change = ("update narrow set c = c + %d where id = %d", "delete from narrow where id = %d + 0 * %d", "update mixed set name = name || '%d' where id = %d",
              "insert into narrow select 100000 + %d, %d on conflict do nothing")

    def changes(ask, tag):
        for _ in range(rng.randint(1, 5)):
            ask(rng.choice(change) % (rng.randint(1, 9) * 1000 + tag, rng.randint(1, rows // 4)))
    with Heir(t) as heir:
        heir.await_all()
        heir.cluster.stop()
        if rng.random() < 0.8:
            changes(t.source.query, 0)
        with t.start_copy(*args, "--max-rows", rng.choice(("3k/s", "6k/s"))) as run:
            t.when_landed(rng.randint(0, 8), run)
            time.sleep(rng.uniform(0, 0.3))
            if rng.random() < 0.5:
                changes(t.source.query, 100)
            (run.kill9 if rng.random() < 0.7 else lambda: run.signal(signal.SIGINT))()
            run.process.wait(60)
        t.source.forget()
        t.source_cluster.crash()
        wait_for(lambda: not t.mover.processes(), "the end of the keeper")
        heir.take_over()
        with heir.session() as s:
            if rng.random() < 0.9:
                changes(s.query, 200)
        t.note("%s" % (args,))
        t.run("copy", "-s", heir.dsn, "-d", t.target.dsn, *args, "--json").expect(0)
        t.check_ledger(complete=True)
        if t.target.int("select max(no) from pghaul.snapshot") == 1:
            return  # all had been read before: it is the moment of the old primary's, as it was to be
        there = Database(heir.cluster, t.source.name)
        try:
            compare.compare(there, t.target, ["narrow", "mixed"])
        finally:
            there.forget()


ANOTHER = "update pghaul.snapshot set pg_snapshot = '9:9:', id = '00000009-00000009-1'"  # of the same number


@story()
def a_snapshot_that_has_the_number_of_a_lost_one_is_not_taken_for_it(t):
    """A target that failed over has forgotten the run's snapshot, and another one was given its number."""
    data.narrow(t, 12000)
    args = (*KEYED[:-1], 1000)
    # what lies in files is of the lost one
    t.copy(*args, "--spill", "always", fault="spill.sealed:5:kill").expect(-signal.SIGKILL)
    lose_snapshot(t)
    t.source.query("update narrow set c = -c")
    t.target.query(ANOTHER + ", oldest = %s" % t.source.one("select txid_current()"))
    t.target.query("delete from pghaul.spill; update pghaul.shard set state = 'planned', holder = null where state = 'spilled'")
    t.copy(*args).expect(0)
    t.whole("narrow")
    # a run that lives stops rather than mix, and the next one goes on
    t.target.query("truncate narrow; drop schema pghaul cascade")
    with t.start_copy(*args, "--max-rows", "10k/s") as run:
        assert t.when_landed(2, run), "it ended too soon"
        t.target.query(ANOTHER)
        t.target.terminate(t.target.backends())
        run.wait().expect(1, "the target has gone back", "hint")
    t.source.query("update narrow set c = c + 1")
    t.copy(*args).expect(0)
    t.whole("narrow")

"""One snapshot for all, and what happens when it is really gone (design, §7)."""

import os
import signal
import threading

import compare
import data
import ledger
from cluster import wait_for
from pgwire import ConnectionLost, PgError
from story import story

SMALL = ("--shard-size", "256kB")


def interrupted(t, n, *args):
    """A copy that ends by SIGINT when n shards have landed; the keeper stays."""
    with t.start_copy(*args) as run:
        assert t.when_landed(n, run), "it ended before it could be interrupted"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    left = [s for s in ledger.shards(t.target) if s[1] == "planned"]
    assert left, "nothing was left to do"
    return ledger.receipts(t.target)


def lose_snapshot(t):
    """Ends the keeper's backend: the snapshot cannot be imported any more."""
    pids = t.source.backends()
    assert pids, "nobody holds the snapshot of an unfinished job"
    t.source.terminate(pids)
    wait_for(lambda: not t.source.backends(), "the end of the keeper's backend")
    wait_for(lambda: not t.mover.processes(), "the end of the keeper whose connection is gone", 10)


def rows_of_shard(t, shard, limit=1):
    """ids that a landed shard holds, found in the target by the receipt's xid."""
    return t.target.column(
        "select n.id from narrow n join pghaul.receipt r on n.xmin::text = (r.xid % 4294967296)::text "
        "where r.shard = {} order by n.id limit {}".format(shard, limit))


def table_of_shards(t, rows=60000):
    data.narrow(t, rows)
    t.source.query("vacuum (analyze) narrow")


@story()
def the_keeper_holds_the_snapshot_beyond_the_movers_death(t):
    table_of_shards(t)
    with t.start_copy("-t", "narrow", "-j", 2, *SMALL) as run:
        assert t.when_landed(4, run), "it ended before it could be killed"
        run.kill9()
    t.source.query("update narrow set c = 0 where id % 2 = 0; delete from narrow where id % 5 = 0; "
                   "insert into narrow select -i, 0 from generate_series(1, 500) i")
    snapshot = t.target.one("select id from pghaul.snapshot order by no desc limit 1")
    with t.source.session() as s:
        s.query("begin isolation level repeatable read")
        s.query("set transaction snapshot '%s'" % snapshot)
        exported = s.one("select pg_export_snapshot()")
        result = t.copy("-t", "narrow", "-j", 2, "--json", *SMALL).expect(0).json
        assert result["snapshots"] == 1 and result["shards_resumed"] > 0, result
        t.same("narrow", snapshot=exported)
    t.check_ledger(complete=True)
    t.nothing_left()


@story()
def the_keeper_ends_when_its_time_is_over(t):
    table_of_shards(t, 40000)
    interrupted(t, 2, "-t", "narrow", "-j", 1, "--keep-snapshot", "2s", *SMALL)
    assert t.source.backends(), "the keeper went with the mover"
    wait_for(lambda: not t.source.backends() and not t.mover.processes(), "the end of the keeper by time", 15)
    t.copy("-t", "narrow", *SMALL).expect(0)
    t.whole("narrow")


@story()
def status_names_the_keeper_and_how_to_end_it(t):
    table_of_shards(t, 40000)
    interrupted(t, 2, "-t", "narrow", "-j", 1, *SMALL)
    status = t.status()
    assert status["state"] == "failed" or status["state"] == "pending", status["state"]
    assert status["snapshot"]["held_seconds"] >= 0 and "/" in status["snapshot"]["lsn"], status["snapshot"]
    (keeper,) = t.mover.processes()
    said = t.run("status", "-d", t.target.dsn).expect(0).out
    assert str(keeper) in said, "the keeper's pid %d is not shown:\n%s" % (keeper, said)
    t.copy("-t", "narrow", *SMALL).expect(0)
    t.whole("narrow")


def unchanged_goes_on(t, split, lose):
    table_of_shards(t)
    args = ("-t", "narrow", "-j", 1, "--split", split, *SMALL)
    before = interrupted(t, 4, *args)
    lose(t)
    result = t.copy(*args, "--json").expect(0).json
    assert result["snapshots"] == 2, result["snapshots"]
    after = ledger.receipts(t.target)
    assert all(after[i] == before[i] for i in before), "finished shards were read again though nothing had changed"
    t.whole("narrow")


@story()
def an_unchanged_table_cut_by_block_goes_on_under_a_second_snapshot(t):
    unchanged_goes_on(t, "block", lose_snapshot)


@story()
def an_unchanged_table_cut_by_key_goes_on_under_a_second_snapshot(t):
    unchanged_goes_on(t, "key", lose_snapshot)


@story(own=True)
def an_unchanged_table_goes_on_after_a_restart_of_the_source(t):
    def restart(t):
        t.source.forget()
        t.source_cluster.restart("immediate")
        wait_for(lambda: not t.mover.processes(), "the end of the keeper whose server is gone", 10)
    unchanged_goes_on(t, "block", restart)


@story()
def the_keepers_death_under_a_running_copy_ends_well(t):
    table_of_shards(t, 100000)
    with t.start_copy("-t", "narrow", "-j", 2, "--json", *SMALL) as run:
        assert t.when_landed(3, run), "it ended before the keeper could be killed"
        keepers = [p for p in t.mover.processes() if p != run.pid]
        assert len(keepers) == 1, "%s keepers" % keepers
        os.kill(keepers[0], signal.SIGKILL)
        assert run.wait().rc in (0, 1)
    t.copy("-t", "narrow", "-j", 2, *SMALL).expect(0)
    t.whole("narrow")


CHANGES = {
    "an update": "update narrow set b = -1 where id = {id}",
    "an update in a subtransaction": "begin; savepoint a; update narrow set b = -1 where id = {id}; release a; commit",
    "a deletion": "delete from narrow where id = {id}",
    "a deletion in a subtransaction": "begin; savepoint a; delete from narrow where id = {id}; savepoint b; commit",
    "an insertion into its range": "insert into narrow values (0, 1, 1, 1)",
    "a deletion and an insertion": "delete from narrow where id = {id}; insert into narrow values (0, 1, 1, 1)",
}


def changed_key_cut(t, change):
    """A finished shard cut by key changed: it and no other is read again."""
    table_of_shards(t, 40000)
    args = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 3000)
    # The first range is the open one below: whatever else it holds, it takes in id 0.
    before = interrupted(t, 4, *args)
    first = lowest_shard(t)
    if first not in before:
        before = interrupted(t, ledger.landed(t.target) + 3, *args)
    shard = first if first in before else min(before)
    if "(0," in change:
        assert shard == first, "the lowest range has not landed yet, so that this story proves nothing"
    (row,) = rows_of_shard(t, shard)
    lose_snapshot(t)
    t.source.query(change.format(id=row))
    result = t.copy(*args, "--json").expect(0).json
    assert result["snapshots"] == 2, result["snapshots"]
    after = ledger.receipts(t.target)
    redone = sorted(i for i in before if after[i] != before[i])
    assert redone == [shard], "shards %s were read again, only %s had changed" % (redone, shard)
    t.whole("narrow")


def lowest_shard(t):
    return t.target.int("select id from pghaul.shard where lo is null and hi is not null order by id limit 1")


def add_change_story(name, change):
    def tell(t):
        changed_key_cut(t, change)
    tell.__name__ = "after_%s_only_that_shard_of_a_key_cut_is_read_again" % name.replace(" ", "_")
    tell.__module__ = __name__
    story()(tell)


for _name, _change in CHANGES.items():
    add_change_story(_name, _change)


@story()
def a_row_that_moved_between_ranges_is_neither_lost_nor_doubled(t):
    table_of_shards(t, 40000)
    args = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 3000)
    before = interrupted(t, 4, *args)
    landed = rows_of_shard(t, min(before))[0]
    missing = next(i for i in t.source.column("select id from narrow order by id desc")
                   if not t.target.column("select 1 from narrow where id = " + i))
    lose_snapshot(t)
    # One row moves from an unfinished range into a finished one, another the other way.
    t.source.query("update narrow set id = -id where id in (%s, %s); update narrow set id = %s where id = -%s; "
                   "update narrow set id = %s where id = -%s" % (landed, missing, missing, landed, landed, missing))
    t.copy(*args).expect(0)
    t.whole("narrow")


@story()
def a_changed_table_cut_by_block_starts_over_and_loses_nothing(t):
    table_of_shards(t)
    args = ("-t", "narrow", "-j", 1, "--split", "block", "--allow-nonempty", *SMALL)
    t.target.query("insert into narrow values (-7, 1, 1, 1)")
    before = interrupted(t, 4, *args)
    lose_snapshot(t)
    (row,) = rows_of_shard(t, min(before))
    t.source.query("begin; savepoint s; update narrow set c = -c where id = %s; release s; commit" % row)
    t.source.query("vacuum narrow")
    t.source.query("delete from narrow where id = %s + 1; insert into narrow values (999999, 1, 1, 1)" % row)
    result = t.copy(*args, "--json").expect(0).json
    assert result["snapshots"] == 2, result["snapshots"]
    t.same("narrow", where="id > 0")
    assert t.target.one("select c from narrow where id = -7") == "1", "a row of the target's own is gone"
    assert t.rows("narrow") == t.source.int("select count(*) from narrow") + 1
    t.check_ledger(complete=True)
    t.nothing_left()


@story()
def a_changed_table_starts_over_alone(t):
    """Two tables: the one that is unchanged keeps what it has, whatever is in progress in other databases."""
    elsewhere = t.source.cluster.session()
    elsewhere.query("begin; select txid_current()")
    table_of_shards(t, 60000)
    data.mixed(t, 5000)
    args = ("-t", "narrow", "-t", "mixed", "-j", 1, "--split", "block", *SMALL)
    with t.start_copy(*args) as run:
        wait_for(lambda: not run.alive() or both_begun(t), "shards of both tables", 20, 0.002)
        assert run.alive(), "it ended before it could be interrupted"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    lose_snapshot(t)
    before = {tab: t.target.query("select shard, xid from pghaul.receipt where tab = %s order by 1" % tab)
              for tab in t.target.column("select id from pghaul.tab")}
    mixed = t.target.one("select id from pghaul.tab where source_name = 'mixed'")
    narrow = t.target.one("select id from pghaul.tab where source_name = 'narrow'")
    t.source.query("update narrow set c = 1")
    t.copy(*args).expect(0)
    after = t.target.query("select shard, xid from pghaul.receipt where tab = %s order by 1" % mixed)
    assert set(before[mixed]) <= set(after), "the unchanged table was read again"
    after = t.target.query("select shard, xid from pghaul.receipt where tab = %s order by 1" % narrow)
    assert not set(before[narrow]) & set(after), "shards of a changed table were kept"
    t.whole("narrow", "mixed")


@story()
def what_was_in_progress_when_the_snapshot_was_taken_is_a_change(t):
    """Older than the snapshot, not in it, and committed since: by itself, in a savepoint, and as a prepared one."""
    table_of_shards(t)
    args = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 3000)
    ids = t.source.column("select id from narrow order by id")
    plain, nested = t.source.session(), t.source.session()
    plain.query("begin; update narrow set b = -1 where id = %s" % ids[10])
    nested.query("begin; select txid_current(); savepoint a; update narrow set b = -2 where id = %s; release a" % ids[30000])
    t.source.query("begin; update narrow set b = -3 where id = %s; prepare transaction '%s'" % (ids[-10], t.id))
    for i in range(20):
        t.source.query("select txid_current()")
    before = interrupted(t, 18, *args)
    plain.query("commit")
    nested.query("commit")
    t.source.query("commit prepared '%s'" % t.id)
    lose_snapshot(t)
    t.copy(*args).expect(0)
    t.whole("narrow")
    assert len([s for s in before if ledger.receipts(t.target).get(s) == before[s]]) >= 15, "all was read again"


def both_begun(t):
    try:
        return t.target.int("select count(distinct tab) from pghaul.receipt") == 2
    except PgError:
        return False


def strict_stops(t, change):
    table_of_shards(t)
    args = ("-t", "narrow", "-j", 1, "--split", "key", *SMALL)
    before = interrupted(t, 4, *args)
    lose_snapshot(t)
    if change:
        t.source.query("update narrow set c = -c where id = " + rows_of_shard(t, min(before))[0])
    t.copy(*args, "--strict").expect(1, "snapshot", "hint")
    assert ledger.receipts(t.target) == before, "it went on all the same"
    t.check_ledger()
    t.copy(*args).expect(0)
    t.whole("narrow")


@story()
def strict_stops_rather_than_take_a_second_snapshot(t):
    strict_stops(t, change=False)


@story()
def strict_stops_when_finished_shards_have_changed(t):
    strict_stops(t, change=True)


def never_resumed(t, change, *texts):
    table_of_shards(t, 40000)
    args = ("-t", "narrow", "-j", 1, *SMALL)
    interrupted(t, 3, *args)
    lose_snapshot(t)
    change(t)
    t.copy(*args).expect(5, *texts)
    t.check_ledger(rows=False)


@story()
def a_source_table_that_was_made_anew_is_not_resumed(t):
    never_resumed(t, lambda t: t.source.query(
        "create table n2 as select * from narrow; drop table narrow; alter table n2 rename to narrow; "
        "alter table narrow add primary key (id)"), "narrow")


@story()
def a_source_table_that_was_rewritten_is_not_resumed(t):
    never_resumed(t, lambda t: t.source.query("vacuum full narrow"), "narrow")


@story()
def a_target_table_that_was_truncated_is_not_resumed(t):
    never_resumed(t, lambda t: t.target.query("truncate narrow"), "narrow")


@story()
def another_source_database_of_the_same_name_is_not_resumed(t):
    def change(t):
        t.source.forget()
        with t.source_cluster.session() as s:
            s.query("alter database %s rename to %s_was" % (t.source.name, t.source.name))
        other = t.new_database(t.source_cluster, t.source.name)
        other.query(data.NARROW)
        other.query("insert into narrow values (1, 1, 1, 1)")
    table_of_shards(t, 40000)
    args = ("-t", "narrow", "-j", 1, "--job", "fixed", *SMALL)
    interrupted(t, 3, *args)
    lose_snapshot(t)
    change(t)
    t.copy(*args).expect(5)
    with t.source_cluster.session() as s:
        t.source.forget()
        s.query("drop database %s_was with (force)" % t.source.name)


@story()
def a_truncation_of_the_source_waits_for_the_copy(t):
    """The keeper's lock: without it workers would see an empty table, in silence."""
    table_of_shards(t, 40000)
    interrupted(t, 2, "-t", "narrow", "-j", 1, *SMALL)
    with t.source.session() as s:
        s.query("set lock_timeout = '300ms'")
        try:
            s.query("truncate narrow")
            raise AssertionError("the table could be truncated while its snapshot was held")
        except PgError as e:
            assert e.sqlstate == "55P03", e
    t.copy("-t", "narrow", *SMALL).expect(0)
    t.whole("narrow")


class Load(threading.Thread):
    """Updates, inserts and deletes on narrow, until told to stop; keys move, too."""

    def __init__(self, t, seed):
        super().__init__(daemon=True)
        self.database, self.over, self.count, self.error = t.source, threading.Event(), 0, None
        self.seed = seed

    def run(self):
        try:
            with self.database.session() as s:
                s.query("select setseed(%f)" % (self.seed % 1000 / 1000.0))
                while not self.over.is_set():
                    s.query("""begin; update narrow set c = c + 1, b = null where id = (random() * 60000)::int;
                        savepoint a; update narrow set id = id + 1000000 where id = (random() * 60000)::int; release a;
                        delete from narrow where id = (random() * 60000)::int;
                        insert into narrow values (nextval('more'), 1, 2, 3); commit""")
                    self.count += 1
        except (PgError, ConnectionLost) as e:
            self.error = e

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        assert not self.error, "the load failed: %s" % self.error


def copy_under_load(t, split, mode):
    data.narrow(t, 60000)
    t.source.query("create sequence more start 5000000")
    args = ("-t", "narrow", "-j", 2, "--split", split, "--mode", mode, *SMALL)
    with Load(t, t.seed) as one, Load(t, t.seed + 1) as two:
        wait_for(lambda: one.count + two.count > 50, "the load to begin")
        interrupted(t, 4, *args)
        snapshot = t.target.one("select id from pghaul.snapshot")
        with t.source.session() as s:
            s.query("begin isolation level repeatable read")
            s.query("set transaction snapshot '%s'" % snapshot)
            exported = s.one("select pg_export_snapshot()")
            with t.start_copy(*args) as run:
                t.when_landed(8, run)
                run.kill9()
            before = one.count + two.count
            t.copy(*args).expect(0)
            assert one.count + two.count > before, "the load stood still while the copy went on"
            t.same("narrow", snapshot=exported)
            now = compare.digest(t.source._kept(), "narrow")
            assert now != compare.digest(t.target._kept(), "narrow"), "the load changed nothing"
    t.check_ledger(complete=True)
    t.nothing_left()


@story()
def under_load_the_target_equals_the_source_as_of_the_snapshot(t):
    copy_under_load(t, "block", "append")


@story(campaign=True)
def under_load_a_key_cut_upsert_equals_the_snapshot_too(t):
    copy_under_load(t, "key", "upsert")


@story(dice=True)
def a_lost_snapshot_under_load_still_ends_in_one_consistent_state(t):
    """What was read under the first snapshot and has changed is read again, so the end is one state of the source."""
    data.narrow(t, 60000)
    t.source.query("create sequence more start 5000000")
    split = t.random.choice(("key", "block"))
    args = ("-t", "narrow", "-j", 2, "--split", split, *SMALL)
    with Load(t, t.seed):
        interrupted(t, 4, *args)
        lose_snapshot(t)
    t.note("split " + split)
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(campaign=True)
def tiny_tables_that_landed_together_are_read_again_apart(t):
    """Many tables of one shard each, some of them changed after the snapshot was lost: only those are read again."""
    for i in range(24):
        t.both("create table tiny%d (id int primary key, v int)" % i)
        t.source.query("insert into tiny%d select g, 1 from generate_series(1, %d) g" % (i, 10 + i))
    table_of_shards(t, 60000)
    args = ("-t", "tiny*", "-t", "narrow", "-j", 1, "--split", "key", *SMALL)
    t.copy(*args, fault="job.completed:1:error")  # everything has landed, the job is not complete
    before = {name: xid for name, xid in t.target.query(
        "select b.source_name, r.xid from pghaul.receipt r join pghaul.tab b on b.id = r.tab where b.source_name like 'tiny%'")}
    assert len(before) == 24, "%d tiny tables have landed" % len(before)
    assert len(set(before.values())) < 24, "none of them landed together, so that this story proves nothing"
    t.target.query("update pghaul.job set state = 'open', completed_at = null")
    shard = t.target.one("select max(s.id) from pghaul.shard s join pghaul.tab b on b.id = s.tab where b.source_name = 'narrow'")
    drop_shard(t, shard)
    if t.source.backends():
        lose_snapshot(t)
    t.source.query("update tiny3 set v = 2 where id = 4; delete from tiny5; insert into tiny7 values (0, 0)")
    t.copy(*args).expect(0)
    after = dict(t.target.query(
        "select b.source_name, r.xid from pghaul.receipt r join pghaul.tab b on b.id = r.tab where b.source_name like 'tiny%'"))
    redone = sorted(name for name in before if before[name] != after[name])
    assert redone == ["tiny3", "tiny5", "tiny7"], redone
    t.whole("narrow", *["tiny%d" % i for i in range(24)])


def drop_shard(t, shard):
    """As if it had not landed yet."""
    t.target.query("begin; delete from narrow where xmin::text = (select (xid % 4294967296)::text from pghaul.receipt where shard = {0}); "
                   "delete from pghaul.receipt where shard = {0}; "
                   "update pghaul.shard set state = 'planned' where id = {0}; commit".format(shard))

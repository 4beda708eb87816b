"""What an attacker found: each once lost, doubled or mixed rows without a word."""

import signal

import data
import ledger
from cluster import wait_for
from story import story
from test_snapshot import interrupted, lose_snapshot, rows_of_shard

SMALL = ("--shard-size", "256kB", "-j", 1)


@story()
def rows_are_not_taken_back_where_a_foreign_key_would_cascade(t):
    data.narrow(t, 300000)
    t.target.query("create table item (id int, "
                   "n bigint references narrow on delete cascade)")
    interrupted(t, 3, "-t", "narrow", "--split", "block", *SMALL)
    t.target.query("insert into item select row_number() over (), id from narrow limit 100")
    lose_snapshot(t)
    landed = t.target.column("select id from narrow limit 1")[0]
    t.source.query("update narrow set c = c + 1 where id = %s" % landed)
    result = t.copy("-t", "narrow", "--split", "block", *SMALL).expect(1)
    assert "foreign key" in result.err, result
    assert t.target.int("select count(*) from item") == 100, "the application's rows went with ours"


@story()
def an_upsert_sees_rows_that_a_trigger_swallowed(t):
    data.narrow(t, 2000)
    t.target.query("create function few() returns trigger language plpgsql as "
                   "$$begin if new.id % 7 = 0 then return null; end if; return new; end$$; "
                   "create trigger few before insert on narrow for each row execute function few()")
    result = t.copy("-t", "narrow", "--mode", "upsert", "--triggers", "fire").expect(1)
    assert "did not take" in result.err, result
    assert t.rows("narrow") == 0, "a part of a shard was kept"


@story()
def a_leaf_that_was_truncated_behind_the_root_is_noticed(t):
    data.narrow(t, 300000)
    columns = t.source.one("select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) "
                           "from pg_attribute where attrelid = 'narrow'::regclass and attnum > 0")
    t.target.query("drop table narrow; create table narrow (%s) partition by hash (id); "
                   "create table n0 partition of narrow for values with (modulus 2, remainder 0); "
                   "create table n1 partition of narrow for values with (modulus 2, remainder 1)" % columns)
    interrupted(t, 3, "-t", "narrow", *SMALL)
    t.target.query("truncate n1")
    result = t.copy("-t", "narrow", *SMALL).expect(5)
    assert "truncated" in result.err, result


@story()
def a_target_column_that_was_made_anew_is_noticed(t):
    data.narrow(t, 300000)
    interrupted(t, 3, "-t", "narrow", *SMALL)
    kind = t.target.one("select format_type(atttypid, atttypmod) from pg_attribute "
                        "where attrelid = 'narrow'::regclass and attname = 'c'")
    t.target.query("alter table narrow drop c; alter table narrow add c %s" % kind)
    t.copy("-t", "narrow", *SMALL).expect(5)


@story()
def a_source_column_that_was_made_anew_is_no_unchanged_table(t):
    data.narrow(t, 300000)
    interrupted(t, 3, "-t", "narrow", *SMALL)
    lose_snapshot(t)
    kind = t.source.one("select format_type(atttypid, atttypmod) from pg_attribute "
                        "where attrelid = 'narrow'::regclass and attname = 'c'")
    t.source.query("alter table narrow drop c; alter table narrow add c %s default 7" % kind)
    t.copy("-t", "narrow", *SMALL).expect(5)


@story()
def a_foreign_snapshot_of_the_same_id_is_not_taken_for_ours(t):
    data.narrow(t, 300000)
    interrupted(t, 3, "-t", "narrow", *SMALL)
    t.target.query("update pghaul.snapshot set pg_snapshot = '1:1:'")
    result = t.copy("-t", "narrow", *SMALL, "--json").expect(0).json
    assert result["snapshots"] == 2, "another moment was taken for the job's"
    t.whole("narrow")


@story(campaign=True)
def two_keepers_do_not_keep_each_other_alive(t):
    data.narrow(t, 300000)
    for job in ("one", "two"):
        interrupted(t, 1, "-t", "narrow", *SMALL, "--keep-snapshot", "2s", "--job", "same", "--mode", "replace")
        t.target.query("drop schema pghaul cascade")
    wait_for(lambda: not t.source.backends(), "the end of both keepers", 15)


@story()
def unique_values_that_changed_places_between_finished_shards_are_no_conflict(t):
    """Either shard, read again alone, would meet the other one's old value."""
    data.narrow(t, 40000)
    t.both("alter table narrow add u int")
    t.source.query("update narrow set u = id; alter table narrow add unique (u); analyze narrow")
    t.target.query("alter table narrow add unique (u)")
    args = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 3000)
    before = interrupted(t, 4, *args)
    lose_snapshot(t)
    (one,), (other,) = [rows_of_shard(t, i) for i in sorted(before)[:2]]
    t.source.query("update narrow set u = -u where id in ({a}, {b}); update narrow set u = {b} where id = {a}; "
                   "update narrow set u = {a} where id = {b}".format(a=one, b=other))
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(settings={"source": {"synchronous_commit": "off", "wal_writer_delay": "1s"}}, campaign=True)
def what_lands_is_safe_in_the_source(t):
    """A commit that does not wait for a flush is visible at once. If it landed, a crash of the source took it back, and the rows that
    are there again would look unchanged."""
    data.narrow(t, 40000)
    t.source.query("checkpoint; update narrow set c = -1 where id = 3")
    args = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 3000)
    with t.start_copy(*args) as run:
        wait_for(lambda: not run.alive() or t.landed() and t.target.int("select count(*) from narrow where id = 3"), "the row")
        run.kill9()
    t.source.forget()
    t.source_cluster.crash()
    t.source_cluster.start()
    wait_for(lambda: not t.mover.processes(), "the end of the keeper")
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(settings={"source": {"synchronous_commit": "off", "wal_writer_delay": "1s"}}, campaign=True)
def what_is_extracted_is_safe_in_the_source(t):
    data.narrow(t, 4000)
    t.source.query("checkpoint; update narrow set c = -1 where id = 3")
    archive = "archive:" + t.directory + "/archive"
    t.run("extract", "-s", t.source.dsn, "-d", archive, "-t", "narrow", fault="extract.seal:1:kill").expect(-signal.SIGKILL)
    t.source.forget()
    t.source_cluster.crash()
    t.source_cluster.start()
    wait_for(lambda: not t.mover.processes(), "the end of the keeper")
    t.run("extract", "-s", t.source.dsn, "-d", archive, "-t", "narrow").expect(0)
    t.run("load", "-s", archive, "-d", t.target.dsn).expect(0)
    t.same("narrow")


def land_spilled(t, rows_before):
    """What a mover does that has not noticed that the snapshot is gone: it lands a file. rows_before: the source's rows by shard."""
    with t.target.session() as s:
        mover = s.one("insert into pghaul.mover (job, host, pid) values (1, 'elsewhere', 1) returning id")
        s.query("select pg_advisory_lock(1885825121, %s)" % mover)
        holder = s.one("select holder from pghaul.shard where state = 'spilled' limit 1")
        (shard, attempt, snapshot, rows, size, digest), = s.query(
            "select shard, attempt, snapshot, rows, bytes, hash from pghaul.claim(1, %s, 1, false, 's', '%s')" % (mover, holder))
        s.query("begin; insert into pghaul.receipt (job, shard, tab, attempt, mover, snapshot) values (1, %s, 1, %s, %s, %s); "
                "insert into narrow values %s; select pghaul.land(1, %s, %s, %s, false, %s, %s, '%s'); commit" % (
                    shard, attempt, mover, snapshot, ", ".join(rows_before[shard]), shard, attempt, mover, rows, size, digest))
        s.query("update pghaul.mover set ended_at = now() where id = %s" % mover)


@story()
def a_file_that_another_mover_lands_while_one_recovers_is_looked_at_again(t):
    data.narrow(t, 12000)
    args = ("-t", "narrow", "-j", 1, "--split", "key", "--shard-rows", 1000)
    t.copy(*args, "--spill", "always", fault="spill.sealed:5:kill").expect(-9)
    assert t.target.int("select count(*) from pghaul.shard where state = 'spilled'") > 2
    before = {i: t.source.column("select format('(%s, %s, %L, %s)', id, a, b, c) from narrow where " + pred)
              for i, pred in t.target.query("select id, pred from pghaul.shard where state = 'spilled'")}
    t.source.terminate(t.source.backends())
    wait_for(lambda: not t.mover.processes(), "the end of the keeper")
    t.source.query("update narrow set c = -c")
    with t.start_copy(*args, fault="recover.proven:1:slow") as run:
        wait_for(lambda: not run.alive() or t.source.backends("query like '%FILTER%' and state = 'idle in transaction'"), "the proof", step=0.001)
        run.signal(signal.SIGSTOP)
        land_spilled(t, before)
        run.signal(signal.SIGCONT)
        run.wait().expect(0)
    t.whole("narrow")


@story()
def a_row_that_somebody_is_changing_stops_a_repair(t):
    """Its deletion waits for the other transaction, and must not take what that has made of the row."""
    data.narrow(t, 3000)
    t.copy("-t", "narrow").expect(0)
    for triggers in ((), ("--triggers", "skip")):
        t.target.query("update narrow set c = -1 where id = 5")
        with t.target.session() as s:
            s.query("begin; update narrow set b = 77 where id = 5")
            with t.mover.start("verify", *t.ends(), "-t", "narrow", "--level", "source", "--repair", *triggers) as run:
                wait_for(lambda: not run.alive() or t.target.int("select count(*) from pg_locks where not granted"), "the repair to wait")
                s.query("commit")
                run.wait().expect(1, "changed while they were to be mended")
        assert t.target.one("select b from narrow where id = 5") == "77", "somebody's change is gone"
    t.run("verify", *t.ends(), "-t", "narrow", "--level", "source", "--repair").expect(0)
    t.same("narrow")


@story()
def a_clean_that_cannot_restore_a_foreign_key_leaves_none_in_the_jobs_way(t):
    data.narrow(t, 12000)
    t.both("create table kid (id int primary key, ref bigint references narrow, f text)")
    t.source.query("insert into kid select i, i, repeat('x', 300) from generate_series(1, 12000) i")
    args = ("--schema", "public", "-j", 1, "--split", "key", "--shard-rows", 2000, "--defer-indexes")
    t.copy(*args, fault="worker.landed:3:kill").expect(-9)
    assert t.rows("kid") and not t.rows("narrow"), "kid is not the first any more: this story proves nothing"
    t.run("clean", "-d", t.target.dsn, "--yes").expect(1, "kid_ref_fkey", "finish the job")
    t.copy(*args).expect(0)
    t.whole("narrow", "kid")

"""Indexes and constraints: dropped, remembered, built again by several at once; nothing of them is ever lost."""

import signal
import time

import data
import ledger
from cluster import wait_for
from story import sleep_random, story

# Every kind of index and constraint that can be said of a table, some tables big enough for steps of their own.
SCHEMA = r'''
create schema "Odd ""s";
create extension if not exists btree_gist;
create collation "Odd ""s".german (provider = icu, locale = 'de-u-co-phonebk');
create function "Odd ""s".twice(i int) returns int immutable language sql as 'select i * 2';
create table public.p (
    id bigint constraint p_pkey primary key with (fillfactor = 70),
    a int, b text collate "C" not null, n numeric, j jsonb, r int4range, pt point, ts timestamptz, u uuid not null, w text,
    constraint p_b_key unique (b, a) include (n) deferrable initially deferred,
    constraint p_nd unique nulls not distinct (a, id),
    constraint p_r_excl exclude using gist (id with =, r with &&) where (id > 0));
create index p_expr on p (lower(w) text_pattern_ops desc nulls last, (a + 1) nulls first) where a % 3 = 0;
create index p_coll on p (w collate "Odd ""s".german) with (deduplicate_items = off);
create index p_hash on p using hash (w) with (fillfactor = 60);
create index p_gin on p using gin (j jsonb_path_ops) with (fastupdate = off);
create index p_gist on p using gist (r);
create index p_brin on p using brin (ts timestamptz_minmax_multi_ops (values_per_range = 16)) with (pages_per_range = 7);
create index p_spgist on p using spgist (pt);
create index "P ""odd""" on p ("Odd ""s".twice(a), b varchar_pattern_ops) include (n);
create unique index p_ident on p (u);
alter index p_expr alter column 2 set statistics 77;
alter index p_expr depends on extension btree_gist;
alter table p cluster on p_coll;
alter table p replica identity using index p_ident;
comment on index p_gin is 'it''s a GIN';
comment on index p_pkey is 'of the key';
comment on constraint p_b_key on p is 'unique; "b"';
create table c (
    id int primary key, p bigint, self int constraint c_self references c,
    constraint c_p foreign key (p) references p on delete cascade on update set null deferrable initially deferred);
create unique index c_p_id on c (id desc, p);
alter table c add constraint c_p_not_valid foreign key (p) references p not valid;
comment on constraint c_p on c is 'points at p';
alter table p add column c int constraint p_c references c;
create table elsewhere (c int references c, p bigint);
alter table elsewhere add constraint elsewhere_p foreign key (p) references p;
create table t (k int, v int, w text, primary key (v, k), constraint t_w unique (w, v, k)) partition by range (v);
create table t_1 partition of t for values from (0) to (3000);
create table "T 2" partition of t for values from (3000) to (100000) partition by list (k);
create table t_2_a partition of "T 2" for values in (0);
create table t_2_b partition of "T 2" default;
create index t_w_idx on t (lower(w));
create index only_a on t_2_a (k);
create unique index only_b on t_2_b (k, v, w);
alter table t add constraint t_p foreign key (v) references p;
create table of_t (v int, k int, foreign key (v, k) references t);
create table "Odd ""s"."Tiny %" ("I %" int constraint "tiny %I" primary key, a text unique);
create index "tiny %s" on "Odd ""s"."Tiny %" (a, "I %");
alter table "Odd ""s"."Tiny %" cluster on "tiny %I";
'''

ROWS = r"""
set session_replication_role = replica;
insert into p select i, i, 'b' || i, i / 7.0, jsonb_build_object('i', i % 13), int4range(i, i + 3), point(i, -i),
    '2026-01-01'::timestamptz + i * interval '1 min', md5(i::text)::uuid, 'w' || i % 97, i % 1000 + 1
    from generate_series(1, 6000) i;
insert into c select i, i, i % 1000 + 1 from generate_series(1, 6000) i;
insert into t select i % 3, i, 'w' || i from generate_series(1, 6000) i;
insert into of_t select i, i % 3 from generate_series(1, 500) i;
insert into "Odd ""s"."Tiny %" select i, i from generate_series(1, 20) i;
"""
TABLES = ("p", "c", "t_1", "t_2_a", "t_2_b", "of_t", ('Odd "s', "Tiny %"))
ALL = ("-t", "p", "-t", "c", "-t", "t", "-t", "of_t", "-t", '"Odd ""s"."Tiny %"')

SHAPE = """
set search_path = pg_catalog;
select format('%s %s %s', i.indrelid::regclass, i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)),
       i.indisunique, i.indisprimary, i.indisexclusion, i.indimmediate, i.indisclustered, i.indisvalid, i.indisready,
       i.indisreplident, (select h.inhparent::regclass::text from pg_inherits h where h.inhrelid = i.indexrelid),
       (select array_agg(a.attstattarget order by a.attnum)::text from pg_attribute a where a.attrelid = i.indexrelid),
       (select string_agg(e.extname, ',') from pg_depend d join pg_extension e on e.oid = d.refobjid
         where d.objid = i.indexrelid and d.deptype = 'x' and d.refclassid = 'pg_extension'::regclass),
       obj_description(i.indexrelid, 'pg_class')
  from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('public', 'Odd "s') order by 1;
select format('%s %s %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)), c.contype, c.condeferrable,
       c.condeferred, c.convalidated, c.conislocal, c.coninhcount, c.connoinherit and c.conparentid = 0, c.conindid::regclass, c.confrelid::regclass,
       (select p.conname from pg_constraint p where p.oid = c.conparentid), obj_description(c.oid, 'pg_constraint')
  from pg_constraint c join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
 where n.nspname in ('public', 'Odd "s') order by 1;
select c.oid::regclass, c.relreplident from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('public', 'Odd "s') and relkind in ('r', 'p') order by c.oid
"""


def shape(database):
    """All that the catalog says of indexes and constraints."""
    found = []
    for sql in SHAPE.split(";\n"):
        found.extend(database.query(sql) or [])
    database.query("reset search_path")
    return found


def differing(before, after):
    return "lost: %s; new: %s" % ([r for r in before if r not in after][:4], [r for r in after if r not in before][:4])


def same_shape(before, database):
    after = shape(database)
    assert before == after, differing(before, after)


def make(t):
    t.both(SCHEMA)
    t.source.query(ROWS)
    return shape(t.target)


def steps(t):
    return {state: int(n) for state, n in t.target.query("select state, count(*) from pghaul.step group by 1")}


def quiet(t):
    """Waits until the dead mover's backends in the target are gone."""
    wait_for(lambda: not t.target.backends(), "the end of the target backends of a dead mover", 20)


@story(heavy=True)
def deferred_indexes_and_constraints_come_back_as_they_were(t):
    before = make(t)
    assert len(before) > 50
    args = (*ALL, "-j", 2, "--shard-size", "256kB", "--defer-indexes")
    told = [w for w in t.plan(*args)["warnings"] if "are dropped, and built again" in w]
    assert len(told) == 1 and shape(t.target) == before, told
    t.copy(*args).expect(0)
    same_shape(before, t.target)
    t.whole(*TABLES)
    done = steps(t)
    assert set(done) == {"done"} and done["done"] > 20, done
    t.copy(*args).expect(0)
    assert steps(t) == done, "a completed job did something again"
    same_shape(before, t.target)


@story(heavy=True)
def killed_at_every_stage_no_index_is_lost(t):
    before = make(t)
    args = (*ALL, "-j", 2, "--shard-size", "256kB", "--defer-indexes")
    # the first two are before and after the commit that drops; the later ones find the job as the earlier ones left it
    for fault in ("ledger.commit:1", "ledger.committed:1", "build.claimed:1", "build.sent:1", "build.done:2",
                  "build.sent:3", "build.claimed:4", "job.completed:1"):
        run = t.copy(*args, fault=fault + ":kill")
        assert run.rc == -9, "%s: %s" % (fault, run)
        quiet(t)
        if fault.startswith("ledger.commit:"):
            same_shape(before, t.target)
        else:
            t.check_ledger()
            lost = len(before) - len(shape(t.target))
            planned = t.target.int("select count(*) from pghaul.step where state <> 'done'")
            assert fault == "job.completed:1" or 0 < lost and 0 < planned, "%s: %d lost, %d planned" % (
                fault, lost, planned)
    t.copy(*args).expect(0)
    same_shape(before, t.target)
    t.whole(*TABLES)


@story()
def a_load_defers_indexes_too(t):
    t.both("create table p (id int, a int)")
    t.source.query("insert into p select i, i from generate_series(1, 5000) i")
    t.target.query("alter table p add primary key (id); create index p_a on p (a) with (fillfactor = 50)")
    before, archive = shape(t.target), "archive:" + t.directory + "/a"
    t.run("extract", "-s", t.source.dsn, "-d", archive, "-t", "p").expect(0)
    t.run("load", "-s", archive, "-d", t.target.dsn, "--defer-indexes").expect(0)
    assert steps(t) == {"done": 3}, steps(t)
    same_shape(before, t.target)
    t.same("p")
    t.run("load", "-s", archive, "-d", t.target.dsn, "--defer-indexes", "--mode", "upsert").expect(2, "exclude each other")


@story()
def what_an_index_refuses_is_named_and_all_else_is_done(t):
    t.both("create table p (id int, a int); create table c (id int primary key, p int)")
    t.source.query("insert into p select i, i from generate_series(1, 3000) i; insert into p values (77, -4711);"
                   "insert into c select i, i from generate_series(1, 3000) i; update c set p = 4712 where id = 5")
    t.target.query("alter table p add primary key (id); create index p_a on p (a); create index p_ai on p (a, id);"
                   "alter table c add foreign key (p) references p; create index c_p on c (p)")
    before = shape(t.target)
    args = ("-t", "p", "-t", "c", "-j", 2, "--defer-indexes")
    run = t.copy(*args).expect(1, "primary key public.p_pkey of public.p (id)", "could not create unique index")
    assert "77" not in run.err and "4711" not in run.err, "a value is shown: " + run.err
    assert steps(t) == {"done": 5, "failed": 1, "planned": 3}, steps(t)
    status = t.status()
    assert status["steps"] == {"planned": 3, "done": 5, "failed": 1} and status["state"] == "failed", status
    assert "p_pkey" in status["failed_steps"][0]["object"], status
    t.copy(*args, "--show-data").expect(1, "(77)")
    t.run("clean", "-d", t.target.dsn, "--yes").expect(1, "primary key public.p_pkey")
    t.target.query("delete from p where a = -4711")
    t.copy(*args).expect(1, "foreign key c_p_fkey of public.c (p) to public.p")
    assert steps(t)["failed"] == 1, steps(t)
    t.target.query("update c set p = 1 where id = 5")
    t.copy(*args).expect(0)
    assert steps(t) == {"done": 9}, steps(t)
    same_shape(before, t.target)


@story()
def an_unfinished_job_that_is_taken_away_leaves_the_indexes_there(t):
    before = make(t)
    args = (*ALL, "-j", 2, "--defer-indexes")
    assert t.copy(*args, fault="build.done:2:kill").rc == -9
    quiet(t)
    t.run("clean", "-d", t.target.dsn, "--yes", fault="restore.made:3:kill")
    quiet(t)
    t.run("clean", "-d", t.target.dsn, "--yes").expect(0, "had dropped")
    same_shape(before, t.target)
    assert not ledger.exists(t.target)


@story()
def an_interrupt_does_not_wait_for_an_index(t):
    t.both("create table a (i int); create function slow(i int) returns int immutable language plpgsql as "
           "'begin perform pg_sleep(0.003); return i; end'")
    t.source.query("insert into a select generate_series(1, 5000)")
    t.target.query("create index a_slow on a (slow(i)); create index a_i on a (i)")
    before = shape(t.target)
    args = ("-t", "a", "--defer-indexes", "-j", 2)
    building = "select count(*) from pg_stat_activity where query like '%slow%' and state = 'active' and " \
               "application_name like 'pghaul/%/b%'"
    with t.start_copy(*args) as run:
        wait_for(lambda: t.target.int(building) > 0 and steps(t).get("done"), "an index that is being built")
        begin = time.monotonic()
        run.signal(signal.SIGINT)
        assert run.wait().rc == 130
    assert time.monotonic() - begin < 5, "it waited for the index"
    assert t.target.int(building) == 0, "the index is still being built"
    assert steps(t) == {"done": 1, "planned": 1}, steps(t)
    t.target.query("create or replace function slow(i int) returns int immutable language sql as 'select i'")
    t.copy(*args).expect(0)
    same_shape(before, t.target)
    t.whole("a")


@story(campaign=True)
def a_lost_snapshot_halts_the_builders_and_nothing_else(t):
    data.narrow(t, 60000)
    # whose values lie beside it, so that its shards are heavier than the other's and are there before them
    t.both("create table a (i int, pad text); alter table a alter pad set storage external;"
           "create function slow(i int) returns int immutable language plpgsql as "
           "'begin perform pg_sleep(0.003); return i; end'")
    t.source.query("insert into a select i, repeat('x', 3000) from generate_series(1, 1500) i")
    t.target.query("create index a_slow on a (slow(i)); create index narrow_b on narrow (b)")
    before = shape(t.target)
    args = ("-t", "a", "-t", "narrow", "--defer-indexes", "-j", 2, "--shard-size", "64kB",
            "--max-rate", "2MB", "--spill", "never")  # files would be full, and the snapshot let go, before the index is begun
    with t.start_copy(*args) as run:
        wait_for(lambda: t.target.int("select count(*) from pg_stat_activity where query like '%slow%' and "
                                      "state = 'active' and application_name like 'pghaul/%/b%'"), "an index in the making")
        t.source.terminate(t.source.backends())
        run.wait().expect(0)
    assert t.target.int("select max(no) from pghaul.snapshot") > 1, "the snapshot was not lost"
    assert t.target.int("select attempt from pghaul.step where object like '%a_slow%'") > 1, "the builder went on"
    same_shape(before, t.target)
    t.whole("a", "narrow")


@story(campaign=True)
def a_mover_that_joins_takes_over_what_a_dead_one_was_building(t):
    t.both("create table a (i int); create function slow(i int) returns int immutable language plpgsql as "
           "'begin perform pg_sleep(0.001); return i; end'")
    t.source.query("insert into a select generate_series(1, 2500)")
    t.target.query(";".join("create index a_%d on a (slow(i + %d))" % (i, i) for i in range(3)))
    before = shape(t.target)
    args = ("-t", "a", "--defer-indexes", "-j", 1)
    building = "select count(*) from pg_stat_activity where query like '%slow%' and state = 'active' and " \
               "application_name like 'pghaul/%/b%'"
    with t.start_copy(*args) as first:
        wait_for(lambda: t.target.int(building) == 1, "an index in the making")
        with t.start_copy(*args, "--join") as second:
            wait_for(lambda: t.target.int(building) == 2, "a second one, by the mover that has joined")
            assert t.target.int("select count(distinct mover) from pghaul.step where mover is not null") == 2
            first.kill9()
            t.target.query("create or replace function slow(i int) returns int immutable language plpgsql as "
                           "'begin return i; end'")
            second.wait().expect(0)
    assert t.target.column("select attempt from pghaul.step order by 1") == ["1", "1", "2"], "claims"
    same_shape(before, t.target)
    t.whole("a")


@story(own=True, campaign=True)
def a_crash_of_the_target_takes_nothing_away_while_indexes_are_built(t):
    t.both("create table a (i int); create unlogged table u (i int); create function slow(i int) returns int immutable "
           "language plpgsql as 'begin perform pg_sleep(0.0005); return i; end'")
    t.source.query("insert into a select generate_series(1, 2500); insert into u select generate_series(1, 6000)")
    t.target.query("create index a_i on a (i); create index a_slow on a (slow(i)); create unique index u_i on u (i)")
    before = shape(t.target)
    with t.start_copy("-t", "a", "-t", "u", "--defer-indexes", "-j", 2) as run:
        wait_for(lambda: t.target.int(
            "select count(*) from pg_stat_activity where query like '%slow%' and application_name like 'pghaul/%/b%'")
            and steps(t).get("done", 0) >= 1,
            "one index that is built, and one that is being built")
        t.target_cluster.crash()
        t.target_cluster.start()
        run.wait().expect(0)
    same_shape(before, t.target)
    t.whole("a", "u")


@story(dice=True, campaign=True)
def killed_at_random_moments_no_index_is_lost(t):
    before, r = make(t), t.random
    args = (*ALL, "-j", r.randint(1, 4), "--shard-size", "128kB", "--defer-indexes",
            *r.choice(((), ("--mode", "replace"), ("--spill", "always"))))
    for _ in range(r.randint(2, 6)):
        with t.start_copy(*args) as run:
            sleep_random(r, 1.2)
            if r.random() < 0.3:
                run.signal(signal.SIGINT)
                run.wait()
            else:
                run.kill9()
        quiet(t)
        t.check_ledger()
    if r.random() < 0.5:
        t.copy(*args).expect(0)
        t.whole(*TABLES)
    elif ledger.exists(t.target):
        t.run("clean", "-d", t.target.dsn, "--yes")
        if ledger.exists(t.target):  # a foreign key may lack rows: then the job has to go on
            t.copy(*args).expect(0)
    same_shape(before, t.target)

"""The harness itself: a comparison that cannot fail would make every other story worthless."""

import os
import subprocess

import compare
import data
from cluster import bindir, clean_env, wait_for
from proxy import CommitProxy
from story import story


def fails(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except AssertionError:
        return True
    return False


@story()
def the_comparison_sees_lost_doubled_and_changed_rows(t):
    data.narrow(t, 1000)
    assert fails(t.same, "narrow"), "an empty target passed"
    t.target.query("create table copy_of as select * from narrow")
    rows = t.source.query("select id, a, b, c from narrow")
    values = ", ".join("(%s)" % ", ".join(v or "null" for v in row) for row in rows)
    t.target.query("insert into narrow values " + values)
    t.same("narrow")
    t.target.query("update narrow set b = coalesce(b, 0) + 1 where id = 77")
    assert fails(t.same, "narrow"), "a changed row passed"
    t.target.query("update narrow set b = b - 1 where id = 77; update narrow set b = null where id = 80")
    assert fails(t.same, "narrow"), "a value that became NULL passed"
    t.target.query("delete from narrow where id = 80")
    assert fails(t.same, "narrow"), "a lost row passed"
    t.target.query("alter table narrow drop constraint narrow_pkey")
    t.target.query("insert into narrow select * from narrow where id = 79")
    assert fails(t.same, "narrow"), "one row lost and another one doubled passed"


@story()
def columns_are_compared_by_name_and_rows_under_a_snapshot(t):
    t.source.query("create table o (a int, b text); insert into o values (1, 'x'), (2, null)")
    t.target.query("create table o (b text, a int); insert into o (a, b) values (1, 'x'), (2, null)")
    t.same("o")
    with t.source.session() as s:
        s.query("begin isolation level repeatable read")
        snapshot = s.one("select pg_export_snapshot()")
        t.source.query("insert into o values (3, 'y')")
        assert fails(t.same, "o"), "a new row passed"
        t.same("o", snapshot=snapshot)


@story()
def the_digest_of_a_database_sees_every_change(t):
    data.narrow(t, 10)
    for change in ("create schema extra", "create table extra.e (a int)", "insert into extra.e values (1)",
                   "update extra.e set a = 2", "truncate extra.e", "drop table extra.e", "create view v as select 1"):
        before = compare.whole_digest(t.target)
        assert before == compare.whole_digest(t.target)
        t.target.query(change)
        assert before != compare.whole_digest(t.target), change


@story(own=True)
def servers_of_a_story_can_be_crashed_and_come_back(t):
    data.narrow(t, 100)
    t.source_cluster.crash()
    t.source_cluster.start()
    assert t.source.int("select count(*) from narrow") == 100
    assert t.source.one("select system_identifier from pg_control_system()") != \
        t.target.one("select system_identifier from pg_control_system()")


@story(tcp=True)
def the_proxy_loses_commits_and_answers_as_told(t):
    t.target.query("create role p superuser login password 'p'; create table x (a int)")
    env = {**clean_env(), "PGPASSWORD": "p"}
    with CommitProxy(t.target_cluster.port, {1: "before", 2: "after", 4: "unawaited"}) as proxy:
        statuses = [subprocess.run(
            [bindir() + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", t.target.tcp_dsn("p", proxy.port)], env=env, text=True,
            input="begin;\ncopy x from stdin;\n%d\n\\.\ncommit;\n" % i, capture_output=True).returncode for i in (1, 2, 3, 4)]
        assert proxy.done == [(1, "before"), (2, "after"), (4, "unawaited")], proxy.done
    assert [bool(s) for s in statuses] == [True, True, False, True], statuses
    wait_for(lambda: t.target.column("select a from x order by 1") == ["2", "3", "4"], "the commits that were delivered", 5)


# Columns that these rows say nothing of may be NULL here, so that a new one is no business of this story.
LENIENT = """do $$ declare c record; begin for c in
    select a.attrelid::regclass as tab, a.attname from pg_attribute a join pg_class r on r.oid = a.attrelid
    where r.relnamespace = 'pghaul'::regnamespace and r.relkind = 'r' and a.attnotnull and a.attnum > 0 and a.attidentity = ''
      and not exists (select from pg_index i where i.indrelid = r.oid and i.indisprimary and a.attnum = any(i.indkey))
    loop execute format('alter table %s alter %I drop not null', c.tab, c.attname); end loop; end $$"""

SOUND = """
    insert into pghaul.job (name, state, mode, fingerprint, definition, source, target, source_system, source_database,
                            completed_at) values ('j', 'completed', 'append', 'f', '{}', 's', 't', '1', 1, now());
    insert into pghaul.snapshot (job, no, released_at) values (1, 1, now());
    insert into pghaul.mover (job, host, pid, ended_at) values (1, 'h', 1, now());
    insert into pghaul.tab (job, id, source_schema, source_name, target_schema, target_name, target_oid, target_unlogged)
        values (1, 1, 'public', 'narrow', 'public', 'narrow', 1, false);
    insert into pghaul.shard (job, id, tab, pred, state, attempt)
        values (1, 1, 1, 'id < 500', 'landed', 1), (1, 2, 1, 'id >= 500', 'landed', 2)"""

LAND = """begin; insert into narrow values %s;
    insert into pghaul.receipt (job, shard, tab, attempt, mover, snapshot, rows, bytes, hash, xid, landed_at)
        values (1, {0}, 1, {0}, 1, 1, {1}, 1, repeat('a', 32), pg_current_xact_id()::text::bigint, now());
    commit"""

BREACHES = [
    ("1", "delete from pghaul.receipt where shard = 1"),
    ("1", "update pghaul.shard set state = 'planned' where id = 1"),
    ("1", "update pghaul.receipt set shard = 9 where shard = 2"),
    ("1", "update pghaul.shard set mover = 1 where id = 2"),
    ("2", "update pghaul.shard set attempt = 3 where id = 2"),
    ("3", "update pghaul.tab set target_unlogged = true"),
    ("3", "insert into pghaul.receipt_unlogged select * from pghaul.receipt where shard = 1"),
    ("3", "update pghaul.receipt set xid = (select max(xid) from pghaul.receipt)"),
    ("4", "update pghaul.shard set pred = 'id > 500' where id = 2"),
    ("4", "update pghaul.shard set pred = 'id <= 500' where id = 1"),
    ("4", "update pghaul.receipt set snapshot = 7 where shard = 2"),
    ("7", "update pghaul.receipt set rows = null where shard = 2"),
    ("7", "update pghaul.receipt set rows = rows + 1 where shard = 2"),
    ("7", "delete from narrow where id = 700"),
    ("7", "update narrow set a = a where id = 3"),
    ("job", "update pghaul.job set state = 'open'"),
    ("snapshot", "update pghaul.snapshot set released_at = null"),
]


@story()
def the_ledgers_checks_see_every_breach(t):
    data.narrow(t, 1000)
    with open(os.path.join(os.path.dirname(__file__), "../../src/ledger/schema.sql")) as f:
        schema = f.read()
    rows = t.source.query("select id, a, b, c from narrow order by id")
    values = ["(%s)" % ", ".join(v or "null" for v in row) for row in rows]
    for invariant, breach in [(None, "select 1")] + BREACHES:
        t.target.query("drop schema if exists pghaul cascade; truncate narrow")
        t.target.query(schema)
        t.target.query(LENIENT)
        t.target.query(SOUND)
        t.target.query((LAND % ", ".join(values[:499])).format(1, 499))
        t.target.query((LAND % ", ".join(values[499:])).format(2, 501))
        t.target.query(breach)
        passed = not fails(t.check_ledger, complete=True, source=t.source)
        assert passed == (invariant is None), "%s passed: %s" % (breach, passed)

"""The harness itself: a comparison that cannot fail would make every other story worthless."""

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

"""Repair brings the target in line with the source, deletes only what it may, and verifies again."""

import signal
import time

import data
from story import story
from test_verify import agrees, copied, found, verify


@story()
def what_is_missing_or_changed_is_copied_again(t):
    copied(t)
    t.target.query("delete from narrow where id between 100 and 299; update narrow set b = 4, c = -1 where id % 1000 = 5")
    table = verify(t, "-t", "narrow", "--repair")
    assert table["repaired"] == 220 and table["deleted"] == 0 and not table["differences"], table
    t.same("narrow")
    assert verify(t, "-t", "narrow")["level"] == "readback", "the sum over all rows is that of the receipts again"
    assert verify(t, "-t", "narrow", "--repair")["repaired"] == 0
    t.nothing_left()


@story()
def extra_rows_go_only_as_far_as_max_delete_lets_them(t):
    copied(t)
    t.target.query("insert into narrow select -i, 0, 0, 0 from generate_series(1, 10) i; delete from narrow where id = 3")
    table = verify(t, "-t", "narrow", "--repair", rc=3)
    assert (table["repaired"], table["deleted"], table["extra"], table["missing"]) == (1, 0, 10, 0), table
    assert "10" in table["repair_refused"] and t.rows("narrow") == 20010, table
    verify(t, "-t", "narrow", "--repair", "--max-delete", 9, rc=3)
    assert t.rows("narrow") == 20010
    assert verify(t, "-t", "narrow", "--repair", "--max-delete", 10)["deleted"] == 10
    t.same("narrow")


@story()
def a_dry_run_changes_nothing(t):
    copied(t)
    t.target.query("delete from narrow where id < 50; update narrow set a = -1 where id = 60; insert into narrow values (-1, 1, 1, 1)")
    table = verify(t, "-t", "narrow", "--repair", "--dry-run", "--max-delete", 5, rc=3)
    assert "50 rows would be copied, 2 deleted" in table["repair_refused"], table
    assert t.rows("narrow") == 19952 and t.target.one("select a from narrow where id = 60") == "-1"


@story()
def unique_values_that_cross_from_row_to_row_are_mended(t):
    t.both("create table x (id int primary key, u int not null unique, v text)")
    t.source.query("insert into x select i, i * 10, 'v' || i from generate_series(1, 1000) i")
    t.copy("-t", "x").expect(0)
    t.target.query("update x set u = -u where id <= 500; update x set u = 10 * (1 + (-u / 10) % 500) where id <= 500; "
                   "delete from x where id = 1000; update x set u = 10000 where id = 999")
    verify(t, "-t", "x", "--repair")
    t.same("x")


@story()
def copies_of_a_row_that_are_too_many_go_one_by_one(t):
    t.both("create table bag (a int, b text)")
    t.source.query("insert into bag values (1, 'x'), (1, 'x'), (2, 'y')")
    t.copy("-t", "bag").expect(0)
    t.target.query("insert into bag select 1, 'x' from generate_series(1, 5); delete from bag where a = 2")
    table = verify(t, "-t", "bag", "--repair", "--max-delete", 5)
    assert table["deleted"] == 5, table
    t.same("bag")
    t.target.query("delete from bag where a = 1")
    assert verify(t, "-t", "bag", "--repair")["repaired"] == 2
    t.same("bag")


@story()
def text_tables_and_arrays_of_enums_and_identities_are_mended(t):
    t.source.query("create type filler as enum ('x')")
    t.both("create type mood as enum ('sad', 'happy'); create table m (id int generated always as identity primary key, m mood[], x xml, r regclass)")
    t.source.query("insert into m (m, x, r) select '{sad}', '<a/>', 'pg_class' from generate_series(1, 500)")
    t.copy("-t", "m").expect(0)
    t.target.query("update m set m = '{happy}' where id = 5; update m set x = '<b/>' where id = 6; update m set r = 'pg_type' where id = 7; delete from m where id = 8")
    assert found(verify(t, "-t", "m", rc=3)) == {5: "changed", 6: "changed", 7: "changed", 8: "missing"}
    verify(t, "-t", "m", "--repair")
    t.same("m")


@story()
def triggers_and_pointing_foreign_keys_are_not_set_off_unasked(t):
    copied(t)
    t.target.query("create table child (id int references narrow on delete cascade); insert into child values (5), (6)")
    t.target.query("update narrow set a = -1 where id = 5; delete from narrow where id = 9")
    verify(t, "-t", "narrow", "--repair")
    assert t.target.one("select count(*) from child") == "2", "the cascade would have taken a row away"
    t.same("narrow")
    t.target.query("insert into narrow values (-1, 1, 1, 1)")
    table = verify(t, "-t", "narrow", "--repair", "--max-delete", 1, rc=3)
    assert "foreign keys" in table["repair_refused"], table
    t.target.query("delete from narrow where id = -1; create function f() returns trigger language plpgsql as 'begin return null; end'; "
                   "create trigger tr before insert on narrow for each row execute function f(); delete from narrow where id = 10")
    assert "triggers" in verify(t, "-t", "narrow", "--repair", rc=3)["repair_refused"]
    verify(t, "-t", "narrow", "--repair", "--triggers", "skip")
    t.same("narrow")


@story()
def a_repair_follows_a_source_that_has_moved_on(t):
    copied(t)
    t.source.query("update narrow set a = -5 where id = 10; delete from narrow where id = 11; insert into narrow values (-7, 1, 2, 3)")
    assert verify(t, "-t", "narrow")["level"] == "readback"
    assert found(verify(t, "-t", "narrow", "--level", "source", rc=3)) == {10: "changed", 11: "extra", -7: "missing"}
    verify(t, "-t", "narrow", "--level", "source", "--repair", "--max-delete", 1)
    t.same("narrow")
    table = verify(t, "-t", "narrow")
    assert table["level"] == "source" and table["why"], "the receipts are those of another moment, and that is said: %s" % table


@story()
def a_repair_that_is_killed_leaves_all_or_nothing_and_goes_on(t):
    copied(t)
    t.target.query("delete from narrow where id < 3000")
    t.run("verify", *t.ends(), "-t", "narrow", "--repair", fault="repair.mended:1:kill").expect(-signal.SIGKILL)
    time.sleep(0.3)
    assert t.rows("narrow") == 17001
    verify(t, "-t", "narrow", "--repair")
    t.same("narrow")


@story()
def rows_that_somebody_changes_meanwhile_stop_the_repair(t):
    copied(t)
    t.target.query("update narrow set a = -1 where id in (5, 6)")
    with t.mover.start("verify", *t.ends(), "-t", "narrow", "--repair", "--json", fault="repair.begin:1:slow") as run:
        time.sleep(0.15)
        for _ in range(40):
            if t.target.one("select count(*) from pg_stat_activity where application_name like 'pghaul/%/repair'") != "0":
                t.target.query("update narrow set b = 99 where id = 6")
                break
            time.sleep(0.01)
        result = run.wait()
    assert result.rc == 1 and "were changed" in result.err or t.target.one("select a from narrow where id = 5") != "-1", result


@story(dice=True, rounds=2)
def random_mutations_are_named_exactly_and_mended(t):
    mutate_and_verify(t, 3000)


@story(campaign=True, dice=True, timeout=3600)
def random_mutations_are_named_exactly_two_hundred_times(t):
    for _ in range(200):
        mutate_and_verify(t, 2000)
        t.both("drop table mixed")
        t.target.query("drop schema pghaul cascade")


CHANGES = [
    ("small", "coalesce(small, 0) + 1"), ("flag", "not coalesce(flag, false)"), ("amount", "amount + 0.01"), ("ratio", "case when ratio = 'NaN' then 1::float8 else 'NaN' end"),
    ("r4", "case when r4 = 0 then '-0' else 0::real end"), ("name", "name || ' '"), ("code", "case when code is null then '' end"), ("day", "day + 1"),
    ("at", "at + interval '1 microsecond'"), ("at_tz", "at_tz + interval '1 hour'"), ("span", "span + interval '24 hours' - interval '1 day'"),
    ("u", "null"), ("doc", "doc || '{\"k\": 1}'"), ("tags", "array[null, id::text]"),
]


def mutate_and_verify(t, rows):
    """k random rows by k random mutations: exactly their keys are named, at every level that compares, then mended."""
    r = t.random
    data.mixed(t, rows)
    split = r.choice(("auto", "block", "key", "hash"))
    t.copy("-t", "mixed", "--split", split, "--shard-size", r.choice(("64kB", "256kB", "10MB")), "-j", r.randint(1, 3)).expect(0)
    expected = mutate(t, r.sample(range(1, rows + 1), r.choice((0, 1, 2, 5, 40))))
    t.note("%s, %s" % (split, expected))
    for args in (["--level", "readback"], ["--level", "source"], ["--level", "source", "--in-server"]):
        table = verify(t, "-t", "mixed", "-j", r.randint(1, 3), *args, rc=3 if expected else 0)
        assert found(table) == expected, (args, found(table))
    verify(t, "-t", "mixed", "--repair", "--max-delete", len(expected))
    t.same("mixed")
    agrees(t, "-t", "mixed")


def mutate(t, keys):
    """Does something to each of these rows of the target; what a verify is to say of them."""
    r, expected = t.random, {}
    for key in keys:
        what = r.choice(("delete", "insert", "change", "change", "change", "rekey"))
        if what == "delete":
            t.target.query("delete from mixed where id = %d" % key)
            expected[key] = "missing"
        elif what == "insert":
            t.target.query("insert into mixed (id, name) values (%d, 'new')" % -key)
            expected[-key] = "extra"
        elif what == "rekey":
            t.target.query("update mixed set id = %d where id = %d" % (key + 1000000, key))
            expected[key], expected[key + 1000000] = "missing", "extra"
        else:
            column, value = r.choice(CHANGES)
            t.target.query("update mixed set %s = %s where id = %d" % (column, value, key))
            expected[key] = "changed"
    return expected


@story(heavy=True, timeout=600)
def a_repair_survives_every_fault(t):
    """Killed or failed at any point, what is there is the old or the new; the same command goes on."""
    import os
    data.narrow(t, 6000)
    t.copy("-t", "narrow", "--shard-size", "64kB").expect(0)
    log = os.path.join(t.directory, "points")
    args = ["verify", *t.ends(), "-t", "narrow", "--repair", "--max-delete", 10, "--json"]

    def damage():
        t.target.query("delete from narrow where id in (5, 6); update narrow set a = -1 where id in (7, 4000); insert into narrow values (-1, 1, 1, 1)")

    damage()
    t.run(*args, env={"PGHAUL_FAULT_LOG": log}).expect(0)
    with open(log) as f:
        points = sorted(set(f.read().split()))
    assert "repair.mended" in points and "readout.chunk" in points, points
    todo = [(n, "%s:%d:%s" % (p, n, what)) for p in points for n in (1, 2, 5) for what in ("kill", "error")]
    t.random.shuffle(todo)
    end = time.monotonic() + (9 if not t.rig.campaign else 500)
    for _, fault in sorted(todo, key=lambda x: x[0]):
        if time.monotonic() > end:
            break
        damage()
        hurt = t.run(*args, fault=fault)
        assert hurt.rc in ((0, -signal.SIGKILL) if fault.endswith("kill") else (0, 1, 2)), "%s: %s" % (fault, hurt)
        again = t.run(*args)
        assert again.rc == 0, "after %s: %s\nit had said %s" % (fault, again, hurt)
        t.same("narrow")
    t.nothing_left()


@story()
def names_in_reg_columns_mean_the_same_whatever_the_search_paths(t):
    t.both("create schema app; create table app.thing (i int); create table other (i int); create table r (id int primary key, k regclass)")
    t.source.query("insert into r select i, 'app.thing' from generate_series(1, 50) i")
    t.copy("-t", "r").expect(0)
    t.source.query("alter database %s set search_path = app, public" % t.source.name)
    for args in ((), ("--level", "source"), ("--level", "sample"), ("--level", "source", "--in-server")):
        assert verify(t, "-t", "public.r", *args)["equal"], args
    t.target.query("update r set k = 'other' where id = 3; delete from r where id = 4")
    for args in ((), ("--level", "sample")):
        table = verify(t, "-t", "public.r", *args, rc=3)
        assert found(table) == {3: "changed", 4: "missing"} and [d["columns"] for d in table["differences"] if "columns" in d] == [["k"]], table
    verify(t, "-t", "public.r", "--repair")
    assert t.target.one("select count(*) from r where k = 'app.thing'::regclass") == "50"

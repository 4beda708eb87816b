"""Verify names what differs, and nothing else.

Every story mutates the target (or the source) behind pghaul's back and asks for the verdict at both levels that compare
rows; one of the levels alone would be half a proof.
"""

import os
import pty

import data
from story import story

LEVELS = ("readback", "source")


def verify(t, *args, rc=0, **kwargs):
    """The table's part of the result; of several tables: all of them."""
    result = t.run("verify", *t.ends(), "--json", *args, **kwargs).expect(rc).json
    assert result["equal"] == (rc == 0), result
    return result["tables"][0] if len(result["tables"]) == 1 else result["tables"]


def found(table):
    """{key: kind} of a table's result, keys of one column without their name."""
    out = {}
    for d in table["differences"]:
        key = tuple(d["key"].values())
        out[key[0] if len(key) == 1 else key] = d["kind"]
    return out


def agrees(t, *args, **kwargs):
    for level in LEVELS:
        table = verify(t, *args, "--level", level, **kwargs)
        assert not table["differences"], table


def names(t, expected, *args, columns=None):
    """Both levels name exactly these keys; columns: of the changed ones."""
    for level in LEVELS:
        table = verify(t, *args, "--level", level, rc=3)
        assert found(table) == expected, "%s: %s instead of %s" % (level, found(table), expected)
        counts = [list(expected.values()).count(k) for k in ("missing", "extra", "changed")]
        assert [table["missing"], table["extra"], table["changed"]] == counts, table
        for d in table["differences"]:
            if columns and d["kind"] == "changed":
                assert d["columns"] == columns, d


def copied(t, name="narrow", rows=20000):
    getattr(data, name)(t, rows)
    t.copy("-t", name).expect(0)
    return name


@story()
def what_was_copied_is_equal_at_every_level(t):
    copied(t)
    for level in ("receipt", "readback", "source", "sample"):
        table = verify(t, "-t", "narrow", "--level", level)
        assert table["level"] == level and not table["why"], table
        assert table["source_rows"] in (20000, -1, None) and table["equal"], table
    assert verify(t, "-t", "narrow")["level"] == "readback"
    table = verify(t, "-t", "narrow", "--level", "source", "--in-server")
    assert table["equal"] and table["source_rows"] == 20000 and "64-bit" in table["proof"], table


@story()
def one_row_missing_one_extra_one_changed_are_named(t):
    copied(t)
    t.target.query("delete from narrow where id = 17; insert into narrow values (-5, 1, 1, 1); "
                   "update narrow set b = 12345 where id = 19999")
    names(t, {17: "missing", -5: "extra", 19999: "changed"}, "-t", "narrow", columns=["b"])


@story()
def a_doubled_row_is_seen(t):
    data.narrow(t, 5000)
    t.target.query("alter table narrow drop constraint narrow_pkey")
    t.copy("-t", "narrow").expect(0)
    t.target.query("insert into narrow select * from narrow where id = 77")
    names(t, {77: "extra"}, "-t", "narrow")


@story()
def two_rows_swapped_in_one_column_are_seen_by_us_and_by_the_servers(t):
    copied(t)
    t.target.query("update narrow set c = (select c from narrow n where n.id = 5 - narrow.id) where id in (2, 3)")
    names(t, {2: "changed", 3: "changed"}, "-t", "narrow", columns=["c"])
    table = verify(t, "-t", "narrow", "--level", "source", "--in-server", rc=3)
    assert found(table) == {2: "changed", 3: "changed"}, table


VALUES = [
    ("bytea", r"'\x00ff10'", r"'\x00ff11'"), ("text", "'a'", "'a '"), ("text", "''", "null"), ("text", "null", "''"),
    ("numeric", "1.5", "1.50"), ("numeric", "'NaN'", "1"), ("numeric", "'Infinity'", "'-Infinity'"), ("float8", "'NaN'", "'Infinity'"),
    ("float8", "0", "'-0'"), ("float4", "'-0'", "0"), ("timestamptz", "'2024-01-01 00:00:00+00'", "'2024-01-01 00:00:00+01'"),
    ("timestamp", "'infinity'", "'2024-01-01'"), ("json", """'{"a":1,"b":2}'""", """'{"b":2,"a":1}'"""), ("json", "'{}'", "'{ }'"),
    ("jsonb", """'{"a":1.5}'""", """'{"a":1.50}'"""), ("citext", "'abc'", "'ABC'"), ("text", "E'\\u00e4'", "E'a\\u0308'"), ("xml", "'<a/>'", "'<a></a>'"),
    ("interval", "'1 mon'", "'30 days'"), ("char(5)", "'ab'", "'abc'"), ("bool", "true", "false"), ("int4[]", "'{1,2}'", "'{2,1}'"),
    ("int4[]", "'{1,2}'", "'[0:1]={1,2}'"), ("date", "'infinity'", "'-infinity'"), ("timetz", "'12:00+00'", "'13:00+01'"),
    ("numeric(10,2)", "1.5", "1.51"), ("mood[]", "'{sad}'", "'{happy}'"), ("mood", "'sad'", "'happy'"), ("pair", "'(1,x)'", "'(1,y)'"),
    ("int8", "null", "0"), ("uuid", "null", "'00000000-0000-0000-0000-000000000000'"), ("bit(3)", "'101'", "'100'"), ("point", "'(0,1)'", "'(1,0)'"),
    ("tsvector", "'a:1'", "'a:2'"), ("numrange", "'[1,2)'", "'[1.0,2)'"), ("text[]", "'{NULL}'", "'{\"NULL\"}'"), ("regclass", "'pg_class'", "'pg_type'"),
]


@story(heavy=True)
def every_kind_of_value_is_told_from_its_neighbour(t):
    t.source.query("create type filler as enum ('x')")
    t.both("create extension citext; create type mood as enum ('sad', 'happy'); create type pair as (a int, b text); create domain feeling as mood")
    columns = ", ".join("c%d %s" % (i, v[0]) for i, v in enumerate(VALUES))
    t.both("create table v (id int primary key, %s)" % columns)
    t.source.query("insert into v select i, %s from generate_series(1, 60) i" % ", ".join("%s::%s" % (v[1], v[0]) for v in VALUES))
    t.copy("-t", "v").expect(0)
    agrees(t, "-t", "v")
    table = verify(t, "-t", "v")
    assert table["level"] == "readback" and "as text" in table["proof"], "arrays of enums have no portable bytes, and that is said: %s" % table
    assert verify(t, "-t", "v", "--level", "source", "--in-server")["equal"]
    for i, v in enumerate(VALUES):
        t.target.query("update v set c%d = %s::%s where id = %d" % (i, v[2], v[0], i + 1))
    for args in (["--level", "source"], ["--level", "source", "--in-server"], ["--level", "sample", "--sample-rows", 500], []):
        table = verify(t, "-t", "v", *args, rc=3)
        assert found(table) == {i + 1: "changed" for i in range(len(VALUES))}, (args, found(table))
        for d in table["differences"]:
            assert d["columns"] == ["c%d" % (d["key"]["id"] - 1)], (args, d)
            assert "source" not in d, "values without --show-data"


@story(campaign=True)
def one_value_alone_makes_the_servers_sums_differ(t):
    t.both("create extension citext; create type mood as enum ('sad', 'happy'); create type pair as (a int, b text)")
    for i, v in enumerate(VALUES):
        t.both("drop table if exists v; create table v (id int primary key, c %s)" % v[0])
        t.source.query("insert into v values (1, %s)" % v[1])
        t.target.query("insert into v values (1, %s)" % v[2])
        t.note("%s: %s and %s" % v)
        table = verify(t, "-t", "v", "--level", "source", "--in-server", rc=3)
        assert found(table) == {1: "changed"}, (v, table)
        t.target.query("update v set c = %s" % v[1])
        assert verify(t, "-t", "v", "--level", "source", "--in-server")["equal"], v


@story()
def settings_of_roles_and_databases_make_no_difference(t):
    copied(t, "mixed", 5000)
    t.target.query("alter database %s set timezone = 'Asia/Tokyo'; alter database %s set datestyle = 'SQL, DMY'; "
                   "alter database %s set extra_float_digits = -3; alter database %s set bytea_output = 'escape'; "
                   "alter database %s set intervalstyle = 'iso_8601'" % ((t.target.name,) * 5))
    agrees(t, "-t", "mixed")
    assert verify(t, "-t", "mixed", "--level", "source", "--in-server")["equal"]


@story()
def another_collation_and_another_order_of_columns_make_no_difference(t):
    t.source.query("create table w (k text collate \"C\" primary key, a int, b text)")
    t.target.query("create table w (b text, junk int, k text collate \"en-x-icu\" primary key, a int); alter table w drop column junk")
    t.source.query("insert into w select chr(65 + i %% 26) || chr(97 + i %% 26) || i, i, 'b' || i from generate_series(1, 5000) i" % ())
    t.copy("-t", "w").expect(0)
    agrees(t, "-t", "w")
    t.target.query("update w set k = lower(k) where a = 77; delete from w where a = 5")
    k77, k5 = (t.source.one("select k from w where a = %d" % a) for a in (77, 5))
    names(t, {k77: "missing", k77.lower(): "extra", k5: "missing"}, "-t", "w")


@story()
def a_column_that_one_side_lacks_is_a_difference_unless_columns_are_chosen(t):
    copied(t)
    t.target.query("alter table narrow add column extra int")
    table = verify(t, "-t", "narrow", "--level", "source", rc=3)
    assert table["columns_only_in_target"] == ["extra"] and not table["differences"], table
    t.source.query("alter table narrow add column more int")
    table = verify(t, "-t", "narrow", "--level", "source", rc=3)
    assert table["columns_only_in_source"] == ["more"], table
    assert verify(t, "-t", "narrow", "--columns", "id,a,b,c", "--level", "source")["equal"]


@story()
def a_table_that_is_empty_on_one_side_differs_in_every_row(t):
    data.narrow(t, 3000)
    table = verify(t, "-t", "narrow", rc=3)
    assert (table["source_rows"], table["target_rows"], table["missing"]) == (3000, 0, 3000), table
    assert len(table["differences"]) == 100 and {d["kind"] for d in table["differences"]} == {"missing"}, table
    t.copy("-t", "narrow").expect(0)
    t.source.query("delete from narrow")
    table = verify(t, "-t", "narrow", "--level", "source", "--max-differences", 7, rc=3)
    assert table["extra"] == 3000 and len(table["differences"]) == 7, table
    assert verify(t, "-t", "narrow")["equal"], "readback does not look at the source"


@story()
def both_sides_empty_are_equal(t):
    t.both("create table nothing (id int primary key); create table void ()")
    t.copy("-t", "nothing", "-t", "void").expect(0)
    for level in LEVELS:
        assert all(x["equal"] for x in verify(t, "-t", "nothing", "-t", "void", "--level", level))


@story()
def first_last_and_null_key_and_open_ended_shards_are_all_looked_at(t):
    t.both("create table n (k int unique, v int)")
    t.source.query("insert into n select case when i % 50 = 0 then null else i end, i from generate_series(1, 20000) i")
    t.copy("-t", "n", "--split", "key", "--key", "k", "--shard-rows", "1k").expect(0)
    agrees(t, "-t", "n")
    t.target.query("delete from n where v = 50; update n set v = 0 where k = 1; delete from n where k = 19999; insert into n values (null, 7)")
    for level in LEVELS:
        table = verify(t, "-t", "n", "--level", level, rc=3)
        assert (table["missing"], table["extra"], table["changed"]) == (3, 2, 0), "no key that is never null: by content: %s" % table
    table = verify(t, "-t", "n", "--key", "k", "--level", "source", rc=3)
    kinds = {(d["key"]["k"], d["kind"]) for d in table["differences"]}
    assert kinds == {(None, "changed"), (1, "changed"), (19999, "missing")}, table


@story()
def tables_without_a_key_are_compared_as_bags_of_rows(t):
    t.both("create table bag (a int, b text)")
    t.source.query("insert into bag select i % 10, 'x' from generate_series(1, 10000) i")
    t.copy("-t", "bag").expect(0)
    agrees(t, "-t", "bag")
    t.target.query("delete from bag where ctid in (select ctid from bag where a = 3 limit 4); insert into bag values (3, 'y')")
    for level in LEVELS:
        table = verify(t, "-t", "bag", "--level", level, rc=3)
        got = sorted((d["kind"], d["rows"]) for d in table["differences"])
        assert got == [("extra", 1), ("missing", 4)] and table["missing"] == 4 and all(d["content"] for d in table["differences"]), table
    verify(t, "-t", "bag", "--repair", "--max-delete", 1)
    t.same("bag")


@story()
def partitions_that_route_otherwise_hold_the_same_rows(t):
    t.source.query("create table p (id int primary key, v text) partition by range (id); create table p1 partition of p for values from (0) to (500); "
                   "create table p2 partition of p for values from (500) to (2000)")
    t.target.query("create table p (v text, id int primary key) partition by hash (id); create table pa partition of p for values with (modulus 3, remainder 0); "
                   "create table pb partition of p for values with (modulus 3, remainder 1); create table pc (id int not null, v text); "
                   "alter table p attach partition pc for values with (modulus 3, remainder 2)")
    t.source.query("insert into p select i, 'v' || i from generate_series(1, 1999) i")
    t.copy("-t", "p").expect(0)
    for level in LEVELS:
        table = verify(t, "-t", "p", "--level", level)
        assert table["source_rows"] == table["target_rows"] == 1999, table
    t.target.query("delete from p where id = 7; update p set v = 'other' where id = 1500")
    names(t, {7: "missing", 1500: "changed"}, "-t", "p", columns=["v"])
    verify(t, "-t", "p", "--repair")
    agrees(t, "-t", "p")


@story()
def partitions_that_agree_are_compared_as_one_table_with_all_their_leaves(t):
    t.both("create table p (id int primary key, v text) partition by range (id); create table p1 partition of p for values from (0) to (500); "
           "create table p2 partition of p for values from (500) to (1000)")
    t.source.query("insert into p select i, 'v' || i from generate_series(1, 999) i")
    t.copy("-t", "p").expect(0)
    agrees(t, "-t", "p")
    t.target.query("create table p3 partition of p for values from (1000) to (2000); insert into p values (1001, 'here only')")
    names(t, {1001: "extra"}, "-t", "p")


@story()
def what_upsert_and_allow_nonempty_find_there_does_not_count_unless_exact(t):
    data.narrow(t, 4000)
    t.target.query("insert into narrow select -i, 1, 1, 1 from generate_series(1, 500) i")
    t.copy("-t", "narrow", "--allow-nonempty").expect(0)
    for level in LEVELS:
        table = verify(t, "-t", "narrow", "--level", level)
        assert table["extra_ignored"] == 500 and table["extra"] == 0, table
    assert verify(t, "-t", "narrow", "--exact", rc=3)["extra"] == 500
    verify(t, "-t", "narrow", "--repair", "--max-delete", 1000)
    assert t.rows("narrow") == 4500, "rows of its own are never deleted"
    t.target.query("delete from narrow where id = 9")
    assert found(verify(t, "-t", "narrow", rc=3)) == {9: "missing"}


@story()
def an_upsert_is_compared_with_the_source_and_says_so(t):
    data.narrow(t, 3000)
    t.target.query("insert into narrow select i, 0, 0, 0 from generate_series(2990, 3010) i")
    t.copy("-t", "narrow", "--mode", "upsert").expect(0)
    table = verify(t, "-t", "narrow")
    assert table["level"] == "source" and "upsert" in table["why"] and table["extra_ignored"] == 10, table
    t.target.query("update narrow set a = -1 where id = 12")
    assert found(verify(t, "-t", "narrow", rc=3)) == {12: "changed"}


@story()
def an_update_that_changes_nothing_is_no_difference(t):
    copied(t)
    t.target.query("update narrow set a = a; update narrow set b = 9 where id < 50")
    t.target.query("update narrow n set b = case when n.id %% 13 = 0 then null else n.id * 7 %% 1000003 end where id < 50".replace("%%", "%"))
    assert verify(t, "-t", "narrow")["level"] == "readback"
    agrees(t, "-t", "narrow")


@story()
def without_a_ledger_both_sides_are_compared(t):
    data.narrow(t, 2000)
    t.target.query("insert into narrow select i, i % 97, case when i % 13 = 0 then null else i * 7 % 1000003 end, i * 1000003::bigint "
                   "from generate_series(1, 2000) i")
    table = verify(t, "-t", "narrow")
    assert table["level"] == "source" and "no job" in table["why"], table
    t.run("verify", *t.ends(), "-t", "narrow", "--level", "receipt").expect(2, "no receipts")
    assert t.target.one("select to_regnamespace('pghaul') is null") == "t", "verify leaves no ledger behind"


@story()
def the_job_s_name_alone_is_enough(t):
    data.narrow(t, 2000)
    t.copy("-t", "narrow", "--job", "nightly", "--where", "id > 100", "--columns", "id,a").expect(0)
    table = verify(t, "--job", "nightly")
    assert table["level"] == "readback" and table["source_rows"] == 1900, table
    t.run("verify", *t.ends(), "nightly", "--level", "source").expect(0)
    table = verify(t, "-t", "narrow", "--columns", "id,a", rc=3)
    assert table["missing"] == 100 and "selection" in table["why"], "all rows were asked for this time: %s" % table
    t.run("verify", *t.ends(), "--job", "nobody").expect(2, "no job")


@story()
def values_are_shown_only_when_asked_for(t):
    t.both("create table s (id int primary key, secret text)")
    t.source.query("insert into s values (1, 'hunter2')")
    t.target.query("insert into s values (1, 'letmein')")
    for args in ((), ("--json",)):
        result = t.run("verify", *t.ends(), "-t", "s", *args).expect(3)
        assert "hunter2" not in result.out + result.err and "letmein" not in result.out + result.err, result
    d = verify(t, "-t", "s", "--show-data", rc=3)["differences"][0]
    assert (d["source"], d["target"]) == ({"secret": "hunter2"}, {"secret": "letmein"}), d


@story()
def truncation_is_seen_without_reading(t):
    copied(t)
    t.target.query("truncate narrow")
    table = verify(t, "-t", "narrow", "--level", "receipt", rc=3)
    assert table["differing_shards"] > 0 and "not the file" in table["proof"], table
    table = verify(t, "-t", "narrow", rc=3)
    assert table["missing"] == 20000 and table["proof"] is None, table


@story()
def wide_rows_pass_and_are_told_apart(t):
    t.both("create table wide (id int primary key, raw bytea)")
    t.source.query("insert into wide select i, decode(repeat(md5(i::text), case when i = 3 then 400000 else 6000 end), 'hex') from generate_series(1, 40) i")
    t.copy("-t", "wide").expect(0)
    agrees(t, "-t", "wide")
    t.target.query("update wide set raw = set_byte(raw, length(raw) - 1, 7) where id in (3, 40)")
    names(t, {3: "changed", 40: "changed"}, "-t", "wide", columns=["raw"])


@story()
def composite_keys_and_uuids_are_named_whole(t):
    t.both("create table c (a int, b text, v int, primary key (b, a)); create table pghaul_x (id int); create table u (id uuid primary key, v int)")
    t.source.query("insert into c select i % 7, 'b' || i, i from generate_series(1, 3000) i; insert into u select md5(i::text)::uuid, i from generate_series(1, 9000) i")
    t.copy("-t", "c", "-t", "u").expect(0)
    t.target.query("update c set v = 0 where b = 'b22'; update u set v = 0 where id = md5('5')::uuid; delete from u where id = md5('6')::uuid")
    names(t, {("b22", 1): "changed"}, "-t", "c")
    names(t, {t.source.one("select md5('5')::uuid"): "changed", t.source.one("select md5('6')::uuid"): "missing"}, "-t", "u")


@story()
def ten_rows_among_many_are_found_without_reading_everything_again(t):
    copied(t, rows=300000)
    t.source.query("analyze narrow")
    t.target.query("update narrow set a = -1 where id % 30000 = 7")
    result = t.run("verify", *t.ends(), "-t", "narrow", "--level", "source", "--json").expect(3).json
    assert result["tables"][0]["changed"] == 10 and result["tables"][0]["differing_shards"] <= 10, result["tables"][0]
    assert result["rows"] < 600000 * 1.2, "%d rows were read for 600000" % result["rows"]


@story()
def generated_columns_are_compared_too(t):
    t.source.query("create table g (id int primary key, a int, twice int generated always as (a * 2) stored)")
    t.target.query("create table g (id int primary key, a int, twice int generated always as (a * 3) stored)")
    t.source.query("insert into g values (1, 0), (2, 5)")
    t.copy("-t", "g").expect(0)
    table = verify(t, "-t", "g", "--level", "source", rc=3)
    assert found(table) == {2: "changed"} and table["differences"][0]["columns"] == ["twice"], table


@story()
def differences_under_way_do_not_count_when_looked_at_again(t):
    data.narrow(t, 1000)
    t.copy("-t", "narrow").expect(0)
    t.source.query("update narrow set a = -1 where id in (5, 6)")
    with t.mover.start("verify", *t.ends(), "-t", "narrow", "--level", "source", "--recheck", "3s", "--json") as run:
        import time
        time.sleep(1.5)
        t.target.query("update narrow set a = -1 where id = 5")
        t.source.query("update narrow set a = -2 where id = 800")
        result = run.wait().expect(3).json["tables"][0]
    assert found(result) == {6: "changed"}, result


@story()
def the_source_is_compared_from_a_standing_snapshot_while_rows_come_in(t):
    data.narrow(t, 50000)
    t.copy("-t", "narrow").expect(0)
    with t.source.session() as other:
        other.query("begin; lock table narrow in row exclusive mode; update narrow set a = 0 where id < 100")
        assert verify(t, "-t", "narrow", "--level", "source")["equal"], "uncommitted rows are nobody's"
        other.query("rollback")


@story()
def status_knows_which_shards_were_verified(t):
    copied(t)
    verify(t, "-t", "narrow")
    shards = t.status()["tables"][0]["shards"]
    assert shards["verified"] > 0 and shards["landed"] == 0, shards
    t.copy("-t", "narrow").expect(0, "nothing to do")


@story()
def options_that_make_no_sense_are_refused(t):
    data.narrow(t, 10)
    for args in (["--level", "sourse"], ["--repair", "--level", "receipt"], ["--in-server"], ["--max-delete", "-1"]):
        t.run("verify", *t.ends(), "-t", "narrow", *args).expect(2)
    t.run("verify", *t.ends(), "-t", "nowhere").expect(2)


@story()
def a_copy_with_verify_proves_what_it_loaded(t):
    data.mixed(t, 4000)
    result = t.copy("-t", "mixed", "--verify", "--json").expect(0).json
    assert result["state"] == "completed" and result["verify"]["equal"] and result["verify"]["tables"][0]["level"] == "readback", result
    t.target.query("update mixed set small = -1 where id = 5")
    result = t.copy("-t", "mixed", "--verify", "--json").expect(3).json
    assert found(result["verify"]["tables"][0]) == {5: "changed"}, result


@story(heavy=True)
def a_million_differences_are_counted_in_bounded_memory(t):
    data.narrow(t, 500000)
    t.target.query("insert into narrow select i + 500000, 1, 1, 1 from generate_series(1, 500000) i")
    result = t.run("verify", *t.ends(), "-t", "narrow", "--level", "source", "--memory", "64MiB", "-j", 2, "--json").expect(3).json
    table = result["tables"][0]
    assert (table["missing"], table["extra"]) == (500000, 500000) and len(table["differences"]) == 100, table
    assert result["max_rss"] < 64 << 20, result["max_rss"]


@story(heavy=True)
def keys_without_a_known_order_are_compared_in_slices_when_memory_is_short(t):
    t.both("create table w (k text primary key, v int)")
    t.source.query("insert into w select 'k' || i, i from generate_series(1, 200000) i")
    t.target.query("insert into w select 'k' || i, -i from generate_series(1, 200000) i")
    result = t.run("verify", *t.ends(), "-t", "w", "--memory", "48MiB", "-j", 1, "--json").expect(3).json
    assert result["tables"][0]["changed"] == 200000 and result["max_rss"] < 48 << 20, result["max_rss"]
    assert result["rows"] > 1200000, "it was to be read several times: %d" % result["rows"]


@story(heavy=True)
def where_receipts_tell_where_to_look_little_else_is_read(t):
    data.narrow(t, 300000)
    t.copy("-t", "narrow", "--shard-rows", "5k").expect(0)
    t.target.query("update narrow set a = -1 where id between 100000 and 100004; delete from narrow where id = 200000; insert into narrow values (-1, 1, 1, 1)")
    result = t.run("verify", *t.ends(), "-t", "narrow", "--json").expect(3).json
    table = result["tables"][0]
    assert found(table) == {**{100000 + i: "changed" for i in range(5)}, 200000: "missing", -1: "extra"} and table["level"] == "readback", table
    assert result["rows"] < 350000, "%d rows were read" % result["rows"]
    t.source.query("update narrow set c = 0 where id = 100001")
    table = verify(t, "-t", "narrow", rc=3)
    assert table["level"] == "source" and table["changed"] == 5, "the source has moved on: all of it is compared: %s" % table


@story()
def an_interrupt_ends_it_and_changes_nothing(t):
    import signal
    import time
    data.narrow(t, 300000)
    t.target.query("insert into narrow select -i, 1, 1, 1 from generate_series(1, 300000) i")
    with t.mover.start("verify", *t.ends(), "-t", "narrow", "--level", "source", "-j", 1, "--json", fault="readout.chunk:1:slow") as run:
        time.sleep(0.3)
        run.signal(signal.SIGINT)
        assert run.wait().rc == 130
    t.nothing_left()


@story()
def a_role_without_rights_on_the_ledger_compares_both_sides(t):
    copied(t)
    t.target.query("create role looker login; grant select on narrow to looker")
    dsn = t.target.dsn.replace("user=tester", "user=looker")
    try:
        table = t.run("verify", "-s", t.source.dsn, "-d", dsn, "-t", "narrow", "--json").expect(0).json["tables"][0]
        assert table["level"] == "source" and table["equal"], table
    finally:
        t.target.query("drop owned by looker; drop role looker")


@story(own=True)  # what was proven counts only while no older transaction is open on the server
def a_verify_that_was_stopped_goes_on_and_one_that_ended_starts_anew(t):
    import signal
    tables = ["t%d" % i for i in range(4)]
    args = [x for name in tables for x in ("-t", name)]
    for name in tables:
        data.narrow(t, 3000, name)
    t.copy(*args).expect(0)
    t.run("verify", *t.ends(), *args, fault="verify.window:*:error,verify.noted:2:kill").expect(-signal.SIGKILL)
    t.target.query("update t3 set a = -1 where id = 7")
    parts = verify(t, *args, rc=3)
    assert sum("before this verify was stopped" in (x["proof"] or "") for x in parts) == 2, parts
    assert sorted(found(x).get(7, "") for x in parts) == ["", "", "", "changed"], parts
    parts = verify(t, *args, rc=3)
    assert not any("before this verify was stopped" in (x["proof"] or "") for x in parts), parts
    # what has changed since it was proven is not proven, on either side
    for side, level in ((t.target, "readback"), (t.source, "source")):
        t.run("verify", *t.ends(), *args, "--level", level, fault="verify.window:*:error,verify.noted:3:kill").expect(-signal.SIGKILL)
        side.query("; ".join("delete from %s where id = 8" % name for name in tables))
        parts = verify(t, *args, "--level", level, rc=3)
        kind = "missing" if side is t.target else None
        assert [found(x).get(8) for x in parts] == [kind] * 4 and not any("before this verify was stopped" in (x["proof"] or "") for x in parts), parts
    t.run("verify", *t.ends(), *args, "--level", "source", "--repair").expect(0)
    t.run("verify", *t.ends(), *args, "--level", "source", "--in-server", fault="verify.window:*:error,verify.noted:3:kill").expect(-signal.SIGKILL)
    parts = verify(t, *args, "--level", "source", "--in-server")
    assert sum("before this verify was stopped" in (x["proof"] or "") for x in parts) == 3, parts


@story()
def a_ledger_that_verify_has_used_can_be_taken_away(t):
    copied(t)
    job = t.run("verify", *t.ends(), "-t", "narrow", "--json").expect(0).json["job"]
    t.run("clean", "-d", t.target.dsn, job, "--yes").expect(0)
    assert t.target.one("select to_regnamespace('pghaul') is null") == "t"


@story()
def what_was_spilled_or_loaded_from_an_archive_is_read_back_like_the_rest(t):
    import os
    data.mixed(t, 4000)
    t.copy("-t", "mixed", "--spill", "always").expect(0)
    assert verify(t, "-t", "mixed")["level"] == "readback"
    t.target.query("truncate mixed; drop schema pghaul cascade")
    archive = "archive:" + os.path.join(t.directory, "archive")
    t.run("extract", "-s", t.source.dsn, "-d", archive, "-t", "mixed").expect(0)
    t.run("load", "-s", archive, "-d", t.target.dsn).expect(0)
    assert verify(t, "-t", "mixed", "--level", "source")["equal"]
    assert verify(t, "-t", "mixed")["level"] == "readback"
    t.target.query("update mixed set small = -1 where id = 77")
    assert found(verify(t, "-t", "mixed", rc=3)) == {77: "changed"}
    t.run("verify", "-s", archive, "-d", t.target.dsn, "-t", "mixed").expect(2, "does not take an archive")


@story(campaign=True)
def a_verify_keeps_to_its_rates_and_tells_how_far_it_is(t):
    copied(t, rows=60000)
    quick = t.run("verify", *t.ends(), "-t", "narrow", "--level", "source", "--json").expect(0).json
    screen, terminal = pty.openpty()
    run = t.mover.start("verify", *t.ends(), "-t", "narrow", "--level", "source", "--json", "--max-rows", "20k/s", "-j", 2,
                        prefix=["sh", "-c", 'exec "$@" 2>%s' % os.ttyname(terminal), "sh"], demote=False, env={"TERM": "xterm"}).wait().expect(0)
    assert run.json["seconds"] > max(2.5, quick["seconds"]) and run.json["rows"] == 120000, run
    os.set_blocking(screen, False)
    drawn = os.read(screen, 1 << 20).decode()
    assert "public.narrow" in drawn and "comparing both sides: 2 of 2 workers busy, held back by rate" in drawn, drawn
    slow = t.run("verify", *t.ends(), "-t", "narrow", "--json", "--target-max-rate", "1MiB/s", "--no-progress", "-j", 2).expect(0)
    assert slow.json["seconds"] > 1 and not slow.err, slow
    # the source's rate is none of the target's
    assert t.run("verify", *t.ends(), "-t", "narrow", "--json", "--source-max-rate", "1kB/s").expect(0).json["seconds"] < 30
    t.run("verify", *t.ends(), "-t", "narrow", "--level", "source", "--in-server", "--max-rate", "1MiB/s").expect(2)


@story()
def while_a_job_holds_its_snapshot_the_source_is_compared_as_it_was_then(t):
    data.narrow(t, 60000)
    with t.start_copy("-t", "narrow", "-j", 1, "--shard-size", "256kB", "--max-rate", "1MiB/s", "--spill", "never") as run:
        t.when_landed(3, run)
        run.kill9()
    t.source.query("update narrow set b = -1 where id % 100 = 0; delete from narrow where id < 50")
    for args in ((), ("--in-server",)):
        table = verify(t, "-t", "narrow", "--level", "source", *args, rc=3)
        assert table["missing"] > 0 and table["changed"] == table["extra"] == 0, "only what has not landed: %s" % table
        assert table["missing"] == 60000 - t.target.int("select count(*) from narrow"), table
    refused = t.run("verify", *t.ends(), "-t", "narrow", "--repair").expect(3, "not complete")
    assert t.target.int("select count(*) from narrow") == table["target_rows"], refused
    t.copy("-t", "narrow").expect(0)
    assert verify(t, "-t", "narrow")["level"] == "readback"
    table = verify(t, "-t", "narrow", "--level", "source", rc=3)
    assert (table["missing"], table["changed"], table["extra"]) == (0, 600, 49), "now it is the source of now: %s" % table

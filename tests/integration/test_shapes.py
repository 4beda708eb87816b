"""Tables of every shape: names, columns, types, partitions, sizes, numbers of tables."""

import compare
import data
import ledger
from story import story

SMALL = ("--shard-size", "256kB")


@story()
def empty_one_row_and_columnless_tables_are_moved(t):
    t.both("create table none (a int primary key, b text); create table one (a int, b text); create table bare ()")
    t.source.query("insert into one values (1, null); insert into bare default values; insert into bare default values")
    result = t.copy("-t", "none", "-t", "one", "-t", "bare", "--json").expect(0).json
    assert result["rows"] == 3 and len(result["tables"]) == 3, result
    assert all(x["shards"] >= 1 for x in result["tables"]), "a table without a shard"
    t.whole("none", "one", "bare")
    t.copy("-t", "none", "-t", "one", "-t", "bare").expect(0, "nothing")


@story()
def names_of_any_characters_are_only_names(t):
    names = ["select", 'quo"te', "semi;colon", "new\nline", "per%cent %s %n", "ünï😀", " lead and trail ", "a.b", "back\\slash",
             "it's", "$$", "x; drop table select;--", "tab\there", "{}", "*", "?"]
    quoted = ['"%s"' % n.replace('"', '""') for n in names]
    for n, q in zip(names, quoted):
        t.both('create table %s (%s int primary key, "%%I" text)' % (q, q))
        t.source.query("insert into %s select i, 'v' || i from generate_series(1, 500) i" % q)
    args = [a for q in quoted for a in ("-t", "public." + q)]
    result = t.copy(*args, "--split", "key", "--shard-rows", 200, "--json").expect(0).json
    assert len(result["tables"]) == len(names), "%d tables of %d" % (len(result["tables"]), len(names))
    t.whole(*names)
    t.check_ledger(source=t.source)
    t.status("--shards")
    shown = t.run("status", "-d", t.target.dsn).expect(0)
    assert "\t" not in shown.out.replace("\n", ""), "control characters of a name reached the terminal"


@story()
def columns_are_matched_by_name_past_dropped_and_generated_ones(t):
    t.source.query("create table m (gone1 int, id int primary key, a text, gone2 text, b text, "
                   "g int generated always as (id * 2) stored, n numeric(8,2)); "
                   "insert into m (gone1, id, a, gone2, b, n) select 1, i, 'a' || i, 'x', 'b' || i, i / 7.0 "
                   "from generate_series(1, 5000) i; alter table m drop gone1, drop gone2; update m set a = 'z' where id = 3")
    t.target.query("create table m (n numeric(8,2), b text, x int, a text, "
                   "g int generated always as (id * 2) stored, id int primary key); alter table m drop x")
    t.copy("-t", "m", *SMALL).expect(0)
    t.whole("m")


@story()
def identity_and_serial_columns_keep_their_values_and_sequences_follow_when_asked(t):
    t.both("create table i1 (id int generated always as identity primary key, v text); "
           "create table i2 (id serial primary key, v text)")
    for name in ("i1", "i2"):
        t.source.query("insert into %s (v) select 'v' from generate_series(1, 700); delete from %s where id %% 3 = 0"
                       % (name, name))
    t.copy("-t", "i1", "-t", "i2", "--sequences").expect(0)
    t.whole("i1", "i2")
    for name in ("i1", "i2"):
        assert int(t.target.one("insert into %s (v) values ('new') returning id" % name)) == 701


@story()
def a_plain_copy_leaves_sequences_alone_and_says_so(t):
    t.both("create table i2 (id serial primary key, v text)")
    t.source.query("insert into i2 (v) select 'v' from generate_series(1, 10)")
    t.copy("-t", "i2").expect(0, "sequence", "--sequences")
    assert t.target.one("select last_value from i2_id_seq") == "1"


PARTS = """create table p (id int not null, kind text not null, v text, primary key (id, kind)) partition by list (kind);
    create table p_a partition of p for values in ('a');
    create table p_b partition of p for values in ('b') partition by range (id);
    create table p_b1 partition of p_b for values from (minvalue) to (2000);
    create table p_b2 partition of p_b for values from (2000) to (maxvalue);
    create table p_rest partition of p default"""


def fill_parts(t):
    t.source.query("insert into p select i, (array['a', 'b', 'c', 'd'])[1 + i % 4], 'v' || i "
                   "from generate_series(1, 8000) i")


@story()
def a_partition_tree_goes_leaf_to_leaf_into_the_same_tree(t):
    t.both(PARTS)
    fill_parts(t)
    shown = t.plan("-t", "p")["tables"]
    assert len(shown) == 4, [x["source"] for x in shown]
    t.copy("-t", "p", "-j", 2, *SMALL).expect(0)
    t.whole("p", "p_a", "p_b1", "p_b2", "p_rest")


@story()
def a_partition_tree_goes_through_the_root_into_another_tree(t):
    t.source.query(PARTS)
    fill_parts(t)
    t.target.query("create table p (id int not null, kind text not null, v text, primary key (id, kind)) "
                   "partition by hash (id); create table h0 partition of p for values with (modulus 2, remainder 0); "
                   "create table h1 partition of p for values with (modulus 2, remainder 1)")
    t.copy("-t", "p", *SMALL).expect(0)
    t.whole("p")


@story()
def a_partition_tree_goes_into_a_plain_table_and_a_plain_table_into_a_tree(t):
    t.source.query(PARTS)
    fill_parts(t)
    t.target.query("create table p (id int not null, kind text not null, v text)")
    t.copy("-t", "p", *SMALL, "--job", "in").expect(0)
    t.whole("p")
    t.source.query("create table flat as select * from p")
    t.target.query("alter table p rename to was; " + PARTS.replace("p_", "q_"))
    t.copy("-t", "flat=p", *SMALL, "--job", "out").expect(0)
    t.same(["flat", "p"])
    t.nothing_left()


@story()
def a_partition_that_the_target_lacks_parks_its_rows_and_the_others_land(t):
    t.both(PARTS)
    fill_parts(t)
    t.target.query("drop table p_rest")
    result = t.copy("-t", "p", "--job", "p", *SMALL, timeout=100)
    assert result.rc in (1, 2) and "partition" in result.err and "hint:" in result.err, result
    assert t.target.int("select count(*) from p where kind not in ('a', 'b')") == 0
    t.check_ledger()
    t.target.query("create table p_rest partition of p default")
    t.copy("-t", "p", "--job", "p", *SMALL).expect(0)
    t.whole("p")


@story()
def an_inheritance_tree_keeps_rows_where_they_are(t):
    t.both("create table parent (id int, v text); create table child1 (extra int) inherits (parent); "
           "create table child2 () inherits (parent)")
    for name, n in (("parent", 100), ("child1", 2000), ("child2", 300)):
        t.source.query("insert into %s (id, v) select i, '%s' || i from generate_series(1, %d) i" % (name, name, n))
    t.copy("-t", "parent").expect(0)
    t.same("parent", "child1", "child2")
    assert t.target.int("select count(*) from only parent") == 100
    t.nothing_left()


@story()
def lossless_differences_in_type_are_cast_in_the_source(t):
    t.source.query("create table c (id int4 primary key, s int2, r real, v varchar(10), n int4, d date); "
                   "insert into c select i - 1000, i %% 100, i / 3.0, 'v' || i, -i, '2020-01-01'::date + i "
                   "from generate_series(1, 3000) i".replace("%%", "%"))
    t.target.query("create table c (id int8 primary key, s int4, r float8, v text, n numeric, d date)")
    columns = {c["name"]: c["format"] for c in t.plan("-t", "c")["tables"][0]["columns"]}
    assert columns["id"] == "cast" and columns["d"] == "binary", columns
    t.copy("-t", "c", "--shard-rows", 300).expect(0)
    t.same("c", casts={"r": "::float8", "n": "::numeric", "v": "::text"})
    t.check_ledger(complete=True, source=t.source)


@story()
def types_that_binary_would_spoil_travel_as_text(t):
    for side, first in ((t.source, "x"), (t.target, "y")):
        side.query("create extension isn; create schema sp; create table public.%s (a int); "
                   "create table sp.there (a int); create table public.pointed (a int)" % first)
    t.both("create table tx (id int primary key, rc regclass, rt regtype, x xml, i isbn13, ia isbn13[])")
    t.source.query(r"""insert into tx select i, case i % 3 when 0 then 'sp.there' when 1 then 'pointed' end::regclass,
        'numeric'::regtype, xmlparse(content '<?xml version="1.0"?><a b="ä">' || i || E'\t\\N</a>'),
        '978-0-393-04002-9'::isbn13, array['978-0-393-04002-9'::isbn13, null] from generate_series(1, 3000) i""")
    table = t.plan("-t", "tx")["tables"][0]
    assert {c["format"] for c in table["columns"]} & {"text"}, table
    t.copy("-t", "tx", "--shard-rows", 300, "-j", 2).expect(0)
    t.whole("tx")
    t.check_ledger(source=t.source)


@story()
def user_types_of_other_oids_arrive_whole(t):
    for side in (t.target, t.source):
        side.query("create extension hstore; create extension citext; create extension ltree; "
                   "create type mood as enum ('a', 'b', 'ü'); create domain pos as int check (value > 0); "
                   "create type pair as (m mood, n pos); create type fr as range (subtype = float8); "
                   "create table ut (id int primary key, m mood, ma mood[], p pos, pa pos[], c pair, ca pair[], r fr, "
                   "mr int4multirange, h hstore, ci citext, cia citext[], l ltree, j json, jb jsonb, iv interval, "
                   "mo money, ip inet, bits varbit, pt point, ts tsvector, tid8 xid8, lsn pg_lsn)")
    t.source.query("""insert into ut select i, (array['a', 'b', 'ü'])[1 + i % 3]::mood, array['a', null]::mood[], i,
        array[i, null]::pos[], row('b', i)::pair, array[row('a', i)::pair, null], fr(i, i + 0.5),
        int4multirange(int4range(1, 3), int4range(i + 5, i + 6)), hstore('k', i::text), 'CiText' || i,
        array['A', 'a']::citext[], ('top.x' || i)::ltree, '{"a": 1, "a": 2}', '{"ü": [1, null]}', '1 mon -2 days 03:04:05.6',
        '12.34', '::1/64', B'10110', point(i, -i), 'a:1 b:2'::tsvector, i::text::xid8, '0/1234' from generate_series(1, 2000) i;
        insert into ut (id) values (0)""")
    t.copy("-t", "ut", "--shard-rows", 300, "-j", 2).expect(0)
    t.whole("ut")


@story()
def extreme_values_arrive_to_the_last_bit(t):
    t.both("create table ex (id serial primary key, f float8, r real, n numeric, d date, ts timestamp, tz timestamptz, "
           "i interval, t text, b bytea, tt time, ttz timetz)")
    t.source.query(r"""insert into ex (f, r, n, d, ts, tz, i, t, b, tt, ttz) values
        ('NaN', 'NaN', 'NaN', 'infinity', 'infinity', 'infinity', '0', '', '', '24:00', '24:00-15:59'),
        ('-Infinity', 'Infinity', '-Infinity', '-infinity', '-infinity', '-infinity', '-178000000 years', E'\t\\N\n\r', '\x00ff', '00:00', '00:00+15:59'),
        ('-0', '-0', 1e-16383, '4713-11-24 BC', '4713-11-24 BC', '4713-11-24 00:00+00 BC', '1 mon', '\.', '\x5c2e', '12:34:56.789012', null),
        (4.9e-324, 1e-45, repeat('9', 5000)::numeric + 0.00001, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '178000000 years', repeat('€', 100000), decode(repeat('00ff', 50000), 'hex'), null, null),
        (1.7976931348623157e308, 3.4028235e38, 0.1, null, null, null, null, U&'\0001\+01F600', null, null, null)""")
    t.copy("-t", "ex").expect(0)
    t.whole("ex")


@story(heavy=True)
def three_hundred_tables_are_one_job(t):
    for side in (t.source, t.target):
        side.query("do $$ begin for i in 1 .. 300 loop execute format("
                   "'create table many_%s (id int primary key, v text)', i); end loop; end $$")
    t.source.query("do $$ begin for i in 1 .. 300 loop execute format("
                   "'insert into many_%s select g, ''v'' || g from generate_series(1, %s) g', i, (i * 7) % 60); end loop; end $$")
    result = t.copy("-t", "many_*", "-j", 2, "--json").expect(0).json
    assert len(result["tables"]) == 300 and result["shards"] == 300, result["shards"]
    assert result["seconds"] < 10, "300 tiny tables took %.1f s" % result["seconds"]
    t.whole(*["many_%d" % i for i in range(1, 301)])


@story()
def text_of_another_encoding_is_converted_and_never_garbled(t):
    latin = t.new_database(t.source_cluster, t.id + "l", "encoding 'LATIN1' locale 'C'")
    latin.query("create table l (id int primary key, v text); "
                "insert into l select i, 'Ä ß é ' || i from generate_series(1, 2000) i")
    t.target.query("create table l (id int primary key, v text)")
    t.run("copy", "-s", latin.dsn, "-d", t.target.dsn, "-t", "l").expect(0)
    compare.compare(latin, t.target, ["l"])


HOSTILE = {
    "statement_timeout": "'1s'", "lock_timeout": "'200ms'", "idle_in_transaction_session_timeout": "'900ms'",
    "extra_float_digits": "-3", "datestyle": "'SQL, DMY'", "intervalstyle": "'iso_8601'",
    "timezone": "'Asia/Kathmandu'", "bytea_output": "'escape'", "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "search_path": "evil, public", "row_security": "off", "client_min_messages": "debug1", "xmloption": "document",
    "synchronous_commit": "off", "idle_session_timeout": "'900ms'",
}


@story()
def settings_of_role_database_and_environment_change_nothing(t):
    data.mixed(t, 8000)
    t.both("create schema evil; create function evil.lt(bigint, bigint) returns bool language sql as 'select random() < 0.5'; "
           "create operator evil.< (leftarg = bigint, rightarg = bigint, function = evil.lt); "
           "create table evil.pg_class (x int); create function evil.count(bigint) returns text language sql as 'select $1::text'")
    for side in (t.source, t.target):
        side.query("; ".join("alter database %s set %s = %s" % (side.name, k, v) for k, v in HOSTILE.items()))
        side.forget()
    env = {"PGOPTIONS": "-c datestyle=German -c extra_float_digits=-15", "PGTZ": "America/New_York", "PGCLIENTENCODING": "LATIN1",
           "PGDATESTYLE": "SQL", "LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8", "PGAPPNAME": "other"}
    t.copy("-t", "mixed", "--split", "key", "-j", 2, *SMALL, env=env).expect(0)
    for side in (t.source, t.target):
        with side.cluster.session() as s:
            s.query("alter database %s reset all" % side.name)
        side.forget()
    t.whole("mixed")
    t.check_ledger(source=t.source)


@story()
def triggers_fire_or_are_skipped_as_said_and_stay_enabled(t):
    data.narrow(t, 3000)
    t.target.query("create table seen (n int); create function note() returns trigger language plpgsql as "
                   "'begin insert into public.seen values (1); return new; end'; "
                   "create trigger tg before insert on narrow for each row execute function note()")
    t.copy("-t", "narrow", "--triggers", "skip", "--job", "skip").expect(0)
    t.same("narrow")
    assert t.rows("seen") == 0
    assert t.target.one("select tgenabled from pg_trigger where tgname = 'tg'") == "O"
    t.target.query("truncate narrow")
    t.copy("-t", "narrow", "--triggers", "fire", "--job", "fire", *SMALL).expect(0)
    t.same("narrow")
    assert t.rows("seen") == 3000


@story()
def a_trigger_that_swallows_rows_fails_its_shards_and_nothing_half_lands(t):
    data.narrow(t, 4000)
    t.target.query("create function eat() returns trigger language plpgsql as "
                   "'begin if new.id = 2000 then return null; end if; return new; end'; "
                   "create trigger tg before insert on narrow for each row execute function eat()")
    result = t.copy("-t", "narrow", "--triggers", "fire", "--split", "key", "--shard-rows", 500, timeout=100)
    result.expect(1)
    states = [s[1] for s in ledger.shards(t.target)]
    assert states.count("parked") == 1 and states.count("landed") == len(states) - 1, states
    t.check_ledger()
    t.target.query("drop trigger tg on narrow")
    t.copy("-t", "narrow", "--triggers", "fire", "--split", "key", "--shard-rows", 500).expect(0)
    t.whole("narrow")


@story()
def a_shard_that_violates_a_constraint_is_parked_and_the_rest_lands(t):
    data.narrow(t, 6000)
    t.target.query("alter table narrow add constraint no_4321 check (id <> 4321)")
    args = ("-t", "narrow", "--split", "key", "--shard-rows", 500, "-j", 2)
    result = t.copy(*args, timeout=100).expect(1, "no_4321", "hint")
    assert "4321," not in result.err, "a row's values were shown"
    assert sorted({s[1] for s in ledger.shards(t.target)}) == ["landed", "parked"]
    t.check_ledger()
    parked = [s for s in t.status("--shards")["shards"] if s["state"] == "parked"]
    assert len(parked) == 1, parked
    before = ledger.receipts(t.target)
    t.target.query("alter table narrow drop constraint no_4321")
    again = t.copy(*args, "--json").expect(0).json
    assert again["shards_resumed"] > 0, again
    after = ledger.receipts(t.target)
    assert all(after[i] == before[i] for i in before), "finished shards were done again"
    t.whole("narrow")


@story()
def rows_wider_than_every_buffer_pass(t):
    t.both("create table w (id int primary key, v text, b bytea)")
    t.source.query("insert into w select i, repeat(chr(65 + i), 9000000), decode(repeat('00ab', 3000000), 'hex') "
                   "from generate_series(1, 4) i; insert into w values (5, '', null)")
    t.copy("-t", "w", "-j", 2, "--shard-size", "1MiB", timeout=100).expect(0)
    t.whole("w")


@story(own=True)
def a_standby_serves_as_the_source(t):
    data.narrow(t, 40000)
    standby = t.source_cluster.standby(t.directory + "/standby")
    try:
        dsn = t.source.dsn.replace("port=%d" % t.source_cluster.port, "port=%d" % standby.port)
        t.run("copy", "-s", dsn, "-d", t.target.dsn, "-t", "narrow", "-j", 2, *SMALL).expect(0)
        t.whole("narrow")
    finally:
        standby.stop("immediate")


@story()
def few_connections_mean_few_workers_and_a_note(t):
    data.mixed(t, 20000)
    with t.target_cluster.session() as s:
        s.query("alter database %s connection limit 6" % t.target.name)
        s.query("do $$ begin create role plain login; exception when duplicate_object then null; end $$")
        s.query("grant create on database %s to plain" % t.target.name)
    t.target.query("grant all on mixed to plain")
    dsn = t.target.dsn.replace("user=tester", "user=plain")
    t.run("copy", "-s", t.source.dsn, "-d", dsn, "-t", "mixed", "-j", 20, *SMALL).expect(0, "connection")
    t.whole("mixed")


@story()
def views_foreign_tables_and_temporary_ones_are_refused_by_name_and_skipped_by_all(t):
    for side in (t.source, t.target):
        side.query("create extension file_fdw; create server files foreign data wrapper file_fdw; create table real (id int primary key); "
                   "create foreign table far (a text) server files options (filename '/dev/null'); create view seen as select * from real; "
                   "create materialized view kept as select * from real; create unlogged table quick (id int primary key)")
    t.source.query("insert into real select generate_series(1, 100); insert into quick select generate_series(1, 50)")
    t.copy("-t", "far").expect(2, "foreign table", "hint")
    t.copy("-t", "kept").expect(2, "materialized view", "hint")
    t.copy("-t", "seen").expect(2, "is a view", "hint")
    t.copy("-t", "pg_temp.x").expect(2, "temporary", "hint")
    warnings = t.plan("--all")["warnings"]
    assert any("skipped: foreign table public.far" in w for w in warnings), warnings
    assert any("skipped: materialized view public.kept" in w for w in warnings), warnings
    assert not any("seen" in w for w in warnings), warnings
    t.copy("--all").expect(0, "unlogged", "skipped")
    t.whole("real", "quick")


@story()
def tables_of_1600_columns_are_moved(t):
    t.both("create table many (%s)" % ", ".join("c%d %s" % (i, ("int", "text", "bool")[i % 3]) for i in range(1600)))
    t.source.query("insert into many (%s) select %s from generate_series(1, 40) g; insert into many (c0) values (null), (7)" % (
        ", ".join("c%d" % i for i in range(1600)), ", ".join(("g + %d" % i, "'t%d'" % (i % 7), "null")[i % 3] for i in range(1600))))
    t.copy("-t", "many", "--verify").expect(0)
    # 1600 fields and no more make a row that can be compared in pieces only
    for first in range(0, 1600, 400):
        t.same("many", columns=["c%d" % i for i in range(first, first + 400)])
    t.check_ledger(complete=True)


def make_tree(side, name, leaves, by):
    side.query("create table %s (id int not null, v text) partition by range (id)" % name)
    side.query("do $$ begin for i in 0 .. %d loop execute format('create table %s_%%s partition of %s for values from (%%s) to (%%s)', "
               "i, i * %d, (i + 1) * %d); end loop; end $$" % (leaves - 1, name, name, by, by))


@story(campaign=True)
def a_tree_of_a_thousand_leaves_goes_leaf_to_leaf_or_through_the_root(t):
    for side in (t.source, t.target):
        make_tree(side, "same", 1000, 20)
        make_tree(side, "other", 1000 if side is t.source else 40, 20 if side is t.source else 500)
    for name in ("same", "other"):
        t.source.query("insert into %s select i, 'v' || i from generate_series(0, 19999) i" % name)
    shown = t.plan("-t", "same", "-t", "other")["tables"]
    assert len(shown) == 2000, len(shown)
    assert sum(x["target"] == x["source"] for x in shown) == 1000 and sum(x["target"] == "public.other" for x in shown) >= 960
    done = t.copy("-t", "same", "-t", "other", "-j", 2, "--json", timeout=140).expect(0).json
    print("2000 leaves: %.1f s" % done["seconds"])
    t.whole("same", "other")
    for i in (0, 500, 999):
        assert t.rows("same_%d" % i) == 20


@story(campaign=True, timeout=900)
def ten_thousand_tables_are_one_job(t):
    for side in (t.source, t.target):
        for block in range(20):
            side.query("do $$ begin for i in %d .. %d loop execute format('create table n%%s (id int primary key, v text)', i); end loop; end $$"
                       % (block * 500, block * 500 + 499))
    for block in range(20):
        t.source.query("do $$ begin for i in %d .. %d loop execute format('insert into n%%s select g, ''v'' || g from generate_series(1, %%s) g', "
                       "i, i %% 20); end loop; end $$" % (block * 500, block * 500 + 499))
    plan = t.run("plan", *t.ends(), "-t", "n*", "--json", timeout=300).expect(0)
    done = t.copy("-t", "n*", "-j", 2, "--json", timeout=600).expect(0).json
    print("10,000 tables: planned in %.1f s, copied in %.1f s" % (plan.seconds, done["seconds"]))
    assert len(done["tables"]) == 10000 and done["rows"] == 95000, (len(done["tables"]), done["rows"])
    assert plan.seconds < 60 and done["seconds"] < 120, (plan.seconds, done["seconds"])
    t.check_ledger(complete=True)


@story(campaign=True, timeout=900, own=True)
def values_up_to_the_limit_of_a_gigabyte_pass_or_are_named(t):
    t.both("create table big (id int primary key, b bytea, t text)")
    t.source.query("alter table big alter b set storage external")
    t.source.query("insert into big values (1, decode(repeat('00ff', 150000000), 'hex'), null)")  # 300 MB of bytes
    t.source.query("insert into big values (2, null, repeat('ab', 500000000)), (3, '', '')")       # almost 1 GB of text
    args = ("-t", "big", "-j", 1, "--shard-size", "64MiB", "--memory", "3GiB")
    t.copy(*args, timeout=600).expect(0)
    for side in (t.source, t.target):
        assert side.query("select id, length(b), length(t), md5(b), md5(t) from big order by 1") == \
            t.source.query("select id, length(b), length(t), md5(b), md5(t) from big order by 1")
    # two values that are each allowed, and together no row that a server can send
    t.source.query("insert into big select 4, b || b, t from (select (select b from big where id = 1) b, (select t from big where id = 2) t) x")
    t.target.query("truncate big")
    result = t.copy(*args, "--job", "wide", timeout=600).expect(1, "ctid")
    assert "parked" in result.err, result
    assert t.rows("big") <= 3

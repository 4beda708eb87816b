"""What is planned when an archive stands in for one of the servers: an extract takes tables as they are, a load takes them only
where the target reads what was written. No archive is written here: loadplan (tests/support) makes do without files."""

import os

from mover import Mover
from story import Skip, story

ODD = '''
create type mood as enum ('sad', 'it''s "ok"', 'ünïcode');
create type point3 as (x int, "Y ""q""" float8, m mood[]);
create domain positive as int check (value > 0);
create domain evens as positive[];
create type frange as range (subtype = float8);
create table odd (id int8 primary key, m mood, p point3, ps point3[], d positive, e evens, r frange, n numeric(10,2), v varchar(20),
    b bytea, j jsonb, ts timestamptz[], "Odd ""name""" text, "ünï" text);
create table "Grüße ""x""" (a int, gen int generated always as (a * 2) stored, "select" text);
create table rx (c regclass, o oid, x xml, a int);
create table empty ();
create table mon (m money);
'''


def extract_plan(t, *args, rc=0, texts=()):
    result = t.run("plan", "-s", t.source.dsn, "-d", "archive:/nowhere", "--json", *args).expect(rc, *texts)
    return result.json


def load(t, tables=("--all",), load=("--all",), rc=0, texts=()):
    """The plan of loading what an extract of these tables would hold."""
    tool = os.path.join(os.path.dirname(t.mover.binary), "loadplan")
    if not os.path.exists(tool):
        raise Skip("loadplan is built with -DPGHAUL_TESTS=ON")
    result = Mover(tool, t.directory, t.id).run("plan", "-s", t.source.dsn, "-d", "archive:/nowhere", *tables, "--", "plan", "-s",
                                                "archive:/nowhere", "-d", t.target.dsn, *load)
    result.expect(rc, *texts)
    return result.json if rc == 0 else None


def by_name(plan):
    return {table["source"]: table for table in plan["tables"]}


def obstacles(plan):
    return [o["message"] for o in plan["obstacles"]]


def only_obstacle(plan, *texts):
    assert len(plan["obstacles"]) == 1, plan["obstacles"]
    said = plan["obstacles"][0]["message"] + " " + plan["obstacles"][0]["hint"]
    for text in texts:
        assert text in said, "%s lacks %s" % (said, text)


@story()
def an_extract_takes_every_table_as_it_is(t):
    t.source.query(ODD)
    plan = extract_plan(t, "--all")
    assert plan["obstacles"] == [] and plan["job"].startswith(t.id), plan
    tables = by_name(plan)
    assert len(tables) == 5, tables
    odd = tables["public.odd"]
    assert odd["format"] == "binary" and odd["target"] == "public.odd", odd
    assert [c["name"] for c in odd["columns"]][-2:] == ['Odd "name"', "ünï"], odd
    assert all(c["format"] == "binary" and c["source_type"] == c["target_type"] for c in odd["columns"]), odd
    quoted = tables['public."Grüße ""x"""']
    assert [c["name"] for c in quoted["columns"]] == ["a", "select"], quoted
    assert any("generated column gen is left out" in w for w in quoted["warnings"]), quoted
    assert tables["public.rx"]["format"] == "text" and tables["public.mon"]["format"] == "binary", tables
    assert tables["public.empty"]["columns"] == [] and tables["public.empty"]["format"] == "binary", tables


@story()
def an_extract_touches_no_target_and_shows_the_archive(t):
    t.source.query("create table t (a int)")
    said = t.run("plan", "-s", t.source.dsn, "-d", "archive:/nowhere", "-t", "t").expect(0).out
    assert "to   archive:/nowhere\n" in said, said
    t.run("plan", "-s", t.source.dsn, "-d", "archive:", "-t", "t").expect(2, "without a directory")
    t.run("copy", "-s", t.source.dsn, "-d", "archive:/nowhere", "-t", "t").expect(2, "does not take an archive")
    t.run("plan", "-s", t.source.dsn, "-d", "archive:/nowhere", "-t", "t", "--mode", "replace").expect(2, "an extract loads none")
    t.run("plan", "-s", t.source.dsn, "-d", "archive:/x=y z", "-t", "t", "--write-file", "-").expect(0)


@story()
def an_extract_renames_filters_chooses_and_computes(t):
    t.source.query("create table t (id int primary key, a text, b int, g int generated always as (id * 2) stored);"
                   "insert into t select i, 'x', i from generate_series(1, 1000) i")
    plan = extract_plan(t, "-t", "t=other.u", "--columns", "g,id", "--where", "id > 10", "--split", "key", "--shard-rows", "100")
    table = plan["tables"][0]
    assert table["target"] == "other.u" and table["filter"] == "id > 10" and table["shards"] == 10, table
    assert [c["name"] for c in table["columns"]] == ["id", "g"], table
    job = t.write("job.yaml", 'tables:\n- table: t\n  columns:\n    b: "b::int8 + 1"\n    "new one": "a || id"\n')
    table = extract_plan(t, "-f", job)["tables"][0]
    assert [(c["name"], c["target_type"]) for c in table["columns"]] == [
        ("id", "integer"), ("a", "text"), ("b", "bigint"), ("new one", "text")], table
    extract_plan(t, "-t", "t", "--columns", "idd", rc=2, texts=["did you mean id?"])
    t.source.query("create table u (a int)")
    extract_plan(t, "-t", "t=u", "-t", "u", rc=2, texts=["public.t and public.u would both be public.u in the archive"])


@story()
def an_extract_keeps_the_checks_of_the_source(t):
    t.source.query("create table t (a int); create view v as select 1 as a; create foreign data wrapper w; create server s foreign "
                   "data wrapper w; create table root (a int) partition by list (a); create table leaf partition of root for values "
                   "in (1); create foreign table far partition of root for values in (2) server s; "
                   "create role %s login; grant usage on schema public to %s" % (t.id, t.id))
    try:
        extract_plan(t, "-t", "v", rc=2, texts=["is a view, not a table"])
        extract_plan(t, "-t", "root", rc=2, texts=["public.far, a part of public.root, is a foreign table"])
        t.run("plan", "-s", t.source.dsn + " user=" + t.id, "-d", "archive:/x", "-t", "t").expect(2, "extract would refuse",
                                                                                                  "GRANT SELECT")
        t.run("plan", "-s", t.source.dsn, "-d", "archive:/x", "-t", "t", "--where", "a > random()").expect(2, "volatile")
    finally:
        t.source.query("drop owned by %s; drop role %s" % (t.id, t.id))


@story()
def the_catalog_of_an_archive_says_what_the_server_said(t):
    t.both(ODD)
    plan = load(t)
    assert plan["comes_back"] and obstacles(plan) == [], plan
    copied = t.plan("--all")
    for name, table in by_name(copied).items():
        loaded = by_name(plan)[name]
        for key in ("target", "format", "filter"):
            assert loaded[key] == table[key], (loaded, table)
        types = [[(c["name"], c["source_type"], c["target_type"]) for c in x["columns"] if c["name"] != "gen"] for x in (loaded, table)]
        assert types[0] == types[1], types
        assert loaded["rows_estimate"] == 10, loaded
    assert plan["definition"]["source"] == {"archive": "00112233445566778899aabbccddeeff"}, plan
    assert plan["extract_definition"]["target"] == {"archive": True}, plan


@story()
def a_load_names_tables_as_a_copy_does(t):
    t.both("create schema s; create table a (x int); create table b (x int); create table s.c (x int)")
    t.target.query("create table z (x int)")
    assert len(load(t, load=("-t", "a"))["tables"]) == 1
    assert [x["target"] for x in load(t, load=("-t", "a=z"))["tables"]] == ["public.z"]
    assert [x["source"] for x in load(t, load=("--schema", "s"))["tables"]] == ["s.c"]
    assert len(load(t, load=("-t", "*", "--exclude-table", "b"))["tables"]) == 1
    load(t, load=("-t", "aa"), rc=2, texts=["table aa does not exist in the archive", "did you mean public.a?"])
    load(t, load=("-t", "nowhere"), rc=2, texts=["does not exist in the archive", "archive ls"])
    load(t, tables=("-t", "a=z"), load=("-t", "a"), rc=2, texts=["does not exist in the archive"])
    for option, text in ((("--where", "x = 1"), "a filter"), (("--columns", "x"), "a choice of columns"),
                         (("--key", "x"), "another cut (--key)"), (("--split", "hash"), "another cut"),
                         (("--shard-size", "1MiB"), "another cut"), (("--sequences",), "a sequence's value")):
        load(t, load=("-t", "a") + option, rc=2, texts=[text + (" " if text[-1] != ")" else ""), "cannot be asked of an archive"])


@story()
def a_load_takes_the_archive_s_order_and_all_its_columns(t):
    t.source.query("create table t (a int, b text, c date); create table more (a int, b int); create table g (a int, b int)")
    t.target.query("create table t (c date, extra int default 1, b text, a int); create table more (a int); "
                   "create table g (a int, b int generated always as (a) stored)")
    plan = load(t, tables=("-t", "t"))
    assert [c["name"] for c in plan["tables"][0]["columns"]] == ["a", "b", "c"], plan
    assert any("extra will be filled by default" in w for w in plan["tables"][0]["warnings"]), plan
    only_obstacle(load(t, tables=("-t", "more")), "the target has no column b", "archive cat")
    only_obstacle(load(t, tables=("-t", "g")), "the archive holds values for it, and the target computes them")
    t.target.query("alter table t alter extra drop default, alter extra set not null")
    only_obstacle(load(t, tables=("-t", "t")), "extra must not be null", "give them a default")


# What copy casts, and what the text of a value in an archive is good for. "x xml" makes a table go as text.
PAIRS = [("int4", "int4", True, True), ("int4", "int8", False, True), ("int4", "text", False, True), ("varchar(5)", "text", True, True),
         ("text", "varchar(5)", False, False), ("float4", "float8", False, False), ("float4[]", "float8[]", False, False),
         ("int2[]", "int4[]", False, True), ("numeric(5,1)", "numeric(7,2)", False, True), ("numeric(5,2)", "numeric(5,1)", False, False),
         ("date", "timestamp", False, True), ("timestamp", "timestamptz", False, False), ("int8", "float8", False, False),
         ("json", "jsonb", False, False), ("char(3)", "char(5)", False, True), ("cidr", "inet", False, True)]


@story()
def a_load_refuses_what_a_copy_would_have_to_cast(t):
    for source, target, binary, text in PAIRS:
        t.source.query("drop table if exists b, x; create table b (v %s); create table x (v %s, x xml)" % (source, source))
        t.target.query("drop table if exists b, x; create table b (v %s); create table x (v %s, x xml)" % (target, target))
        plan = load(t)
        assert by_name(plan)["public.b"]["format"] == "binary" and by_name(plan)["public.x"]["format"] == "text", plan
        for name, loadable in (("public.b", binary), ("public.x", text)):
            refused = [o for o in obstacles(plan) if o.startswith(name + ", column v")]
            assert len(refused) == (not loadable), (source, target, name, obstacles(plan))
            assert all("the archive holds" in o and "wants" in o for o in refused), refused


@story()
def a_load_compares_types_as_deep_as_a_copy(t):
    t.both("create type mood as enum ('a', 'b'); create type pair as (x int, m mood); create domain small as int;"
           "create table e (m mood[]); create table c (p pair); create table d (s small)")
    assert obstacles(load(t)) == []
    t.source.query("alter type mood add value 'new'")
    t.target.query("drop table d; drop domain small; create domain small as int8; create table d (s small)")
    plan = load(t)
    said = "\n".join(obstacles(plan))
    assert len(plan["obstacles"]) == 3 and said.count('has no label "new"') == 2, said
    assert "small differs between the archive and the target" in said, said


@story()
def a_load_checks_extensions_and_money(t):
    t.source.query("create extension hstore; create table h (v hstore); create table m (v money); create table mx (v money, x xml)")
    t.target.query("create schema ext; create extension hstore schema ext version '1.7'; create table h (v ext.hstore); "
                   "create table m (v money); create table mx (v money, x xml)")
    newer = t.source.one("select extversion from pg_extension where extname = 'hstore'")
    only_obstacle(load(t), "column v: the archive holds public.hstore in binary form", newer + " in the source and 1.7", "copy from the source")
    t.target.query("alter extension hstore update")
    assert obstacles(load(t)) == []
    # how money is written is taken for another as soon as the locale has another name
    t.target.query("alter database %s set lc_monetary = '%s'" % (t.target.name, "C" if t.source.one("show lc_monetary") != "C" else "POSIX"))
    only_obstacle(load(t), "public.mx goes as text, and its money is written in another way", "the lc_monetary that the source had")


@story()
def a_load_keeps_the_checks_of_the_target(t):
    t.both("create table f (id int primary key); create table t (a int, f int references f)")
    t.target.query("create function nothing() returns trigger language plpgsql as 'begin return new; end'; "
                   "create trigger look before insert on t execute function nothing()")
    said = "\n".join(obstacles(load(t)))
    assert "trigger look of the target public.t would fire" in said and "public.t refers to public.f" in said, said
    assert obstacles(load(t, load=("--all", "--triggers", "skip"))) == []
    t.target.query("drop table t")
    load(t, tables=("-t", "t"), load=("-t", "t"), rc=2, texts=["table public.t does not exist in the target"])
    t.target.query("drop table f")
    load(t, rc=2, texts=["does not exist in the target"])


@story()
def a_load_finds_the_leaves_of_a_tree(t):
    tree = ("create table p (a int, b text) partition by range (a); create table p_1 partition of p for values from (0) to (10); "
            "create table p_2 partition of p for values from (10) to (%d); create table up (a int); "
            "create table down (b int) inherits (up)")
    t.source.query(tree % 20)
    t.target.query(tree % 20)
    plan = load(t)
    assert obstacles(plan) == [], plan
    assert {x["source"]: x["target"] for x in plan["tables"]} == {n: n for n in (
        "public.p_1", "public.p_2", "public.up", "public.down")}, plan
    # under another name, leaf by leaf, and through the root where bounds differ
    t.target.query((tree % 99).replace(" p ", " q ").replace("p_", "q_").replace("up", "above").replace("down", "below"))
    plan = load(t, tables=("-t", "p=q"), load=("-t", "q"))
    assert {x["source"]: x["target"] for x in plan["tables"]} == {"public.q_1": "public.q_1", "public.q_2": "public.q"}, plan
    plan = load(t, tables=("-t", "p", "--exclude-table", "p_2"), load=("-t", "p"))
    assert [x["source"] for x in plan["tables"]] == ["public.p_1"], plan
    # what was left out is no reason to empty it: only leaf for leaf
    replace = ("-t", "p", "--mode", "replace")
    plan = load(t, tables=("-t", "p", "--exclude-table", "p_2"), load=replace)
    assert [x["target"] for x in plan["tables"]] == ["public.p_1"] and obstacles(plan) == [], plan
    t.target.query("alter table p_1 rename to p_0")
    only_obstacle(load(t, tables=("-t", "p", "--exclude-table", "p_2"), load=replace), "while partitions of it are left out")
    t.target.query("alter table p_0 rename to p_1")
    plan = load(t, tables=("-t", "p_1"), load=("-t", "p_1"))
    assert [x["target"] for x in plan["tables"]] == ["public.p_1"], plan


@story()
def an_upsert_takes_an_archive_whose_shards_keep_a_key_together(t):
    t.source.query("create table t (k int not null, v int); insert into t select i, i from generate_series(1, 5000) i")
    t.target.query("create table t (k int primary key, v int)")
    upsert = ("-t", "t", "--mode", "upsert")
    many = ("--shard-size", "16kB")
    assert obstacles(load(t, tables=("-t", "t"), load=upsert)) == []
    only_obstacle(load(t, tables=("-t", "t") + many, load=upsert), "was not cut by the upsert key", "--split key")
    plan = load(t, tables=("-t", "t", "--split", "key", "--key", "k") + many, load=upsert)
    assert obstacles(plan) == [] and plan["tables"][0]["split"] == "key" and len(plan["shards"]) > 1, plan
    only_obstacle(load(t, tables=("-t", "t", "--split", "key", "--key", "v") + many, load=upsert), "was not cut by the upsert key")
    t.source.query("alter table t add unique (k)")
    assert obstacles(load(t, tables=("-t", "t") + many, load=upsert)) == []


@story()
def a_load_takes_over_the_shards_of_its_tables_alone(t):
    t.both("create table big (a int); create table small (a int)")
    t.source.query("insert into big select generate_series(1, 20000); insert into small values (1); analyze")
    plan = load(t, tables=("--all", "--shard-size", "100kB"), load=("-t", "big"))
    shards = plan["shards"]
    assert [s["shard"] for s in shards] == list(range(1, len(shards) + 1)) and len(shards) > 3, shards
    assert all(s["table"] == "big" and s["tab"] == 1 and s["file"] and s["snapshot"] == 1 for s in shards), shards
    assert len({s["file"] for s in shards}) == len(shards), shards
    weights = [s["weight"] for s in shards]
    assert weights == sorted(weights, reverse=True), shards
    assert plan["tables"][0]["shards"] == len(shards) and plan["tables"][0]["split"] == "block", plan
    assert plan["tables"][0]["bytes"] == sum(weights) and plan["tables"][0]["rows_estimate"] == 10 * len(shards), plan
    both = load(t, tables=("--all", "--shard-size", "100kB"))
    assert [x["source"] for x in both["tables"]] == ["public.big", "public.small"], both
    assert len(both["shards"]) == len(shards) + 1 and both["shards"][-1]["table"] == "small", both


@story()
def names_in_another_encoding_are_found_again(t):
    old = t.new_database(t.source_cluster, t.id + "_l", "encoding 'LATIN1' locale 'C'")
    old.query("set client_encoding to utf8; create table \"grüße\" (\"straße\" text, a int); create table plain (\"ß\" int)")
    t.target.query("create table \"grüße\" (a int, \"straße\" text); create table plain (\"ß\" int)")
    t.source = old
    plan = load(t)
    assert plan["comes_back"] and obstacles(plan) == [] and len(plan["tables"]) == 2, plan
    assert all(x["source"] == x["target"] for x in plan["tables"]), plan

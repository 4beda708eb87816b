"""copy --create: a whole database, or a part of one, into a database that has nothing yet."""

import difflib
import os
import subprocess
import time

import compare
from cluster import bindir, run_as_ordinary
from story import story

HERE = os.path.dirname(os.path.abspath(__file__))
WHOLE = os.path.join(HERE, "..", "support", "wholedb.sql")
ROLES = "do $$begin %s end$$"
ONE_ROLE = "if not exists (select from pg_roles where rolname = '%s') then create role %s; end if;"
ALL = ("--all", "--create", "--refresh-matviews", "-j", 2)


def make_roles(side):
    """Roles are the cluster's, which other stories share: they stay."""
    with side.cluster.session() as s:
        s.query("select pg_advisory_lock(1)")
        s.query(ROLES % " ".join(ONE_ROLE % (r, r) for r in ("wholedb_owner", "wholedb_reader")))


def whole(t):
    for side in (t.source, t.target):
        make_roles(side)
    with open(WHOLE) as f:
        t.source.cluster.psql(t.source.name, "set client_min_messages = error;" + f.read())


def schema_of(side, *options):
    """What pg_dump says of it, without the words for psql that every dump has its own of."""
    out = subprocess.run([bindir() + "/pg_dump", "-s", "-N", "pghaul", *options, "-d", side.dsn], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return [l for l in out.splitlines() if not l.startswith(("\\restrict", "\\unrestrict"))]


def same_schema(t, *options):
    diff = list(difflib.unified_diff(schema_of(t.source, *options), schema_of(t.target, *options), "source",
                                     "target", lineterm="", n=4))
    assert not diff, "the schemas differ:\n" + "\n".join(diff[:80])


TABLES = ("select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where relkind in "
          "('r', 'm') and n.nspname not in ('pghaul', 'pg_catalog', 'information_schema') and c.relispopulated "
          "and relnatts > 0 order by 1, 2")


def same_rows(t):
    tables = [tuple(row) for row in t.source.query(TABLES)]
    assert len(tables) > 10, tables
    compare.compare(t.source, t.target, tables)


def sequences(side):
    names = side.column("select quote_ident(schemaname) || '.' || quote_ident(sequencename) from pg_sequences"
                        " where schemaname <> 'pghaul' order by 1")
    return {n: side.query("select last_value, is_called from " + n)[0] for n in names}


def same_whole(t):
    same_schema(t)
    same_rows(t)
    assert sequences(t.source) == sequences(t.target)
    t.check_ledger(complete=True)


def untouched(t):
    """Nothing but what the story itself has made is in the target: no ledger, no schema of the source's."""
    found = t.target.column("select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in "
                            "('information_schema', 'public', 'mine')")
    assert not found, "the target was changed: %s" % found


@story()
def a_whole_database_moves_with_one_command_and_the_second_does_nothing(t):
    whole(t)
    plan = t.plan(*ALL)
    assert plan["creates"]["tables"] > 12 and plan["creates"]["foreign keys"] >= 3, plan["creates"]
    untouched(t)
    result = t.copy(*ALL, "--json").expect(0, "foreign table odd schema.outside").json
    assert result["created"] == plan["creates"] and result["job"] == plan["job"], result
    names = [p["name"] for p in result["phases"]]
    assert names[0] == "creating the schema" and "copying" in names, names
    same_whole(t)
    assert t.target.int("select count(*) from pg_stats where schemaname = 'shop' and tablename = 'item'") > 5
    t.copy(*ALL).expect(0, "nothing to do")
    t.run("verify", *t.ends(), "--all").expect(0)
    same_whole(t)
    t.nothing_left()


@story()
def a_killed_creation_goes_on_wherever_it_was(t):
    whole(t)
    killed = ["create.written", "create.chunk", "create.chunk.done"]
    for fault in killed:
        assert t.copy(*ALL, fault=fault + ":1:kill").rc == -9, fault
    for fault in ("build.claimed", "build.sent", "build.done"):
        assert t.copy(*ALL, fault=fault + ":4:kill").rc == -9, fault
    assert t.copy(*ALL, fault="create.sequences:1:kill").rc == -9
    t.copy(*ALL).expect(0)
    same_whole(t)


@story()
def tables_are_made_by_several_connections_and_what_needs_each_other_in_order(t):
    space = t.id + "_space"
    for side in (t.source, t.target):
        with side.cluster.session("postgres") as s:
            s.query("set allow_in_place_tablespaces = on")
            s.query("create tablespace %s location ''" % space)
    t.source.query(
        "create schema s; set search_path = s; do $$begin for i in 1..90 loop execute format("
        "'create table t%s (id int generated always as identity, n serial, w text); comment on column t%s.w is ''%s''; "
        "insert into t%s (w) select g from generate_series(1, 3) g', i, i, i, i); end loop; end$$;"
        "create table a_child (c int) inherits (t77); create table b_like (x t3, y t4[]) tablespace " + space + ";"
        "alter sequence t2_n_seq start 500; alter sequence t3_id_seq increment -1 minvalue -9 maxvalue 9; select"
        " setval('t3_id_seq', -2); create sequence z_shared start 7; select setval('z_shared', 3);"
        "create sequence \"Z odd\" start 5; create table c_uses (id int default nextval('z_shared'), t regclass default 't9');"
        "create view m_view as select * from t5; create table d_of_view (v m_view); create view n_view as select 1 as one;"
        "create type y_row as (t t12); create table e_of_type (y y_row);"
        "create table p (i int) partition by range (i); do $$begin for i in 1..40 loop execute format("
        "'create table p_%s partition of p for values from (%s) to (%s)', i, i, i + 1); end loop; end$$;"
        "insert into p select g from generate_series(1, 40) g; alter table t1 set tablespace " + space)
    args = ("--all", "--create", "-j", 8)
    # five parts come one after the other: up to what tables need, and what needs that; then many at once
    for fault in ("create.chunk.done:5:kill", "create.chunk:1:kill"):
        assert t.copy(*args, fault=fault).rc == -9, fault
    before = t.target.int("select cardinality(done) from pghaul.creation")
    assert before >= 5, "nothing of it was kept"
    # what one of several fails at is done by another, alone
    t.copy(*args, ).expect(0, "%d of" % before)
    beside = "select max(n) from (select count(*) n from pghaul.creation, unnest(waves) w group by w) x"
    assert t.target.int(beside) > 2, "one after the other: %s" % t.target.query("select waves from pghaul.creation")
    same_schema(t)
    same_rows(t)
    assert sequences(t.source) == sequences(t.target)
    t.check_ledger(complete=True)
    t.nothing_left()


@story(campaign=True, dice=True, timeout=1200)
def a_whole_database_survives_kills_at_random_moments(t):
    """Thirty rounds, each from nothing; killed up to six times on its way."""
    whole(t)
    for _ in range(30):
        t.target.query("drop event trigger if exists watch")
        t.target.forget()
        with t.target.cluster.session() as s:
            s.query('drop database "%s" with (force)' % t.target.name)
            s.query('create database "%s" template template0' % t.target.name)
        for _ in range(6):
            with t.start_copy(*ALL) as run:
                time.sleep(t.random.uniform(0.05, 1.5))
                if not run.kill9():
                    break
        t.copy(*ALL).expect(0)
        same_whole(t)


LARGE = """
create table narrow (id bigint primary key, a int, b int, c int not null check (c >= 0));
insert into narrow select g, g * 7919::bigint % 300000, g % 1000, g from generate_series(1, 300000) g;
create index narrow_a on narrow (a); create index narrow_b on narrow (b, c); create index narrow_h on narrow using hash (a);
create table wide (id int primary key, n bigint references narrow, t text, x int4range, exclude using gist (x with &&));
insert into wide select g, g, repeat(md5(g::text), 3), int4range(g * 10, g * 10 + 5) from generate_series(1, 20000) g;
create index wide_t on wide (t); create unique index wide_u on wide (t, id); create statistics wide_s on n, id from wide;
create view seen as select count(*) from narrow;
"""


@story(campaign=True, dice=True, timeout=1200)
def large_tables_and_pgbench_survive_kills_at_random_moments(t):
    """Three rounds; killed up to eight times each, while rows move, indexes are built, keys are checked, statistics made."""
    run_as_ordinary([bindir() + "/pgbench", "-i", "-q", "-s", "3", "--foreign-keys", t.source.dsn], check=True,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t.source.query(LARGE)
    for _ in range(3):
        t.target.forget()
        with t.target.cluster.session() as s:
            s.query('drop database "%s" with (force)' % t.target.name)
            s.query('create database "%s" template template0' % t.target.name)
        for _ in range(8):
            with t.start_copy("--all", "--create", "-j", 2, "--shard-size", "2MB") as run:
                time.sleep(t.random.uniform(0.2, 4))
                if not run.kill9():
                    break
        t.copy("--all", "--create").expect(0)
        t.run("verify", *t.ends(), "--all", "--schema", "--level", "source", "--in-server").expect(0)
        same_schema(t)
        t.check_ledger(complete=True)
        t.nothing_left()


@story(campaign=True)
def only_one_mover_creates_and_join_waits_for_it(t):
    t.source.query("create schema s; create table s.a (id int); insert into s.a values (1)")
    other = t.target.session()
    other.query("select pg_advisory_lock(1885825122, 0)")
    t.copy("--all", "--create").expect(4, "creating a schema", "--join")
    untouched(t)
    with t.start_copy("--all", "--create", "--join") as run:
        time.sleep(0.5)
        assert run.alive(), "it did not wait"
        other.close()
        run.wait().expect(0)
    t.whole(("s", "a"))


@story()
def another_encoding_and_names_in_it_are_converted(t):
    source = t.new_database(t.source.cluster, t.id + "_l", "encoding 'LATIN1' locale 'C'")
    source.query("create schema s; create table s.\"Größe\" (\"größe\" text default 'ÄÖ', id int primary key);"
                 "comment on table s.\"Größe\" is 'Ünïcode'; insert into s.\"Größe\" values ('ß', 1);"
                 "create function s.f() returns text language sql as $$select 'é'::text$$;"
                 "create view s.v as select 'ñ'::text as x; create index \"ï\" on s.\"Größe\" (\"größe\")")
    t.run("copy", "-s", source.dsn, "-d", t.target.dsn, "--all", "--create").expect(0)
    row = t.target.query('select "größe", s.f(), x, obj_description(\'s."Größe"\'::regclass) from s."Größe", s.v')[0]
    assert list(row) == ["ß", "é", "ñ", "Ünïcode"], row
    assert t.target.one("select to_regclass('s.\"ï\"')") is not None


@story()
def an_error_in_the_schema_names_the_object_and_can_be_mended(t):
    t.source.query("create schema s; create table s.a (id int primary key); create table s.b (id int);"
                   "create view s.v as select 1 as one; insert into s.a select generate_series(1, 10)")
    t.target.query("create function public.veto() returns event_trigger language plpgsql as $$begin"
                   " if exists (select from pg_event_trigger_ddl_commands() where object_identity = 's.b')"
                   " then raise exception 'no table b here'; end if; end$$;"
                   "create event trigger veto on ddl_command_end execute function public.veto()")
    t.copy("--all", "--create").expect(1, "table s.b", "raised an error", "same command")
    assert t.target.one("select to_regclass('s.a')") is None, "half a chunk is there"
    t.target.query("drop event trigger veto; drop function public.veto()")
    t.copy("--all", "--create").expect(0)
    same_schema(t)
    t.whole(("s", "a"), ("s", "b"))


@story()
def what_stands_in_the_way_is_found_before_anything_is_changed(t):
    t.source.query("create schema s; create table s.a (id int); create table s.c (id int); create table public.d()")
    t.target.query("create schema mine; create table mine.a (id int); create table public.d ()")
    args = ("--all", "--create")
    t.copy(*args).expect(2, "table public.d", "leave out --create")
    t.run("plan", *t.ends(), *args).expect(2, "table public.d")
    t.target.query("drop table public.d")
    t.copy(*args, "--pg-bin", t.directory).expect(2, "no pg_dump", "--pg-bin")
    old = t.write("pg_dump", "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    for name in (old, t.write("pg_restore", "#!/bin/sh\n")):
        os.chmod(name, 0o755)
    t.copy(*args, "--pg-bin", t.directory).expect(2, "9.6.1", "postgresql-client-")
    nowhere = t.target.dsn.replace("dbname=", "dbname=no_")
    t.run("copy", "-s", t.source.dsn, "-d", nowhere, *args).expect(2, "does not exist", "createdb")
    t.copy(*args, "--mode", "replace").expect(2, "--create")
    t.copy("-t", "s.a=s.b", "--create").expect(2, "own names")
    t.source.query("create domain s.small as int check (value < 9); alter table s.a add k s.small[]; create function s.f(int) returns int "
                   "immutable language sql as 'select $1'; alter table s.c add d int default s.f(1), add a s.a")
    t.copy("-t", "s.a", "-t", "s.c", "--create").expect(2, "function s.f(integer) and type s.small", "--schema or --all")
    t.copy("-t", "s.c", "--create").expect(2, "function s.f(integer) and table s.a")
    t.copy(*args, "--data-only").expect(2, "exclude each other")
    t.copy("--all", "--no-owner").expect(2, "--create")
    role = "wholedb_only_here"
    t.source.query(ROLES % (ONE_ROLE % (role, role)))
    t.source.query("alter table s.a owner to %s; grant select on s.c to %s" % (role, role))
    try:
        if t.source.cluster is not t.target.cluster:
            t.copy(*args).expect(2, role, "--no-owner")
            untouched(t)
        t.copy(*args, "--no-owner", "--no-privileges").expect(0)
        t.whole(("s", "a"), ("s", "c"))
    finally:
        t.source.query("alter table s.a owner to tester; drop owned by %s; drop role %s" % (role, role))
    assert t.target.one("select relowner::regrole::text from pg_class where oid = 's.c'::regclass") == "tester"


@story()
def large_objects_come_with_a_schema_that_is_made(t):
    t.source.query("create table a (id int primary key); create table b (id int); insert into a values (1);"
                   "select lo_create(0) from generate_series(1, 3)")
    objects = "select oid from pg_largeobject_metadata order by 1"
    for args in (("-t", "a"), ("--all",)):
        shown = t.plan(*args, "--create", "--large-objects")["tables"]
        assert shown[-1]["source"] == "pg_catalog.pg_largeobject_metadata", shown
        t.copy(*args, "--create", "--large-objects").expect(0)
        assert t.target.column(objects) == t.source.column(objects), args
        t.whole("a")
        t.copy(*args, "--create", "--large-objects").expect(0, "nothing to do")
        t.target.query("drop table a; drop schema pghaul cascade; select lo_unlink(oid) from pg_largeobject_metadata")
        t.target.forget()


@story()
def statistics_are_made_before_the_owner_loses_the_functions_of_an_index(t):
    make_roles(t.source)
    make_roles(t.target)
    t.source.query("create function f(int) returns int language plpgsql immutable as 'begin return $1; end';"
                   "create table a (id int); create index on a (f(id)); insert into a select generate_series(1, 500);"
                   "alter table a owner to wholedb_owner; revoke all on function f(int) from public")
    t.copy("--all", "--create", "-j", 1, fault="build.done:2:kill")
    t.copy("--all", "--create").expect(0)
    same_schema(t)
    t.whole("a")
    assert t.target.int("select count(*) from pg_stats where tablename = 'a'") == 1


@story()
def an_extension_that_the_target_lacks_is_named_with_what_to_do(t):
    t.source.query("create extension hstore; create schema s; create table s.a (id int, h hstore)")
    t.copy("-t", "s.a", "--create").expect(2, "hstore", "create extension hstore")
    untouched(t)
    t.target.query("create extension hstore")
    t.copy("--schema", "s", "--create").expect(0)
    t.whole(("s", "a"))


@story()
def a_part_of_a_database_is_made_with_what_belongs_to_it(t):
    t.source.query("create schema s; create table s.root (id serial, at int, primary key (id, at)) partition by range (at);"
                   "create table s.low partition of s.root for values from (0) to (10);"
                   "create table s.high partition of s.root for values from (10) to (20);"
                   "create table s.other (id int); create table s.log (id int);"
                   "insert into s.root (at) select g % 20 from generate_series(1, 1000) g; insert into s.log values (1)")
    t.copy("-t", "s.low", "--create").expect(2, "schema", "--schema")  # -t makes no schema, as pg_dump's
    untouched(t)
    t.target.query("create schema s")
    t.copy("-t", "s.root", "--create").expect(0)
    t.same(("s", "root"))
    assert t.target.int("select nextval('s.root_id_seq')") == 1001
    assert t.target.one("select to_regclass('s.other')") is None


@story()
def a_schema_alone_has_no_rows_and_exclusions_stay_out(t):
    t.source.query("create schema s; create table s.root (id int) partition by list (id);"
                   "create table s.one partition of s.root for values in (1); create table s.a (id int primary key);"
                   "create table s.b (id int references s.a); insert into s.a values (1); insert into s.b values (1);"
                   "insert into s.root values (1)")
    args = ("--schema", "s", "--exclude-table", "s.root", "--schema-only")
    t.copy(*args).expect(0)
    assert t.target.column("select relname from pg_class where relnamespace = 's'::regnamespace and relkind in "
                           "('r', 'p') order by 1") == ["a", "b"]
    assert t.target.int("select count(*) from s.a") == 0
    assert t.target.int("select count(*) from pg_constraint where conrelid = 's.b'::regclass and convalidated") == 1
    t.copy(*args).expect(0, "nothing to do")
    t.nothing_left()


@story()
def what_a_selection_leaves_out_is_said_and_a_schema_in_the_making_can_be_looked_at(t):
    t.source.query("create schema s; create table s.a (id int primary key); create table s.b (id int references s.a);"
                   "create table s.there (id int primary key); create table s.c (id int references s.there)")
    t.target.query("create schema s; create table s.there (id int primary key)")
    args = ("-t", "s.b", "-t", "s.c", "--create")
    said = "foreign key b_id_fkey of s.b is left out"
    assert t.copy(*args, fault="create.chunk.done:1:kill").rc == -9
    at = ("-d", t.target.dsn)
    t.run("status", *at).expect(0, "1 of 1 parts", "nobody is at it")
    seen = t.run("status", *at, "--json").expect(0).json
    assert seen["job"] is None and seen["state"] == "pending" and seen["parts_done"] == 1, seen
    t.run("report", *at, "-o", "/dev/null").expect(2, "in the making", "copy --create")
    busy = t.target.session()
    busy.query("select pg_advisory_lock(1885825122, 0)")
    assert t.run("status", *at, "--json").expect(0).json["state"] == "running"
    t.run("clean", *at, "--yes").expect(4, "creating")
    busy.close()
    t.run("clean", *at, "--yes", "--dry-run").expect(0, "would be forgotten")
    t.run("clean", *at, "--yes").expect(0, "forgotten")
    assert t.target.one("select to_regnamespace('pghaul')") is None, "the ledger is there"
    t.target.query("drop table s.b, s.c")
    t.run("plan", *t.ends(), *args).expect(0, said)
    t.copy(*args).expect(0, said)
    assert t.target.column("select conname from pg_constraint where contype = 'f' and connamespace = 's'::regnamespace") \
        == ["c_id_fkey"]


@story()
def rows_in_a_table_of_an_extension_are_said_to_stay(t):
    t.source.query("create extension hstore; create table conf (i int); insert into conf values (1), (2), (3);"
                   "alter extension hstore add table conf; update pg_extension set extconfig = array['conf'::regclass::oid],"
                   "extcondition = array['where i > 1'] where extname = 'hstore'; create table a (h hstore)")
    t.copy("--all", "--create").expect(0, "2 rows of public.conf do not come with extension hstore", "--allow-nonempty")
    t.check_ledger(complete=True)


@story(tcp=True)
def the_password_is_in_no_argument_of_pg_dump(t):
    t.source.query("create role hauler superuser login password 'Tr0ub4dor&3'; create table a (id int)")
    seen, tools = [], t.directory + "/bin"
    os.mkdir(tools)
    for name in ("pg_dump", "pg_restore"):  # long enough there to be seen
        with open("%s/%s" % (tools, name), "w") as f:
            f.write('#!/bin/sh\nsleep 0.2\nexec %s/%s "$@"\n' % (bindir(), name))
        os.chmod("%s/%s" % (tools, name), 0o755)
    os.chmod(tools, 0o755)
    dsn = t.source.tcp_dsn("hauler")
    with t.mover.start("copy", "-s", dsn, "-d", t.target.dsn, "--all", "--create", "--pg-bin", tools, env={"PGPASSWORD": "Tr0ub4dor&3"}) as run:
        while run.alive():
            seen += all_arguments()
        run.wait().expect(0)
    assert any("pg_dump" in s for s in seen), "pg_dump was never seen"
    assert not [s for s in seen if "Tr0ub4dor" in s], "the password is in an argument"
    t.whole("a")


@story(own=True, tcp=True, campaign=True)
def the_password_of_a_key_reaches_pg_dump_and_is_in_no_argument(t):
    key, cert, where = t.directory + "/key", t.directory + "/cert", t.source.cluster.directory
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=hauler", "-days", "9")
    for argv in ((*new, "-nodes", "-keyout", where + "/server.key", "-out", where + "/server.crt"),
                 (*new, "-passout", "pass:Tr0ub4dor&3", "-keyout", key, "-out", cert)):
        run_as_ordinary(argv, check=True, stderr=subprocess.DEVNULL)
    t.source.cluster.configure({"ssl": "on"})
    t.source.cluster.restart()
    t.source.query("create role hauler superuser login password 'x'; create table a (id int); insert into a values (1)")
    dsn = t.source.tcp_dsn("hauler").replace("sslmode=disable", "sslmode=require sslcert=%s sslkey=%s sslpassword=%s")
    seen = []
    with t.mover.start("copy", "-s", dsn % (cert, key, "Tr0ub4dor&3"), "-d", t.target.dsn, "--all", "--create",
                       env={"PGPASSWORD": "x"}) as run:
        while run.alive():
            seen += [s for s in all_arguments() if "pg_dump" in s]
        run.wait().expect(0)
    assert seen and not [s for s in seen if "Tr0ub4dor" in s], seen[:3]
    t.same("a")


def all_arguments():
    out = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open("/proc/%s/cmdline" % pid) as f:
                    out.append(f.read().replace("\0", " "))
            except OSError:
                pass
    return [s for s in out if "pg" in s]


@story()
def a_written_job_file_plans_what_its_command_did(t):
    """Nothing is lost on the way: what --all and --schema mean with --create, large objects, encodings, tables' own."""
    t.source.query("create schema app; create type app.mood as enum ('sad', 'ok'); create table app.items (id int primary key, m app.mood);"
                   " create table notes (id int primary key, t text); create view v as select * from notes; create materialized view mat as select 1; select lo_create(77);")
    t.target.query("create schema there; create table there.notes (id int primary key, t text)")
    path, before = os.path.join(t.directory, "job.yaml"), compare.whole_digest(t.target)
    for options in (("--all", "--create", "--large-objects", "--no-owner", "--vacuum", "-j", 3),
                    ("--schema", "app", "--create", "--no-privileges", "--exclude-table", "app.n*"),
                    ("--all", "--schema-only", "--no-comments"), ("-t", "notes", "--create", "--shard-size", "5MiB", "--spill", "never"),
                    ("-t", "notes=there.notes", "--mode", "upsert", "--key", "id", "--where", "id > 5", "--columns", "id,t",
                     "--max-rejects", 7, "--strict", "--split", "key", "--max-rate", "20MiB", "--max-lag", "9s", "--pause-file", "/none",
                     "--timetable", "Mon-Fri 08:00-18:00 20MiB/s; else off", "--verify", "--target-jobs", 2),
                    ("-t", "notes=there.notes", "--large-objects", "--defer-indexes", "--triggers", "skip", "--sequences")):
        said = t.plan(*options, "--write-file", path)
        read = t.run("plan", "-f", path, "--json", "--write-file", path + "2").expect(0).json
        assert open(path).read() == open(path + "2").read()
        for plan in (said, read):
            plan["forecast"].pop("seconds")
            told = [w for w in plan["warnings"] if "public.mat" in w]
            assert len(told) == ("--all" in options), told
        assert read == said, "%s\n%s\n%s\n%s" % (options, open(path).read(), said, read)
    assert compare.whole_digest(t.target) == before
    t.nothing_left()


@story()
def an_ordinary_role_makes_what_it_may_read(t):
    """Rights that are lacking are found before anything is made, sequences' too, which are read last of all."""
    role = "wholedb_lowly"
    for side in (t.source, t.target):
        with side.cluster.session() as s:
            s.query("select pg_advisory_lock(1)")
            s.query(ROLES % ((ONE_ROLE % (role, role)).replace("create role %s" % role, "create role %s login" % role)))
    t.source.query("create schema app; create table app.items (id serial primary key, n int generated always as identity unique);"
                   " insert into app.items select from generate_series(1, 100); create view app.v as select * from app.items;"
                   " grant usage on schema app to %s" % role)
    ends = ["-s", t.source.dsn.replace("user=tester", "user=" + role), "-d", t.target.dsn.replace("user=tester", "user=" + role)]
    args = ("--schema", "app", "--create", "--no-owner", "--no-privileges")
    assert role in ends[1] and role in ends[3], ends
    for command in ("plan", "copy"):
        t.run(command, *ends, *args).expect(2, "no permission to read app.items", "GRANT SELECT ON app.items TO " + role)
    t.source.query("grant select on app.items to %s" % role)
    result = t.run("copy", *ends, *args).expect(2, "sequences app.items_id_seq and app.items_n_seq", "in the source")
    assert "GRANT CREATE ON DATABASE" in result.err, result
    t.source.query("grant select on all sequences in schema app to %s" % role)
    untouched(t)
    t.run("copy", *ends, *args).expect(2, "GRANT CREATE ON DATABASE")
    t.target.query("grant create on database %s to %s" % (t.target.name, role))
    assert t.run("copy", *ends, *args, "--verify", "--json").expect(0).json["verify"]["equal"]
    t.run("verify", *ends, "--schema", "app", "--schema", "--no-owner", "--no-privileges").expect(0)
    assert t.target.column("select tableowner from pg_tables where schemaname = 'app'") == [role]
    t.same(("app", "items"))
    t.nothing_left()


def a_small_schema(t):
    t.source.query("create schema shop; create table shop.a (id int primary key, w text); create table shop.b (id int "
                   "references shop.a); insert into shop.a select g from generate_series(1, 100) g;"
                   "create materialized view shop.m as select * from shop.a")


@story()
def an_unfinished_creation_names_its_command_to_others(t):
    a_small_schema(t)
    begun = ("--schema", "shop", "--create", "--no-comments")
    for fault in ("create.chunk:2:kill", "sink.opened:1:kill"):
        assert t.copy(*begun, fault=fault).rc == -9
        t.copy("--schema", "shop", "--create").expect(5, "begun with other options", "pghaul copy --create --schema shop"
                                                        " --no-comments", "goes on with it")
    t.copy("--all", "--create").expect(2, "finds in the target", "begun here by pghaul copy --create --schema shop"
                                                                 " --no-comments")
    t.copy(*begun).expect(0)
    t.copy("--schema", "shop", "--create").expect(2, "has made a schema here by pghaul copy --create --schema shop "
                                                     "--no-comments", "leave out --create")
    t.copy(*begun, "--again").expect(2, "cannot do it again", "--mode replace")
    t.same(("shop", "a"))
    t.check_ledger(complete=True)


@story()
def a_materialized_view_that_nobody_has_filled_is_told_apart(t):
    a_small_schema(t)
    result = t.copy("--schema", "shop", "--create", "--json").expect(0).json
    assert result["unpopulated"] == ["shop.m"], result
    t.copy("--schema", "shop", "--create").expect(0, "nothing to do")
    verify = ("verify", *t.ends(), "--all", "--definitions")
    said = t.run(*verify, "--json").expect(0).json["schema"]
    assert said["equal"] and said["unpopulated"] == ["shop.m"], said
    t.run(*verify).expect(0, "shop.m is not populated in the target")
    t.run(*verify, "--exact").expect(3, "shop.m")
    t.target.query("refresh materialized view shop.m")
    assert t.run(*verify, "--exact", "--json").expect(0).json["schema"]["unpopulated"] == []
    t.source.query("create materialized view shop.empty as select 1 with no data")
    t.target.query("create materialized view shop.empty as select 1")
    t.run(*verify).expect(3, "shop.empty")

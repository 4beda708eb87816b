"""Archives of whole databases: the schema beside the rows, made again without the source; rows that a target's encoding cannot
hold; large objects."""

import os
import shutil
import subprocess
import time

from cluster import bindir, chown_to_ordinary, run_as_ordinary
from story import story
from test_create import same_schema, same_whole, sequences, untouched, whole
from test_encodings import database, make_odd
from test_extract import extract, given_up, load, sealed, start_extract, start_load, verify, where
from test_objects import forget, make, same_objects
from test_spill import flip

ALL = ("--all", "--create", "-j", 2)
LOAD = (*ALL, "--refresh-matviews")
FILES = ("job-schema.dump", "job-schema.json")


def empty(t):
    """The target as new."""
    t.target.forget()
    with t.target.cluster.session() as s:
        s.query('drop database "%s" with (force)' % t.target.name)
        s.query('create database "%s" template template0' % t.target.name)


GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "v1", "schema")


@story()
def the_golden_archive_of_a_schema_is_loaded_as_it_was_written(t):
    with open(GOLDEN + ".sql") as f:
        t.source.cluster.psql(t.source.name, f.read())
    shutil.copytree(GOLDEN, where(t))
    for path in [where(t)] + [os.path.join(where(t), name) for name in os.listdir(where(t))]:
        chown_to_ordinary(path)
    verify(t)
    result = load(t, *LOAD, "--json").expect(0).json
    assert result["rows"] == 250 and result["created"]["functions"] == 1 and result["created"]["foreign keys"] == 1, result
    same_schema(t)
    t.same(("shop", "item"), ("shop", "sold"), ("shop", "sums"))
    assert sequences(t.source) == sequences(t.target)
    t.check_ledger(complete=True)


@story()
def a_whole_database_comes_out_of_an_archive_without_its_source(t):
    whole(t)
    t.run("plan", "-s", t.source.dsn, "-d", "archive:" + where(t), "--all", "--create").expect(0)
    assert not os.path.exists(where(t))
    extract(t, *ALL).expect(0)
    given_up(t)
    extract(t, *ALL).expect(0, "nothing to do")
    extract(t, "--all").expect(5, "another definition")
    verify(t)
    listed = t.run("archive", "ls", where(t), "--json").expect(0).json["schema"]
    assert listed["counts"]["tables"] > 12 and listed["counts"]["foreign keys"] >= 3 and listed["pg_dump"] >= 15, listed
    t.run("archive", "ls", where(t)).expect(0, "schema ", "tables, ")
    # where its sequences were, only the archive knows
    stood = sequences(t.source)
    moved, (value, called) = sorted(stood.items())[0]
    t.source.query("select setval('%s', 100000)" % moved)
    t.run("plan", "-s", "archive:" + where(t), "-d", t.target.dsn, *ALL).expect(0, "creates ")
    untouched(t)
    result = load(t, *LOAD, "--json").expect(0).json
    assert result["created"] == listed["counts"] and result["steps"]["done"] > 20 > result["steps"]["planned"] == 0, result
    t.source.query("select setval('%s', %s, %s)" % (moved, value, "true" if called in (True, "t") else "false"))
    same_whole(t)
    assert t.target.int("select count(*) from pg_stats where schemaname = 'shop' and tablename = 'item'") > 5
    load(t, *LOAD).expect(0, "nothing to do")
    same_whole(t)
    t.run("verify", *t.ends(), "--all", "--schema").expect(0)
    t.nothing_left()


@story(campaign=True)
def a_schema_in_an_archive_survives_a_kill_at_every_step(t):
    whole(t)
    assert extract(t, *ALL, fault="create.kept:1:kill").rc == -9
    assert sorted(set(os.listdir(where(t))) - {"lock"}) == [FILES[0]]
    assert extract(t, *ALL, fault="spill.seal:3:kill").rc == -9
    t.source.terminate(t.source.backends())  # another moment, another schema
    os.unlink(os.path.join(where(t), FILES[0]))
    extract(t, *ALL, fault="spill.seal:5:kill").expect(-9, FILES[0] + " is missing", "starts over")
    os.unlink(os.path.join(where(t), FILES[1]))  # and somebody tidied up
    assert extract(t, *ALL, fault="extract.seal:1:kill").expect(-9, FILES[1] + " is missing; it is written again").rc
    flip(os.path.join(where(t), FILES[0]))
    extract(t, *ALL).expect(0, FILES[0] + " is not what was written")
    verify(t)
    for fault in ("create.written:1", "create.chunk:1", "create.chunk.done:1", "build.sent:4", "build.done:4",
                  "create.sequences:1", "job.completed:1"):
        assert load(t, *LOAD, fault=fault + ":kill").rc == -9, fault
    load(t, *LOAD).expect(0)
    load(t, *LOAD).expect(0, "nothing to do")
    t.run("verify", *t.ends(), "--all", "--schema").expect(0)


@story()
def a_schema_that_is_damaged_missing_or_not_there_makes_nothing(t):
    t.source.query("create table a (id int primary key); insert into a select generate_series(1, 1000)")
    extract(t, "--all", "--create", name="whole").expect(0)
    extract(t, "--all", name="rows").expect(0)
    load(t, *ALL, name="rows").expect(2, "rows only", "--create")
    for options in (("-t", "a"), ("--exclude-table", "b"), ("--schema", "public")):
        load(t, "--create", *options, name="whole").expect(2, "made as a whole")
    load(t, "--all", "--no-owner", name="whole").expect(2, "--no-owner")
    load(t, *ALL, "--pg-bin", t.directory, name="whole").expect(2, "no pg_dump", "--pg-bin")
    for program in ("pg_dump", "pg_restore"):
        with open(os.path.join(t.directory, program), "w") as f:
            f.write("#!/bin/sh\necho '%s (PostgreSQL) 9.6.1'\n" % program)
        os.chmod(f.name, 0o755)
    load(t, *ALL, "--pg-bin", t.directory, name="whole").expect(2, "9.6.1", "postgresql-client-")
    extract(t, *ALL, "--pg-bin", t.directory, name="never").expect(2, "9.6.1", "postgresql-client-")
    assert not os.path.exists(where(t, "never"))
    for file in FILES:
        subprocess.run(["cp", "-a", where(t, "whole"), where(t, "odd")], check=True)
        path = os.path.join(where(t, "odd"), file)
        for at in (0, os.path.getsize(path) // 2, os.path.getsize(path) - 1):
            flip(path, at)
            verify(t, 1, name="odd").expect(1, file)
            load(t, *ALL, name="odd").expect(2, file, "not what was written")
            flip(path, at)
        os.truncate(path, os.path.getsize(path) - 1)
        load(t, *ALL, name="odd").expect(2, file)
        os.unlink(path)
        verify(t, 1, name="odd").expect(1, file + " is missing")
        load(t, *ALL, name="odd").expect(2, file + " is missing")
        shutil.rmtree(where(t, "odd"))
    untouched(t)
    # rows can be had from any of them
    t.target.query("create table a (id int primary key)")
    load(t, "--all", name="whole").expect(0)
    t.whole("a")


@story(campaign=True)
def what_stands_in_the_way_of_an_archive_s_schema_is_found_before_anything_is_made(t):
    latin = t.new_database(t.source_cluster, t.id + "l", "encoding 'LATIN1' locale 'C'")
    role = "ärger_" + t.id
    latin.query('create schema "größe"; create table "größe"."übung" (id serial primary key, "maß" text check ("maß" <> \'ß\'));'
                'create index "nach maß" on "größe"."übung" ("maß"); create role "%s"; grant select on "größe"."übung" to "%s";'
                'insert into "größe"."übung" ("maß") select \'Ä\' || i from generate_series(1, 100) i' % (role, role))
    source = lambda name, *args: t.run("extract", "-s", latin.dsn, "-d", "archive:" + where(t, name), "--create", *args)
    try:
        source("all", "--all").expect(0)
        source("one", "-t", '"größe"."übung"').expect(0)
        load(t, *ALL, name="one").expect(2, "does not have the schema", "rger_" + t.id)
        load(t, *ALL, name="all").expect(2, "rger_" + t.id, "--no-privileges")
        t.target.query('create schema "größe"; create table "größe"."übung" (x int)')
        load(t, *ALL, "--no-privileges", name="all").expect(2, "finds in the target what it would make", "bung")
        t.target.query('drop table "größe"."übung"')
        plan = t.run("plan", "-s", "archive:" + where(t, "all"), "-d", t.target.dsn, *ALL, "--no-privileges", "--json").expect(0).json
        assert plan["creates"]["indexes"] == 1 and len(plan["tables"]) == 1, plan
        load(t, *ALL, "--no-privileges", name="all").expect(0)
    finally:
        latin.query('drop owned by "%s"; drop role "%s"' % (role, role))
    rows = 'select id, "maß" from "größe"."übung" order by 1'
    assert latin.query(rows) == t.target.query(rows)
    assert t.target.int('select nextval(\'"größe"."übung_id_seq"\')') == 101
    assert t.target.column("select indexname from pg_indexes where schemaname = 'größe' order by 1") == ["nach maß", "übung_pkey"]
    t.check_ledger(complete=True)


@story(campaign=True, dice=True, timeout=1200)
def a_whole_database_by_way_of_an_archive_survives_kills_at_random_moments(t):
    whole(t)
    for _ in range(15):
        empty(t)
        shutil.rmtree(where(t), ignore_errors=True)
        for start, ends in ((start_extract, (*ALL, "--shard-rows", 300)), (start_load, LOAD)):
            for _ in range(5):
                with start(t, *ends) as run:
                    time.sleep(t.random.uniform(0.02, 1.2))
                    if not run.kill9():
                        break
            (extract if start == start_extract else load)(t, *ends).expect(0)
        verify(t)
        same_whole(t)


@story()
def rows_of_an_archive_that_do_not_fit_are_named_and_left_out(t):
    ascii_ = database(t, "a", "SQL_ASCII")
    make_odd(ascii_)
    t.run("extract", "-s", ascii_.dsn, "-d", "archive:" + where(t), "-t", "o", "--split", "key", "--shard-rows", 500).expect(0)
    t.target.query("create table o (n text, id int primary key, v text, b bytea)")
    path = os.path.join(t.directory, "rejects.sql")
    load(t).expect(2, "SQL_ASCII", "--source-encoding")
    base = ("--source-encoding", "UTF8", "-j", 2, "--job", "r", "--reject-file", path)
    failed = load(t, *base).expect(1, "22021", "it is row ", ".lz4", "--max-rejects N")
    assert "id=7" in failed.err or "id=1234" in failed.err or "id=3999" in failed.err, failed
    assert t.rows("o") == 4000 - 3 * 500, "shards without an odd row did not land"
    load(t, *base, "--max-rejects", 2).expect(1, "--max-rejects 2 allows")
    assert load(t, *base, "--max-rejects", 3, fault="sink.commit:1:kill").rc == -9
    done = load(t, *base, "--max-rejects", 3, "--json").expect(0).json
    assert done["rejected"] == 3 and done["rows"] == 3997, done
    t.check_ledger(complete=True)
    load(t, *base).expect(0, "nothing to do")
    mended = open(path, "rb").read().replace(b"\xe9", "é".encode())
    run_as_ordinary([bindir() + "/psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", t.target.dsn], input=mended, check=True)
    assert ascii_.query("select id, b::text, n from o order by id") == t.target.query("select id, b::text, n from o order by id")
    assert t.target.column("select v from o where id in (7, 1234, 3999)") == ["café"] * 3
    # the same bytes are good LATIN1
    t.target.query("truncate o")
    load(t, "--source-encoding", "LATIN1", "--job", "l").expect(0)
    assert t.target.int("select count(*) from o where v = 'café'") == 3


@story()
def characters_that_the_target_of_an_archive_lacks_are_found_in_wide_rows_and_in_text(t):
    latin = t.new_database(t.target_cluster, t.id + "l", "encoding 'LATIN1' locale 'C'")
    table = "create table w (id int primary key, v text, r %s)"
    t.source.query(table % "regtype" + "; create table b (like w); alter table b drop r")
    t.source.query("insert into w select i, repeat('wide ', 1 + 40000 * (i % 5 / 4)) || case when i % 10 in (3, 4) then '€' end,"
                   " 'int4' from generate_series(1, 60) i; update w set v = 'plain' where v is null;"
                   "insert into b select id, v from w")
    latin.query(table % "regtype" + "; create table b (like w); alter table b drop r")
    extract(t, "-t", "w", "-t", "b").expect(0)
    path = os.path.join(t.directory, "r")
    done = load(t, "--all", "--max-rejects", 24, "--reject-file", path, "--json", target=latin).expect(0).json
    assert done["rejected"] == 24 and done["rows"] == 96, done
    for table in "wb":
        here = "select id, md5(convert_to(v, 'UTF8')) from %s where id %% 10 not in (3, 4) order by 1" % table
        assert t.source.query(here) == latin.query(here), table
    text = open(path, encoding="utf-8").read()
    assert text.count("€\tinteger\n") == 12 and text.count("€\n") == 12, text[-500:]


@story()
def large_objects_go_through_an_archive(t):
    role = make(t)
    try:
        extract(t, "-t", "doc").expect(0)
        load(t, "--large-objects").expect(2, "no large objects")
        shutil.rmtree(where(t))
        assert extract(t, "-t", "doc", "--large-objects", "--shard-rows", 50, fault="spill.seal:3:kill").rc == -9
        extract(t, "-t", "doc", "--large-objects", "--shard-rows", 50, "-j", 2).expect(0)
        assert len(sealed(t)) > 4
        verify(t)
        t.run("archive", "ls", where(t)).expect(0, "large objects")
        cat = t.run("archive", "cat", where(t), "pg_catalog.pg_largeobject_metadata", "--format", "text").expect(0).out
        assert cat.count("\n") > 300 and role in cat, cat[:200]
        load(t, "--all", "--dry-run").expect(0, "--large-objects loads them")
        t.target.query("select lo_create(99)")
        load(t, "--large-objects").expect(2, "1 large objects of its own", "--allow-nonempty")
        t.target.query("select lo_unlink(99)")
        assert load(t, "--large-objects", fault="sink.committing:2:kill").rc == -9
        load(t, "--large-objects", "-j", 2).expect(0)
        same_objects(t, role)
        load(t, "--large-objects").expect(0, "nothing to do")
        same_objects(t, role)
        t.same("doc")
        t.check_ledger(complete=True)
    finally:
        forget(t, role)

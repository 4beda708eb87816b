"""An archive is looked into without a database: listed, proven to the last bit, and written out as COPY would.

What `cat` must print is what the source's own COPY prints; what `verify` must find is made by hand, file by file and bit
by bit.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import data
from cluster import bindir, chown_to_ordinary, run_as_ordinary
from story import story

KINDS = '''
create schema "Other One";
create type "Other One"."Mo.od" as enum ('a', 'ä "b"');
create domain price as numeric(10,2);
create type item as (n int, "Tags" text[], bits bit(3), cost price);
create type fr as range (subtype = float8);
create extension hstore; create extension citext;
create table "Other One"."Odd ""Name""" (id int8 primary key, mood "Other One"."Mo.od", moods "Other One"."Mo.od"[], p price,
    ps price[], i item, items item[], r fr, h hstore, c citext, one "char", at timestamptz(3)[], v varchar(7), b bit(5), vb bit varying);
insert into "Other One"."Odd ""Name""" select i, case when i % 7 > 0 then 'a' else 'ä "b"' end::"Other One"."Mo.od",
    '{a,NULL}', i / 3.0, array[1.5, null]::price[], '(1,"{x,NULL,""q,""}",101,2.5)'::item, '{"(1,,,)"}'::item[],
    fr(i, i + 0.5), hstore('k' || i, null), 'Ci', 'q', array['2020-02-03 04:05:06.789Z'::timestamptz], E'a\\tb\\\\', b'10101', b'1'
    from generate_series(1, 300) i;
create table coins (id int, m money); insert into coins values (1, 2);
create table refs (id int primary key, c regclass, t text);
insert into refs select i, 'pg_class'::regclass, E'a\\tb,"x"\\n' || i from generate_series(1, 40) i;
create table empty (a int, b text);
create table bare (); insert into bare default values; insert into bare default values;
create table "Other One".narrow (a int); insert into "Other One".narrow values (7);
'''
ODD = '"Other One"."Odd ""Name"""'


def extract(t, *args, name="archive", rc=0, **kwargs):
    path = os.path.join(t.directory, name)
    t.run("extract", "-q", "-s", t.source.dsn, "-d", "archive:" + path, *args, **kwargs).expect(rc)
    return path


def psql(database, sql, data=b""):
    """Standard output of one statement, as bytes, under the settings of a reproducible text."""
    argv = [bindir() + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database.dsn]
    for setting in ("datestyle = ISO", "timezone = UTC", "intervalstyle = postgres", "bytea_output = hex"):
        argv += ["-c", "set " + setting]
    out = run_as_ordinary(argv + ["-c", sql], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert out.returncode == 0, out.stderr.decode(errors="replace")
    return out.stdout


def archive(t, *args, rc=0, stdout=subprocess.PIPE, env=None):
    """Runs `archive` outside the mover, for what it prints are bytes. Returns them, and what it said."""
    out = run_as_ordinary([t.mover.binary, "archive", *args], stdout=stdout, stderr=subprocess.PIPE)
    said = out.stderr.decode()
    assert out.returncode == rc, "exit status %d instead of %d:\n%s" % (out.returncode, rc, said)
    return out.stdout, said


def copy_of(t, path, name="copy"):
    to = os.path.join(t.directory, name)
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(path, to)
    for each in [to] + [os.path.join(to, f) for f in os.listdir(to)]:
        chown_to_ordinary(each)
    return to


def files_of(path):
    return sorted(f for f in os.listdir(path) if f.endswith(".lz4"))


def flip(path, at, bit=0):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))


def findings(t, path, *args):
    """The names of the damaged files, as JSON tells them, and what is said of each."""
    result = t.run("archive", "verify", path, "--json", *args).expect(1, "damaged").json
    assert result["state"] == "damaged" and result["damaged"] == len(result["findings"]), result
    return {f["file"]: f["message"] for f in result["findings"]}


# ls --------------------------------------------------------------------------------------------------------------


@story()
def ls_shows_tables_sizes_and_the_snapshot(t):
    t.source.query(KINDS)
    data.narrow(t, rows=3000)
    path = extract(t, "--all", "--shard-rows", "1000")
    result = t.run("archive", "ls", path, "--json").expect(0).json
    assert result["archive"] == path and result["state"] == "complete", result
    assert re.fullmatch("[0-9a-f]{32}", result["set"]) and re.fullmatch("[0-9A-F]+/[0-9A-F]+", result["snapshot"]["lsn"]), result
    assert result["encoding"] == "UTF8" and t.id in result["source"], result
    tables = {table["table"]: table for table in result["tables"]}
    assert len(tables) == 7 and tables[ODD]["rows"] == 300 and tables["public.bare"]["rows"] == 2, tables
    assert tables["public.refs"]["format"] == "text" and tables["public.narrow"]["format"] == "binary", tables
    narrow = tables["public.narrow"]
    assert narrow["columns"][0] == {"name": "id", "type": "bigint"} and narrow["shards"] > 1, narrow
    assert narrow["rows"] == 3000 and narrow["bytes"] == len(psql(t.source, "copy narrow to stdout (format binary)")) - 21, narrow
    sizes = sum(os.path.getsize(os.path.join(path, f)) for f in files_of(path))
    assert result["stored"] == sizes == sum(table["stored"] for table in tables.values()), result
    assert result["rows"] == sum(table["rows"] for table in tables.values()) and "shards" not in result, result
    shards = t.run("archive", "ls", path, "--json", "-v").expect(0).json["shards"]
    assert sorted(s["file"] for s in shards) == files_of(path), shards
    said = t.run("archive", "ls", "archive:" + path, "-v").expect(0).out
    for text in (": complete, 7 tables", "at LSN " + result["snapshot"]["lsn"], ODD, "public.narrow", files_of(path)[0]):
        assert text in said, said


@story()
def an_unfinished_archive_says_how_far_it_is(t):
    data.narrow(t, rows=9000)
    path = os.path.join(t.directory, "archive")
    command = ("extract", "-q", "-j", "1", "-s", t.source.dsn, "-d", "archive:" + path, "-t", "narrow", "--shard-rows", "1000")
    t.run(*command, fault="extract.seal:1:kill").expect(-signal.SIGKILL)
    result = t.run("archive", "ls", path, "--json").expect(0).json
    assert result["state"] == "unfinished" and result["sealed"] is None, result
    assert result["files"] == len(files_of(path)) == result["tables"][0]["shards"] and result["rows"] == 9000, result
    os.unlink(os.path.join(path, files_of(path)[2]))
    result = t.run("archive", "ls", path, "--json").expect(0).json
    assert result["files"] == len(files_of(path)) == result["tables"][0]["shards"] - 1 and result["rows"] < 9000, result
    t.run("archive", "ls", path, "-v").expect(0, "unfinished, %d of" % result["files"], "not there yet", "run the extract that began it again")
    t.run("archive", "verify", path).expect(2, "not complete", "hint:")
    t.run("archive", "cat", path, "narrow").expect(2, "not complete", "hint:")
    t.run(*command).expect(0)
    t.run("archive", "verify", path).expect(0)


# cat -------------------------------------------------------------------------------------------------------------


@story()
def cat_writes_what_the_servers_copy_writes(t):
    t.source.query(KINDS)
    data.mixed(t, rows=2000)
    data.wide(t, rows=40)
    path = extract(t, "--all", "-j", "1", "--shard-size", "100GB")
    for table in (ODD, "public.mixed", "public.wide", "public.refs", "public.empty", "public.bare"):
        formats = ["text", "csv"] + ["binary"] * (table != "public.refs")
        for format in formats:
            ours, said = archive(t, "cat", path, table, "--format", format)
            # COPY without a FROM list of columns: bare has none
            assert ours == psql(t.source, "copy %s to stdout (format %s)" % (table, format)), (table, format, ours[:200])
            assert not said, said
    assert archive(t, "cat", path, "coins")[0] == psql(t.source, "copy coins to stdout (format binary)")
    assert archive(t, "cat", path, "narrow", "--format", "text")[0] == b"7\n"  # the only table of that name
    assert archive(t, "cat", path, "MIXED", "--format", "csv", "--io", "posix")[0] == psql(t.source, "copy mixed to stdout (format csv)")


@story()
def cat_of_many_shards_is_one_stream(t):
    data.mixed(t, rows=4000)
    path = extract(t, "-t", "mixed", "--shard-rows", "300")
    assert len(files_of(path)) > 5, files_of(path)
    for format in ("text", "csv"):
        ours, _ = archive(t, "cat", path, "mixed", "--format", format)
        theirs = psql(t.source, "copy mixed to stdout (format %s)" % format)
        assert sorted(ours.splitlines()) == sorted(theirs.splitlines()), format
    binary, _ = archive(t, "cat", path, "mixed")
    assert len(binary) == len(psql(t.source, "copy mixed to stdout (format binary)")), len(binary)
    psql(t.target, "copy mixed from stdin (format binary)", binary)
    t.same("mixed")


@story()
def cat_refuses_what_cannot_be_had_before_a_byte(t):
    t.source.query(KINDS)
    t.source.query("create table narrow (a int); create table narrower (a int)")
    path = extract(t, "--all")
    for args, texts in (
            (("coins", "--format", "text"), ("public.coins", '"m"', "money", "--format binary")),
            (("coins", "--format", "csv"), ("money",)),
            (("refs",), ("public.refs", "archived as text", "--format text")),
            (("narrow",), ("more than one table narrow", '"other one".narrow', "public.narrow")),
            (("narow",), ("no table narow", "did you mean narrow?")),
            (("public.narow",), ("did you mean public.narrow?",)),
            (("nothing_like_it",), ("archive ls",)),
            (("public.*",), ("is a pattern",)),
            (("a.b.c",), ("more parts",)),
            (('"open',), ("quote",))):
        out, said = archive(t, "cat", path, *args, rc=2)
        assert out == b"" and "hint:" in said, said
        for text in texts:
            assert text in said.lower() or text in said, (text, said)
    t.run("archive", "cat", path, "narrow", "--json").expect(2, "standard output")
    # script gives it a terminal
    said = run_as_ordinary(["script", "-qec", "%s archive cat %s coins" % (t.mover.binary, path), "/dev/null"],
                           stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert said.returncode == 2 and b"not written to a terminal" in said.stdout and b"PGCOPY" not in said.stdout, said


@story()
def cat_stops_when_nobody_takes_its_rows(t):
    data.narrow(t, rows=200000)
    path = extract(t, "-t", "narrow")
    for format in ("binary", "csv"):
        with open("/dev/full", "wb") as full:
            _, said = archive(t, "cat", path, "narrow", "--format", format, rc=1, stdout=full)
        assert "cannot write to standard output" in said, said
        command = [t.mover.binary, "archive", "cat", path, "narrow", "--format", format]
        closed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        closed.stdout.read(100)
        closed.stdout.close()
        assert closed.wait(10) == 1 and b"Broken pipe" in closed.stderr.read()
        stuck = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stuck.stdout.read(100)
        time.sleep(0.2)
        assert stuck.poll() is None
        stuck.send_signal(signal.SIGINT)
        assert stuck.wait(10) == 130, "a reader that does not read kept it from being interrupted"


@story()
def cat_of_a_damaged_file_writes_no_wrong_row(t):
    data.mixed(t, rows=3000)
    path = extract(t, "-t", "mixed", "-j", "1", "--shard-size", "100GB")
    (name,) = files_of(path)
    whole, _ = archive(t, "cat", path, "mixed", "--format", "text")
    binary, _ = archive(t, "cat", path, "mixed")
    size, short = os.path.getsize(os.path.join(path, name)), 0
    for at in [size * i // 12 for i in range(12)] + [size - 1]:
        copy = copy_of(t, path)
        flip(os.path.join(copy, name), at, t.random.randrange(8))
        out, said = archive(t, "cat", copy, "mixed", "--format", "text", rc=1)
        assert whole.startswith(out) and len(out) < len(whole) and name in said, said
        assert out == b"" or out.endswith(b"\n"), out[-50:]
        short += len(out) > 0
        out, _ = archive(t, "cat", copy, "mixed", rc=1)
        assert out[-2:] == b"\x80\0" and binary.startswith(out[:-2]) and len(out) < len(binary), out[-50:]
    assert short > 3, "the rows before the damage were not written"
    # a pipe that does not look at cat's exit status loads nothing of it
    argv = [bindir() + "/psql", "-Xq", "-d", t.target.dsn, "-c", "copy mixed from stdin (format binary)"]
    load = run_as_ordinary(argv, input=out, stderr=subprocess.PIPE)
    assert load.returncode == 1 and b"field count" in load.stderr and t.rows("mixed") == 0, load


# verify ----------------------------------------------------------------------------------------------------------


def three_tables(t):
    data.narrow(t, rows=4000)
    data.mixed(t, rows=1500)
    t.source.query("create table refs (id int primary key, c regclass); insert into refs values (1, 'pg_class')")
    return extract(t, "--all", "--shard-rows", "700")


@story()
def verify_is_content_with_what_extract_wrote(t):
    path = three_tables(t)
    for args in ((), ("-j", "1"), ("-j", "7"), ("--io", "posix"), ("--io", "uring-buffered"), ("--io", "posix-buffered")):
        result = t.run("archive", "verify", path, "--json", *args).expect(0).json
        assert result["state"] == "sound" and result["findings"] == [] and result["strays"] == [], result
        assert result["rows"] == 5501 and result["files"] == len(files_of(path)) + 2, result
    t.run("archive", "verify", path).expect(0, "files sound, 5,501 rows", "GB/s")
    quiet = t.run("archive", "verify", path, "-q").expect(0)
    assert quiet.out == quiet.err == "", quiet


@story()
def verify_names_every_damaged_file(t):
    path = three_tables(t)
    names = files_of(path)
    copy = copy_of(t, path)
    at = lambda name: os.path.join(copy, name)  # noqa: E731
    os.unlink(at(names[0]))
    os.truncate(at(names[1]), os.path.getsize(at(names[1])) // 2)
    os.truncate(at(names[2]), 0)
    with open(at(names[3]), "ab") as f:
        f.write(b"x")
    flip(at(names[4]), 60)
    os.rename(at(names[5]), at("x")), os.rename(at(names[6]), at(names[5])), os.rename(at("x"), at(names[6]))
    os.unlink(at("job.json"))
    found = findings(t, copy)
    assert sorted(found) == sorted(names[:7] + ["job.json"]), found
    assert "No such file" in found[names[0]] and "of another" in found[names[5]] and "missing" in found["job.json"], found
    said = t.run("archive", "verify", copy).expect(1, "8 of %d files" % (len(names) + 2), "hint:").out
    assert len(re.findall("^damaged: ", said, re.M)) == 8 and all(name in said for name in found), said
    for i in range(len(names) - 2):
        shutil.copy(at(names[-1]), at(names[i]))
    found = findings(t, copy, "-j", "3")
    assert len(found) == len(names) - 1, found


@story()
def verify_knows_other_archives_files_and_strays(t):
    path = three_tables(t)
    names = files_of(path)
    other = extract(t, "--all", "--shard-rows", "700", name="other")
    assert files_of(other) == names
    copy = copy_of(t, path)
    for name in names[:2] + ["job.json"]:  # the same rows, but another archive's: bounds and moments may differ
        shutil.copy(os.path.join(other, name), os.path.join(copy, name))
    found = findings(t, copy)
    assert sorted(found) == sorted(names[:2] + ["job.json"]) and "another archive" in found[names[0]], found
    assert "another archive" in archive(t, "cat", copy, "mixed", rc=1)[1]
    copy = copy_of(t, path)
    shutil.copy(os.path.join(copy, names[0]), os.path.join(copy, "more.lz4"))
    result = t.run("archive", "verify", copy, "--json").expect(0, "more.lz4", "no part of the archive").json
    assert result["state"] == "sound" and result["strays"] == ["more.lz4"], result
    os.rename(os.path.join(copy, names[0]), os.path.join(copy, "elsewhere"))
    os.symlink("elsewhere", os.path.join(copy, names[0]))
    assert list(findings(t, copy)) == [names[0]]
    for wrong, right in (("job.json", "manifest.json"), ("manifest.json", "job.json")):
        copy = copy_of(t, path)
        shutil.copy(os.path.join(copy, right), os.path.join(copy, wrong))
        t.run("archive", "verify", copy).expect(1, wrong)


@story()
def verify_can_be_interrupted(t):
    path = three_tables(t)
    with t.mover.start("archive", "verify", path, "-j", "1", "--json", fault="archive.frame:*:slow") as running:
        time.sleep(0.7)
        assert running.alive()
        running.signal(signal.SIGINT)
        result = running.wait().expect(130, "interrupted after")
        assert result.json["state"] == "interrupted" and result.seconds < 3, result


def small_archive(t):
    """Several files, of each kind one, and short texts; without the journal, which is not hashed and may be missing."""
    t.source.query("create table a (x int); insert into a select generate_series(1, 20); create table b (t text);"
                   "insert into b values ('x'); create table c (r regclass); insert into c values (16384)")
    t.target.query("create table a (x int); create table b (t text); create table c (r regclass)")
    path = extract(t, "--all")
    os.remove(os.path.join(path, "journal.jsonl"))
    return path


def flip_all(t, path, *args):
    out = run_as_ordinary([os.path.join(t.rig.tools, "flip"), path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = (out.stdout + out.stderr).decode()
    assert out.returncode == 0, said
    n, files = map(int, re.search(r"(\d+) bits flipped in (\d+) files, 0 not found", said).groups())
    assert files == len(files_of(path)) + 2, said
    return n


@story()
def every_flipped_bit_is_found(t):
    path = small_archive(t)
    n = flip_all(t, path, "7", "one")
    assert n > sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path)) // 7, n
    t.run("archive", "verify", path).expect(0)


@story(campaign=True, timeout=900)
def every_bit_of_an_archive_is_found_when_flipped(t):
    path = small_archive(t)
    n = flip_all(t, path, "1", "all")
    assert n == 8 * sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path)), n


@story()
def flips_are_found_by_the_program_and_by_load(t):
    path = small_archive(t)
    of_shard = {s["file"]: s["table"] for s in t.run("archive", "ls", path, "-v", "--json").expect(0).json["shards"]}
    right = {table: sorted(psql(t.source, "copy %s to stdout" % table).splitlines()) for table in of_shard.values()}
    for name in sorted(f for f in os.listdir(path) if f != "lock"):
        size = os.path.getsize(os.path.join(path, name))
        for at in (t.random.randrange(30), t.random.randrange(30, size - 30), t.random.randrange(size - 30, size)):
            copy = copy_of(t, path)
            flip(os.path.join(copy, name), at, t.random.randrange(8))
            t.note("flipped byte %d of %s" % (at, name))
            t.run("archive", "verify", copy).expect(1, name)
            load = t.run("load", "-q", "-s", "archive:" + copy, "-d", t.target.dsn)
            assert load.rc in ((1,) if name in of_shard else (2,)) and name in load.err, load
            for table, rows in right.items():
                landed = sorted(psql(t.target, "copy %s to stdout" % table).splitlines())
                assert landed == ([] if table == of_shard.get(name) else rows) or not landed, (name, at, table, landed)
            t.target.query("truncate a, b, c; drop schema if exists pghaul cascade")
    t.run("load", "-q", "-s", "archive:" + path, "-d", t.target.dsn).expect(0)
    t.same("a", "b")


@story()
def a_directory_that_is_no_archive_of_ours_is_told_from_a_damaged_one(t):
    path = small_archive(t)
    commands = (("ls", ()), ("verify", ()), ("cat", ("a",)))
    for verb, args in commands:
        t.run("archive", verb, "/nowhere/at/all", *args).expect(2, "/nowhere/at/all", "no such file", "hint:")
        t.run("archive", verb, t.directory, *args).expect(2, "no archive in " + t.directory, "hint:")
        t.run("archive", verb, os.path.join(path, "job.json"), *args).expect(2, "not a directory")
    newer = copy_of(t, path, "newer")
    for name in ("manifest.json", "job.json"):
        file = os.path.join(newer, name)
        with open(file, "rb") as f:
            text = f.read()[:-42]
        text = re.sub(rb'"version": *1\b', b'"version": 2', text)
        sealed = run_as_ordinary([os.path.join(t.rig.tools, "reseal")], input=text, stdout=subprocess.PIPE).stdout
        with open(file, "wb") as f:
            f.write(sealed)
        for verb, args in commands:
            t.run("archive", verb, newer, *args).expect(5, "newer version", "hint:")
    t.run("load", "-s", "archive:" + newer, "-d", t.target.dsn).expect(5, "newer version")
    damaged = copy_of(t, path, "damaged")
    flip(os.path.join(damaged, "manifest.json"), 99)
    for verb, args in commands:
        t.run("archive", verb, damaged, *args).expect(1, "manifest.json", "hint:")
    failure = t.run("archive", "verify", damaged, "--json").expect(1).json
    assert failure["state"] == "failed" and "manifest.json" in failure["error"]["message"], failure
    os.unlink(os.path.join(damaged, "manifest.json"))
    os.truncate(os.path.join(damaged, "job.json"), 100)
    t.run("archive", "ls", damaged).expect(1, "job.json")


@story()
def the_archive_commands_explain_themselves(t):
    t.run("archive").expect(2, "ls, verify or cat", "hint:")
    t.run("archive", "lst", "x").expect(2, "ls, verify or cat")
    t.run("archive", "cat", "x").expect(2, "a directory and a table")
    t.run("archive", "ls").expect(2, "wants a directory")
    help_text = t.run("archive", "--help").expect(0).out
    for text in ("ls|verify|cat DIR [TABLE]", "--format", "--jobs", "--io", "--json"):
        assert text in help_text, help_text
    assert json.loads(t.run("archive", "ls", "/nowhere", "--json").expect(2).out)["error"]["hint"]

"""A copy in two halves: from the source into an archive, from the archive into any target; each half may die anywhere."""

import os
import re
import shutil
import signal
import time

import compare
import data
import ledger
from cluster import chown_to_ordinary, wait_for
from story import Skip, sleep_random, story
from test_spill import ASYNC, LOGGED, Tmpfs, flip, home, quiet, reads
from test_snapshot import Load

SMALL = ("--shard-size", "256kB")
SLOW = ("--max-rate", "2MB/s")


def where(t, name="archive"):
    return os.path.join(t.directory, name)


def extract(t, *args, name="archive", **kwargs):
    return t.run("extract", "-s", t.source.dsn, "-d", "archive:" + where(t, name), *args, **kwargs)


def start_extract(t, *args, name="archive", **kwargs):
    return t.mover.start("extract", "-s", t.source.dsn, "-d", "archive:" + where(t, name), *args, **kwargs)


def load(t, *args, name="archive", target=None, **kwargs):
    return t.run("load", "-s", "archive:" + where(t, name), "-d", (target or t.target).dsn, *args, **kwargs)


def start_load(t, *args, name="archive", **kwargs):
    return t.mover.start("load", "-s", "archive:" + where(t, name), "-d", t.target.dsn, *args, **kwargs)


def verify(t, rc=0, name="archive"):
    return t.run("archive", "verify", where(t, name)).expect(rc)


def sealed(t, name="archive"):
    """Files of shards that are whole."""
    try:
        return sorted(f for f in os.listdir(where(t, name)) if f.endswith(".lz4"))
    except FileNotFoundError:
        return []


def when_sealed(t, n, run, name="archive", timeout=30):
    wait_for(lambda: not run.alive() or len(sealed(t, name)) >= n, "%d files" % n, timeout, 0.002)
    return run.alive()


def only_an_archive(t, name="archive"):
    """Nothing but what belongs to a complete archive: no part of a file, no plan of what was to be done."""
    names = set(os.listdir(where(t, name)))
    odd = [n for n in names if not n.endswith(".lz4") and n not in ("manifest.json", "job.json", "journal.jsonl", "lock")]
    assert "manifest.json" in names and not odd, names


def given_up(t):
    """Nobody is at the source any more."""
    wait_for(lambda: not t.mover.processes() and not t.source.backends(), "the end of the keeper", 8)


def loaded(t, *tables, name="archive", args=()):
    """The archive comes back whole in a fresh target."""
    verify(t, name=name)
    load(t, "--all", "-j", 2, *args, name=name).expect(0)
    t.whole(*tables)


def interrupted(t, n, *args):
    """An extract that ends by SIGINT when n files are there; its keeper stays."""
    with start_extract(t, *args, *SLOW) as run:
        assert when_sealed(t, n, run), "it ended too soon"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    assert not os.path.exists(where(t) + "/manifest.json")


# Extract ----------------------------------------------------------------------------------------------------


@story()
def an_extract_comes_back_as_it_was(t):
    data.mixed(t, 20000)
    data.wide(t, 300)
    result = extract(t, "-t", "mixed", "-t", "wide", "-j", 2, *SMALL, "--json").expect(0).json
    assert result["state"] == "completed" and result["rows"] == 20300 and result["spilled_bytes"] == sum(
        os.path.getsize(where(t) + "/" + f) for f in sealed(t)), result
    given_up(t)
    only_an_archive(t)
    before = {f: os.stat(where(t) + "/" + f).st_mtime_ns for f in os.listdir(where(t)) if f not in ("lock", "journal.jsonl")}
    extract(t, "-t", "mixed", "-t", "wide", "-j", 2).expect(0, "nothing")
    assert before == {f: os.stat(where(t) + "/" + f).st_mtime_ns for f in before}, "a complete archive was touched"
    loaded(t, "mixed", "wide")
    load(t, "--all").expect(0, "nothing")


@story(dice=True, rounds=1, heavy=True)
def an_extract_that_is_killed_goes_on(t):
    r = t.random
    kind = r.choice(("narrow", "mixed", "wide"))
    make, rows = data.KINDS[kind]
    make(t, rows)
    args = ["-t", kind, "-j", r.randint(1, 3), "--split", r.choice(("auto", "block", "key", "hash")), *SMALL,
            "--io", r.choice(("auto", "uring", "posix"))]
    t.note(" ".join(str(a) for a in args))
    kept = {}
    for _ in range(r.randint(1, 4)):
        with start_extract(t, *args, "--max-rate", "6MB/s") as run:
            if r.random() < 0.3:
                sleep_random(r, 0.4)
            else:
                when_sealed(t, len(kept) + r.randint(1, 5), run)
                sleep_random(r, 0.05)
            run.kill9()
        now = {f: os.stat(where(t) + "/" + f).st_mtime_ns for f in sealed(t)}
        assert all(now.get(f) == kept[f] for f in kept), "a file that was whole was written again"
        kept = now
    t.source.query("delete from %s where id %% 2 = 0" % kind)  # not of the snapshot's moment
    result = extract(t, *args, "--json").expect(0).json
    assert all(os.stat(where(t) + "/" + f).st_mtime_ns == kept[f] for f in kept) or result["snapshots"] > 1
    given_up(t)
    only_an_archive(t)
    verify(t)
    load(t, "--all").expect(0)
    # A run that was killed before it had written anything down had no snapshot; then it is the source as it is now.
    whole = rows if kept else t.source.int("select count(*) from " + kind)
    assert t.rows(kind) in (rows, whole), "%d rows of %d" % (t.rows(kind), rows)


@story()
def under_load_an_archive_is_of_one_moment(t):
    data.narrow(t, 60000)
    t.source.query("create sequence more start 5000000")
    args = ("-t", "narrow", "-j", 2, *SMALL)
    with Load(t, t.seed):
        interrupted(t, 4, *args)
        (snapshot,) = set(re.findall(r'"id": ?"([0-9A-F]+-[0-9A-F]+-\d+)"', open(where(t) + "/job.json").read()))
        with t.source.session() as s:
            s.query("begin isolation level repeatable read")
            s.query("set transaction snapshot '%s'" % snapshot)
            exported = s.one("select pg_export_snapshot()")
            with start_extract(t, *args, *SLOW) as run:
                when_sealed(t, len(sealed(t)) + 2, run)
                run.kill9()
            extract(t, *args).expect(0)
            load(t, "--all").expect(0)
            t.same("narrow", snapshot=exported)
    given_up(t)


def lose_keeper(t):
    t.source.terminate(t.source.backends())
    given_up(t)


@story(campaign=True)
def an_extract_whose_snapshot_is_lost_starts_over(t):
    data.narrow(t, 60000)
    args = ("-t", "narrow", "-j", 2, *SMALL)
    interrupted(t, 4, *args)
    lose_keeper(t)
    t.source.query("update narrow set id = -id where id % 3 = 0")
    there = len(sealed(t))
    extract(t, *args, "--strict").expect(1, "strict", "hint")
    assert len(sealed(t)) == there, "--strict took files away"
    result = extract(t, *args, "--json").expect(0, "starts over").json
    assert result["snapshots"] == 2, result
    given_up(t)
    only_an_archive(t)
    loaded(t, "narrow")


@story(campaign=True)
def an_extract_whose_snapshot_is_lost_in_the_middle_starts_over(t):
    data.mixed(t, 40000)
    with start_extract(t, "-t", "mixed", "-j", 2, *SMALL, *SLOW, "--json", timeout=90) as run:
        assert when_sealed(t, 3, run), "it ended too soon"
        t.source.terminate(t.source.backends())
        t.source.query("update mixed set id = -id where id % 3 = 0")
        result = run.wait().expect(0, "starts over").json
    assert result["snapshots"] == 2 and result["parked"] == 0, result
    given_up(t)
    only_an_archive(t)
    loaded(t, "mixed")


@story(campaign=True)
def source_backends_that_die_cost_an_extract_retries_and_nothing_else(t):
    data.mixed(t, 40000)
    with start_extract(t, "-t", "mixed", "-j", 2, *SMALL, *SLOW, "--json") as run:
        for n in (2, 6, 10):
            assert when_sealed(t, n, run), "it ended too soon"
            t.source.terminate(t.source.backends("application_name ~ '/[0-9]+/[0-9]+$'"))
        result = run.wait().expect(0).json
    assert result["snapshots"] == 1 and result["retries"] > 0, result
    loaded(t, "mixed")


@story()
def a_directory_of_something_else_is_left_alone(t):
    data.narrow(t, 5000)
    os.mkdir(where(t))
    chown_to_ordinary(where(t))
    t.write("archive/letter", "dear")
    extract(t, "-t", "narrow").expect(2, "not empty", "hint")
    assert os.listdir(where(t)) == ["letter"], os.listdir(where(t))
    given_up(t)
    os.unlink(where(t) + "/letter")
    extract(t, "-t", "narrow", "-j", 1).expect(0)
    # the same directory for something else
    data.narrow(t, 10, "other")
    extract(t, "-t", "other").expect(5, "another definition", "hint")
    extract(t, "-t", "narrow", "--where", "id < 10").expect(5)
    given_up(t)
    loaded(t, "narrow")


@story(campaign=True)
def an_unfinished_extract_is_gone_on_with_by_the_same_command_only(t):
    data.narrow(t, 60000)
    interrupted(t, 3, "-t", "narrow", "-j", 1, *SMALL)
    before = sealed(t)
    extract(t, "-t", "narrow", "--columns", "id,a").expect(5, "another definition")
    load(t, "--all").expect(2)
    assert sealed(t) == before
    extract(t, "-t", "narrow", "-j", 3).expect(0)
    given_up(t)
    loaded(t, "narrow")


@story(campaign=True)
def a_second_extract_into_the_same_directory_is_refused(t):
    data.mixed(t, 30000)
    args = ("-t", "mixed", "-j", 1, *SMALL)
    with start_extract(t, *args, "--max-rate", "1MB/s") as run:
        assert when_sealed(t, 2, run), "it ended too soon"
        second = extract(t, *args).expect(4, "in use")
        assert 3 < second.seconds < 9, second.seconds
        run.wait().expect(0)
    loaded(t, "mixed")


@story(campaign=True)
def a_full_disk_makes_an_extract_wait(t):
    data.mixed(t, 20000)
    with Tmpfs(t, "size=2m") as path:
        with start_extract(t, "-t", "mixed", "-j", 2, *SMALL, "--compress", "never", "--json", name="tmpfs", timeout=90) as run:
            wait_for(lambda: not run.alive() or "full" in run.stderr_so_far() or "room" in run.stderr_so_far(), "a word of it")
            time.sleep(1)
            assert run.alive(), run.wait()
            os.system("mount -o remount,size=40m " + path)
            result = run.wait().expect(0).json
        assert result["parked"] == 0, result
        given_up(t)
        loaded(t, "mixed", name="tmpfs")


@story(campaign=True)
def what_cannot_be_read_is_said_and_the_rest_is_kept(t):
    data.narrow(t, 40000)
    t.source.query("create function bad(int8) returns int8 language plpgsql as "
                   "'begin if $1 = 20000 then raise ''no''; end if; return $1; end' immutable")
    job = t.write("job.yaml", 'tables:\n- table: narrow\n  columns:\n    c: "bad(id)"\n')
    args = ("-f", job, "-j", 2, *SMALL)
    result = extract(t, *args, "--json").expect(1, "no").json
    assert result["parked"] == 1 and result["error"]["message"], result
    assert not os.path.exists(where(t) + "/manifest.json")
    there = sealed(t)
    t.source.query("create or replace function bad(int8) returns int8 language plpgsql as 'begin return $1; end' immutable")
    extract(t, *args, "--json").expect(0)
    assert len(sealed(t)) == len(there) + 1
    given_up(t)
    verify(t)


# Load -------------------------------------------------------------------------------------------------------


@story(dice=True, rounds=1)
def a_load_that_is_killed_goes_on_and_has_every_row_once(t):
    r = t.random
    data.mixed(t, 30000)
    extract(t, "-t", "mixed", "-j", 2, *SMALL).expect(0)
    args = ["--all", "-j", r.randint(1, 3), "--io", r.choice(("auto", "uring", "posix"))]
    mode = r.choice(("append", "upsert", "replace"))
    if mode != "append":
        t.target.query("insert into mixed (id) select i from generate_series(1, 50) i")
        args += ["--mode", mode]
    t.note(" ".join(str(a) for a in args))
    landed = {}
    for _ in range(r.randint(1, 3)):
        with start_load(t, *args, "--max-rate", "5MB/s") as run:
            t.when_landed(t.landed() + r.randint(1, 6), run)
            sleep_random(r, 0.03)
            run.kill9()
        quiet(t)
        t.check_ledger()
        now = ledger.receipts(t.target)
        assert all(now.get(i) == landed[i] for i in landed), "a receipt changed after its shard had landed"
        landed = now
    load(t, *args).expect(0)
    t.whole("mixed")
    only_an_archive(t)


@story(campaign=True)
def several_movers_load_one_archive(t):
    data.mixed(t, 30000)
    extract(t, "-t", "mixed", "-j", 2, *SMALL).expect(0)
    args = ("--all", "-j", 1, "--max-rate", "3MB/s")
    with start_load(t, *args) as first:
        assert t.when_landed(2, first), "it ended too soon"
        with start_load(t, *args, "--join", env=home(t, "other")) as second:
            wait_for(lambda: not second.alive() or t.target.int("select count(*) from pghaul.mover") == 2, "the second mover")
            t.when_landed(t.landed() + 3, second)
            if t.random.random() < 0.5:
                first.kill9()
            else:
                first.wait().expect(0)
            second.wait().expect(0)
    t.whole("mixed")


@story()
def some_tables_and_under_other_names(t):
    data.narrow(t, 20000)
    data.mixed(t, 5000)
    data.wide(t, 100)
    extract(t, "--all", "-j", 2, *SMALL).expect(0)
    load(t, "-t", "mixed").expect(0)
    t.whole("mixed")
    assert t.rows("narrow") == 0 and t.rows("wide") == 0
    t.target.query("create table elsewhere (like narrow including all)")
    load(t, "-t", "narrow=elsewhere").expect(0)
    assert t.rows("elsewhere") == 20000 and t.rows("narrow") == 0
    load(t, "-t", "wide", "-t", "narrow").expect(0)
    t.same("narrow", "wide")
    t.check_ledger(complete=True)
    # what is there is not loaded again by another command
    load(t, "--all").expect(2, "rows of its own")


@story(campaign=True)
def rows_of_the_target_s_own_are_replaced_or_brought_up_to_date(t):
    data.narrow(t, 20000)
    extract(t, "-t", "narrow", "-j", 2, *SMALL).expect(0)
    for mode in ("upsert", "replace"):
        t.target.query("drop schema if exists pghaul cascade; truncate narrow; "
                       "insert into narrow select i, -1 from generate_series(1, 4000) i")
        load(t, "-t", "narrow", "--mode", mode, "-j", 2).expect(0)
        t.whole("narrow")
    t.target.query("delete from narrow where id % 2 = 0; update narrow set c = 1")
    load(t, "-t", "narrow", "--mode", "replace", "--again").expect(0)
    t.whole("narrow")


@story()
def a_damaged_file_parks_its_shard_and_the_rest_lands(t):
    data.narrow(t, 60000)
    extract(t, "-t", "narrow", "-j", 2, *SMALL).expect(0)
    a, b, c = (where(t) + "/" + sealed(t)[i] for i in (0, 3, 5))
    for f in (a, b, c):
        shutil.copy(f, f + ".kept")
        chown_to_ordinary(f + ".kept")
    flip(a)
    os.unlink(b)
    shutil.copy(a + ".kept", c)  # whole, but another's
    verify(t, 1)
    result = load(t, "-t", "narrow", "-j", 2, "--json").expect(1, os.path.basename(a), os.path.basename(b), os.path.basename(c)).json
    shards = len(sealed(t)) + 1
    assert result["parked"] == 3 and t.landed() == shards - 3, (result["parked"], t.landed(), shards)
    t.check_ledger()
    before = ledger.receipts(t.target)
    load(t, "-t", "narrow", "-j", 2).expect(1)
    for f in (a, b, c):
        os.rename(f + ".kept", f)
    load(t, "-t", "narrow", "-j", 2).expect(0)
    after = ledger.receipts(t.target)
    assert all(after[i] == before[i] for i in before), "finished shards were done again"
    t.whole("narrow")


@story()
def a_damaged_file_is_met_before_replace_empties_anything(t):
    data.narrow(t, 30000)
    t.both("create table other (id int primary key)")
    extract(t, "-t", "narrow", "-t", "other", "-j", 2, *SMALL).expect(0)
    t.target.query("insert into narrow select i, -1 from generate_series(1, 7) i")
    a, b = (where(t) + "/" + [f for f in sealed(t) if "narrow" in f][i] for i in (0, 2))
    shutil.copy(a, a + ".kept")
    chown_to_ordinary(a + ".kept")
    flip(a)
    os.rename(b, b + ".kept")
    load(t, "-t", "narrow", "--mode", "replace").expect(2, os.path.basename(a), os.path.basename(b), "nothing was emptied")
    assert t.rows("narrow") == 7, "the target was emptied for a damaged archive"
    load(t, "-t", "other", "--mode", "replace").expect(0)  # its own file is whole
    for f in (a, b):
        os.rename(f + ".kept", f)
    load(t, "-t", "narrow", "--mode", "replace").expect(0)
    t.same("narrow")


@story(own=True, campaign=True)
def an_unlogged_target_that_a_crash_has_emptied_is_loaded_again(t):
    data.narrow(t, 40000)
    data.mixed(t, 5000)
    t.target.query("alter table narrow set unlogged")
    extract(t, "--all", "-j", 2, *SMALL).expect(0)
    args = ("--all", "-j", 2, "--max-rate", "2MB/s")
    with start_load(t, *args, timeout=40) as run:
        assert t.when_landed(6, run), "it ended too soon"
        t.target_cluster.crash()
        t.target_cluster.start()
        run.wait().expect(0)
    t.whole("narrow", "mixed")
    t.target_cluster.crash()
    t.target_cluster.start()
    assert t.rows("narrow") == 0
    load(t, "--all", "-j", 2).expect(0)
    t.whole("narrow", "mixed")


@story(own=True, campaign=True)
def a_target_that_crashes_under_a_load_gets_every_row_once(t):
    data.mixed(t, 40000)
    extract(t, "--all", "-j", 2, *SMALL).expect(0)
    with start_load(t, "--all", "-j", 2, "--max-rate", "4MB/s", timeout=60) as run:
        for n in (4, 12):
            assert t.when_landed(n, run), "it ended too soon"
            t.target_cluster.crash()
            t.target_cluster.start()
        run.wait().expect(0)
    t.whole("mixed")


@story()
def encodings_are_the_archive_s_on_the_way_in(t):
    latin = t.new_database(t.target_cluster, t.id + "_latin", "encoding 'LATIN1' locale 'C'")
    sql = "create table words (id int primary key, w text); create table odd (id int primary key, w text)"
    t.source.query(sql + "; insert into words select i, 'Grüße ' || i from generate_series(1, 5000) i; "
                   "insert into odd values (1, 'ä€𝄞')")
    latin.query(sql)
    t.target.query(sql)
    extract(t, "--all", *SMALL).expect(0)
    load(t, "-t", "words", target=latin).expect(0)
    assert latin.query("select sum(length(w)), min(w), sum(octet_length(w)) from words") == [
        list(row) if isinstance(row, list) else row for row in
        t.source.query("select sum(length(w)), min(w), sum(length(w)) from words")]
    load(t, "-t", "odd", target=latin).expect(1, "LATIN1")
    # and back
    t.run("extract", "-s", latin.dsn, "-d", "archive:" + where(t, "back"), "-t", "words").expect(0)
    load(t, "--all", name="back").expect(0)
    t.same("words")
    wait_for(lambda: not latin.backends(), "the end of backends")


@story()
def types_that_differ_are_refused(t):
    t.source.query("create table n (id int primary key, v int, w text)")
    t.source.query("insert into n select i, i, 'x' from generate_series(1, 100) i")
    extract(t, "--all").expect(0)
    for columns in ("id int primary key, v int8, w text", "id int primary key, v int, w int", "id int primary key, v date, w text"):
        t.target.query("drop table if exists n; create table n (%s)" % columns)
        load(t, "--all").expect(2, "public.n")
        assert t.rows("n") == 0 and not ledger.exists(t.target), "something was begun"
    t.target.query("drop table n; create table n (w text, id int primary key, v int)")
    load(t, "--all").expect(0)
    t.same("n")


@story(settings=LOGGED, campaign=True)
def a_load_never_asks_the_source(t):
    data.narrow(t, 20000)
    extract(t, "--all", *SMALL).expect(0)
    digest = compare.digest(t.source._kept(), "narrow")
    t.source.forget()
    t.source_cluster.stop()
    load(t, "--all", "-j", 2).expect(0)
    assert compare.digest(t.target._kept(), "narrow") == digest
    t.source_cluster.start()
    t.whole("narrow")

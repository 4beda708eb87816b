"""tune: settings are found by measuring, the target itself is not touched, and nothing is left, whoever is killed."""

import os
import re
import signal

import data
from cluster import wait_for
from story import story

SCRATCH = "select oid::regclass::text from pg_class where relname ~ '^pghaul_scratch_' and relkind = 'r'"


def tune(t, *args):
    return ("tune", *t.ends(), "-t", "narrow", *args)


def scratches(t):
    return t.target.column(SCRATCH)


def nothing_of_it(t):
    """Neither tables nor ledger nor files nor processes."""
    t.nothing_left()
    assert not scratches(t), scratches(t)
    assert t.target.one("select to_regnamespace('pghaul')") is None, "the ledger was left"
    assert not t.target.column("select relname from pg_class where relname ~ 'pghaul'")
    left = [f for _, _, files in os.walk(t.directory + "/state") for f in files]
    assert not left, left


def identity(t):
    """What would be otherwise if the target had been written to."""
    return t.target.query("select pg_relation_filenode('narrow'), pg_relation_size('narrow'), max(xmin::text), max(id),"
                          " count(*), (select last_value from draws) from narrow")


@story()
def a_tune_finds_and_tells_and_does_not_touch_the_target(t):
    data.narrow(t, 300000)
    t.target.query("insert into narrow select -i, i from generate_series(1, 5) i; create index on narrow (a);"
                   "create sequence draws; alter table narrow add drawn bigint default nextval('draws')")
    t.target.query("alter table narrow set (fillfactor = 90)")
    before = identity(t)
    page, job = os.path.join(t.directory, "tune.html"), os.path.join(t.directory, "job.yaml")
    result = t.run(*tune(t, "--time", "8s", "--seed", 3, "--split", "block", "--spill", "never", "--json", "-o", page,
                         "--write-file", job)).expect(0).json
    check(t, result, before, page, job)


@story(campaign=True)
def a_tune_with_time_tries_everything(t):
    data.mixed(t, 100000, "narrow")
    page, job = os.path.join(t.directory, "tune.html"), os.path.join(t.directory, "job.yaml")
    t.target.query("create index on narrow (small); create sequence draws")
    before = identity(t)
    result = t.run(*tune(t, "--time", "50s", "--json", "-o", page, "--write-file", job), timeout=120).expect(0).json
    check(t, result, before, page, job)
    for s in result["settings"]:
        assert len([p for p in s["curve"] if p["trials"] > 0]) > 1, s
    assert all(m["measured"] for m in result["servers"] if m["what"] in ("WAL", "indexes")), result["servers"]


@story(campaign=True)
def what_is_really_faster_is_found(t):
    """Each row of a hundred sleeps in the target, whatever the machine is busy with: more workers sleep side by side."""
    data.narrow(t, 300000)
    t.target.query("create function doze(bigint) returns boolean immutable language plpgsql as "
                   "'begin if $1 % 100 = 0 then perform pg_sleep(0.001); end if; return true; end'; "
                   "alter table narrow add check (public.doze(id))")
    job = os.path.join(t.directory, "job.yaml")
    result = t.run(*tune(t, "--time", "45s", "--json", "--write-file", job, "--split", "block", "--spill", "never",
                         "--shard-size", "512KiB"), timeout=120).expect(0).json
    jobs = result["settings"][0]
    t.note("%s" % jobs)
    assert jobs["changed"] and jobs["best"] > jobs["was"] and jobs["gain"]["low"] > 1.1, jobs
    assert result["gain"]["pairs"] == 0 or result["gain"]["median"] > 1.1, result["gain"]
    with open(job, encoding="utf-8") as f:
        assert re.search(r"(?m)^jobs: %d$" % jobs["best"], f.read()), "the job file does not say so"
    nothing_of_it(t)


def check(t, result, before, page, job):
    assert result["state"] == "completed" and result["trials"] > 3, result
    assert [s["name"] for s in result["settings"]] == ["jobs", "shard-size", "split", "spill"], result
    jobs = result["settings"][0]
    tried = [p for p in jobs["curve"] if p["trials"] > 0]
    assert tried and all(0 < p["low"] <= p["median"] <= p["high"] for p in tried), jobs
    assert result["bytes_per_second"]["median"] > 0 and result["bytes"] > 0, result
    for s in result["settings"]:  # nothing is changed that was not proven
        assert s["why"] and (not s["changed"] or (s["gain"]["low"] > 1 and s["gain"]["median"] >= 1.03)), s
    assert {"WAL", "indexes"} <= {m["what"] for m in result["servers"]}, result["servers"]
    assert result["facts"]["wal_level"]["target"] and result["wal_bytes"] > 0, result
    assert identity(t) == before, "the target was touched"
    with open(page, encoding="utf-8") as f:
        html = f.read()
    assert html.startswith("<!doctype html>") and "public.narrow" in html
    assert "<svg" in html or len(tried) < 2, "there is no curve"
    assert not re.search(r"<script|https?://|url\(", html), "the page is not self-contained"
    t.target.query("truncate narrow")
    t.run("plan", "-f", job, "--json").expect(0)
    nothing_of_it(t)


@story(campaign=True)
def what_is_said_stays_and_what_copy_refuses_is_refused(t):
    data.narrow(t, 200000)
    t.both("create table few (id int primary key)")
    t.source.query("insert into few values (1)")
    result = t.run(*tune(t, "--time", "2s", "-j", 2, "--split", "key", "--shard-size", "1MiB", "--spill", "never",
                         "--json")).expect(0).json
    assert [s["why"] for s in result["settings"]] == ["as you said"] * 4, result
    assert [s["best"] for s in result["settings"]] == [2, 1 << 20, "key", "never"], result
    t.run("tune", *t.ends(), "-t", "absent").expect(2, "absent", "hint:")
    t.run("tune", *t.ends(), "-t", "few").expect(2, "too little to measure", "hint:")
    t.run("tune", *t.ends(), "-t", "few", "-t", "narrow").expect(2, "one table", "hint:")
    t.target.query("alter table narrow drop column c, add column c date")
    t.run(*tune(t)).expect(2, "copy would refuse", "hint:")
    nothing_of_it(t)


def begin(t, *args, **kwargs):
    """A tune in the middle of its trials."""
    running = t.mover.start(*tune(t, "--time", "60s", "--spill", "always", *args), **kwargs)
    wait_for(lambda: not running.alive() or (scratches(t) and t.target.one("select to_regclass('pghaul.receipt')")
                                             and t.landed() > 0), "the first trial")
    assert running.alive(), running.wait()
    return running


@story(campaign=True)
def what_a_dead_tune_has_left_the_next_one_or_clean_takes_away(t):
    data.narrow(t, 200000)
    with begin(t) as first:
        live = scratches(t)
        t.run("clean", "-d", t.target.dsn, "--job", "another", "--yes").expect(2)
        assert scratches(t) == live, "clean took the scratch of a live tune away"
        first.kill9()
    assert scratches(t) == live, "it was killed too late"
    # one that dies between the note and the table finds the first one's, and leaves a note
    t.run(*tune(t, "--time", "2s"), fault="scratch.make:1:kill")
    assert not scratches(t) and t.target.one("select count(*) from pghaul.scratch") == "1"
    t.run(*tune(t, "--time", "2s", "-v")).expect(0, "left by a tune that died")
    nothing_of_it(t)
    with begin(t) as third:
        third.kill9()
    t.run("clean", "-d", t.target.dsn, "--yes").expect(0, "left by a tune that died")
    nothing_of_it(t)


@story()
def an_interrupt_ends_a_tune_with_what_is_known(t):
    data.narrow(t, 200000)
    with begin(t, "--json") as running:
        running.signal(signal.SIGINT)
        result = running.wait().expect(130).json
    assert result["state"] == "interrupted" and result["trials"] >= 1, result
    assert "nothing is left behind" in result["error"]["message"], result
    nothing_of_it(t)

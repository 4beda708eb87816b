"""A verify waits for others as a copy does, and holds nothing while it waits."""

import os
import time

import data
from cluster import wait_for
from story import story
from test_verify import copied, found
from test_verify_repair import mutate

OURS = "xact_start is not null and application_name like 'pghaul/%' and application_name not like '%/guard' and application_name not like '%/control/%'"


def touch(path):
    open(path, "w").close()


def rests(t):
    """Neither server has a transaction of ours, and it stays so."""
    wait_for(lambda: not t.source.backends(OURS) and not t.target.backends(OURS), "no open transaction on either side", 10)
    for _ in range(10):
        time.sleep(0.05)
        assert not t.source.backends(OURS) and not t.target.backends(OURS), "it looks at a server though it is paused"


def reads(t, run):
    def look():
        assert run.alive(), run.wait()
        return t.target.backends(OURS + " and application_name like '%/verify'")
    wait_for(look, "a reader at the target", 15, 0.02)


def pausing(t, *more, again=True):
    """Paused from the beginning and, perhaps, in the middle."""
    file = os.path.join(t.directory, "pause")
    touch(file)
    with t.mover.start("verify", *t.ends(), "-t", "narrow", "--json", "-j", 1, "--pause-file", file, *more) as run:
        rests(t)
        time.sleep(0.7)  # what holds it from the beginning is told after a second
        os.unlink(file)
        if again:
            reads(t, run)
            time.sleep(0.3)
            touch(file)
            rests(t)
            os.unlink(file)
        result = run.wait().expect(0, "paused: file: %s is there" % file, "it goes on after")
    assert result.json["equal"] and result.json["throttled_seconds"]["file"] > 0.4, result
    assert result.json["tables"][0]["target_rows"] == 20000, result


@story()
def a_pause_lets_go_of_both_servers_and_what_was_read_stays(t):
    copied(t, rows=20000)
    pausing(t, "--max-rows", "30k/s")


@story(campaign=True)
def a_pause_lets_go_of_both_servers_at_every_level(t):
    copied(t, rows=20000)
    pausing(t, "--level", "source", "--max-rows", "40k/s")
    pausing(t, "--level", "source", "--in-server", "--pause-query", "source:select false", again=False)


@story(campaign=True)
def what_differs_is_named_and_mended_through_pauses(t):
    copied(t, rows=60000)
    t.target.query("delete from narrow where id = 17; update narrow set b = 7 where id in (5, 59990); insert into narrow values (-5, 1, 1, 1)")
    t.target.query("create table flag as select false as up")
    expected = {17: "missing", -5: "extra", 5: "changed", 59990: "changed"}
    query = ("--pause-query", "select up from flag")
    for more in (("--max-rows", "100k/s"), ("--level", "source", "--max-rows", "200k/s"), ("--level", "sample", "--sample-rows", 5000, "--sums")):
        with t.mover.start("verify", *t.ends(), "-t", "narrow", "--json", "-j", 2, *query, *more) as run:
            for _ in range(2):
                if run.alive():
                    time.sleep(0.4)
                    t.target.query("update flag set up = true")
                    time.sleep(0.8)
                    t.target.query("update flag set up = false")
            result = run.wait().expect(3)
        if "sample" not in more:
            assert found(result.json["tables"][0]) == expected, result
    t.run("verify", *t.ends(), "-t", "narrow", "--repair", "--max-delete", 1, *query, "--max-xact-age", "1h", fault="readout.chunk:1:slow").expect(0)
    t.same("narrow")


@story()
def a_verify_is_steered_like_a_copy(t):
    data.narrow(t, 40000)
    t.copy("-t", "narrow", "--job", "j").expect(0)
    with t.mover.start("verify", *t.ends(), "--job", "j", "-t", "narrow", "--level", "source", "--json", "-j", 1, "--max-rows", "20k/s") as run:
        wait_for(lambda: t.source.backends(OURS + " and application_name like '%/verify'"), "a reader at the source", 15, 0.02)
        said = t.run("control", "j", "pause", "--json").expect(0).json
        assert said["state"] == "paused" and said["throttled_by"].startswith("pause by "), said
        rests(t)
        t.run("status", "j", "-d", t.target.dsn).expect(0, "verify    1 at work")
        t.run("control", "j", "resume", "rate=off", "jobs=3", "-d", t.target.dsn).expect(0, "heard by 1 mover")
        wait_for(lambda: len(t.source.backends(OURS + " and application_name like '%/verify'") +
                             t.target.backends(OURS + " and application_name like '%/verify'")) > 1, "more readers", 10, 0.02)
        said = t.run("control", "j", "rows=off", "--json").expect(0).json
        assert said["settings"]["source_rows"] is None and said["settings"]["jobs"] == 3, said
        result = run.wait().expect(0, "control: pause, by ", "paused: pause by", "control: jobs=3", "through the ledger", "it goes on after")
    assert result.json["equal"] and result.json["throttled_seconds"]["pause"] > 0, result
    t.run("control", "j", "pause", "-d", t.target.dsn).expect(2, "no live run")
    # a role that may only read listens, too; "stop" is an interrupt
    t.target.query("do $$ begin create role only_reads login; exception when duplicate_object or unique_violation then null; end $$;"
                   "grant usage on schema pghaul to only_reads; grant select on all tables in schema pghaul, public to only_reads")
    with t.mover.start("verify", "-s", t.source.dsn, "-d", t.target.dsn + " user=only_reads", "--job", "j", "-t", "narrow", "--max-rows", "5k/s") as run:
        reads(t, run)
        t.run("control", "j", "stop", "-d", t.target.dsn).expect(0)
        run.wait().expect(130, "control: stop", "interrupted; the same command goes on")


@story()
def a_guard_that_does_not_answer_holds_a_verify(t):
    copied(t, rows=1000)
    with t.mover.start("verify", *t.ends(), "-t", "narrow", "--pause-query", "select true from nowhere") as run:
        wait_for(lambda: "not known yet" in run.stderr_so_far() or "nowhere" in run.stderr_so_far(), "what holds it", 10)
        rests(t)
        t.target.query("create table nowhere()")
        run.wait().expect(0, "equal")
    t.run("verify", *t.ends(), "-t", "narrow", "--max-lag", "10s", "--max-load", 50, "--max-xact-age", "1h", "--max-slot-wal", "1TB",
          "--timetable", "else off").expect(0)
    t.run("verify", *t.ends(), "-t", "narrow", "--canary", "target:select 1", "--in-server", "--level", "source").expect(0)


def stopped(t, level, args, parts, *extra, expect=0):
    """A verify that is killed after so many chunks; then the same command."""
    t.run("verify", *t.ends(), "--level", level, *args, fault="verify.part:*:error,verify.part_noted:%d:kill" % parts).expect(-9)
    for sql in extra:
        t.target.query(sql)
    return t.run("verify", *t.ends(), "--level", level, *args, "--json").expect(expect).json


def kept(t):
    return [f for _, _, names in os.walk(t.mover.home + "/state") for f in names if f.startswith("verify.")]


@story()
def a_verify_goes_on_within_a_table(t):
    copied(t, rows=300000)
    t.both("create table other (x int)")
    args = ("-t", "narrow", "-j", 2)
    full = t.run("verify", *t.ends(), "--level", "source", *args, "--json").expect(0).json
    part = stopped(t, "source", args, 3, "insert into other values (1)")
    table = part["tables"][0]
    assert table["equal"] and table["target_rows"] == 300000 and 10 < table["read_before"] < 100, table
    assert "by a verify that was stopped" in table["proof"] and part["rows"] < full["rows"], (part, full)
    assert t.run("verify", *t.ends(), "--level", "source", *args, "--json").expect(0).json["rows"] == full["rows"]
    # whoever writes meanwhile is seen, in what was read and in what was not
    ends = t.target.column("select id from narrow where ctid in ((select min(ctid) from narrow), (select max(ctid) from narrow))")
    part = stopped(t, "readback", ("-t", "narrow", "-j", 1), 2, "update narrow set b = b - 1 where id in (%s)" % ", ".join(ends), expect=3)
    assert found(part["tables"][0]) == {int(i): "changed" for i in ends} and part["tables"][0]["read_before"] == 0, part
    assert not kept(t)
    t.run("verify", *t.ends(), *args, fault="verify.part:*:error,verify.part_noted:2:kill").expect(-9)
    assert len(kept(t)) == 1
    t.run("clean", "-d", t.target.dsn, "--yes").expect(0)
    assert not kept(t)


@story(campaign=True)
def a_verify_goes_on_within_a_table_unless_somebody_has_written_to_it(t):
    copied(t, rows=600000)
    t.both("create table other (x int)")
    for level, more in (("readback", ()), ("source", ()), ("source", ("--in-server",))):
        args = ("-t", "narrow", "-j", 2, *more)
        full = t.run("verify", *t.ends(), "--level", level, *args, "--json").expect(0).json
        part = stopped(t, level, args, 4, *["insert into other values (1)"] * (level == "source"))
        table = part["tables"][0]
        assert table["equal"] and table["target_rows"] == 600000 and 10 < table["read_before"] < 100, table
        assert "by a verify that was stopped" in table["proof"] and part["rows"] < full["rows"], (part, full)
        assert t.run("verify", *t.ends(), "--level", level, *args, "--json").expect(0).json["rows"] == full["rows"]
    # whoever writes meanwhile is seen, in what was read and in what was not
    differing = {}
    for level in ("readback", "source"):
        ends = t.target.column("select id from narrow where ctid in ((select min(ctid) from narrow), (select max(ctid) from narrow))")
        differing.update((int(i), "changed") for i in ends)
        part = stopped(t, level, ("-t", "narrow", "-j", 1), 3, "update narrow set b = b - 1 where id in (%s)" % ", ".join(ends), expect=3)
        assert found(part["tables"][0]) == differing and part["tables"][0]["read_before"] == 0, part
    # and differences that were there before are, too
    part = stopped(t, "source", ("-t", "narrow", "-j", 1), 3, "vacuum narrow", expect=3)
    assert found(part["tables"][0]) == differing and part["tables"][0]["read_before"] > 0, part
    first = int(t.target.one("select id from narrow order by ctid limit 1"))
    part = stopped(t, "readback", ("-t", "narrow", "-j", 1), 3, "delete from narrow where id = %d" % first, expect=3)
    assert found(part["tables"][0]) == {**differing, first: "missing"} and part["tables"][0]["read_before"] == 0, part
    t.run("verify", *t.ends(), "-t", "narrow", "--repair").expect(0)
    assert not kept(t)


@story(campaign=True, dice=True, timeout=600)
def random_mutations_around_a_kill_are_named_exactly(t):
    """Whatever is done before and after it was stopped, and wherever that was: never a row too few, never one too many."""
    r, rows = t.random, 60000
    data.mixed(t, rows)
    t.copy("-t", "mixed", "-j", 2).expect(0)
    for n in range(4):
        keys = r.sample(range(1 + n * 10000, (n + 1) * 10000), r.choice((0, 1, 3)) + r.choice((0, 1, 3)))
        cut = r.randint(0, len(keys))
        args = r.choice((("--level", "readback"), ("--level", "source"), ("--level", "source", "--in-server")))
        args = ("verify", *t.ends(), "-t", "mixed", "-j", r.randint(1, 3), *args)
        expected = mutate(t, keys[:cut])
        t.run(*args, fault="verify.part:*:error,verify.part_noted:%d:kill" % r.randint(1, 12))
        expected.update(mutate(t, keys[cut:]))
        if r.random() < 0.5:
            t.target.query("vacuum mixed")
        t.note("%s, %d before, %s" % (args[8:], cut, expected))
        table = t.run(*args, "--json").expect(3 if expected else 0).json["tables"][0]
        assert found(table) == expected, (args, found(table), expected)
        t.run("verify", *t.ends(), "-t", "mixed", "--repair", "--max-delete", 10).expect(0)
    t.same("mixed")

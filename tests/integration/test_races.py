"""Several at once: movers that begin together, locks of others, DDL that waits, servers that lose what they hold."""

import os
import signal
import threading
import time

import data
import ledger
from cluster import wait_for
from proxy import CommitProxy
from story import story

SMALL = ("--shard-size", "256kB")
SLOWLY = "worker.landed:*:slow"


@story()
def several_jobs_that_begin_at_once_share_one_new_ledger(t):
    for i in range(4):
        data.narrow(t, 8000, "n%d" % i)
    running = [t.start_copy("-t", "n%d" % i, "--job", "j%d" % i, "-j", 1, *SMALL) for i in range(4)]
    for run in running:
        with run:
            run.wait().expect(0)
    t.whole(*["n%d" % i for i in range(4)])
    assert t.target.int("select count(*) from pghaul.job") == 4


@story()
def the_same_command_twice_at_once_is_one_run(t):
    data.narrow(t, 20000)
    running = [t.start_copy("-t", "narrow", "-j", 1, *SMALL) for _ in range(3)]
    codes = []
    for run in running:
        with run:
            codes.append(run.wait().rc)
    assert 0 in codes and set(codes) <= {0, 4}, codes
    t.whole("narrow")
    assert t.target.int("select count(*) from pghaul.job") == 1


@story()
def four_movers_that_join_from_the_beginning_are_one_job(t):
    data.mixed(t, 40000)
    running = [t.start_copy("-t", "mixed", "-j", 1, "--join", *SMALL) for _ in range(4)]
    for run in running:
        with run:
            run.wait().expect(0)
    t.whole("mixed")
    t.check_ledger(source=t.source)
    assert t.target.int("select count(*) from pghaul.snapshot") == 1, "more than one snapshot"


@story()
def movers_that_join_from_the_beginning_empty_the_target_once(t):
    """The second has planned before the first empties the target, which gives that a new file."""
    data.narrow(t, 20000)
    t.target.query("insert into narrow select -i, 1 from generate_series(1, 10) i")
    args = ("-t", "narrow", "-j", 1, "--join", "--mode", "replace", *SMALL)
    running = [t.start_copy(*args, fault="ledger.commit:1:slow") for _ in range(3)]
    for run in running:
        with run:
            run.wait().expect(0)
    t.whole("narrow")
    assert t.target.int("select count(*) from pghaul.snapshot") == 1, "more than one snapshot"


@story(dice=True, campaign=True)
def joined_movers_that_are_killed_and_begun_again_never_double_a_row(t):
    data.mixed(t, 60000)
    args = ("-t", "mixed", "-j", 1, "--join", "--split", t.random.choice(("block", "key", "hash")), *SMALL)
    movers = [t.start_copy(*args) for _ in range(3)]
    try:
        for _ in range(8):
            time.sleep(t.random.uniform(0, 0.08))
            victim = t.random.randrange(len(movers))
            movers[victim].kill9()
            movers[victim].wait()
            movers[victim] = t.start_copy(*args)
        for run in movers:
            result = run.wait()
            assert result.rc == 0, result
    finally:
        for run in movers:
            run.__exit__()
    t.whole("mixed")
    t.check_ledger(source=t.source)


@story(campaign=True)
def a_foreign_lock_on_the_target_is_waited_for_and_its_holder_left_alone(t):
    data.narrow(t, 40000)
    with t.target.session() as other:
        with t.start_copy("-t", "narrow", "-j", 2, *SMALL, fault=SLOWLY) as run:
            assert t.when_landed(1, run), "it ended too soon"
            other.query("begin; lock table narrow in access exclusive mode")
            time.sleep(6.5)  # longer than the mover's own lock_timeout
            assert run.alive(), run.wait()
            other.query("select 1; commit")
            run.wait().expect(0)
    t.whole("narrow")


@story(campaign=True)
def ddl_that_waits_on_the_source_for_a_while_is_borne(t):
    data.narrow(t, 40000)
    refused = []

    def ddl():
        with t.source.session() as s:
            s.query("set lock_timeout = '2s'")
            try:
                s.query("alter table narrow add column more int")
            except Exception as e:
                refused.append(e.sqlstate)
    with t.start_copy("-t", "narrow", "-j", 2, *SMALL, fault=SLOWLY) as run:
        assert t.when_landed(2, run), "it ended too soon"
        thread = threading.Thread(target=ddl)
        thread.start()
        run.wait().expect(0)
        thread.join()
    if not refused:
        t.source.query("alter table narrow drop column more")
    t.whole("narrow")


@story(campaign=True)
def ddl_that_waits_for_the_keeper_of_an_idle_job_gets_its_way_after_half_a_minute(t):
    data.narrow(t, 40000)
    with t.start_copy("-t", "narrow", "-j", 1, *SMALL) as run:
        assert t.when_landed(2, run), "it ended too soon"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    began = time.monotonic()
    t.source.query("truncate narrow")
    assert 20 < time.monotonic() - began < 45, "it waited %.0f s" % (time.monotonic() - began)
    t.copy("-t", "narrow", *SMALL).expect(5)


@story()
def a_target_that_is_truncated_under_the_copy_is_noticed(t):
    data.narrow(t, 60000)
    with t.start_copy("-t", "narrow", "-j", 1, *SMALL, fault=SLOWLY) as run:
        assert t.when_landed(3, run), "it ended too soon"
        t.target.query("truncate narrow")
        result = run.wait()
    assert result.rc in (1, 5) and "narrow" in result.err and "hint:" in result.err, result
    t.copy("-t", "narrow", *SMALL).expect(5)
    assert t.status()["state"] != "completed"


@story(tcp=True)
def a_backend_left_behind_by_a_dead_worker_is_found_and_ended(t):
    """The mover dies, and the network tells nobody: its target backends stay in their transactions, with their locks."""
    t.both("create table w (id int primary key, v text)")
    t.source.query("insert into w select i, repeat(md5(i::text), 10000) from generate_series(1, 60) i")
    t.target.query("create role hauler superuser login password 'x'")
    env = {"PGPASSFILE": t.write("pass", "127.0.0.1:*:*:hauler:x\n")}
    os.chmod(env["PGPASSFILE"], 0o600)
    with CommitProxy(t.target_cluster.port, orphan=True) as proxy:
        args = ("copy", "-s", t.source.dsn, "-d", t.target.tcp_dsn("hauler", proxy.port), "-t", "w", "-j", 2, "--job", "j",
                "--split", "key", "--shard-rows", 5)
        with t.mover.start(*args, env=env, fault="hop.put:6:hang") as run:
            wait_for(lambda: t.target.backends("query ~* 'copy' and state = 'active' and wait_event = 'ClientRead'"),
                     "a target backend in its COPY")
            time.sleep(0.3)
            run.kill9()
        time.sleep(0.2)
        left = t.target.backends("application_name ~ '/[0-9]+/[0-9]+$'")
        assert left, "the dead worker left no backend behind, so that this story proves nothing"
        result = t.run(*args, env=env)
        result.expect(0)
        assert result.seconds < 30, "it took %.0f s" % result.seconds
        assert not set(left) & set(t.target.backends()), "the old backends are still there"
    t.whole("w")


@story()
def clean_takes_the_keeper_of_an_unfinished_job_with_it(t):
    data.narrow(t, 40000)
    with t.start_copy("-t", "narrow", "-j", 1, "--job", "j", *SMALL) as run:
        assert t.when_landed(2, run), "it ended too soon"
        run.signal(signal.SIGINT)
        run.wait().expect(130)
    rows = t.rows("narrow")
    t.run("clean", "-d", t.target.dsn, "j", "--yes").expect(0)
    assert t.target.one("select to_regnamespace('pghaul')") is None
    assert t.rows("narrow") == rows, "clean touched a user's table"
    t.nothing_left()


@story()
def clean_asks_before_it_takes_anything_away(t):
    data.narrow(t, 100)
    t.copy("-t", "narrow", "--job", "j").expect(0)
    result = t.run("clean", "-d", t.target.dsn, "j")  # standard input is no terminal
    assert result.rc != 0 and t.target.one("select to_regclass('pghaul.job')"), result
    t.run("clean", "-d", t.target.dsn, "j", "-n").expect(0)
    assert t.target.one("select to_regclass('pghaul.job')")
    t.run("clean", "-d", t.target.dsn, "j", "--yes").expect(0)
    assert t.target.one("select to_regclass('pghaul.job')") is None


@story()
def an_output_that_cannot_be_written_is_said(t):
    data.narrow(t, 1000)
    result = t.copy("-t", "narrow", "--json", prefix=("/bin/sh", "-c", '"$@" >/dev/full', "sh"))
    result.expect(1, "output")
    t.whole("narrow")


@story()
def closed_standard_files_and_an_empty_environment_do_no_harm(t):
    data.narrow(t, 20000)
    t.copy("-t", "narrow", "-j", 2, *SMALL, prefix=("/usr/bin/env", "-i", "/bin/sh", "-c", '"$@" <&- >&- 2>&-; echo "rc $?" >' + t.directory + "/rc",
                                                  "sh"))
    with open(t.directory + "/rc") as f:
        assert f.read().strip() in ("rc 0", "rc 1")
    t.same("narrow")
    t.check_ledger(complete=True)


@story()
def too_few_file_descriptors_are_named_and_a_low_limit_is_raised(t):
    data.narrow(t, 20000)
    result = t.copy("-t", "narrow", "-j", 8, *SMALL, prefix=("/usr/bin/prlimit", "--nofile=18"))
    result.expect(2, "workers need about", "limit is 18", "ulimit -n")
    t.copy("-t", "narrow", "-j", 8, *SMALL, prefix=("/usr/bin/prlimit", "--nofile=12:200")).expect(0)
    t.whole("narrow")


VIOLATIONS = [
    ("unique", "alter table narrow add constraint viol unique (c)", "update narrow set c = 1000003 where id = 4444"),
    ("not null", "alter table narrow alter b set not null; update narrow set b = 0 where b is null", None),
    ("foreign key", "create table f (id bigint primary key); insert into f select generate_series(1, 5990); "
                    "alter table narrow add constraint viol foreign key (id) references f", None),
    ("deferred foreign key", "create table f (id bigint primary key); insert into f select generate_series(1, 5990); "
                             "alter table narrow add constraint viol foreign key (id) references f deferrable initially deferred", None),
    ("exclusion", "alter table narrow add constraint viol exclude using btree (c with =)", "update narrow set c = 1000003 where id = 4444"),
]


def violation(t, rule, damage):
    data.narrow(t, 6000)
    t.target.query(rule)
    if damage:
        t.source.query(damage)
    result = t.copy("-t", "narrow", "--split", "key", "--shard-rows", 500, "-j", 2, "--allow-nonempty", timeout=100).expect(1, "hint")
    states = [s[1] for s in ledger.shards(t.target)]
    assert "parked" in states and set(states) <= {"parked", "landed"}, states
    for value in ("4444", "1000003", "=("):
        assert value not in result.err, "a row's value was shown: %s" % result.err
    t.check_ledger()
    return states


@story()
def rows_that_violate_a_constraint_park_their_shard_and_no_other(t):
    for name, rule, damage in VIOLATIONS:
        t.note(name)
        t.source.terminate(t.source.backends())  # the keeper of the unfinished job would not let go of its table
        for side in (t.source, t.target):
            side.query("drop table if exists narrow, f cascade; drop schema if exists pghaul cascade")
        states = violation(t, rule, damage)
        if name != "not null":
            assert states.count("parked") == 1, "%s: %s" % (name, states)


@story()
def a_condition_that_would_write_cannot(t):
    data.narrow(t, 100)
    t.source.query("create table trace (a int); create function w(bigint) returns bool language plpgsql as "
                   "'begin insert into public.trace values (1); return true; end'")
    result = t.copy("-t", "narrow", "--where", "public.w(id)", timeout=100)
    assert result.rc in (1, 2), result
    assert t.source.int("select count(*) from trace") == 0 and t.rows("narrow") == 0


@story(campaign=True)
def rows_of_100_mb_pass_within_the_memory_that_was_allowed(t):
    t.both("create table w (id int primary key, b bytea)")
    t.target.query("alter table w alter b set storage external")
    t.source.query("alter table w alter b set storage external")
    t.source.query("insert into w select i, convert_to(repeat(md5(i::text), 3200000), 'UTF8') from generate_series(1, 3) i")
    result = t.copy("-t", "w", "-j", 2, "--split", "key", "--shard-rows", 1, "--memory", "400MiB", "--json", timeout=140).expect(0).json
    assert result["max_rss"] <= 400 << 20, "%.0f MiB were used" % (result["max_rss"] / 2 ** 20)
    here, there = [side.query("select id, md5(b) from w order by 1") for side in (t.source, t.target)]
    assert here == there
    t.check_ledger(complete=True)
    t.nothing_left()


@story(campaign=True)
def a_row_that_cannot_fit_into_the_memory_is_named(t):
    t.both("create table w (id int primary key, b bytea)")
    t.source.query("alter table w alter b set storage external")
    t.source.query("insert into w select i, convert_to(repeat('x', case i when 3 then 200000000 else 100 end), 'UTF8') "
                   "from generate_series(1, 5) i")
    t.copy("-t", "w", "-j", 1, "--split", "key", "--shard-rows", 1, "--memory", "100MiB", timeout=100).expect(1, "memory", "hint")
    assert t.rows("w") == 4
    t.copy("-t", "w", "-j", 1, "--memory", "512MiB", timeout=100).expect(0)
    t.check_ledger(complete=True)

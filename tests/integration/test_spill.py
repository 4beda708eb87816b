"""Shards by way of files: the source is read at its own speed and let go, the target loads at its own."""

import glob
import os
import re
import shutil
import signal
import time

import data
import ledger
from cluster import chown_to_ordinary, wait_for
from pgwire import PgError
from proxy import CommitProxy
from story import Skip, sleep_random, story

SMALL = ("--shard-size", "256kB")
ALWAYS = ("--spill", "always", *SMALL)
SLOW = ("--target-max-rate", "300kB/s")
IO = ("auto", "uring", "uring-buffered", "posix", "posix-buffered")


# What is on disk --------------------------------------------------------------------------------------------


def files(t, where=None):
    """Sealed spill files of this story."""
    return sorted(glob.glob((where or t.directory + "/state") + "/**/*.lz4", recursive=True))


def size_of(path):
    """0 when it has been loaded since it was listed."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def directories(t, where=None):
    return glob.glob((where or t.directory + "/state") + "/**/spill.*", recursive=True)


def nothing_on_disk(t, where=None):
    where = where or t.directory + "/state"
    left = [p for p in glob.glob(where + "/**", recursive=True) if os.path.isfile(p)]
    assert not left and not glob.glob(where + "/**/*.????????", recursive=True), "left behind: %s" % (
        left or glob.glob(where + "/**", recursive=True))


def a_directory(t, name="spill", mode=0o700):
    path = os.path.join(t.directory, name)
    os.makedirs(path, exist_ok=True)
    chown_to_ordinary(path)
    os.chmod(path, mode)
    return path


# Moments ----------------------------------------------------------------------------------------------------


def spilled(t):
    try:
        return t.target.int("select count(*) from pghaul.shard where state = 'spilled'")
    except PgError:
        return 0


def when_spilled(t, n, run, timeout=30):
    """Waits until n shards are in files, or the run has ended. Returns whether it is still running."""
    wait_for(lambda: not run.alive() or spilled(t) >= n, "%d shards spilled" % n, timeout, 0.002)
    return run.alive()


def when_let_go(t, run, timeout=30):
    """Waits until nobody holds the source any more."""
    when_spilled(t, 1, run)
    wait_for(lambda: not run.alive() or not t.source.backends("application_name ~ 'keeper'"),
             "the end of the keeper", timeout, 0.01)
    return run.alive()


def quiet(t):
    wait_for(lambda: not t.target.backends(), "the end of the target backends of a dead mover", 10)


def reset(t, *tables):
    t.target.query("drop schema if exists pghaul cascade; truncate " + ", ".join(tables))


def reads(t):
    """How many shards the source has been asked for; needs LOGGED."""
    with open(t.source_cluster.log, errors="replace") as f:
        return len(re.findall(r"COPY \(SELECT .* TO STDOUT", f.read()))


LOGGED = {"source": {"log_statement": "all"}}


def gone_through_files(t, result, *tables, where=None):
    assert result["spilled_bytes"] > 0, "nothing was spilled: %s" % result
    t.whole(*tables)
    nothing_on_disk(t, where)


# The plain route --------------------------------------------------------------------------------------------


@story()
def always_goes_by_way_of_files_and_leaves_none(t):
    data.mixed(t, 40000)
    result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "--target-max-rate", "4MB/s", "--json").expect(0).json
    assert 0 < result["snapshot_held_seconds"] < result["seconds"] * 0.8, (
        "the snapshot was held for %(snapshot_held_seconds)s of %(seconds)s s" % result)
    assert result["snapshots"] == 1 and result["retries"] == 0, result
    gone_through_files(t, result, "mixed")
    t.check_ledger(source=t.source)
    attempts = set(ledger.attempts(t.target).values())
    assert attempts == {2}, "a hop was not done at the first attempt: %s" % attempts


@story(campaign=True)
def every_way_of_input_and_output_gives_the_same(t):
    data.mixed(t, 8000)
    for io in IO:
        reset(t, "mixed")
        result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "--io", io, "--json", "-v").expect(0)
        assert ("io_uring" in result.err) == (io in IO[:3]), "by what files are written is not said: %s" % result
        gone_through_files(t, result.json, "mixed")
    for compress in ("always", "never"):
        reset(t, "mixed")
        result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "--compress", compress, "--json").expect(0).json
        assert (result["spilled_bytes"] < result["bytes"]) == (compress == "always"), result
        gone_through_files(t, result, "mixed")


@story(campaign=True)
def any_number_of_workers_on_either_side(t):
    data.narrow(t, 60000)
    for jobs in (("-j", 1), ("-j", 4), ("--source-jobs", 1, "--target-jobs", 3), ("--source-jobs", 3, "--target-jobs", 1)):
        reset(t, "narrow")
        gone_through_files(t, t.copy("-t", "narrow", *jobs, *ALWAYS, "--json").expect(0).json, "narrow")


@story(campaign=True)
def upsert_and_replace_go_through_files_too(t):
    data.narrow(t, 30000)
    for mode, split in (("upsert", "key"), ("replace", "block"), ("upsert", "hash")):
        reset(t, "narrow")
        t.target.query("insert into narrow select i, -1 from generate_series(1, 4000) i")
        gone_through_files(t, t.copy("-t", "narrow", "-j", 2, "--mode", mode, "--split", split, *ALWAYS, "--json").expect(0).json,
                           "narrow")


@story(campaign=True)
def text_and_unlogged_and_tiny_and_wide(t):
    """A table that goes as text, one that a crash would empty, two hundred tiny ones, and rows of 5 MB."""
    t.both("create table texts (id int primary key, o regtype, v text)")
    t.source.query(r"insert into texts select i, 'int4'::regtype, E'a\tb\\c\nd' || i from generate_series(1, 20000) i")
    data.narrow(t, 20000)
    t.target.query("alter table narrow set unlogged")
    for i in range(200):
        t.both("create table tiny%d (id int primary key, v int)" % i)
    t.source.query("; ".join("insert into tiny%d select g, 1 from generate_series(1, %d) g" % (i, i % 7) for i in range(200)))
    t.both("create table huge (id int primary key, v text)")
    t.source.query("insert into huge select i, (select string_agg(md5(i::text || j), '') from generate_series(1, 160000) j) "
                   "from generate_series(1, 6) i")
    tables = ["texts", "narrow", "huge"] + ["tiny%d" % i for i in range(200)]
    result = t.copy("--all", "-j", 3, *ALWAYS, "--json", timeout=100).expect(0).json
    gone_through_files(t, result, *tables)


@story()
def auto_with_nothing_in_its_way_makes_no_directory(t):
    data.mixed(t, 40000)
    result = t.copy("-t", "mixed", "-j", 2, *SMALL, "--json").expect(0).json
    assert result["spilled_bytes"] == 0, result
    made = [d for d, _, _ in os.walk(t.directory + "/state") if "/spill." in d]
    assert not made, "a directory was made: %s" % made
    t.whole("mixed")


@story()
def auto_spills_while_the_target_is_held_back_and_keeps_to_the_rate(t):
    data.mixed(t, 40000)
    result = t.copy("-t", "mixed", "-j", 3, *SMALL, "--target-max-rate", "1500kB/s", "--json").expect(0).json
    assert result["snapshot_held_seconds"] < result["seconds"] / 2.5, (
        "the snapshot was held for %(snapshot_held_seconds)s of %(seconds)s s" % result)
    least = result["bytes"] / 1500e3
    assert result["seconds"] > least * 0.9, "%.1f s instead of %.1f" % (result["seconds"], least)
    assert result["seconds"] < least * 1.1 + 1, "%.1f s instead of %.1f: it does not use what it may" % (result["seconds"], least)
    gone_through_files(t, result, "mixed")


# The target goes away ---------------------------------------------------------------------------------------


def drained_while_down(t, run, timeout=40):
    """The target is down; waits until the source has been let go."""
    wait_for(lambda: not run.alive() or not t.source.backends("application_name ~ 'keeper'"),
             "the end of the keeper", timeout, 0.01)
    assert run.alive(), "it ended with the target:\n%s" % run.wait()
    held = t.source.backends("backend_xmin is not null")
    assert not held, "the keeper is gone, and %d sessions hold the snapshot still" % len(held)


@story(settings=LOGGED, heavy=True, campaign=True)
def the_target_stops_and_the_source_is_drained_meanwhile(t):
    data.mixed(t, 60000)
    with t.start_copy("-t", "mixed", "-j", 2, *SMALL, "--json", timeout=90) as run:
        assert t.when_landed(3, run), "it ended before the crash"
        t.target_cluster.crash()
        drained_while_down(t, run)
        before = reads(t)
        t.target_cluster.start()
        result = run.wait().expect(0).json
    assert reads(t) == before, "the source was asked again after it had been let go"
    assert result["snapshots"] == 1 and result["snapshot_held_seconds"] < result["seconds"], result
    gone_through_files(t, result, "mixed")


@story(settings=LOGGED, heavy=True)
def the_mover_dies_while_the_target_is_down_and_what_it_had_read_is_not_read_again(t):
    data.mixed(t, 60000)
    args = ("-t", "mixed", "-j", 2, *SMALL)
    with t.start_copy(*args, timeout=90) as run:
        assert t.when_landed(3, run), "it ended before the crash"
        t.target_cluster.crash()
        drained_while_down(t, run)
        run.kill9()
    assert files(t), "no files"
    before = reads(t)
    t.target_cluster.start()
    result = t.copy(*args, "--json").expect(0).json
    assert reads(t) == before, "%d shards were read from the source again" % (reads(t) - before)
    assert result["snapshots"] == 1, result
    t.whole("mixed")
    nothing_on_disk(t)


ASYNC = {"target": {"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "wal_buffers": "64MB",
                    "commit_siblings": "0", "bgwriter_lru_maxpages": "0"}, **LOGGED}


@story(settings=ASYNC, heavy=True, campaign=True)
def a_crash_of_the_target_that_takes_landed_shards_back_finds_their_files_still_there(t):
    """Everything is in files, the snapshot is gone, shards land, and their commits are lost: the files must have stayed."""
    data.mixed(t, 40000)
    with t.start_copy("-t", "mixed", "-j", 2, *ALWAYS, "--target-max-rate", "2MB/s", "--json", timeout=90) as run:
        assert when_let_go(t, run), "it ended too soon"
        for n in (2, 5, 9):
            before = reads(t)
            assert t.when_landed(n, run), "it ended before the crash"
            sleep_random(t.random, 0.3)
            t.target_cluster.crash()
            t.target_cluster.start()
        result = run.wait().expect(0).json
    assert reads(t) == before, "the source was read again after it had been let go"
    assert result["snapshots"] == 1, result
    gone_through_files(t, result, "mixed")


# The mover dies ---------------------------------------------------------------------------------------------


@story(dice=True, rounds=1, heavy=True)
def killed_in_either_hop_it_goes_on_and_reads_nothing_twice(t):
    r = t.random
    mode, split, jobs = r.choice(("append", "upsert", "replace")), r.choice(("auto", "block", "key", "hash")), r.randint(1, 4)
    spill = r.choice(("always", "always", "auto"))
    size = r.choice(((), ("--spill-size", "300kB"), ("--spill-size", "2MB")))
    kind = r.choice(("narrow", "mixed", "wide"))
    make, rows = data.KINDS[kind]
    make(t, rows)
    if mode != "append":
        t.target.query("insert into %s (id%s) select i%s from generate_series(1, 50) i" % (
            kind, *((", a", ", 0") if kind == "narrow" else ("", ""))))
    rate = ("--target-max-rate", "4MB/s") if spill == "auto" else ()
    args = ["-t", kind, "--mode", mode, "--split", split, "-j", jobs, "--spill", spill, *size, *rate, *SMALL,
            "--io", r.choice(IO)]
    t.note(" ".join(str(a) for a in args))
    kept, died = {}, 0
    for _ in range(r.randint(1, 4)):
        with t.start_copy(*args) as run:
            if r.random() < 0.3:
                sleep_random(r, 0.5)
            elif r.random() < 0.5:
                when_spilled(t, 1 if size else r.randint(1, 6), run)
            else:
                t.when_landed(t.landed() + r.randint(1, 4), run)
            sleep_random(r, 0.05)
            died += run.kill9()
        quiet(t)
        if not ledger.exists(t.target):
            continue
        t.check_ledger()
        now = dict(t.target.query("select shard, file from pghaul.spill"))
        landed = ledger.receipts(t.target)
        assert all(now.get(i) == kept[i] or int(i) in landed for i in kept), "a shard was spilled a second time"
        kept = now
    t.copy(*args, timeout=100).expect(0)
    t.whole(kind)
    t.check_ledger(source=t.source)
    nothing_on_disk(t)


# Room -------------------------------------------------------------------------------------------------------


@story()
def a_small_spill_size_makes_reading_wait(t):
    data.mixed(t, 30000)
    with t.start_copy("-t", "mixed", "-j", 2, *ALWAYS, "--spill-size", "1MB", "--json", timeout=100) as run:
        most = 0
        while run.alive():
            most = max(most, sum(size_of(f) for f in files(t)))
            time.sleep(0.01)
        result = run.wait().expect(0).json
    assert 0 < most < 1.6e6, "the files had %d bytes at a time" % most
    gone_through_files(t, result, "mixed")


@story()
def files_that_are_kept_do_not_use_up_the_room(t):
    data.mixed(t, 20000)
    result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "--spill-size", "600kB", "--keep-spill", "--json", timeout=60).expect(0).json
    t.whole("mixed")
    kept = files(t)
    assert sum(os.path.getsize(f) for f in kept) == result["spilled_bytes"] > 1e6, (kept, result)
    t.copy("-t", "mixed", *ALWAYS).expect(0, "nothing")


class Tmpfs:
    """A small file system of its own for the spill files."""

    def __init__(self, t, options):
        if os.getuid() != 0:
            raise Skip("only root may mount")
        self.path = a_directory(t, "tmpfs")
        if os.system("mount -t tmpfs -o %s,mode=0700 tmpfs %s 2>/dev/null" % (options, self.path)):
            raise Skip("a tmpfs cannot be mounted")
        a_directory(t, "tmpfs")

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        os.system("umount -l " + self.path)


@story(campaign=True)
def a_full_file_system_makes_reading_wait(t):
    data.mixed(t, 20000)
    with Tmpfs(t, "size=1m") as where:
        result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "--spill-dir", where, "--spill-size", "1GB", "--compress", "never",
                        "--json", timeout=100).expect(0, "full").json
        gone_through_files(t, result, "mixed", where=where)


@story(campaign=True)
def a_file_system_without_inodes_makes_reading_wait(t):
    data.mixed(t, 12000)
    with Tmpfs(t, "size=20m,nr_inodes=6") as where:
        result = t.copy("-t", "mixed", "-j", 3, *ALWAYS, "--spill-dir", where, "--json", timeout=100).expect(0).json
        gone_through_files(t, result, "mixed", where=where)


@story(campaign=True)
def a_file_system_that_is_full_from_the_start_is_waited_for(t):
    data.mixed(t, 12000)
    with Tmpfs(t, "size=20m,nr_inodes=3") as where:
        stoppers = [t.write("tmpfs/" + name, "") for name in ("one", "two")]
        with t.start_copy("-t", "mixed", "-j", 2, *ALWAYS, "--spill-dir", where, "--json") as run:
            time.sleep(2.5)
            assert run.alive(), run.wait()
            assert t.landed() == 0
            os.system("mount -o remount,nr_inodes=100 " + where)
            for s in stoppers:
                os.unlink(s)
            result = run.wait().expect(0).json
        gone_through_files(t, result, "mixed", where=where)


# Directories that will not do -------------------------------------------------------------------------------


@story(campaign=True)
def a_directory_that_will_not_do_is_said_at_once(t):
    data.narrow(t, 20000)
    t.write("plain", "x")
    a_directory(t, "real")
    os.symlink(t.directory + "/real", t.directory + "/link")
    bad = [(a_directory(t, "closed", 0o500), "permission"), (a_directory(t, "open", 0o777), "others may write"),
           (t.directory + "/plain", "directory"), (t.directory + "/link", "symbolic link"),
           (t.directory + "/none/at/all", "no such file")]
    for path, text in bad:
        if path.endswith("closed") and os.getuid() != 0:
            continue
        t.copy("-t", "narrow", "-j", 2, *ALWAYS, "--spill-dir", path, timeout=30).expect(2, path, text)
        assert not ledger.exists(t.target) or not t.target.int("select count(*) from pghaul.job"), "something was begun"
        assert t.rows("narrow") == 0
    wait_for(lambda: not t.mover.processes(), "the end of every process", 8)
    # for auto they are no reason to fail
    t.copy("-t", "narrow", "-j", 3, *SMALL, "--target-max-rate", "200kB/s", "--spill-dir", bad[1][0]).expect(0, "others may write")
    t.whole("narrow")


@story()
def a_relative_directory_is_found_again(t):
    data.mixed(t, 30000)
    args = ("-t", "mixed", "-j", 2, *ALWAYS, *SLOW, "--spill-dir", "./new//")
    with t.start_copy(*args) as run:
        assert when_let_go(t, run), "it ended too soon"
        run.kill9()
    quiet(t)
    before = ledger.attempts(t.target)
    t.copy("-t", "mixed", "-j", 2, *ALWAYS, "--spill-dir", "new").expect(0)
    assert all(n <= before[i] + 1 for i, n in ledger.attempts(t.target).items()), "shards were read again"
    t.whole("mixed")
    nothing_on_disk(t, t.directory + "/new")


def interrupted_with_files(t, args, n=5):
    """Killed when shards are in files; none of them has landed."""
    with t.start_copy(*args, *SLOW) as run:
        assert when_let_go(t, run), "it ended too soon"
        run.kill9()
    quiet(t)
    assert spilled(t) >= n, ledger.states(t.target)
    return files(t)


@story(campaign=True)
def a_directory_that_was_moved_is_found_where_it_is_named(t):
    data.mixed(t, 20000)
    a_directory(t, "here")
    there = a_directory(t, "there")
    args = ("-t", "mixed", "-j", 2, *ALWAYS)
    with t.start_copy(*args, "--spill-dir", t.directory + "/here", *SLOW) as run:
        assert when_let_go(t, run), "it ended too soon"
        run.kill9()
    quiet(t)
    (job,) = os.listdir(t.directory + "/here")
    os.rename(t.directory + "/here/" + job, there + "/" + job)
    result = t.copy(*args, "--spill-dir", there, "--json").expect(0).json
    assert result["snapshots"] == 1, "the source was read again"
    t.whole("mixed")
    nothing_on_disk(t, there)


@story()
def a_lost_directory_costs_another_reading_and_nothing_else(t):
    data.narrow(t, 40000)
    args = ("-t", "narrow", "-j", 2, *ALWAYS)
    interrupted_with_files(t, args)
    shutil.rmtree(t.directory + "/state")
    # all files at once: found one by one, each might need a snapshot of its own
    result = t.copy(*args, "--json").expect(0, "missing or too short").json
    assert result["snapshots"] == 2, result["snapshots"]  # it had been let go
    gone_through_files(t, result, "narrow")


@story()
def damaged_files_cost_one_more_snapshot_however_many_they_are(t):
    data.narrow(t, 40000)
    args = ("-t", "narrow", "-j", 1, *ALWAYS)
    interrupted_with_files(t, args)
    damaged = files(t)[::2]
    assert len(damaged) > 2, damaged
    for path in damaged:
        with open(path, "r+b") as f:
            f.seek(os.path.getsize(path) // 2)
            f.write(b"\0" * 40)
    result = t.copy(*args, "--target-max-rate", "2MB/s", "--json").expect(0, "missing or damaged").json
    assert result["snapshots"] == 2, result["snapshots"]
    gone_through_files(t, result, "narrow")


@story(campaign=True)
def a_directory_that_vanishes_under_a_running_copy_is_made_again(t):
    data.mixed(t, 30000)
    with t.start_copy("-t", "mixed", "-j", 2, *ALWAYS, "--target-max-rate", "2MB/s", "--spill-size", "2MB", "--json") as run:
        assert when_spilled(t, 3, run), "it ended too soon"
        (where,) = directories(t)
        shutil.rmtree(where, ignore_errors=True)
        wait_for(lambda: not os.path.exists(where) or shutil.rmtree(where, ignore_errors=True), "the end of the directory", 5, 0)
        result = run.wait().expect(0).json
    gone_through_files(t, result, "mixed")


def flip(path, at=None):
    with open(path, "r+b") as f:
        f.seek(0, 2)
        at = at if at is not None else f.tell() // 2
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x10]))


@story()
def a_damaged_file_is_read_again_from_the_source(t):
    data.mixed(t, 20000)
    args = ("-t", "mixed", "-j", 2, *ALWAYS)
    with t.start_copy(*args, "--source-max-rate", "1MB/s") as run:  # the snapshot stays
        assert when_spilled(t, 6, run), "it ended too soon"
        run.kill9()
    quiet(t)
    there = files(t)
    flip(there[0])
    with open(there[1], "r+b") as f:
        f.truncate(os.path.getsize(there[1]) - 7)
    os.unlink(there[2])
    shutil.copy(there[4], there[3])  # another shard's
    result = t.copy(*args, "--json").expect(0, "again").json
    assert result["snapshots"] == 1, result
    gone_through_files(t, result, "mixed")


@story(campaign=True)
def a_damaged_file_whose_snapshot_is_gone_is_read_again_under_a_second_one(t):
    data.narrow(t, 40000)
    args = ("-t", "narrow", "-j", 2, *ALWAYS, "--split", "key")
    there = interrupted_with_files(t, args)
    flip(there[0])
    t.source.query("update narrow set c = c + 1 where id % 1000 = 0")
    t.copy(*args, "--strict").expect(1, "snapshot", "strict")
    result = t.copy(*args, "--json").expect(0, "again").json
    assert result["snapshots"] == 2, result
    t.whole("narrow")
    nothing_on_disk(t)


# Several movers ---------------------------------------------------------------------------------------------


def home(t, name):
    path = os.path.join(t.directory, name)
    os.makedirs(path, exist_ok=True)
    chown_to_ordinary(path)
    return {"HOME": path, "XDG_STATE_HOME": path + "/state"}


@story(campaign=True)
def two_movers_share_a_directory(t):
    data.mixed(t, 40000)
    args = ("-t", "mixed", "-j", 1, *ALWAYS, "--target-max-rate", "2MB/s")
    with t.start_copy(*args) as first:
        assert when_spilled(t, 2, first), "it ended too soon"
        t.copy(*args, "--join").expect(0)
        first.wait().expect(0)
    t.whole("mixed")
    nothing_on_disk(t)


@story(campaign=True)
def of_two_movers_in_one_directory_the_first_is_killed(t):
    """The second could add nothing to the directory while the first held it; now it must."""
    data.mixed(t, 40000)
    args = ("-t", "mixed", "-j", 1, *ALWAYS, "--target-max-rate", "1MB/s", "--source-max-rate", "1MB/s")
    with t.start_copy(*args) as first:
        assert when_spilled(t, 2, first), "it ended too soon"
        with t.start_copy("-t", "mixed", "-j", 2, *ALWAYS, "--join", timeout=40) as second:
            wait_for(lambda: t.target.int("select count(*) from pghaul.mover") == 2, "the second mover")
            time.sleep(1.3)
            first.kill9()
            second.wait().expect(0)
    t.whole("mixed")
    nothing_on_disk(t)


@story(campaign=True)
def a_mover_that_never_spills_loads_what_another_has_left(t):
    data.mixed(t, 30000)
    args = ("-t", "mixed", "-j", 1, *SMALL)
    with t.start_copy(*args, "--spill", "always", *SLOW, "--source-max-rate", "1MB/s") as first:
        assert when_spilled(t, 1, first), "it ended too soon"
        with t.start_copy(*args, "--spill", "never", "--join", "--target-max-rate", "500kB/s", timeout=40) as second:
            wait_for(lambda: t.target.int("select count(*) from pghaul.mover") == 2, "the second mover")
            time.sleep(0.5)
            first.kill9()
            second.wait().expect(0)
    t.whole("mixed")


@story(campaign=True)
def shards_in_a_directory_where_nobody_works_end_the_run_by_name(t):
    data.mixed(t, 30000)
    args = ("-t", "mixed", "-j", 1, *ALWAYS)
    one, two, three = home(t, "one"), home(t, "two"), home(t, "three")
    with t.start_copy(*args, *SLOW, env=one) as first:
        assert when_spilled(t, 4, first), "it ended too soon"
        with t.start_copy(*args, "--join", "--json", env=two) as second:
            wait_for(lambda: t.target.int("select count(*) from pghaul.mover") == 2, "the second mover")
            first.kill9()
            second.wait().expect(1, t.directory + "/one", "forget-spill", "hint")
    t.check_ledger()
    stranded = spilled(t)
    assert stranded > 0
    t.copy(*args, env=three).expect(1, t.directory + "/one")
    before = ledger.attempts(t.target)
    if t.random.random() < 0.5:
        t.copy(*args, env=one).expect(0)
        again = [i for i, n in ledger.attempts(t.target).items() if n > before[i] + 1]
        assert not again, "%s were read again" % again
        nothing_on_disk(t, t.directory + "/one")
    else:
        t.copy(*args, "--forget-spill", env=three).expect(0, "again")
    t.whole("mixed")


@story(own=True, campaign=True)
def a_crash_of_the_target_does_not_make_movers_give_each_other_up(t):
    """Whoever comes back first finds the other's lock gone, and its shards in files: that is no reason to end."""
    data.mixed(t, 20000)
    args = ("-t", "mixed", "-j", 1, *ALWAYS, "--target-max-rate", "700kB/s")
    with t.start_copy(*args, env=home(t, "one"), timeout=90) as first:
        assert when_spilled(t, 3, first), "it ended too soon"
        with t.start_copy(*args, "--join", env=home(t, "two"), timeout=90) as second:
            wait_for(lambda: t.target.int("select count(*) from pghaul.mover") == 2, "the second mover")
            time.sleep(0.5)
            first.signal(signal.SIGSTOP)
            t.target_cluster.crash()
            t.target_cluster.start()
            time.sleep(2.5)
            first.signal(signal.SIGCONT)
            second.wait().expect(0)
            first.wait().expect(0)
    t.whole("mixed")


# Stopping ---------------------------------------------------------------------------------------------------


@story()
def an_interrupt_leaves_the_files_for_the_next_run(t):
    data.mixed(t, 30000)
    args = ("-t", "mixed", "-j", 2, *ALWAYS)
    for signals in (1, 2):
        with t.start_copy(*args, *SLOW, "--source-max-rate", "3MB/s") as run:
            assert when_spilled(t, spilled(t) + 2, run), "it ended too soon"
            for _ in range(signals):
                run.signal(signal.SIGINT)
                time.sleep(0.03)
            run.wait().expect(130)
        quiet(t)
        t.check_ledger()
        known = set(t.target.column("select file from pghaul.spill"))
        assert known <= {os.path.basename(f) for f in files(t)}, "the ledger knows files that are not there"
    t.copy(*args).expect(0)
    t.whole("mixed")
    nothing_on_disk(t)


@story()
def the_snapshot_of_a_parked_shard_s_file_is_not_mixed_with_a_newer_one(t):
    """A shard is parked on its way out of its file, the snapshot is lost and the source changes: all is of one moment at the end."""
    data.narrow(t, 20000)
    t.target.query("alter table narrow add constraint mend check (id <> 5)")
    args = ("-t", "narrow", "-j", 1, *ALWAYS, "--split", "key")
    with t.start_copy(*args, "--source-max-rate", "400kB/s") as run:
        wait_for(lambda: not run.alive() or ledger.exists(t.target) and ledger.states(t.target).get("spilled", 0) >= 2, "files")
        run.signal(signal.SIGINT)
        run.wait()
    quiet(t)
    # the shard with row 5 is in a file; now it is parked, and the others are still to be read
    t.source.terminate(t.source.backends())
    wait_for(lambda: not t.mover.processes(), "the end of the keeper")
    t.target.query("update pghaul.shard set state = 'parked', error = 'x' where state = 'spilled'")
    t.source.query("update narrow set c = -1 where id < 100; update narrow set id = -id where id between 200 and 300")
    t.target.query("alter table narrow drop constraint mend")
    t.copy(*args).expect(0)
    t.whole("narrow")


@story(tcp=True, campaign=True)
def a_lost_answer_about_a_file_is_settled_by_the_ledger(t):
    data.mixed(t, 12000)
    t.target.query("create role hauler superuser login password 'secret'")
    passfile = t.write("pass", "127.0.0.1:*:*:hauler:secret\n")
    os.chmod(passfile, 0o600)
    cuts = {1: "after", 3: "before", 5: "unawaited"}
    with CommitProxy(t.target_cluster.port, cuts) as proxy:
        result = t.run("copy", "-s", t.source.dsn, "-d", t.target.tcp_dsn("hauler", proxy.port), "-t", "mixed", "-j", 2, *ALWAYS,
                       "--json", env={"PGPASSFILE": passfile}).expect(0).json
        assert sorted(proxy.done) == sorted(cuts.items()), "cut %s, wanted %s" % (proxy.done, cuts)
    gone_through_files(t, result, "mixed")

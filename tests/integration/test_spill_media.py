"""Spill files where the kernel or the medium does not play along: no io_uring, no locked memory, power cuts, disks that lie."""

import fcntl
import os
import shutil
import subprocess
import time

import data
import ledger
from cluster import chown_to_ordinary, wait_for
from story import Skip, story
from test_spill import ALWAYS, SMALL, a_directory, gone_through_files, nothing_on_disk, quiet, reset, spilled, when_spilled

SUPPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support")


@story()
def where_io_uring_is_forbidden_files_are_written_without(t):
    data.mixed(t, 8000)
    with open(SUPPORT + "/confine.py") as f:
        confine = ("/usr/bin/env", "python3", t.write("confine.py", f.read()))
    result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "-v", "--json", prefix=confine).expect(0, "pread", "pwrite")
    assert "by io_uring" not in result.err, result
    gone_through_files(t, result.json, "mixed")
    reset(t, "mixed")
    # who insists is told, and nothing has been begun
    t.copy("-t", "mixed", *ALWAYS, "--io", "uring", prefix=confine).expect(2, "io_uring", "forbidden", "hint")
    assert not ledger.exists(t.target)
    t.run("extract", "-s", t.source.dsn, "-d", "archive:" + t.directory + "/a", "-t", "mixed", "-v", *SMALL, prefix=confine).expect(0)
    t.run("load", "-s", "archive:" + t.directory + "/a", "-d", t.target.dsn, "--all", "-v", prefix=confine).expect(0, "pread")
    t.whole("mixed")


@story()
def where_no_memory_may_be_locked_it_does_without(t):
    data.mixed(t, 8000)
    if not shutil.which("prlimit"):
        raise Skip("there is no prlimit")
    for limit in ("0", "65536"):
        reset(t, "mixed")
        result = t.copy("-t", "mixed", "-j", 2, *ALWAYS, "-v", "--json", prefix=("/usr/bin/env", "prlimit", "--memlock=" + limit)).expect(0)
        assert "registered buffers" not in result.err, result
        gone_through_files(t, result.json, "mixed")


@story(campaign=True)
def with_few_descriptors_it_does_without_or_says_so(t):
    data.narrow(t, 20000)
    limited = ("/usr/bin/env", "prlimit", "--nofile=20")
    result = t.copy("-t", "narrow", "-j", 4, *ALWAYS, prefix=limited, timeout=30)
    assert result.rc in (0, 1, 2) and (result.rc == 0 or "open files" in result.err), result
    t.copy("-t", "narrow", "-j", 4, *ALWAYS).expect(0)
    t.whole("narrow")
    nothing_on_disk(t)


class Ext4:
    """ext4 on a file. goingdown() is a power cut: what has not been flushed is gone, and every further write fails."""

    GOINGDOWN, NOTHING_FLUSHED = 0x8004587D, 2

    def __init__(self, t, size="64M", on=None, options=""):
        if os.getuid() != 0:
            raise Skip("only root may mount")
        self.image = os.path.join(on or t.directory, "disk.img")
        self.path = a_directory(t, "disk")
        self.options = options
        with open(self.image, "wb") as f:
            f.truncate(int(size[:-1]) << 20)
        if subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,nodiscard", self.image],
                          capture_output=True).returncode or self.mount():
            raise Skip("ext4 cannot be had on a loop device")
        shutil.rmtree(self.path + "/lost+found", ignore_errors=True)

    def mount(self):
        status = os.system("mount -o loop%s %s %s 2>/dev/null" % (self.options, self.image, self.path))
        if status == 0:
            chown_to_ordinary(self.path)
            os.chmod(self.path, 0o700)
        return status

    def cut(self):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, self.GOINGDOWN, (self.NOTHING_FLUSHED).to_bytes(4, "little"))
        finally:
            os.close(fd)

    def remount(self):
        wait_for(lambda: os.system("umount %s 2>/dev/null" % self.path) == 0, "the unmounting", 10, 0.1)
        assert self.mount() == 0, "it cannot be mounted again"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.system("umount -l %s 2>/dev/null" % self.path)


@story(campaign=True, dice=True, timeout=300)
def a_power_cut_of_the_files_costs_what_was_not_sealed(t):
    data.mixed(t, 40000)
    with Ext4(t) as disk:
        args = ("-t", "mixed", "-j", t.random.randint(1, 3), *ALWAYS, "--spill-dir", disk.path, "--io",
                t.random.choice(("auto", "uring", "posix", "posix-buffered")))
        for _ in range(t.random.randint(1, 3)):
            with t.start_copy(*args, "--target-max-rate", "2MB/s", "--source-max-rate", "6MB/s") as run:
                when_spilled(t, spilled(t) + t.random.randint(1, 8), run)
                time.sleep(t.random.uniform(0, 0.1))
                disk.cut()
                time.sleep(t.random.choice((0, 0, 0.3)))
                run.kill9()
            quiet(t)
            disk.remount()
            t.check_ledger()
            known = t.target.column("select file from pghaul.spill p join pghaul.shard s on s.id = p.shard and s.state = 'spilled'")
            there = {f for _, _, fs in os.walk(disk.path) for f in fs}
            # one that the ledger was told of was sealed, and so is not lost to the cut
            assert set(known) <= there, "lost though they were sealed: %s" % sorted(set(known) - there)[:5]
        result = t.copy(*args, "--json").expect(0)
        assert "read from the source again" not in result.err, "a sealed file was damaged by the cut:\n%s" % result.err
        t.whole("mixed")
        nothing_on_disk(t, disk.path)


@story(campaign=True, timeout=300)
def a_power_cut_under_a_living_mover_loses_nothing(t):
    """Its files fail one after the other; what it can still do, it does, and the next run mends the rest."""
    data.mixed(t, 40000)
    with Ext4(t) as disk:
        args = ("-t", "mixed", "-j", 2, *ALWAYS, "--spill-dir", disk.path)
        with t.start_copy(*args, "--target-max-rate", "2MB/s", "--source-max-rate", "4MB/s", timeout=120) as run:
            assert when_spilled(t, 4, run), "it ended too soon"
            disk.cut()
            run.wait().expect(0, "nothing more is spilled")
        disk.remount()
        t.copy(*args).expect(0)
        t.whole("mixed")


@story(campaign=True, timeout=300)
def a_disk_that_fails_to_flush_is_never_trusted(t):
    """A sparse image on a full tmpfs: writes are taken, and fail when they are flushed."""
    data.mixed(t, 60000)
    small = a_directory(t, "small")
    if os.getuid() != 0 or os.system("mount -t tmpfs -o size=9m tmpfs %s 2>/dev/null" % small):
        raise Skip("a tmpfs cannot be mounted")
    try:
        with Ext4(t, "200M", on=small) as disk:
            args = ("-t", "mixed", "-j", 2, "--spill-dir", disk.path, *SMALL)
            first = t.copy(*args, "--spill", "always", "--compress", "never", "--io", "posix-buffered", timeout=120)
            assert first.rc in (0, 1) and "nothing more is spilled" in first.err, first
            t.check_ledger()
            again = t.copy(*args, "--spill", "never", timeout=120)
            assert again.rc == 0, "%s\nit had said:\n%s" % (again, first)
            t.whole("mixed")
    finally:
        os.system("umount -l " + small)

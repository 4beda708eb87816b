"""Runs pghaul as users do: a process, its exit status, what it printed.

Every run is watched: one that takes longer than its timeout is aborted, and that is a failure of the story.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from cluster import clean_env, ordinary_user


class Hung(AssertionError):
    pass


class Result:
    def __init__(self, argv, rc, out, err, seconds):
        self.argv, self.rc, self.out, self.err, self.seconds = argv, rc, out, err, seconds

    @property
    def json(self):
        """The one object that --json printed; anything else on stdout is an error."""
        try:
            value = json.loads(self.out)
        except ValueError as e:
            raise AssertionError("stdout is not one JSON object (%s):\n%s" % (e, self))
        assert isinstance(value, dict), "stdout is JSON but no object:\n%s" % self
        return value

    def expect(self, rc, *texts):
        """Asserts the exit status, and that stderr or stdout holds each text (any case)."""
        assert self.rc == rc, "exit status %s instead of %s:\n%s" % (self.rc, rc, self)
        said = (self.err + self.out).lower()
        for text in texts:
            assert text.lower() in said, "nothing said of %r:\n%s" % (text, self)
        return self

    def __str__(self):
        return "$ %s\n--- rc %s after %.2f s\n--- stdout\n%s\n--- stderr\n%s" % (
            " ".join(self.argv), self.rc, self.seconds, self.out[-3000:], self.err[-3000:])


class Running:
    """A run in the background. Use as a context manager: whatever happens, the process is gone afterwards."""

    def __init__(self, argv, env, cwd, timeout, demote=True):
        who = ordinary_user()[0] if demote else {}
        self.argv, self.started = argv, time.monotonic()
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=self._out,
                                        stderr=self._err, start_new_session=True, **who)
        self.hung = False
        self._watchdog = threading.Timer(timeout, self._abort)
        self._watchdog.daemon = True
        self._watchdog.start()

    pid = property(lambda self: self.process.pid)

    def _abort(self):
        if self.process.poll() is None:
            self.hung = True
            self.stacks = kernel_waits(self.pid)
            self.process.send_signal(signal.SIGABRT)

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill9(self):
        """kill -9, unless it has ended by itself. Returns whether it was killed."""
        self.process.kill()
        self.process.wait()
        return self.process.returncode == -signal.SIGKILL

    def stderr_so_far(self):
        return os.pread(self._err.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait(self):
        self.process.wait()
        self._watchdog.cancel()
        seconds = time.monotonic() - self.started
        result = Result(self.argv, self.process.returncode, _contents(self._out), _contents(self._err), seconds)
        if self.hung:
            raise Hung("aborted after %.0f s, it waited in: %s\n%s" % (seconds, self.stacks, result))
        if result.rc < 0 and result.rc != -signal.SIGKILL:
            raise AssertionError("died of signal %d:\n%s" % (-result.rc, result))
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.alive():
            self.kill9()
        self._watchdog.cancel()


def _contents(f):
    return os.pread(f.fileno(), 64 << 20, 0).decode(errors="replace")


def kernel_waits(pid):
    """Where each thread of a process sleeps, for the report of a hung run."""
    waits = []
    try:
        for task in sorted(os.listdir("/proc/%d/task" % pid)):
            with open("/proc/%d/task/%s/wchan" % (pid, task)) as f:
                waits.append("%s:%s" % (task, f.read()))
    except OSError:
        pass
    return ", ".join(waits)


class Mover:
    """pghaul with a home of its own. STORY_ID marks its processes, so that left-over ones can be found."""

    def __init__(self, binary, home, story_id):
        self.binary, self.home, self.story_id = binary, home, story_id

    def env(self, extra=None):
        env = clean_env()
        env.update(HOME=self.home, XDG_STATE_HOME=self.home + "/state", STORY_ID=self.story_id,
                   ASAN_OPTIONS="detect_leaks=0:exitcode=99",
                   UBSAN_OPTIONS="halt_on_error=1:exitcode=99", TSAN_OPTIONS="exitcode=99")
        for name in list(env):
            if name.startswith("PGHAUL"):
                del env[name]
        env.update(extra or {})
        return env

    def start(self, *args, env=None, timeout=60, fault=None, cwd=None, prefix=(), demote=True):
        extra = dict(env or {})
        if fault:
            extra["PGHAUL_FAULT"] = fault
        argv = [*prefix, self.binary, *[str(a) for a in args]]
        return Running(argv, self.env(extra), cwd or self.home, timeout, demote)

    def run(self, *args, **kwargs):
        with self.start(*args, **kwargs) as running:
            return running.wait()

    def processes(self):
        """pids of this story's pghaul processes that are alive, keepers included."""
        return processes_of(self.binary, self.story_id)


def processes_of(binary, story_id):
    mark, found = b"STORY_ID=" + story_id.encode() + b"\0", []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.readlink("/proc/%s/exe" % entry) != binary:
                continue
            with open("/proc/%s/environ" % entry, "rb") as f:
                if mark in f.read():
                    found.append(int(entry))
        except OSError:
            continue
    return found

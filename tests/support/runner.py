"""Finds stories and runs them, several at a time, each in a process of its own.

    runner.py --binary PATH [--build DIR] [--jobs N] [--seed N] [--campaign ROUNDS] [--list] [NAME…]

--build: a build directory whose ctest tests (unit, lint) are run first. --campaign: the long campaign: stories that
throw dice are repeated with ROUNDS seeds, and those that are too long for every day are told too.
NAME selects the stories whose module.name contains it, in either spelling (spaces or underscores). The last line
on stdout is `N passed, N failed` (and `, N skipped`).
"""

import argparse
import glob
import importlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, TESTS + "/integration", TESTS + "/fault"]

import story as story_module  # noqa: E402
from cluster import Cluster, chown_to_ordinary, make_template  # noqa: E402


class Rig:
    """What stories share: the binary, the templates, one source server and one target server."""

    def __init__(self, binary, seed, campaign=0):
        self.campaign = campaign
        self.directory = tempfile.mkdtemp(prefix="pgh-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        chown_to_ordinary(self.directory)
        self.sockets = self.directory  # short: a socket's path may have 108 bytes
        self.seed = seed
        self.source = self.target = None
        self.binary = os.path.join(self.directory, "pghaul")
        self.tools = os.path.join(os.path.dirname(os.path.abspath(binary or "")), "tests", "tools")
        if binary:
            shutil.copy(binary, self.binary)
            os.chmod(self.binary, 0o755)
            tool = os.path.join(os.path.dirname(binary), "loadplan")  # built with the unit tests
            if os.path.exists(tool):
                self.take(tool)

    def take(self, program):
        copied = os.path.join(self.directory, os.path.basename(program))
        shutil.copy(program, copied)
        os.chmod(copied, 0o755)

    def template(self, side):
        return os.path.join(self.directory, "template-" + side)

    def open(self):
        for side in ("source", "target"):
            make_template(self.template(side))
        self.source = Cluster(self.template("source"), self.directory + "/source", self.sockets).start()
        self.target = Cluster(self.template("target"), self.directory + "/target", self.sockets).start()

    def close(self):
        for cluster in (self.source, self.target):
            if cluster:
                cluster.remove()
        shutil.rmtree(self.directory, ignore_errors=True)


def load_stories(folders):
    for folder in folders:
        for path in sorted(glob.glob("%s/%s/test_*.py" % (TESTS, folder))):
            importlib.import_module(os.path.basename(path)[:-3])
    return story_module.STORIES


def chosen(stories, names):
    if not names:
        return stories
    wanted = [n.replace(" ", "_").lower() for n in names]
    return [s for s in stories if any(w in s.name.lower() for w in wanted)]


def tell(rig, story_, seed, pipe):
    """In the child: one story from beginning to end."""
    os.setpgrp()
    context, verdict, text = None, "ok", ""
    try:
        context = story_module.Context(rig, story_, seed)
        story_.function(context)
    except story_module.Skip as e:
        verdict, text = "skip", str(e)
    except BaseException as e:  # whatever it is, it is the story's end
        if isinstance(e, SystemExit):
            text = "a timeout of %d s\n" % story_.timeout
        verdict, text = "FAIL", text + traceback.format_exc(limit=-6)
        text += "".join("note: %s\n" % n for n in (context.notes if context else []))
        if context and story_.own:
            text += "source log: %s\ntarget log: %s\n" % (
                context.source_cluster.log_tail(8), context.target_cluster.log_tail(8))
    try:
        if context:
            context.close()
    except BaseException:
        if verdict != "FAIL":
            verdict, text = "FAIL", "cleaning up: " + traceback.format_exc()
    pipe.send((verdict, text))


class Child:
    def __init__(self, rig, story_, seed):
        self.story, self.seed, self.started = story_, seed, time.monotonic()
        self.pipe, theirs = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=tell, args=(rig, story_, seed, theirs))
        self.process.start()
        theirs.close()

    def over(self):
        return self.pipe.poll() or not self.process.is_alive()

    def check_time(self):
        """A story that takes too long is told to end; one that does not is killed."""
        late = time.monotonic() - self.started - self.story.timeout
        if late > 20:
            self.process.kill()
        elif late > 0:
            self.process.terminate()

    def verdict(self):
        try:
            result = self.pipe.recv()
        except EOFError:
            result = ("FAIL", "the story's process died with status %s" % self.process.exitcode)
        self.process.join()
        return result


class Tally:
    def __init__(self):
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def add(self, verdict, seconds, name, text=""):
        self.counts[verdict] += 1
        print("%-4s %6.1fs  %s" % (verdict, seconds, name))
        print("".join("      | %s\n" % line for line in text.rstrip().splitlines()), end="", flush=True)

    def add_story(self, child, verdict, text):
        if verdict == "FAIL":
            text += "again: tests/run.sh --seed %d %s" % (child.seed, child.story.name)
        self.add(verdict, time.monotonic() - child.started,
                 "%s: %s" % (child.story.module, child.story.sentence), text)

    def line(self):
        text = "%d passed, %d failed" % (self.counts["ok"], self.counts["FAIL"])
        return text + (", %d skipped" % self.counts["skip"] if self.counts["skip"] else "")


CTEST_LINE = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) \.*\s*(?:\*\*\*)?(\w+).*?([\d.]+) sec")


def ctest(build, *args):
    return subprocess.run(["ctest", "--test-dir", build, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace").stdout


def ctest_names(build, names):
    """Of the tests that ctest knows, those that are wanted."""
    if not build or not os.path.exists(build + "/CTestTestfile.cmake"):
        return []
    known = re.findall(r"^\s*Test\s+#\d+: (\S+)", ctest(build, "-N"), re.M)
    return [k for k in known if not names or any(n.lower() in k.lower() for n in names)]


def run_ctest(build, names, jobs, tally):
    wanted = ctest_names(build, names)
    if not wanted:
        return
    pattern = "^(%s)$" % "|".join(re.escape(n) for n in wanted)
    output, seen = ctest(build, "-j%d" % jobs, "--timeout", "120", "--output-on-failure", "-R", pattern), set()
    sections = re.split(r"(?m)^(?=\s*\d+/\d+ Test\s+#)", output)
    for section in sections:
        match = CTEST_LINE.match(section)
        if match:
            name, result, seconds = match.groups()
            seen.add(name)
            verdict = {"Passed": "ok", "Skipped": "skip"}.get(result, "FAIL")
            tally.add(verdict, float(seconds), name, section[:8000] if verdict == "FAIL" else "")
    for name in set(wanted) - seen:
        tally.add("FAIL", 0, name, "ctest did not report on it\n" + output[-2000:])


def tasks(stories, seed, fixed_seed, campaign):
    """(story, seed) in the order to begin: heavy ones first, so that none of them is the last alone."""
    out = []
    for s in sorted(stories, key=lambda s: not s.heavy):
        rounds = max(s.rounds, campaign) if s.dice else 1
        for i in range(1 if fixed_seed else rounds):
            out.append((s, seed + i))
    return out


def run(rig, todo, jobs, tally):
    running = []
    todo = list(todo)
    while todo or running:
        while todo and len(running) < jobs:
            running.append(Child(rig, *todo.pop(0)))
        for child in [c for c in running if c.over()]:
            running.remove(child)
            tally.add_story(child, *child.verdict())
        for child in running:
            child.check_time()
        time.sleep(0.01)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary")
    parser.add_argument("--build")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--campaign", type=int, default=0)
    parser.add_argument("--campaign-seed", type=int)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def stop(*_):
    sys.exit(1)


def main():
    args = parse()
    stories = [s for s in chosen(load_stories(["integration", "fault"]), args.names)
               if args.campaign or args.names or not s.campaign]
    if args.list:
        print("\n".join(ctest_names(args.build, args.names) + [s.name for s in stories]))
        return 0
    signal.signal(signal.SIGTERM, stop)
    tally = Tally()
    if not args.campaign:
        run_ctest(args.build, args.names, args.jobs, tally)
    seed = args.seed or args.campaign_seed or random.SystemRandom().randrange(1, 1000000)
    print("seed %d" % seed, flush=True)
    rig = Rig(args.binary, seed, args.campaign)
    try:
        if stories:
            rig.open()
            run(rig, tasks(stories, seed, args.seed is not None, args.campaign), args.jobs, tally)
    finally:
        rig.close()
    print(tally.line())
    return 1 if tally.counts["FAIL"] or not sum(tally.counts.values()) else 0


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(main())

"""Finds stories and runs them, several at a time, each in a process of its own.

    runner.py --binary PATH [--jobs N] [--seed N] [--list] [--campaign ROUNDS] [NAME…]

NAME selects the stories whose module.name contains it, in either spelling (spaces or underscores). The last line
on stdout is `N passed, N failed` (and `, N skipped`).
"""

import argparse
import glob
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, TESTS + "/integration", TESTS + "/fault"]

import story as story_module  # noqa: E402
from cluster import Cluster, chown_to_ordinary, make_template  # noqa: E402

STORY_TIMEOUT = 150


class Rig:
    """What stories share: the binary, the templates, one source server and one target server."""

    def __init__(self, binary, seed):
        self.directory = tempfile.mkdtemp(prefix="pgh-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        chown_to_ordinary(self.directory)
        self.sockets = self.directory  # short: a socket's path may have 108 bytes
        self.seed = seed
        self.source = self.target = None
        self.binary = os.path.join(self.directory, "pghaul")
        if binary:
            shutil.copy(binary, self.binary)
            os.chmod(self.binary, 0o755)

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
            text = "a timeout of %d s\n" % STORY_TIMEOUT
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
        late = time.monotonic() - self.started - STORY_TIMEOUT
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
        self.failed = []

    def add(self, child, verdict, text):
        self.counts[verdict] += 1
        name = "%s: %s" % (child.story.module, child.story.sentence)
        print("%-4s %6.1fs  %s" % (verdict, time.monotonic() - child.started, name), flush=True)
        if verdict == "FAIL":
            self.failed.append(child)
            print("".join("      | %s\n" % line for line in text.rstrip().splitlines()), end="")
            print("      | again: tests/run.sh --seed %d %s" % (child.seed, child.story.name), flush=True)
        elif text:
            print("      | " + text)

    def line(self):
        text = "%d passed, %d failed" % (self.counts["ok"], self.counts["FAIL"])
        return text + (", %d skipped" % self.counts["skip"] if self.counts["skip"] else "")


def tasks(stories, seed, fixed_seed):
    """(story, seed) in the order to begin: heavy ones first, so that none of them is the last alone."""
    out = []
    for s in sorted(stories, key=lambda s: not s.heavy):
        for i in range(1 if fixed_seed else s.rounds):
            out.append((s, seed + i))
    return out


def run(rig, todo, jobs):
    tally, running = Tally(), []
    todo = list(todo)
    while todo or running:
        while todo and len(running) < jobs:
            running.append(Child(rig, *todo.pop(0)))
        for child in [c for c in running if c.over()]:
            running.remove(child)
            tally.add(child, *child.verdict())
        for child in running:
            child.check_time()
        time.sleep(0.01)
    return tally


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--folders", default="integration,fault")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()

    def stop(*_):
        sys.exit(1)
    signal.signal(signal.SIGTERM, stop)
    stories = chosen(load_stories(args.folders.split(",")), args.names)
    if args.list:
        for s in stories:
            print("%s" % s.name)
        return 0
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1, 1000000)
    print("seed %d, %d stories" % (seed, len(stories)), flush=True)
    rig = Rig(args.binary, seed)
    try:
        rig.open()
        tally = run(rig, tasks(stories, seed, args.seed is not None), args.jobs)
    finally:
        rig.close()
    print(tally.line())
    return 1 if tally.counts["FAIL"] or not stories else 0


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(main())

"""What a story is, and what it gets: fresh databases, a mover with a home of its own, checks.

    @story()
    def a_narrow_table_arrives_whole(t):
        data.narrow(t.source, rows=50000)
        t.like_source("narrow")
        t.copy("-t", "narrow").expect(0)
        t.same("narrow")

own=True gives the story servers of its own, which it may stop and crash.
"""

import os
import random
import shutil
import signal
import time

import compare
import ledger
from cluster import Cluster, chown_to_ordinary, wait_for
from mover import Mover
from pgwire import PgError

STORIES = []


class Story:
    """own: servers of its own; tcp: they listen on 127.0.0.1 too; settings: {"source": {...}, "target": {...}} for
    their postgresql.conf; heavy: begins early, since it takes long; dice: throws dice, so the long campaign repeats it;
    rounds: how often every day; campaign: never every day; timeout: seconds."""

    def __init__(self, function, own=False, tcp=False, settings=None, heavy=False, dice=False, rounds=1,
                 campaign=False, timeout=150):
        self.timeout = timeout
        self.function, self.tcp, self.heavy, self.dice = function, tcp, heavy, dice
        self.own = own or tcp or bool(settings)
        self.settings, self.rounds, self.campaign = settings or {}, rounds, campaign
        self.module = function.__module__.replace("test_", "", 1)
        self.name = "%s.%s" % (self.module, function.__name__)
        self.sentence = function.__name__.replace("_", " ")


def story(**traits):
    def add(function):
        STORIES.append(Story(function, **traits))
        return function
    return add


class Skip(Exception):
    pass


class Context:
    """t in every story."""

    def __init__(self, rig, story_, seed):
        self.rig, self.story, self.seed = rig, story_, seed
        self.random = random.Random(seed)
        self.id = "s%d_%d" % (os.getpid(), seed % 10000)
        self.directory = os.path.join(rig.directory, self.id)
        os.makedirs(self.directory)
        chown_to_ordinary(self.directory)
        self.mover = Mover(rig.binary, self.directory, self.id)
        self.notes = []
        self._clusters, self._databases = [], []
        self.source_cluster, self.target_cluster = rig.source, rig.target
        if story_.own:
            self.source_cluster = self.new_cluster("source", story_.settings.get("source"))
            self.target_cluster = self.new_cluster("target", story_.settings.get("target"))
        self.source = self.new_database(self.source_cluster, self.id)
        # Another OID for everything on the target: what depends on equal ones must not work by chance.
        self.target = self.new_database(self.target_cluster, self.id)
        self.target.query("create schema junk; create type junk.a as enum ('x'); create table junk.t (a junk.a); "
                          "drop schema junk cascade")

    def new_cluster(self, side, settings=None):
        cluster = Cluster(self.rig.template(side), os.path.join(self.directory, "%s%d" % (side, len(self._clusters))),
                          self.rig.sockets, tcp=self.story.tcp, settings=settings)
        self._clusters.append(cluster)
        return cluster.start()

    def new_database(self, cluster, name, options=""):
        database = cluster.create_database(name, options)
        self._databases.append(database)
        return database

    def note(self, text):
        """Shown when the story fails."""
        self.notes.append(text)

    def close(self):
        for database in self._databases:
            if database.cluster in self._clusters:
                database.forget()
            else:
                database.drop()
        for pid in self.mover.processes():
            os.kill(pid, signal.SIGKILL)
        for cluster in self._clusters:
            cluster.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Tables ------------------------------------------------------------------------------------------------

    def both(self, sql):
        self.source.query(sql)
        self.target.query(sql)

    def same(self, *tables, **kwargs):
        compare.compare(self.source, self.target, tables, **kwargs)

    def rows(self, table):
        """Number of rows in the target."""
        return self.target.int("select count(*) from " + compare.qualified(table))

    # pghaul ------------------------------------------------------------------------------------------------

    def ends(self):
        return ["-s", self.source.dsn, "-d", self.target.dsn]

    def run(self, *args, **kwargs):
        return self.mover.run(*args, **kwargs)

    def copy(self, *args, **kwargs):
        return self.mover.run("copy", *self.ends(), *args, **kwargs)

    def start_copy(self, *args, **kwargs):
        return self.mover.start("copy", *self.ends(), *args, **kwargs)

    def plan(self, *args, **kwargs):
        return self.mover.run("plan", *self.ends(), "--json", *args, **kwargs).expect(0).json

    def status(self, *args, **kwargs):
        return self.mover.run("status", "-d", self.target.dsn, "--json", *args, **kwargs).expect(0).json

    def write(self, name, text, mode="w"):
        path = os.path.join(self.directory, name)
        with open(path, mode) as f:
            f.write(text)
        chown_to_ordinary(path)
        return path

    # Moments -----------------------------------------------------------------------------------------------

    def landed(self):
        """Shards whose receipts are visible; 0 before there is a ledger."""
        return ledger.landed(self.target)

    def when_landed(self, n, running, timeout=30):
        """Waits until n shards have landed, or the run has ended. Returns whether it is still running."""
        wait_for(lambda: not running.alive() or self.landed() >= n, "%d shards landed" % n, timeout, 0.002)
        return running.alive()

    def check_ledger(self, **kwargs):
        """Before there is a ledger there is nothing to check, unless the job should be complete."""
        if kwargs.get("complete") or ledger.exists(self.target):
            ledger.check(self.target, **kwargs)

    # After success -----------------------------------------------------------------------------------------

    def nothing_left(self, timeout=8.0):
        """No backend of ours on either side, no process, no prepared transaction, no temporary table."""
        wait_for(lambda: not self.mover.processes(), "the end of every process of pghaul, the keeper too", timeout)
        for side in (self.source, self.target):
            wait_for(lambda: not side.backends(), "the end of pghaul's backends in " + side.name, timeout)
            assert not side.column("select gid from pg_prepared_xacts where database = current_database()")
            assert not side.column("select relname from pg_class where relpersistence = 't'"), "temporary tables"
        assert not self.source.column("select nspname from pg_namespace where nspname ~ 'pghaul'"), \
            "something was created in the source"

    def whole(self, *tables, **kwargs):
        """The end of a good story: equal by content, ledger sound, nothing left."""
        self.same(*tables, **kwargs)
        self.check_ledger(complete=True)
        self.nothing_left()


def sleep_random(rng, most):
    time.sleep(rng.uniform(0, most))


def refused(function, *args):
    """The SQLSTATE with which a server refuses."""
    try:
        function(*args)
    except PgError as e:
        return e.sqlstate
    return None

"""Looks at a server while something runs, 20 times a second over one connection of its own."""

import collections
import subprocess
import threading
import time

from measure import PGBIN


class Watch:
    """Asks `query` again and again; see() gets each answer's lines."""

    PACE = 0.05

    def __init__(self, dsn, query):
        self.query = query.strip().rstrip(";") + ";\n\\echo .\n"
        self.psql = subprocess.Popen([PGBIN + "/psql", "-XqAtd", dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     bufsize=1)
        self.ask()  # connected, and planned once
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def ask(self):
        self.psql.stdin.write(self.query)
        lines = []
        while (line := self.psql.stdout.readline()) not in (".\n", ""):
            lines.append(line.rstrip("\n"))
        return lines

    def look(self):
        while not self.done.wait(self.PACE):
            self.see(self.ask())

    def see(self, lines):
        raise NotImplementedError

    def stop(self):
        self.done.set()
        self.thread.join()
        self.psql.stdin.close()
        self.psql.wait()


class Hold(Watch):
    """How long somebody holds a snapshot in a database: from the first to the last look that saw one."""

    def __init__(self, dsn):
        words = dict(w.split("=", 1) for w in dsn.split())
        self.first = self.last = None
        super().__init__(" ".join("%s=%s" % w for w in {**words, "dbname": "postgres"}.items()),
                         "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND backend_xmin IS NOT NULL" % words["dbname"])

    def see(self, lines):
        if lines and int(lines[0]):
            self.last = time.monotonic()
            self.first = self.first or self.last

    @property
    def seconds(self):
        return self.last - self.first if self.first else 0.0


class Waits(Watch):
    """What active backends wait for: {event: part of all looks at a backend}; "" is not waiting."""

    def __init__(self, dsn):
        self.seen = collections.Counter()
        super().__init__(dsn, "SELECT coalesce(wait_event, ''), count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                              "AND state = 'active' AND pid <> pg_backend_pid() GROUP BY 1")

    def see(self, lines):
        for line in lines:
            event, _, n = line.rpartition("|")
            self.seen[event] += int(n)

    def shares(self):
        total = sum(self.seen.values()) or 1
        return {event: n / total for event, n in self.seen.items()}

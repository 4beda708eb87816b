"""What can happen to a run: kills, stops, cuts, crashes, full disks; chosen by dice.

WeatherProxy stands between pghaul and a server, on a Unix socket as if it were the server, and can cut all connections, cut
one after some bytes, hold everything for a while, or cut only the mover's side so that the server hears nothing of it.
"""

import os
import random
import signal
import socket
import subprocess
import threading
import time

from cluster import chown_to_ordinary
from pgwire import ConnectionLost, PgError


class WeatherProxy:
    def __init__(self, directory, cluster):
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o755)
        self.directory, self.server = directory, "%s/.s.PGSQL.%d" % (cluster.sockets, cluster.port)
        self.path = "%s/.s.PGSQL.%d" % (directory, cluster.port)
        self.links, self.orphans = [], []
        self.budget, self.orphaning, self.still = None, False, threading.Event()
        self.still.set()
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self.listener.listen(64)
        self.thread(self.accept)

    @staticmethod
    def thread(function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()

    def dsn(self, database):
        return database.dsn.replace("host=" + database.cluster.sockets, "host=" + self.directory)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.server)
            except OSError:
                client.close()
                continue
            link = [client, server, False]
            with self.lock:
                self.links.append(link)
            self.thread(self.forward, link, client, server)
            self.thread(self.forward, link, server, client)

    def forward(self, link, source, sink):
        try:
            while True:
                data = source.recv(65536)
                self.still.wait(30)
                if not data:
                    break
                with self.lock:
                    if self.budget is not None:
                        self.budget -= len(data)
                        if self.budget < 0:
                            sink.sendall(data[:max(0, len(data) + self.budget)])
                            self.budget = None
                            break
                sink.sendall(data)
        except OSError:
            pass
        self.end(link)

    def end(self, link):
        shut(link[0])
        if not link[2]:
            shut(link[1])
        with self.lock:
            if link in self.links:
                self.links.remove(link)

    def cut(self, orphan=False):
        with self.lock:
            links = list(self.links)
        for link in links:
            if orphan:
                link[2] = True
                self.orphans.append(link[1])
            shut(link[0])

    def heal(self):
        self.budget = None
        self.still.set()
        for s in self.orphans:
            shut(s)
        self.orphans = []

    def close(self):
        self.heal()
        shut(self.listener)
        self.cut()


def shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


def signal_quietly(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


class Weather:
    """One spell at a time: storm() does something to the runs that are alive, or to what they talk to."""

    def __init__(self, t, proxies, kinds=None):
        self.t, self.proxies, self.rng = t, proxies, random.Random(t.seed * 31 + 7)
        self.kinds = [getattr(self, k) for k in kinds or (
            "kill", "kill", "freeze", "terminate", "terminate", "slay", "crash_target", "crash_source", "hang_backend", "keeper", "age",
            "cut", "cut", "cut_after", "cut_after", "orphan", "stall")]
        if not proxies:
            self.kinds = [k for k in self.kinds if k.__name__ not in ("cut", "cut_after", "orphan", "stall")]

    def storm(self, runs):
        what = self.rng.choice(self.kinds)
        try:
            said = what(runs)
        except (PgError, ConnectionLost, OSError, RuntimeError) as e:
            said = "but: %s" % str(e)[:80]
        self.t.note("    %s %s" % (what.__name__, said or ""))

    def side(self):
        return self.rng.choice((self.t.source, self.t.target))

    def proxy(self):
        return self.rng.choice(self.proxies)

    def kill(self, runs):
        self.rng.choice(runs).process.kill()

    def freeze(self, runs):
        run = self.rng.choice(runs)
        signal_quietly(run.pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.05, 1.5))
        if self.rng.random() < 0.4:
            self.terminate(runs)
        signal_quietly(run.pid, signal.SIGCONT)

    def backends(self, side):
        pids = side.backends()
        self.rng.shuffle(pids)
        return pids

    def terminate(self, runs):
        side = self.side()
        pids = self.backends(side)[:self.rng.choice((1, 1, 2, 9))]
        side.terminate(pids)
        return "%d of %s" % (len(pids), side.cluster.directory[-7:])

    def slay(self, runs):
        """kill -9 of a backend: its server crashes and recovers by itself."""
        side = self.side()
        pids = self.backends(side)[:1]
        for pid in pids:
            signal_quietly(pid, signal.SIGKILL)
        return side.cluster.directory[-7:]

    def hang_backend(self, runs):
        pids = self.backends(self.side())[:1]
        for pid in pids:
            signal_quietly(pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(0.2, 1.5))
        for pid in pids:
            signal_quietly(pid, signal.SIGCONT)

    def crash_target(self, runs):
        self.restart(self.t.target)

    def crash_source(self, runs):
        self.restart(self.t.source)

    def restart(self, side):
        side.forget()
        side.cluster.stop(self.rng.choice(("immediate", "immediate", "fast")))
        time.sleep(self.rng.choice((0, 0, 0.5)))
        side.cluster.start()

    def keeper(self, runs):
        others = [p for p in self.t.mover.processes() if p not in [r.pid for r in runs]]
        for pid in others:
            signal_quietly(pid, signal.SIGKILL)
        return len(others)

    def age(self, runs):
        """The target's clock jumps: every mover looks dead though it lives."""
        self.t.target.query("update pghaul.mover set beat_at = beat_at - interval '3 minutes'")

    def cut(self, runs):
        self.proxy().cut()

    def orphan(self, runs):
        self.proxy().cut(orphan=True)

    def cut_after(self, runs):
        self.proxy().budget = int(self.rng.expovariate(1 / 30000))

    def stall(self, runs):
        p = self.proxy()
        p.still.clear()
        time.sleep(self.rng.uniform(0.1, 2))
        p.still.set()


class Tiny:
    """A file system of a few megabytes."""

    def __init__(self, path, size):
        os.makedirs(path, exist_ok=True)
        self.path = path
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700,size=%s" % size, "none", path], check=True)
        chown_to_ordinary(path)

    def grow(self, size):
        subprocess.run(["mount", "-o", "remount,size=%s" % size, self.path], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)

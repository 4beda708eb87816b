"""A proxy between pghaul and a server that can lose the answer to a COMMIT, or the COMMIT itself.

It understands just enough of the protocol: where messages begin, which of them end a COPY, which say COMMIT.
Only a COMMIT behind data counts, since that is the one of a shard.

    before      the COMMIT never reaches the server: nothing was committed
    after       the server has committed and answered, the answer is thrown away
    unawaited   the COMMIT is delivered, both connections are dropped without waiting for the answer
"""

import os
import socket
import struct
import threading
import time

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


class CommitProxy:
    """cuts: which shard COMMITs to cut, counted over all connections: {1: "after", 3: "before"}.

    orphan: when a client goes in the middle of its data, its connection to the server stays: what a cut cable leaves
    behind."""

    def __init__(self, target_port, cuts=(), orphan=False):
        self.target_port, self.cuts, self.orphan = target_port, dict(cuts), orphan
        self.orphans = []
        self.commits = 0
        self.done = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = True
        self._thread(self._accept)

    @staticmethod
    def _thread(function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open = False
        _close(self._listener)
        for server in self.orphans:
            _close(server)

    def _accept(self):
        while self._open:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                continue
            link = Link(self, client, server)
            self._thread(link.forward)
            self._thread(link.backward)

    def verdict(self):
        """What to do with the shard's COMMIT that has just come by: None, or the kind of cut."""
        with self._lock:
            self.commits += 1
            kind = self.cuts.pop(self.commits, None)
            if kind:
                self.done.append((self.commits, kind))
            return kind


class Link:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.muted = False  # answers are thrown away
        self.in_data = False
        self.answered = threading.Event()

    def forward(self):
        """Client to server, message by message."""
        try:
            self._startup()
            data_sent = False
            while True:
                kind, body = self._message()
                self.in_data = kind == b"d"
                if kind == b"c":
                    data_sent = True
                commit = kind == b"Q" and data_sent and b"COMMIT" in body.upper()
                cut = self.proxy.verdict() if commit else None
                if commit:
                    data_sent = False
                if cut:
                    self._cut(cut, kind, body)
                    return
                self._send(kind, body)
        except OSError:
            pass
        finally:
            self._end()

    def _cut(self, how, kind, body):
        if how == "before":
            return
        self.muted = True
        self.answered.clear()
        self._send(kind, body)
        if how == "after":
            self.answered.wait(10)

    def _startup(self):
        while True:
            head = _exactly(self.client, 8)
            size, code = struct.unpack("!ii", head)
            rest = _exactly(self.client, size - 8)
            if code in (SSL_REQUEST, GSS_REQUEST):
                self.client.sendall(b"N")
                continue
            self.server.sendall(head + rest)
            return

    def _message(self):
        head = _exactly(self.client, 5)
        return head[:1], _exactly(self.client, struct.unpack("!i", head[1:])[0] - 4)

    def _send(self, kind, body):
        self.server.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def backward(self):
        try:
            while True:
                data = self.server.recv(65536)
                if not data:
                    break
                if self.muted:
                    self.answered.set()
                else:
                    self.client.sendall(data)
        except OSError:
            pass
        finally:
            self._end()

    def _end(self):
        _close(self.client)
        if self.proxy.orphan and self.in_data:
            self.proxy.orphans.append(self.server)  # nobody closes it
        else:
            _close(self.server)


class CountingProxy:
    """Passes everything on, and notes how many bytes the client sent when. On Unix sockets: as if it were the server."""

    def __init__(self, directory, cluster):
        self.directory, self.server = directory, "%s/.s.PGSQL.%d" % (cluster.sockets, cluster.port)
        self.path = "%s/.s.PGSQL.%d" % (directory, cluster.port)
        self.sent = []  # (when, bytes)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self._listener.listen(64)
        CommitProxy._thread(self._accept)

    def dsn(self, database):
        return database.dsn.replace("host=" + database.cluster.sockets, "host=" + self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _close(self._listener)
        os.unlink(self.path)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            CommitProxy._thread(self._pass, client, server, True)
            CommitProxy._thread(self._pass, server, client, False)

    def _pass(self, source, sink, counted):
        try:
            while True:
                data = source.recv(262144)
                if not data:
                    break
                if counted:
                    self.sent.append((time.monotonic(), len(data)))
                sink.sendall(data)
        except OSError:
            pass
        finally:
            _close(source)
            _close(sink)

    def most(self, seconds):
        """The most bytes within any window of that length."""
        sent, best, total, j = sorted(self.sent), 0, 0, 0
        for when, n in sent:
            total += n
            while sent[j][0] <= when - seconds:
                total -= sent[j][1]
                j += 1
            best = max(best, total)
        return best

    def least(self, seconds, begin, end):
        """The fewest within any window of that length that begins with a piece and lies between these moments."""
        sent, best, total, j = sorted(s for s in self.sent if begin <= s[0] < end), float("inf"), 0, 0
        for i, (when, n) in enumerate(sent):
            while j < len(sent) and sent[j][0] < when + seconds:
                total += sent[j][1]
                j += 1
            if when + seconds > end:
                break
            best = min(best, total)
            total -= n
        return best


def _exactly(sock, n):
    data = bytearray()
    while len(data) < n:
        piece = sock.recv(min(262144, n - len(data)))
        if not piece:
            raise OSError("closed")
        data += piece
    return bytes(data)


def _close(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()

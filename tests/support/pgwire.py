"""A small PostgreSQL client: the simple query protocol over a unix socket or TCP, trust authentication.

It is there so that tests need nothing but Python and so that what they see does not come through libpq. Values
are text, NULL is None.
"""

import socket
import struct


class PgError(Exception):
    def __init__(self, fields):
        super().__init__("%s: %s" % (fields.get("C", "?"), fields.get("M", "?")))
        self.sqlstate = fields.get("C", "")
        self.fields = fields


class ConnectionLost(Exception):
    pass


class Session:
    """One connection. query() returns the rows of the last statement that had rows."""

    def __init__(self, host, port, database, user, application="tests", timeout=60):
        if host.startswith("/"):
            self._sock = socket.socket(socket.AF_UNIX)
            self._sock.settimeout(timeout)
            self._sock.connect("%s/.s.PGSQL.%d" % (host, port))
        else:
            self._sock = socket.create_connection((host, port), timeout=timeout)
        self._buf = b""
        self._start(database, user, application)

    def _start(self, database, user, application):
        pairs = {"user": user, "database": database, "application_name": application,
                 "client_encoding": "UTF8"}
        body = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in pairs.items()) + b"\0"
        self._sock.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        try:
            self._until_ready()
        except (PgError, ConnectionLost):
            self.close()
            raise

    def close(self):
        if self._sock:
            self._sock.close()
            self._sock = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self, n):
        while len(self._buf) < n:
            try:
                piece = self._sock.recv(262144)
            except ConnectionError as e:
                raise ConnectionLost(str(e))
            if not piece:
                raise ConnectionLost("the server closed the connection")
            self._buf += piece
        out, self._buf = self._buf[:n], self._buf[n:]
        return out

    def _message(self):
        head = self._read(5)
        return head[:1], self._read(struct.unpack("!i", head[1:])[0] - 4)

    def _until_ready(self):
        rows, error = [], None
        while True:
            kind, body = self._message()
            if kind == b"Z":
                if error:
                    raise error
                return rows
            if kind == b"E":
                error = PgError(_error_fields(body))
                if error.fields.get("S") == "FATAL":
                    raise error
            elif kind == b"R" and struct.unpack("!i", body[:4])[0] != 0:
                raise ConnectionLost("the server wants a password, and this client knows trust only")
            elif kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(_data_row(body))
            elif kind == b"G":
                self._sock.sendall(b"f" + struct.pack("!i", 9) + b"none\0")

    def send(self, sql):
        body = sql.encode() + b"\0"
        self._sock.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)

    def query(self, sql):
        self.send(sql)
        return self._until_ready()

    def one(self, sql):
        """The first value of the first row, or None."""
        rows = self.query(sql)
        return rows[0][0] if rows else None

    def column(self, sql):
        return [row[0] for row in self.query(sql)]


def _error_fields(body):
    return {f[:1].decode(): f[1:].decode(errors="replace") for f in body.split(b"\0") if f}


def _data_row(body):
    (count,), at, out = struct.unpack("!h", body[:2]), 2, []
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at:at + 4])
        at += 4
        out.append(None if size < 0 else body[at:at + size].decode(errors="surrogateescape"))
        at += max(size, 0)
    return tuple(out)


def quote_ident(name):
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value):
    if value is None:
        return "NULL"
    if "\\" in value:
        return " E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + value.replace("'", "''") + "'"

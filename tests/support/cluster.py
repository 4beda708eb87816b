"""Throwaway PostgreSQL clusters: made from a template by copying, reached by unix socket, gone afterwards.

Two templates are made once a run, one for sources and one for targets, because copies of one template have one
system identifier and a mover must be able to tell source from target. Servers run as an ordinary user, since they
refuse to run as root.
"""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import time

from pgwire import ConnectionLost, PgError, Session, quote_ident

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "wal_level": "replica",
    "max_wal_senders": "2",
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "max_prepared_transactions": "5",
    "autovacuum": "off",
    "jit": "off",
    "log_line_prefix": "'%m %p %a %d '",
    "log_min_messages": "warning",
    "unix_socket_permissions": "0777",
}


def bindir():
    """Where initdb is: the newest installed server."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:
        return os.path.dirname(max(found, key=lambda p: float(p.split("/")[4])))
    out = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True)
    return out.stdout.strip() or "/usr/bin"


def ordinary_user():
    """Keyword arguments for subprocess that make it run as an ordinary user, and that user's name."""
    if os.getuid() != 0:
        return {}, pwd.getpwuid(os.getuid()).pw_name
    try:
        who = pwd.getpwnam("postgres")
    except KeyError:
        subprocess.run(["useradd", "-m", "pghaultest"], check=True)
        who = pwd.getpwnam("pghaultest")
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}, who.pw_name


def chown_to_ordinary(path):
    if os.getuid() == 0:
        _, name = ordinary_user()
        who = pwd.getpwnam(name)
        os.chown(path, who.pw_uid, who.pw_gid)


def clean_env():
    """Our environment without anything that libpq or pghaul would listen to."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PG", "XDG_"))}


def run_as_ordinary(argv, **kwargs):
    who, _ = ordinary_user()
    return subprocess.run(argv, cwd="/", env=clean_env(), **who, **kwargs)


def make_template(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    run_as_ordinary([bindir() + "/initdb", "-N", "-A", "trust", "-U", "tester", "-E", "UTF8",
                     "--locale=C.UTF-8", "-D", path], check=True, stdout=subprocess.DEVNULL)


def free_port(sockets):
    """A port that is free now, and that no other cluster of this rig has taken: the socket's name is made of it."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        try:
            os.close(os.open("%s/port-%d" % (sockets, port), os.O_CREAT | os.O_EXCL))
            return port
        except FileExistsError:
            continue


class Cluster:
    """One server. tcp: also listens on 127.0.0.1, where roles must show a password (scram)."""

    user = "tester"

    def __init__(self, template, directory, sockets, tcp=False, settings=None):
        self.directory, self.sockets, self.tcp = directory, sockets, tcp
        self.port = free_port(sockets)
        self.log = directory + ".log"
        self.running = False
        run_as_ordinary(["cp", "-a", template, directory], check=True)
        self.configure({**SETTINGS, **(settings or {}), "port": str(self.port),
                        "unix_socket_directories": "'%s'" % sockets,
                        "listen_addresses": "'127.0.0.1'" if tcp else "''"})
        with open(directory + "/pg_hba.conf", "w") as f:
            f.write("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")

    def configure(self, settings):
        with open(self.directory + "/postgresql.conf", "a") as f:
            f.writelines("%s = %s\n" % item for item in settings.items())

    def standby(self, directory):
        """A streaming standby of this server, started."""
        with open(self.directory + "/pg_hba.conf", "a") as f:
            f.write("local replication all trust\n")
        self.psql("postgres", "select pg_reload_conf()")
        run_as_ordinary([bindir() + "/pg_basebackup", "-D", directory, "-R", "-X", "stream", "-c", "fast", "-h", self.sockets,
                         "-p", str(self.port), "-U", self.user], check=True, stderr=subprocess.DEVNULL)
        other = Cluster.__new__(Cluster)
        other.directory, other.sockets, other.tcp, other.running = directory, self.sockets, False, False
        other.log, other.port = directory + ".log", free_port(self.sockets)
        other.configure({"port": str(other.port), "listen_addresses": "''", "hot_standby_feedback": "on"})
        return other.start()

    def _pg_ctl(self, *args):
        out = run_as_ordinary([bindir() + "/pg_ctl", "-D", self.directory, "-l", self.log, "-s", "-w",
                               "-t", "60", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True)
        if out.returncode:
            raise RuntimeError("pg_ctl %s: %s\n%s" % (" ".join(args), out.stdout, self.log_tail()))

    def start(self):
        self._pg_ctl("start")
        self.running = True
        return self

    def stop(self, mode="fast"):
        if self.running:
            self._pg_ctl("-m", mode, "stop")
            self.running = False

    def crash(self):
        """What a power cut leaves: no shutdown checkpoint, every backend gone."""
        self.stop("immediate")

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines=30):
        try:
            with open(self.log, errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except FileNotFoundError:
            return ""

    def session(self, database="postgres", **kwargs):
        return Session(self.sockets, self.port, database, kwargs.pop("user", self.user), **kwargs)

    def psql(self, database, sql):
        """For what only psql can do; raises on errors."""
        return run_as_ordinary([bindir() + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.sockets, "-p",
                                str(self.port), "-U", self.user, "-d", database], input=sql, text=True,
                               check=True, stdout=subprocess.PIPE).stdout

    def create_database(self, name, options=""):
        with self.session() as s:
            s.query("create database %s template template0 %s" % (quote_ident(name), options))
        return Database(self, name)


class Database:
    """One database of a cluster: what a story calls its source or its target."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self._session = None

    @property
    def dsn(self):
        return "host=%s port=%d dbname=%s user=%s" % (
            self.cluster.sockets, self.cluster.port, self.name, self.cluster.user)

    def tcp_dsn(self, user, port=None):
        return "host=127.0.0.1 port=%d dbname=%s user=%s sslmode=disable" % (
            port or self.cluster.port, self.name, user)

    def session(self, **kwargs):
        return self.cluster.session(self.name, **kwargs)

    def _kept(self):
        if self._session is None:
            self._session = self.session()
        return self._session

    def query(self, sql):
        """By a session that is kept; made anew once when the server has been restarted meanwhile."""
        try:
            return self._kept().query(sql)
        except (ConnectionLost, OSError):
            self.forget()
            return self._kept().query(sql)
        except PgError as e:
            if e.fields.get("S") != "FATAL":
                raise
            self.forget()
            return self._kept().query(sql)

    def one(self, sql):
        rows = self.query(sql)
        return rows[0][0] if rows else None

    def column(self, sql):
        return [row[0] for row in self.query(sql)]

    def int(self, sql):
        return int(self.one(sql) or 0)

    def forget(self):
        if self._session:
            self._session.close()
        self._session = None

    def backends(self, condition="true"):
        """pids of pghaul's own backends in this database."""
        return [int(p) for p in self.column(
            "select pid from pg_stat_activity where datname = current_database() "
            "and application_name like 'pghaul%%' and (%s)" % condition)]

    def terminate(self, pids):
        for pid in pids:
            self.query("select pg_terminate_backend(%d)" % pid)

    def drop(self):
        self.forget()
        if self.cluster.running:
            with self.cluster.session() as s:
                s.query("drop database if exists %s with (force)" % quote_ident(self.name))


def wait_for(condition, what, timeout=20.0, step=0.005):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %.0f s in vain for: %s" % (timeout, what))
        time.sleep(step)

"""The opponents: how each of them does the same work, as one command that is timed as a whole.

A Peer gives the command for a set of data and a kind of work, or None with a reason when it cannot do that:

    data      the target has the tables, without indexes; rows only
    indexed   the target is an empty database; afterwards it has tables, rows, indexes and constraints
    verified  indexed, and then proven equal: by md5 sums of all rows in both servers, at once

Each set of data is a database of its own on both clusters, so that those who only know whole databases can take part.
"""

import os
import shutil
import subprocess

from measure import CORES, DIR, PGBIN, PGHAUL, at_once, q

KINDS = ("data", "indexed", "verified")
WORK = os.path.join(DIR, "work")  # of those who need files


class Data:
    """A set of data as peers see it: databases on both sides, its tables, the biggest one first."""

    def __init__(self, name, source, target, tables, blocks, bytes_):
        self.name, self.source, self.target, self.tables, self.blocks = name, source, target, tables, blocks
        self.bytes = bytes_


def psql(dsn, command):
    return q(PGBIN + "/psql", "-Xqd", dsn, "-c", command)


def dump(data, *more):
    return q(PGBIN + "/pg_dump", "-d", data.source, *more)


def restore(data, *more):
    return q(PGBIN + "/pg_restore", "-d", data.target, *more)


def bash(*lines):
    return ["bash", "-c", "set -eo pipefail\n" + "\n".join(lines)]


def around(data, kind, rows):
    """Tables before the rows, indexes and constraints after them, as pg_dump and pg_restore do it."""
    if kind == "data":
        return rows
    schema = q(WORK + "/schema")
    return bash("rm -rf %s; mkdir -p %s" % (q(WORK), q(WORK)), "%s -f %s" % (dump(data, "-Fc", "-s"), schema),
                "%s %s" % (restore(data, "--section=pre-data"), schema), q(*rows),
                "%s %s" % (restore(data, "-j%d" % CORES, "--section=post-data"), schema))


def md5(data, dsn):
    """One sum for each table, order-free: what somebody without a tool would write."""
    one = "SELECT '%s', count(*), sum(('x' || left(md5(t::text), 15))::bit(60)::bigint::numeric) FROM %s t"
    return q(PGBIN + "/psql", "-XqAtd", dsn, "-c", " UNION ALL ".join(one % (t, t) for t in data.tables))


def proven(data, argv):
    """The same, and then md5 sums on both sides at once, compared."""
    return bash("mkdir -p %s" % q(WORK), q(*argv), "%s >%s & p=$!" % (md5(data, data.source), q(WORK + "/sums.s")),
                "%s >%s" % (md5(data, data.target), q(WORK + "/sums.t")), "wait $p",
                "cmp %s %s" % (q(WORK + "/sums.s"), q(WORK + "/sums.t")))


# --- psql ------------------------------------------------------------------------------------------------------------

def pipe(data, select, table, form):
    return "%s | %s" % (psql(data.source, "COPY (%s) TO STDOUT (FORMAT %s)" % (select, form)),
                        psql(data.target, "COPY %s FROM STDIN (FORMAT %s)" % (table, form)))


def ctid_parts(table, blocks, n):
    """n SELECTs that cover the table; the last one is open."""
    edge = [blocks * i // n for i in range(n)]
    where = ["ctid >= '(%d,0)'%s" % (edge[i], " AND ctid < '(%d,0)'" % edge[i + 1] if i + 1 < n else "") for i in range(n)]
    return ["SELECT * FROM %s WHERE %s" % (table, w) for w in where]


def pipes(form, n):
    def peer(data, kind):
        if len(data.tables) > 20:
            return None, "a pipe for each of %d tables is no opponent" % len(data.tables)
        big = data.tables[0]
        streams = [pipe(data, s, big, form) for s in ctid_parts(big, data.blocks, n)]
        # the others are small and follow the first part
        streams[0] = "; ".join([streams[0]] + [pipe(data, "SELECT * FROM " + t, t, form) for t in data.tables[1:]])
        return around(data, kind, at_once(*streams)), None
    return peer


# --- pg_dump ---------------------------------------------------------------------------------------------------------

def directory(*more):
    def peer(data, kind):
        files = q(WORK + "/dump")
        what = ["-a"] if kind == "data" else []
        return bash("rm -rf %s; mkdir -p %s" % (q(WORK), q(WORK)),
                    dump(data, "-Fd", "-j%d" % CORES, "-f", WORK + "/dump", *what, *more),
                    "%s %s" % (restore(data, "-j%d" % CORES, *what), files)), None
    return peer


def custom(data, kind):
    what = ["-a"] if kind == "data" else []
    return bash("%s | %s" % (dump(data, "-Fc", "-Z0", *what), restore(data, *what))), None


def plain(data, kind):
    what = ["-a"] if kind == "data" else []
    return bash("%s | %s" % (dump(data, *what), q(PGBIN + "/psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null",
                                                  "-d", data.target))), None


# --- pgcopydb --------------------------------------------------------------------------------------------------------

def help_of(*argv):
    run = subprocess.run([*argv, "--help"], capture_output=True, text=True)
    return run.stdout + run.stderr


def pgcopydb(*options):
    """options: `split`, `binary`; a version that has not heard of one does not run."""
    flags = {"split": "--split-tables-larger-than", "binary": "--use-copy-binary"}

    def peer(data, kind):
        knows = help_of("pgcopydb", "clone")
        for o in options:
            if flags[o] not in knows:
                return None, "this version has no " + flags[o]
        words = ["copy", "table-data"] if kind == "data" else ["clone", "--no-owner", "--no-acl"]
        words += ["--source", data.source, "--target", data.target, "--dir", WORK + "/pgcopydb"]
        more, env = [], []
        if options:
            more = ["--table-jobs", str(CORES)] + ([] if kind == "data" else ["--index-jobs", str(CORES)])
        if "split" in options:
            # copy table-data takes it from the environment only in old versions
            size = str(max(data.bytes // CORES // 4, 1 << 20))
            env = ["env", "PGCOPYDB_SPLIT_TABLES_LARGER_THAN=" + size]
            if flags["split"] in help_of("pgcopydb", *words[:2]) or kind != "data":
                more += [flags["split"], size]
        if "binary" in options:
            more += [flags["binary"]]
        if "--fail-fast" in knows and kind != "data":
            more += ["--fail-fast"]
        return bash("rm -rf %s; mkdir -p %s" % (q(WORK), q(WORK)), q(*env, "pgcopydb", *words, *more)), None
    return peer


# --- pgloader --------------------------------------------------------------------------------------------------------

def pgloader(data, kind):
    def url(dsn):
        words = dict(w.split("=", 1) for w in dsn.split())
        return "postgresql://%s@unix:%s:%s/%s" % (words["user"], words["host"], words["port"], words["dbname"])
    how = ["--with", "workers = %d" % (2 * CORES), "--with", "concurrency = %d" % CORES]
    if kind == "data":
        how += ["--with", "data only", "--with", "create no indexes", "--with", "reset no sequences"]
    return ["env", "HOME=" + WORK, "pgloader", "--root-dir", WORK + "/pgloader", "--on-error-stop", *how,
            url(data.source), url(data.target)], None


# --- pghaul ----------------------------------------------------------------------------------------------------------

def pghaul(*options):
    def peer(data, kind):
        common = ["-s", data.source, "-d", data.target, "--json", "--no-progress", *options]
        rows = [PGHAUL, "copy", "-a", *common]
        if kind == "data":
            return rows, None
        if "--create" not in help_of(PGHAUL, "copy"):
            return None, "this build has no copy --create"
        return rows + ["--create"] + (["--verify"] if kind == "verified" else []), None
    return peer


def by_hand(data, kind):
    """Definitions by pg_dump and pg_restore around it, and its own proof: what there is where it does not make tables."""
    if kind == "data":
        return None, None
    argv = around(data, kind, pghaul()(data, "data")[0])
    if kind == "verified":
        argv = bash(q(*argv), q(PGHAUL, "verify", "-a", "-s", data.source, "-d", data.target, "--json"))
    return argv, None


OURS = {"pghaul": pghaul(), "pghaul + pg_restore": by_hand}

THEIRS = {
    "psql": pipes("binary", 1),
    "psql ×2": pipes("binary", 2),
    "psql ×4": pipes("binary", 4),
    "psql text": pipes("text", 1),
    "psql text ×2": pipes("text", 2),
    "psql text ×4": pipes("text", 4),
    "pg_dump -Fd -j": directory(),
    "pg_dump -Fd -Z0 -j": directory("-Z0"),
    "pg_dump -Fc | pg_restore": custom,
    "pg_dump | psql": plain,
    "pgcopydb": pgcopydb(),
    "pgcopydb split": pgcopydb("split"),
    "pgcopydb binary": pgcopydb("binary"),
    "pgcopydb split binary": pgcopydb("split", "binary"),
    "pgloader": pgloader,
}


def command(name, data, kind):
    """(argv, None), or (None, why not): the whole work of this kind by this contender; with no reason it is not a contender."""
    tool = name.split()[0]
    if tool.startswith("pg") and tool not in ("pg_dump", "pghaul") and not shutil.which(tool):
        return None, "not installed"
    argv, why = (OURS.get(name) or THEIRS[name])(data, kind)
    if argv and kind == "verified" and name not in OURS:
        argv = proven(data, argv)
    return argv, why

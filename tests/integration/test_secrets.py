"""No secret in any output, in the ledger, in ps, in a file."""

import os
import signal
import subprocess
import urllib.parse

import data
from cluster import bindir, run_as_ordinary
from story import story

PASSWORD = "S3cr%et'@:/?#"
FORMS = [PASSWORD, urllib.parse.quote(PASSWORD, safe=""), PASSWORD.replace("'", "''"), PASSWORD.replace("'", "\\'"),
         "S3cr", "et'@", "et%27"]


def assert_silent(where, text):
    for form in FORMS:
        assert form not in text, "%s holds the password (as %s): %s" % (where, form, text[-2000:])


def make_role(t):
    for side in (t.source, t.target):
        side.query("create role hauler superuser login password $p$%s$p$" % PASSWORD)


def everything_written(t):
    """All files of the story's home, as bytes read with replacement."""
    out = []
    for root, _, files in os.walk(t.directory):
        if "/source" in root or "/target" in root:
            continue
        for name in files:
            if name == "pgpass":
                continue
            with open(os.path.join(root, name), "rb") as f:
                out.append(f.read().decode(errors="replace"))
    return "\n".join(out)


def ledger_dump(t):
    return run_as_ordinary([bindir() + "/pg_dump", "-h", t.target_cluster.sockets, "-p", str(t.target_cluster.port), "-U", "tester",
                            "-n", "pghaul", t.target.name], stdout=subprocess.PIPE, text=True, check=True).stdout


def ps(t):
    """Command lines of this story's processes: those that name its databases, and keepers. (Another story's command shows
    what it was given, for the moment until it has overwritten it.)"""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().decode(errors="replace")
        except OSError:
            continue
        if t.id in line or "pghaul-keeper" in line:
            out.append(line)
    return "\n".join(out)


def uri(t, side, password=PASSWORD):
    return "postgresql://hauler:%s@127.0.0.1:%d/%s?sslmode=disable" % (
        urllib.parse.quote(password, safe=""), side.cluster.port, side.name)


def run_and_look(t, args, env=None):
    """Interrupted once, so that there is a moment to look at ps, then finished. Looks everywhere."""
    data.narrow(t, 60000)
    said = ""
    args = [*args, "-t", "narrow", "-j", 1, "-vv", "--shard-size", "256kB"]
    with t.mover.start("copy", *args, env=env) as run:
        assert t.when_landed(2, run), "it ended too soon"
        run.signal(signal.SIGSTOP)
        assert_silent("ps", ps(t))
        run.signal(signal.SIGCONT)
        run.signal(signal.SIGINT)
        said += str(run.wait().expect(130))
    activity = "\n".join(filter(None, t.source.column("select query || application_name from pg_stat_activity") +
                                t.target.column("select query || application_name from pg_stat_activity")))
    assert_silent("pg_stat_activity", activity)
    assert_silent("ps", ps(t))
    result = t.run("copy", *args, "--log-file", t.directory + "/log", env=env).expect(0)
    said += result.out + result.err
    status = t.run("status", "-d", args[args.index("-d") + 1], "--json", "--shards", env=env).expect(0)
    said += status.out + status.err
    t.whole("narrow")
    return said


@story(tcp=True)
def a_password_from_the_password_file_shows_nowhere(t):
    make_role(t)
    path = t.write("pgpass", "127.0.0.1:*:*:hauler:%s\n" % PASSWORD.replace("\\", "\\\\").replace(":", "\\:"))
    os.chmod(path, 0o600)
    env = {"PGPASSFILE": path}
    said = run_and_look(t, ["-s", t.source.tcp_dsn("hauler"), "-d", t.target.tcp_dsn("hauler")], env)
    assert_silent("the output", said)
    assert_silent("a file", everything_written(t))
    assert_silent("the ledger", ledger_dump(t))


@story(tcp=True)
def a_password_in_a_uri_is_overwritten_in_argv_and_warned_of(t):
    make_role(t)
    said = run_and_look(t, ["-s", uri(t, t.source), "-d", uri(t, t.target)])
    said = "\n".join(l for l in said.splitlines() if not l.startswith("$ "))  # our own record of the command
    assert "warning" in said and "password" in said, "no warning of a password on the command line:\n" + said
    assert_silent("the output", said)
    assert_silent("a file", everything_written(t))
    assert_silent("the ledger", ledger_dump(t))


@story(tcp=True, campaign=True)
def errors_of_every_kind_keep_the_password(t):
    make_role(t)
    data.narrow(t, 100)
    right, wrong = uri(t, t.source), uri(t, t.source, "S3crWRONG'@:/?#")
    down = "postgresql://hauler:%s@127.0.0.1:1/x" % urllib.parse.quote(PASSWORD, safe="")
    path = t.write("job.yaml", "source: \"%s\"\ntarget: \"%s\"\ntables: [narrow, narrow]\n" % (right, down))
    for args in (["copy", "-s", wrong, "-d", t.target.dsn, "-t", "narrow"], ["copy", "-s", down, "-d", t.target.dsn, "-t", "narrow"],
                 ["copy", "-s", right, "-d", uri(t, t.target), "-t", "nothing"], ["copy", "-s", right, "-d", right, "-t", "narrow"],
                 ["copy", "-f", path], ["status", "-d", down],
                 ["copy", "-s", "postgresql://hauler:" + PASSWORD + "@127.0.0.1/x", "-d", right, "-t", "narrow"],
                 ["copy", "-s", "host=127.0.0.1 password=" + PASSWORD, "-d", right, "-t", "narrow"],
                 ["plan", "-s", right, "-d", right + "&nosuchoption=" + urllib.parse.quote(PASSWORD, safe=""), "-t", "narrow"]):
        for more in ([], ["--json"], ["-vv", "--log-format", "json"]):
            result = t.run(*args, *more).expect(2)
            assert_silent("%s %s" % (args[0], more), result.out + result.err)


@story(tcp=True, campaign=True)
def a_written_job_file_has_no_password(t):
    make_role(t)
    data.narrow(t, 100)
    path = t.directory + "/written.yaml"
    t.run("plan", "-s", uri(t, t.source), "-d", uri(t, t.target), "-t", "narrow", "--write-file", path).expect(0)
    with open(path) as f:
        assert_silent("the job file", f.read())


@story()
def values_of_rows_are_shown_only_on_demand(t):
    t.both("create table v (k text primary key, n int)")
    t.source.query("insert into v select 'private' || i, i from generate_series(1, 3000) i")
    t.target.query("alter table v add constraint small check (n < 2500)")
    args = ("-t", "v", "--split", "key", "--shard-rows", 300)
    said = str(t.copy(*args, "-vv", timeout=100).expect(1))
    said += t.run("status", "-d", t.target.dsn, "--shards").expect(0).out
    said += t.run("status", "-d", t.target.dsn, "--shards", "--json").expect(0).out
    assert "private" not in said, "a value was shown: %s" % [l for l in said.splitlines() if "private" in l][:3]
    shown = t.run("status", "-d", t.target.dsn, "--shards", "--show-data").expect(0).out
    assert "private" in shown, "--show-data shows no bounds"

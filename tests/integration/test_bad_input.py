"""Wrong commands, job files and situations: the documented exit status, one clear sentence with a hint, nothing changed.

Every case is a line. SRC and TGT stand for the two connection strings, and DIR for a directory of the story. After each,
the whole target (catalog, rows) and the source must be as before, and there must be no schema `pghaul`.
"""

import os
import re
import subprocess

import compare
import data
from cluster import run_as_ordinary
from story import Skip, story


class Case:
    """says: each must be in stderr; hint: whether there must be one; never: must not be in any output."""

    def __init__(self, what, args, rc=2, says=(), hint=True, never=(), env=None, sentences=1):
        self.what, self.args, self.rc, self.hint, self.env, self.sentences = what, args, rc, hint, env, sentences
        self.says = [says] if isinstance(says, str) else says
        self.never = never


ENDS = ["-s", "SRC", "-d", "TGT"]


def copy(*args):
    return ["copy", *ENDS, *args]


def check_case(t, case, before):
    places = {"SRC": t.source.dsn, "TGT": t.target.dsn, "DIR": t.directory}
    args = [re.sub(r"\b(SRC|TGT|DIR)\b", lambda m: places[m[1]], a) for a in case.args]
    result = t.run(*args, env=case.env, timeout=30)
    problems = []
    if result.rc != case.rc:
        problems.append("exit status %s instead of %s" % (result.rc, case.rc))
    problems += said_wrongly(case, result)
    if before is not None and state(t) != before:
        problems.append("something was changed")
    return ["%s: %s\n%s" % (case.what, "; ".join(problems), result)] if problems else []


def said_wrongly(case, result):
    errors = [l for l in result.err.splitlines()
              if l.startswith("pghaul: ") and not re.match(r"pghaul: (warning|note|info)\b|pghaul: error: (in the ledger|by this)", l)]
    hints = [l for l in result.err.splitlines() if l.startswith("hint: ")]
    if len(errors) != case.sentences:
        yield "%d error lines instead of %d" % (len(errors), case.sentences)
    elif not errors:
        return
    elif not re.match(r"pghaul: [^A-Z\s]", errors[0]) and not re.match(r"pghaul: [A-Z]{2}|pghaul: \S*[/\"]", errors[0]):
        yield "the sentence does not begin in lower case"
    elif errors[0].rstrip().endswith("."):
        yield "the sentence ends with a full stop"
    if case.hint and not hints:
        yield "no hint"
    for text in case.says:
        if text.lower() not in result.err.lower():
            yield "nothing said of %r" % text
    for text in case.never:
        if text in result.err + result.out:
            yield "it shows %r" % text
    if result.out.strip():
        yield "something on stdout"


def state(t):
    return compare.whole_digest(t.source), compare.whole_digest(t.target)


def check_cases(t, cases):
    before, failed = state(t), []
    assert "pghaul" not in before[1]
    for case in cases:
        problems = check_case(t, case, before)
        if problems:
            failed += problems
            t.target.query("drop schema if exists pghaul cascade")
            before = state(t)
    assert not failed, "%d of %d cases:\n%s" % (len(failed), len(cases), "\n".join(failed))
    assert not t.mover.processes() and not t.source.backends() and not t.target.backends()


COMMANDS = [
    Case("no command", [], says=["usage", "copy"], sentences=0),
    Case("unknown command", ["cpoy", *ENDS, "-t", "narrow"], says=["cpoy", "did you mean", "copy"]),
    Case("unknown option", copy("-t", "narrow", "--shard-sise", "1MB"), says=["--shard-sise", "did you mean", "--shard-size"]),
    Case("unknown letter", copy("-t", "narrow", "-X"), says="-X", hint=False),
    Case("an option of another command", copy("-t", "narrow", "--watch"), says="--watch", hint=False),
    Case("an option without its value", copy("-t"), says="-t", hint=False),
    Case("a flag with a value", copy("-t", "narrow", "--strict=5"), says="--strict", hint=False),
    Case("no table", copy(), says="table"),
    Case("no source", ["copy", "-d", "TGT", "-t", "narrow"], says="source"),
    Case("no target", ["copy", "-s", "SRC", "-t", "narrow"], says="target"),
    Case("0 jobs", copy("-t", "narrow", "-j", "0"), says=["-j", "256"], hint=False),
    Case("-1 jobs", copy("-t", "narrow", "--jobs=-1"), says="256", hint=False),
    Case("jobs by letters", copy("-t", "narrow", "--jobs", "abc"), says="abc", hint=False),
    Case("no jobs", copy("-t", "narrow", "--jobs", ""), says="jobs", hint=False),
    Case("jobs by a word that is nearly one", copy("-t", "narrow", "-j", "autp"), says=["autp", "did you mean auto?"]),
    Case("jobs beyond all bounds", copy("-t", "narrow", "-j", "99999999999999999999"), hint=False),
    Case("a size with a wrong unit", copy("-t", "narrow", "--shard-size", "10XB"), says=["10XB", "MiB"], hint=False),
    Case("a size of nothing", copy("-t", "narrow", "--shard-size", "0"), hint=False),
    Case("a negative size", copy("-t", "narrow", "--shard-size", "-5MB"), hint=False),
    Case("a size beyond 64 bits", copy("-t", "narrow", "--shard-size", "99999999999TiB"), hint=False),
    Case("a time without sense", copy("-t", "narrow", "--max-outage", "soon"), says="soon", hint=False),
    Case("an unknown mode", copy("-t", "narrow", "--mode", "upsrt"), says=["upsrt", "upsert"]),
    Case("an unknown split", copy("-t", "narrow", "--split", "blocks"), says=["blocks", "block"]),
    Case("triggers neither fired nor skipped", copy("-t", "narrow", "--triggers", "ignore"), says="fire", hint=False),
    Case("one option twice with two values", copy("-t", "narrow", "--mode", "append", "--mode", "upsert"), says="mode", hint=False),
    Case("an impossible job name", copy("-t", "narrow", "--job", "a b/c"), says="a b/c", hint=False),
    Case("a job name that is too long", copy("-t", "narrow", "--job", "x" * 64), says="63", hint=False),
    Case("--where for several tables", copy("-t", "narrow", "-t", "wide", "--where", "true"), says="where"),
    Case("--key for several tables", copy("-t", "narrow", "-t", "wide", "--key", "id"), says="key"),
    Case("a wrong variable of the environment", copy("-t", "narrow"), says="PGHAUL_JOBS", env={"PGHAUL_JOBS": "many"}, hint=False),
    Case("a misspelt variable", ["copy", "-s", "SRC", "-t", "narrow"], env={"PGHAUL_TRAGET": "s3cret", "PGHAUL_VERSION": "1.2"},
         says=["PGHAUL_TRAGET", "did you mean PGHAUL_TARGET?", "no target"], never=["s3cret"]),
    Case("a job file that is not there", ["copy", "-f", "DIR/none.yaml"], says=["job file", "--write-file"]),
    Case("a job file that is a directory", ["copy", "-f", "DIR"], says="directory"),
    Case("a queries file that is not there", ["verify", *ENDS, "--queries", "DIR/none.yaml"], says=["queries file", "sql"]),
    Case("a verb that archive does not have", ["archive", "verfy", "DIR"], says="did you mean pghaul archive verify?"),
    Case("tune of no table", ["tune", *ENDS], says="-t"),
    Case("a log file in no directory", copy("-t", "narrow", "--log-file", "DIR/none/log"), says="log", hint=False),
    Case("an open quote in a table's name", copy("-t", '"narrow'), says="quote", hint=False),
    Case("a name of four parts", copy("-t", "a.b.c.d"), says="a.b.c.d", hint=False),
    Case("an empty name", copy("-t", ""), hint=False),
    Case("a target's name for a pattern", copy("-t", "n*=other"), hint=False),
    Case("too little memory", copy("-t", "narrow", "--memory", "1MiB"), says="memory"),
]

CONNECTIONS = [
    Case("a malformed URI", ["copy", "-s", "postgresql://u:s3cr%zz@h/d", "-d", "TGT", "-t", "narrow"], says="source", never=["s3cr"],
         hint=False),
    Case("an unclosed quote in a connection string", ["copy", "-s", "SRC", "-d", "host=h password='abcsecret", "-t", "narrow"],
         says="target", never=["abcsecret"], hint=False),
    Case("an unknown keyword", ["copy", "-s", "SRC", "-d", "hots=h password=abcsecret", "-t", "narrow"], says="target",
         never=["abcsecret"], hint=False),
    Case("two ats in a URI", ["copy", "-s", "postgresql://bob:p@sssecret@nohost.invalid/db", "-d", "TGT", "-t", "narrow"],
         says="-s", never=["sssecret"], hint=False),
    Case("a port that is none", ["copy", "-s", "SRC", "-d", "host=127.0.0.1 port=port", "-t", "narrow"], says="target", hint=False),
    Case("an unknown service", ["copy", "-s", "service=nowhere", "-d", "TGT", "-t", "narrow"], says="source", hint=False),
    Case("source down", ["copy", "-s", "host=127.0.0.1 port=1 dbname=x user=y", "-d", "TGT", "-t", "narrow"],
         says=["source", "127.0.0.1"], hint=True),
    Case("target down", ["copy", "-s", "SRC", "-d", "host=DIR port=1 dbname=x user=y", "-t", "narrow"],
         says="target", hint=True),
    Case("a host that does not resolve", ["copy", "-s", "SRC", "-d", "host=nohost.invalid dbname=x", "-t", "narrow"], says="target",
         hint=False),
    Case("a missing database", ["copy", "-s", "SRC", "-d", "TGT dbname=nodatabase", "-t", "narrow"], says=["target", "nodatabase"],
         hint=False),
    Case("a missing role", ["copy", "-s", "SRC user=norole", "-d", "TGT", "-t", "narrow"], says=["source", "norole"], hint=False),
    Case("source is target", ["copy", "-s", "TGT", "-d", "TGT", "-t", "narrow", "--mode", "replace"], says="same", hint=False),
    Case("status of a server that is down", ["status", "-d", "host=DIR port=1 dbname=x user=y"], says="target", hint=False),
    Case("status without a ledger", ["status", "-d", "TGT"], says="no", hint=False),
    Case("clean without a ledger", ["clean", "-d", "TGT", "nojob", "--yes"], says="no", hint=False),
]

TABLES = [
    Case("a schema that is not there", copy("--schema", "publik"), says=["publik", "did you mean public?"]),
    Case("a table that neither side has", copy("-t", "nothing_like_it"), says="nothing_like_it", hint=False),
    Case("a table with a similar name", copy("-t", "narow"), says=["narow", "did you mean", "narrow"]),
    Case("a table that only the source has", copy("-t", "only_source"), says=["only_source", "target", "--create"]),
    Case("a pattern that matches nothing", copy("-t", "zz*"), says="zz*", hint=False),
    Case("upper case without quotes", copy("-t", "CamelCase"), says='"CamelCase"'),
    Case("a wild name that is no table", copy("-t", '"a; drop table narrow; --\n%s"'), says="drop table", hint=False),
    Case("a name that is too long", copy("-t", "x" * 70), says="x" * 60, hint=False),
    Case("a view in the source", copy("-t", "a_view"), says=["a_view", "view"], hint=False),
    Case("a sequence", copy("-t", "a_seq"), says=["a_seq", "sequence"], hint=False),
    Case("an index", copy("-t", "narrow_pkey"), says="narrow_pkey", hint=False),
    Case("a view in the target", copy("-t", "narrow=a_view"), says="a_view", hint=False),
    Case("a table's name with no schema like it", copy("-t", "noschema.narrow"), says="noschema", hint=False),
    Case("columns that the target does not have", copy("-t", "surplus"), says=["surplus", "extra1", "extra2"]),
    Case("columns that only the target has and must have", copy("-t", "lacking"), says=["lacking", "must"]),
    Case("a type that cannot be cast", copy("-t", "badtype"), says=["badtype", "point", "integer"]),
    Case("a type that would be narrowed", copy("-t", "narrowing"), says=["narrowing", "bigint", "integer"]),
    Case("a length that would be cut", copy("-t", "cutting"), says=["cutting", "varying"]),
    Case("an enum that lacks a label", copy("-t", "labels"), says=["labels", "great"], hint=False),
    Case("timestamp into timestamptz", copy("-t", "zones"), says="zones"),
    Case("--columns of no such column", copy("-t", "narrow", "--columns", "id,bb"), says="bb", hint=False),
    Case("a key of no such column", copy("-t", "narrow", "--key", "idd"), says="idd", hint=False),
    Case("an upsert without a unique index", copy("-t", "nokey", "--mode", "upsert"), says=["nokey", "unique"]),
    Case("an upsert by a key without index", copy("-t", "narrow", "--mode", "upsert", "--key", "a"), says="unique", hint=False),
    Case("a key cut without a key", copy("-t", "nokey", "--split", "key"), says="nokey"),
    Case("a key without an order", copy("-t", "unordered", "--split", "key", "--key", "j"), says="json"),
    Case("a wrong condition", copy("-t", "narrow", "--where", "id >"), says="where", hint=False),
    Case("a condition on no such column", copy("-t", "narrow", "--where", "idd > 5"), says="idd", hint=False),
    Case("a condition that is several statements", copy("-t", "narrow", "--where", "true; drop table narrow"), hint=False),
    Case("a condition that closes its bracket", copy("-t", "narrow", "--where", "true) or (true"), hint=False),
    Case("a target with rows", copy("-t", "filled"), says=["filled", "--allow-nonempty"]),
    Case("a target with triggers", copy("-t", "triggered"), says=["triggered", "tg", "--triggers"]),
    Case("a replace of what foreign keys point at", copy("-t", "parent", "--mode", "replace"), says=["parent", "child"]),
    Case("the same target twice", copy("-t", "narrow=wide2", "-t", "wide=wide2"), says="wide2", hint=False),
    Case("a source under row level security", ["copy", "-s", "SRC user=limited", "-d", "TGT", "-t", "guarded"], says="guarded"),
    Case("no right to read", ["copy", "-s", "SRC user=limited", "-d", "TGT", "-t", "narrow"], says=["narrow", "limited"]),
    Case("a right to read some columns only", ["copy", "-s", "SRC user=limited", "-d", "TGT", "-t", "part"], says="part"),
    Case("no right to write", ["copy", "-s", "SRC", "-d", "TGT user=limited", "-t", "narrow"], says="limited", sentences=3),
]

MAKE = {
    "both": """create table wide (id int primary key, t text); create table wide2 (id int primary key, t text);
        create table nokey (a int, b text); create table unordered (j json, a int);
        create table filled (a int primary key); create table triggered (a int);
        create table parent (a int primary key); create table child (a int references parent);
        create table guarded (a int primary key); create table part (a int, b int); create table "CamelCase" (a int);
        create view a_view as select 1 as id; create sequence a_seq;""",
    "source": """create table only_source (a int); create table surplus (id int, extra1 int, extra2 text);
        create table lacking (id int); create table badtype (a point); create table narrowing (a bigint);
        create table cutting (a text); create type mood as enum ('good', 'great'); create table labels (m mood);
        create table zones (a timestamp);
        insert into nokey select i, 'x' from generate_series(1, 5000) i; insert into filled values (1);
        insert into unordered select '{}', i from generate_series(1, 5000) i; insert into parent values (1);
        insert into cutting values (repeat('x', 50)); insert into labels values ('great'); insert into guarded values (1), (2);
        alter table guarded enable row level security; create policy p on guarded using (a = 1);
        grant select on guarded to limited; grant select (a) on part to limited; insert into triggered values (1)""",
    "target": """create table surplus (id int); create table lacking (id int, must int not null);
        create table badtype (a integer); create table narrowing (a integer); create table cutting (a character varying(10));
        create type mood as enum ('good'); create table labels (m mood); create table zones (a timestamptz);
        insert into filled values (7); insert into parent values (3); insert into child values (3);
        create function f() returns trigger language plpgsql as 'begin return new; end';
        create trigger tg before insert on triggered for each row execute function f()""",
}


def limited_role(cluster):
    with cluster.session() as s:
        s.query("do $$ begin create role limited login; exception when duplicate_object or unique_violation then null; end $$")


def make_all(t):
    data.narrow(t, 2000)
    for cluster in (t.source_cluster, t.target_cluster):
        limited_role(cluster)
    t.both(MAKE["both"])
    t.source.query(MAKE["source"])
    t.target.query(MAKE["target"])


@story()
def wrong_commands_are_refused(t):
    data.narrow(t, 100)
    t.both("create table wide (id int primary key, t text)")
    check_cases(t, COMMANDS)


@story()
def wrong_connections_are_refused_without_showing_a_secret(t):
    data.narrow(t, 100)
    check_cases(t, CONNECTIONS)


@story(heavy=True)
def tables_that_cannot_be_moved_are_refused_before_the_first_row(t):
    make_all(t)
    check_cases(t, TABLES)


FILES = [
    # (what, contents, says, hint)
    ("an unknown key", "source: SRC\ntarget: TGT\ntabels: [narrow]\n", ["f.yaml:3", "tabels", "did you mean", "tables"], True),
    ("an unknown key of a table", "tables:\n  - table: narrow\n    fliter: a\n", ["f.yaml:3", "fliter", "filter"], True),
    ("a wrong value", "mode: upsrt\ntables: [narrow]\n", ["f.yaml:1", "upsrt", "upsert"], True),
    ("a key that comes twice", "mode: append\ntables: [narrow]\nmode: upsert\n", ["f.yaml:3", "mode"], False),
    ("broken YAML", "tables: [narrow\nmode: x: y\n", ["f.yaml:"], False),
    ("a list where a value is wanted", "mode: [append]\ntables: [narrow]\n", ["f.yaml:1", "mode"], False),
    ("no map at all", "- just\n- words\n", ["f.yaml"], False),
    ("nothing", "", ["f.yaml"], False),
    ("binary rubbish", "\x01\x02\x7f\x00\x00", ["f.yaml"], False),
    ("a wrong expression", "tables:\n  - table: narrow\n    columns:\n      a: lower(\n", ["narrow"], False),
    ("an expression of no such column", "tables:\n  - table: narrow\n    columns:\n      a: nothing_here + 1\n", ["nothing_here"], False),
    ("an expression for no such column", "tables:\n  - table: narrow\n    columns:\n      zz: a + 1\n", ["zz"], False),
    ("an expression of a wrong type", "tables:\n  - table: narrow\n    columns:\n      a: \"'text'::text\"\n", ["narrow", "text"], False),
    ("a malformed connection with a password", "source: \"host=h password='filesecret\"\ntarget: TGT\ntables: [narrow]\n", ["source"], False),
    ("a table twice", "tables:\n  - narrow\n  - narrow\n", ["narrow"], False),
    ("no tables", "mode: append\n", ["table"], True),
]


@story()
def wrong_job_files_are_refused_with_line_and_column(t):
    data.narrow(t, 100)
    before, failed = state(t), []
    for what, text, says, hint in FILES:
        path = t.write("f.yaml", text.replace("SRC", t.source.dsn).replace("TGT", t.target.dsn))
        args = ["copy", "-f", path] if "source:" in text else copy("-f", path)
        failed += check_case(t, Case(what, args, says=says, hint=hint, never=["filesecret"]), before)
    for what, path in (("a missing file", "DIR/none.yaml"), ("a directory", "DIR"), ("a file that may not be read", unreadable(t))):
        failed += check_case(t, Case(what, copy("-f", path), says=os.path.basename(path.replace("DIR", "")), hint=False), before)
    assert not failed, "%d cases:\n%s" % (len(failed), "\n".join(failed))


def unreadable(t):
    path = t.write("locked.yaml", "tables: [narrow]\n")
    os.chmod(path, 0)
    return path


@story()
def json_on_failure_is_exactly_one_object(t):
    make_all(t)
    for args, rc in ((copy("-t", "narow", "--json"), 2), (copy("--shard-sise", "1", "--json"), 2), (copy("-t", "filled", "--json"), 2),
                     (["plan", *ENDS, "-t", "badtype", "--json"], 2), (["status", "-d", "TGT", "nojob", "--json"], 2),
                     (["copy", "-s", "host=127.0.0.1 port=1", "-d", "TGT", "-t", "narrow", "--json"], 2)):
        result = t.run(*[a.replace("SRC", t.source.dsn).replace("TGT", t.target.dsn) for a in args]).expect(rc)
        value = result.json
        assert value["state"] and value["error"]["message"], value
        assert "hint" in value["error"], value
    said = t.run("control", "nojob", "status", "--json").expect(2).json
    assert said["job"] == "nojob" and said["error"]["hint"], said


@story()
def a_service_file_names_the_servers(t):
    """The ends may be named to every command, and what a service stands for is shown, not guessed."""
    data.narrow(t, 100)
    services = "".join("[%s]\n%s\n" % (name, side.dsn.replace(" ", "\n").replace("'", ""))
                       for name, side in (("old", t.source), ("new", t.target)))
    env = {"PGSERVICEFILE": t.write("services", services)}
    ends = ["-s", "service=old", "-d", "service=new"]
    plan = t.run("plan", *ends, "-t", "narrow", "--json", env=env).expect(0).json
    for side, name, database in (("source", "old", t.source), ("target", "new", t.target)):
        assert re.match(r"%s at /.* as \w+ \(service %s\)$" % (database.name, name), plan[side]), plan[side]
    t.run("copy", *ends, "-t", "narrow", "-q", env=env).expect(0)
    for command in ("status", "report", "clean"):
        more = {"report": ["-o", os.path.join(t.directory, "r.html")], "clean": ["-n"]}.get(command, [])
        assert t.run(command, *ends, "--json", *more, env=env).expect(0).json["job"] == plan["job"]
    assert t.run("status", *ends, "--json", env=env).json["source"] == plan["source"]


@story()
def a_plan_that_copy_would_refuse_is_shown_and_exits_2(t):
    make_all(t)
    result = t.run("plan", *t.ends(), "-t", "filled", "-t", "narrow").expect(2, "filled", "--allow-nonempty")
    assert "narrow" in result.out, "the plan itself is not shown:\n%s" % result


@story()
def a_ledger_of_somebody_else_or_of_a_newer_version_is_left_alone(t):
    data.narrow(t, 100)
    t.target.query("create schema pghaul; create table pghaul.job (mine int)")
    before = state(t)
    result = t.copy("-t", "narrow")
    assert result.rc in (2, 5), result
    assert state(t) == before, "something was changed"
    t.target.query("drop schema pghaul cascade")
    t.copy("-t", "narrow").expect(0)
    t.target.query("comment on schema pghaul is 'pghaul ledger, format 999'")
    before = state(t)
    t.copy("-t", "narrow").expect(5, "999")
    t.run("status", "-d", t.target.dsn).expect(5, "999")
    assert state(t) == before, "something was changed"


@story()
def another_definition_under_the_same_name_is_refused_and_both_are_shown(t):
    data.narrow(t, 2000)
    data.mixed(t, 100)
    t.copy("-t", "narrow", "--job", "j").expect(0)
    before = state(t)
    failed = []
    for what, args in (("another table", ["-t", "mixed"]), ("a filter", ["-t", "narrow", "--where", "id < 5"]),
                       ("other columns", ["-t", "narrow", "--columns", "id,a"]), ("another mode", ["-t", "narrow", "--mode", "upsert"])):
        failed += check_case(t, Case(what, copy("--job", "j", *args), rc=5, says=["j", "definition"]), before)
    assert not failed, "\n".join(failed)
    said = t.copy("--job", "j", "-t", "mixed").err
    assert "narrow" in said and "mixed" in said, "both definitions were not shown: " + said


@story(own=True, campaign=True)
def a_standby_is_refused_as_target(t):
    data.narrow(t, 100)
    before = state(t)
    standby = t.target_cluster.standby(t.directory + "/standby")
    try:
        dsn = t.target.dsn.replace("port=%d" % t.target_cluster.port, "port=%d" % standby.port)
        failed = check_case(t, Case("a standby as target", ["copy", "-s", "SRC", "-d", dsn, "-t", "narrow"], says=["target", "replica"],
                                    hint=False), before)
        assert not failed, failed[0]
    finally:
        standby.stop("immediate")


@story(own=True)
def a_full_target_disk_ends_with_1_and_the_job_goes_on_afterwards(t):
    """The table stands in a tablespace on a file system of 6 MB; needs the right to mount."""
    small = t.directory + "/small"
    os.mkdir(small)
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0777", "none", small],
                                          capture_output=True).returncode:
        raise Skip("no right to mount a small file system")
    try:
        full_disk(t, small)
    finally:
        t.target_cluster.stop("immediate")
        subprocess.run(["umount", "-l", small])


def full_disk(t, small):
    data.mixed(t, 80000)
    run_as_ordinary(["mkdir", small + "/space"], check=True)
    t.target.query("create tablespace tiny location '%s/space'" % small)
    t.target.query("alter table mixed set tablespace tiny")
    args = ("-t", "mixed", "-j", 2, "--shard-size", "512kB")
    result = t.copy(*args, timeout=100).expect(1, "space", "hint")
    assert "53100" in result.err or "no space" in result.err.lower() or "disk" in result.err.lower(), result
    t.check_ledger()
    assert subprocess.run(["mount", "-o", "remount,size=60m", small]).returncode == 0
    t.copy(*args, timeout=100).expect(0)
    t.whole("mixed")

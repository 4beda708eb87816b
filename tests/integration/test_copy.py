"""The first copy, in every split and mode, and what the same command does afterwards."""

import compare
import data
import ledger
from story import story

SPLITS = ("auto", "block", "key", "hash")
SMALL = ("--shard-size", "256kB")
COPY_KEYS = ("job", "state", "rows", "bytes", "seconds", "rows_per_second", "bytes_per_second", "shards",
             "shards_resumed", "retries", "parked", "snapshots", "snapshot_held_seconds", "tail_seconds",
             "spilled_bytes", "throttled_seconds", "bottleneck", "cpu_seconds", "max_rss", "tables")


def all_xmins(t, table):
    return t.target.query("select id, xmin, ctid from %s order by id" % table)


@story()
def narrow_mixed_and_wide_tables_arrive_whole(t):
    for name, (make, rows) in data.KINDS.items():
        make(t, rows)
    result = t.copy("-t", "narrow", "-t", "mixed", "-t", "wide", "-j", 2, *SMALL, "--json").expect(0).json
    missing = [k for k in COPY_KEYS if k not in result]
    assert not missing, "the contract's keys are missing: %s" % missing
    rows = {x["source"].split(".")[-1]: x["rows"] for x in result["tables"]}
    assert rows == {name: rows for name, (_, rows) in data.KINDS.items()}, rows
    assert result["state"] == "completed" and result["rows"] == sum(rows.values()), result
    assert result["snapshots"] == 1 and result["retries"] == 0 and result["parked"] == 0, result
    assert result["shards"] == len(ledger.shards(t.target)) > 20, result["shards"]
    t.whole("narrow", "mixed", "wide")
    t.check_ledger(source=t.source)


def each_split(t, mode, before, after):
    """One job per split in one mode. before: fills the target; after: checks it."""
    data.mixed(t, 15000)
    tallies = set()
    for split in SPLITS:
        t.target.query("truncate mixed")
        before()
        job = "%s-%s" % (mode, split)
        args = ["-t", "mixed", "--mode", mode, "--split", split, "--job", job, "-j", 2, *SMALL]
        shown = t.plan(*args)["tables"][0]
        assert split in ("auto", shown["split"]), "%s was asked for, %s is planned" % (split, shown["split"])
        result = t.copy(*args, "--json").expect(0).json
        assert result["shards"] > 3 and result["rows"] == 15000, result
        t.note("%s %s" % (mode, split))
        after()
        t.check_ledger(complete=True, source=t.source)
        tallies.add(ledger.table_tally(t.target))
        t.run("clean", "-d", t.target.dsn, job, "--yes").expect(0)
        assert t.target.one("select to_regnamespace('pghaul')") is None, "clean left the schema behind"
    assert len(tallies) == 1, "invariant 5: the tally of one table depends on its cut: %s" % tallies
    t.nothing_left()


@story(heavy=True)
def every_split_appends(t):
    each_split(t, "append", lambda: None, lambda: t.same("mixed"))


@story(heavy=True, campaign=True)
def every_split_upserts_into_a_table_with_rows_of_its_own(t):
    def before():
        t.target.query("insert into mixed (id, name) select i, 'own' from generate_series(-99, 5000) i "
                       "where i <> 0")

    def after():
        t.same("mixed", where="id > 0")
        assert t.target.int("select count(*) from mixed where id < 0 and name = 'own'") == 99
    each_split(t, "upsert", before, after)


@story(heavy=True, campaign=True)
def every_split_replaces_what_the_target_had(t):
    def before():
        t.target.query("insert into mixed (id) select i from generate_series(-50, 50) i")
    each_split(t, "replace", before, lambda: t.same("mixed"))


@story()
def the_same_command_after_completion_does_nothing_and_says_so(t):
    data.narrow(t, 30000)
    first = t.copy("-t", "narrow", *SMALL, "--json").expect(0).json
    before = ledger.receipts(t.target), all_xmins(t, "narrow")
    second = t.copy("-t", "narrow", *SMALL).expect(0, "nothing", "--again")
    assert second.seconds < 2, "it took %.1f s to do nothing" % second.seconds
    third = t.copy("-t", "narrow", *SMALL, "--json").expect(0).json
    assert third["job"] == first["job"] and third["state"] == "completed", third
    assert (ledger.receipts(t.target), all_xmins(t, "narrow")) == before, "it did something"
    t.whole("narrow")


@story()
def how_it_is_cut_and_by_how_many_is_no_part_of_the_definition(t):
    data.narrow(t, 30000)
    one = t.copy("-t", "narrow", "--shard-size", "256kB", "-j", 1, "--json").expect(0).json
    two = t.copy("-t", "public.narrow", "--split", "key", "-j", 2, "--json").expect(0).json
    assert one["job"] == two["job"], "another job by another cut"
    t.whole("narrow")


@story()
def the_shards_that_are_claimed_last_are_smaller_unless_a_size_was_asked_for(t):
    t.both("create table loose (id int, pad text) with (fillfactor = 10)")
    t.source.query("insert into loose select i, repeat('x', 100) from generate_series(1, 9000) i")
    t.copy("-t", "loose", "-j", 2).expect(0)
    weights = [int(r[0]) for r in t.target.query("select weight from pghaul.shard order by claimed_at, id")]
    assert 3.5 < max(weights) / min(weights) < 4.5 and weights[0] == max(weights), weights
    assert sum(1 for w in weights if w < max(weights) / 2) == 8, weights
    t.whole("loose")
    t.target.query("truncate loose")
    t.copy("-t", "loose", "-j", 2, "--shard-size", "2MiB", "--again").expect(0)
    weights = [int(r[0]) for r in t.target.query("select weight from pghaul.shard")]
    assert max(weights) < 1.1 * min(weights), weights
    t.whole("loose")


@story()
def again_is_a_new_round_of_the_same_job(t):
    data.narrow(t, 20000)
    args = ("-t", "narrow", "--mode", "replace", "--job", "nightly", *SMALL)
    t.copy(*args).expect(0)
    t.source.query("update narrow set c = -c where id % 10 = 0; delete from narrow where id < 500; "
                   "insert into narrow values (-1, 2, 3, 4)")
    t.copy(*args, "--again").expect(0)
    t.whole("narrow")
    assert t.target.one("select round from pghaul.job where name = 'nightly'") == "2"
    t.copy(*args).expect(0, "nothing")


@story()
def again_without_an_earlier_round_simply_runs(t):
    data.narrow(t, 100)
    t.copy("-t", "narrow", "--mode", "replace", "--again").expect(0)
    t.whole("narrow")


@story()
def an_upsert_twice_changes_nothing(t):
    data.mixed(t, 10000)
    args = ("-t", "mixed", "--mode", "upsert", "--job", "twice", "-j", 2, *SMALL)
    t.copy(*args).expect(0)
    before = all_xmins(t, "mixed")
    t.copy(*args, "--again").expect(0)
    assert all_xmins(t, "mixed") == before, "rows that were the same were written again"
    t.source.query("update mixed set doc = null where id in (7, 77)")
    t.copy(*args, "--again").expect(0)
    changed = sum(a != b for a, b in zip(before, all_xmins(t, "mixed")))
    assert changed == 2, "%d rows were written, 2 had changed" % changed
    t.whole("mixed")


@story()
def an_upsert_names_a_key_that_is_doubled_in_the_source(t):
    t.source.query("create table d (k int, v text); insert into d select i, 'v' from generate_series(1, 3000) i; "
                   "insert into d values (1500, 'again')")
    t.target.query("create table d (k int primary key, v text)")
    for split in ("auto", "key", "hash", "block"):
        result = t.copy("-t", "d", "--mode", "upsert", "--key", "k", "--split", split, "--shard-rows", 500, "--job", split,
                        timeout=100)
        assert result.rc in (1, 2) and "doubled" in result.err and "hint:" in result.err, result
        t.run("clean", "-d", t.target.dsn, split, "--yes")


@story()
def an_upsert_by_a_composite_key_takes_the_sources_row(t):
    t.both('create table c (a int, "B x" text, v float8, primary key (a, "B x"))')
    t.source.query("insert into c select i % 10, 'b' || i, case when i % 4 = 0 then 'NaN' else i::float8 end "
                   "from generate_series(1, 5000) i")
    t.target.query("insert into c select i % 10, 'b' || i, -1 from generate_series(1, 100) i; "
                   "insert into c values (99, 'own', 1)")
    t.copy("-t", "c", "--mode", "upsert", "--shard-rows", 500, "--split", "key").expect(0)
    t.same("c", where="a <> 99")
    assert t.rows("c") == 5001
    t.check_ledger(complete=True)


@story()
def a_filter_columns_and_another_name_are_kept_to(t):
    t.source.query("create table f (id int primary key, a text, b text); "
                   "insert into f select i, 'a' || i, 'b' || i from generate_series(1, 9000) i")
    t.target.query("create schema s; create table s.\"T\" (id int primary key, a text)")
    t.copy("-t", 'f=s."T"', "--columns", "id,a", "--where", "id % 3 = 1 or a = 'it''s'", "--shard-rows", 1000).expect(0)
    t.same(["f", ("s", "T")], where="id % 3 = 1", columns=["id", "a"])
    assert t.target.int('select count(*) from s."T"') == 3000
    t.check_ledger(complete=True)
    t.nothing_left()


@story()
def a_job_file_says_all_that_options_can_and_maps_columns(t):
    t.source.query("create table u (id int primary key, email text, born date); "
                   "insert into u select i, '  Mail' || i || '@X.org ', '2000-01-01'::date + i "
                   "from generate_series(1, 5000) i")
    t.target.query("create table users (id bigint primary key, email_norm text, year int)")
    path = t.write("job.yaml", """
source: "%s"
target: "%s"
job: people
shard-rows: 500
tables:
  - table: u
    target: users
    filter: id <= 4000
    columns:
      id: id
      email_norm: lower(trim(email))
      year: extract(year from born)::int
""" % (t.source.dsn, t.target.dsn))
    t.run("copy", "-f", path).expect(0)
    assert t.rows("users") == 4000
    wrong = t.target.int("select count(*) from users where email_norm <> 'mail' || id || '@x.org' "
                         "or year <> extract(year from '2000-01-01'::date + id::int)")
    assert not wrong, "%d rows are mapped wrongly" % wrong
    t.check_ledger(complete=True)


@story()
def plan_writes_a_job_file_that_copy_takes(t):
    data.narrow(t, 2000)
    data.mixed(t, 2000)
    path = t.directory + "/written.yaml"
    t.run("plan", *t.ends(), "-t", "narrow", "-t", "mixed", "--mode", "upsert", "--write-file", path).expect(0)
    t.run("copy", "-s", t.source.dsn, "-d", t.target.dsn, "-f", path).expect(0)
    t.whole("narrow", "mixed")


@story()
def neither_plan_nor_a_dry_run_changes_anything(t):

    data.narrow(t, 20000)
    t.both("create table empty_one (a int)")
    t.target.query("insert into narrow values (-5, 1, 1, 1)")
    before = compare.whole_digest(t.source), compare.whole_digest(t.target)
    t.plan("--mode", "replace", "-t", "narrow", "-t", "empty_one")
    t.run("plan", *t.ends(), "-a", "--mode", "replace").expect(0, "narrow")
    t.copy("-t", "narrow", "--mode", "replace", "-n").expect(0)
    t.copy("-t", "narrow", "--mode", "upsert", "--dry-run", "--json").expect(0).json
    t.nothing_left()
    assert (compare.whole_digest(t.source), compare.whole_digest(t.target)) == before


@story()
def schemas_patterns_and_exclusions_select_tables(t):
    t.both("create schema s1; create schema s2")
    for schema in ("s1", "s2", "public"):
        for name in ("orders", "order_items", "log_1", "log_2"):
            t.both("create table %s.%s (id int primary key)" % (schema, name))
            t.source.query("insert into %s.%s select generate_series(1, 50)" % (schema, name))

    def filled():
        return sorted("%s.%s" % r for r in t.target.query(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' "
            "and n.nspname in ('s1', 's2', 'public')") if t.target.int("select count(*) from %s.%s" % r))
    t.copy("--schema", "s1", "--exclude-table", "s1.log*", "--job", "one").expect(0)
    assert filled() == ["s1.order_items", "s1.orders"], filled()
    t.copy("-t", "s2.log_?", "--job", "two").expect(0)
    assert filled() == ["s1.order_items", "s1.orders", "s2.log_1", "s2.log_2"], filled()
    t.copy("-a", "--exclude-schema", "s?", "--job", "three").expect(0)
    assert len(filled()) == 8, filled()
    listed = t.status()
    assert [j["job"] for j in listed["jobs"]] == ["three", "two", "one"] and listed["job"] == "three" and listed["tables"], listed
    t.run("status", "-d", t.target.dsn).expect(0, "three", "two", "one", "completed")
    assert "jobs" not in t.status("two")
    t.nothing_left()

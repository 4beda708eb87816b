"""Keys of every kind: whatever their order, every row is in exactly one shard."""

import ledger
from story import story

# name, type (with its collation), the key's value for row i of 3000
KEYS = [
    ("k_int_extreme", "int", "case i when 1 then -2147483648 when 2 then 2147483647 else i * 1009 - 1500000 end"),
    ("k_small", "smallint", "(i - 1500)::smallint"),
    ("k_big_extreme", "bigint", "case i when 1 then -9223372036854775808 when 2 then 9223372036854775807 "
                                "else (i - 1500)::bigint * 3000000000000000 end"),
    ("k_numeric", "numeric", "case i when 1 then 'NaN' when 2 then 'Infinity' when 3 then '-Infinity' "
                             "else (i - 1500) * 1.00000000000000000001 end"),
    ("k_float", "float8", "case i when 1 then 'NaN' when 2 then 'Infinity' when 3 then '-Infinity' when 4 then 0.1 + 0.2 "
                          "when 5 then 4.9e-324 else (i - 1500) / 3.0 end"),
    ("k_real", "real", "case i when 1 then 'NaN' else ((i - 1500) / 7.0)::real end"),
    ("k_uuid", "uuid", "md5(i::text)::uuid"),
    ("k_text_icu", 'text collate "en-x-icu"',
     "chr(65 + i % 26) || case i % 5 when 0 then 'ä' when 1 then 'Z' when 2 then '-' when 3 then '''' else '\\' end || i"),
    ("k_text_und", 'varchar(40) collate "und-x-icu"', "case i when 1 then '' else repeat('é', i % 4) || i end"),
    ("k_text_c", 'text collate "C"', "case i % 3 when 0 then '€' when 1 then 'a b' else 'ẞ' end || i"),
    ("k_char", "char(12)", "'x' || i"),
    ("k_date", "date", "case i when 1 then 'infinity' when 2 then '-infinity' when 3 then '0044-03-15 BC' "
                       "else date '2001-02-03' + i end"),
    ("k_timestamptz", "timestamptz", "case i when 1 then 'infinity' else "
                                     "timestamptz '2024-11-03 05:30:00+00' + i * interval '91 s' end"),
    ("k_timestamp", "timestamp", "timestamp '1969-12-31 23:59:59.999999' + i * interval '1 day'"),
    ("k_interval", "interval", "i * interval '37 min'"),
    ("k_bytea", "bytea", "decode(md5(i::text), 'hex')"),
    ("k_inet", "inet", "('10.' || i % 250 || '.' || i / 250 || '.1/24')::inet"),
]


def make(t, name, kind, value, target_kind=None):
    t.source.query("create table %s (k %s primary key, v text); insert into %s select %s, 'v' || i "
                   "from generate_series(1, 3000) i" % (name, kind, name, value))
    t.target.query("create table %s (k %s primary key, v text)" % (name, target_kind or kind))


def check_evenness(t, most=2.0):
    """No shard of a table has more than `most` times the mean of its rows."""
    for tab, name in t.target.query("select id, source_name from pghaul.tab"):
        rows = [int(r) for r in t.target.column(
            "select rows from pghaul.receipt where tab = %s and rows > 0" % tab)]
        mean = sum(rows) / len(rows)
        assert len(rows) > 2, "%s was not cut: %s" % (name, rows)
        assert max(rows) <= most * mean + 1, "%s: %s rows of a mean of %.0f in one shard" % (name, max(rows), mean)


@story(heavy=True)
def keys_of_every_type_are_cut_into_disjoint_even_ranges(t):
    for name, kind, value in KEYS:
        # Another collation on the target: its order must never be asked for.
        make(t, name, kind, value, kind.split(" collate")[0] + (' collate "C"' if "collate" in kind else ""))
    t.copy("-t", "k_*", "--split", "key", "--shard-rows", 400, "-j", 2).expect(0)
    t.whole(*[k[0] for k in KEYS])
    t.check_ledger(source=t.source)
    check_evenness(t)


@story(heavy=True)
def keys_of_every_type_can_be_hashed(t):
    for name, kind, value in KEYS:
        make(t, name, kind, value)
    t.copy("-t", "k_*", "--split", "hash", "--shard-rows", 1000, "-j", 2).expect(0)
    t.whole(*[k[0] for k in KEYS])
    t.check_ledger(source=t.source)


@story()
def citext_and_nondeterministic_collations_are_cut_by_their_own_order(t):
    t.both("create extension citext")
    t.both("create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    make(t, "ci", "citext", "chr(65 + i % 26 + case when i % 2 = 0 then 32 else 0 end) || i")
    make(t, "nd", "text collate blind", "chr(65 + i % 26 + case when i % 2 = 0 then 32 else 0 end) || i")
    t.copy("-t", "ci", "-t", "nd", "--split", "key", "--shard-rows", 300).expect(0)
    t.whole("ci", "nd")
    t.check_ledger(source=t.source)


@story()
def rows_with_null_in_the_key_have_a_shard(t):
    t.both("create table n (k int unique, v int)")
    t.source.query("insert into n select case when i % 6 = 0 then null else i end, i from generate_series(1, 6000) i")
    t.copy("-t", "n", "--split", "key", "--key", "k", "--shard-rows", 500).expect(0)
    t.whole("n")
    t.check_ledger(source=t.source)
    assert len(ledger.shards(t.target)) > 5


@story()
def nulls_in_a_composite_key_and_nothing_but_nulls_are_moved_once(t):
    t.both("create table nc (a int, b text, v int); create index on nc (a, b)")
    t.source.query("insert into nc select case when i % 5 = 0 then null else i % 70 end, "
                   "case when i % 7 = 0 then null else 'b' || i end, i from generate_series(1, 5000) i; analyze nc")
    t.both("create table nn (k int, v int); create index on nn (k)")
    t.source.query("insert into nn select null, i from generate_series(1, 3000) i; analyze nn")
    t.copy("-t", "nc", "--split", "key", "--key", "a,b", "--shard-rows", 400, "--job", "nc").expect(0)
    t.copy("-t", "nn", "--split", "key", "--key", "k", "--shard-rows", 400, "--job", "nn").expect(0)
    t.whole("nc", "nn")
    t.check_ledger(source=t.source)


@story()
def composite_keys_are_cut_by_row_comparison(t):
    t.both('create table comp (a int, b text collate "en-x-icu", c date, v int, primary key (a, b, c))')
    t.source.query("insert into comp select i % 7, 'x' || i % 50, date '2020-01-01' + i / 3, i "
                   "from generate_series(1, 9000) i")
    t.copy("-t", "comp", "--split", "key", "--shard-rows", 500).expect(0)
    t.whole("comp")
    t.check_ledger(source=t.source)
    check_evenness(t)


@story()
def keys_that_are_all_equal_or_few_are_moved_once(t):
    t.both("create table eq (k int, v int); create index on eq (k)")
    t.source.query("insert into eq select 7, i from generate_series(1, 5000) i; analyze eq")
    t.both("create table few (k bool, v int); create index on few (k)")
    t.source.query("insert into few select i % 3 = 0, i from generate_series(1, 5000) i")
    for name in ("eq", "few"):
        for split in ("key", "hash"):
            t.target.query("truncate " + name)
            job = "%s-%s" % (name, split)
            t.copy("-t", name, "--split", split, "--key", "k", "--shard-rows", 300, "--job", job).expect(0)
            t.same(name)
            t.check_ledger(complete=True, source=t.source)
            t.run("clean", "-d", t.target.dsn, "--job", job, "--yes").expect(0)


@story()
def an_enum_key_is_cut_by_the_sources_order_of_labels(t):
    t.source.query("create type mood as enum ('low', 'mid', 'high')")
    t.target.query("create type mood as enum ('high', 'low', 'mid')")
    t.both("create table e (k mood, id int, v int, primary key (k, id))")
    t.source.query("insert into e select (array['low', 'mid', 'high'])[1 + i % 3]::mood, i, i "
                   "from generate_series(1, 4000) i")
    t.copy("-t", "e", "--split", "key", "--shard-rows", 300).expect(0)
    t.whole("e")
    t.check_ledger(source=t.source)


@story(campaign=True)
def one_far_key_does_not_make_one_shard_of_the_rest(t):
    t.both("create table skew (id bigint primary key, v text)")
    t.source.query("insert into skew select i, 'value ' || i from generate_series(1, 100000) i; "
                   "insert into skew values (2000000000, 'far')")
    for split in ("key", "auto"):
        t.target.query("truncate skew")
        t.copy("-t", "skew", "--split", split, "--shard-size", "256kB", "-j", 2, "--job", split).expect(0)
        shards = t.status("--shards", split)["shards"]
        rows = [s["rows"] for s in shards]
        assert len(rows) > 8 and sum(rows) == 100001, rows
        assert max(rows) <= 2 * sum(rows) / len(rows), "%s: %s" % (split, sorted(rows))
        t.same("skew")
        t.run("clean", "-d", t.target.dsn, split, "--yes").expect(0)


@story()
def a_key_with_wild_literals_is_quoted_rightly(t):
    t.both('create table q (k text collate "C" primary key)')
    t.source.query(r"""insert into q select k || n from generate_series(1, 300) n, unnest(array[
        '''', '\', '\''', '"', '%s', '$1', '$q$', ';drop table q;', E'\n', E'\t', '€', E'\u0001', '{{', '(', ',']) k""")
    t.copy("-t", "q", "--split", "key", "--shard-rows", 150).expect(0)
    t.whole("q")
    t.check_ledger(source=t.source)

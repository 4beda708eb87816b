"""Encodings that differ: text is converted and never garbled, a row that has no place there is named, or left out when so many
may be, and then nothing of it is lost."""

import os
import stat

import compare
from cluster import bindir, run_as_ordinary, wait_for
from story import story


def database(t, name, encoding):
    return t.new_database(t.source_cluster, t.id + name, "encoding '%s' locale 'C'" % encoding)


def source_args(t, source, target=None):
    return ("-s", source.dsn, "-d", (target or t.target).dsn)


def make_odd(source, rows=4000, odd=(7, 1234, 3999), value="'caf' || chr(233)"):
    """Rows of which some hold bytes that are no UTF-8; in SQL_ASCII nobody minds."""
    source.query("create table o (id int primary key, v text, b bytea, n text); insert into o select i, case when i in (%s) then %s "
                 "else 'plain ' || i end, '\\x00ff', case when i %% 3 = 0 then E'tab\\t\\\\' end from generate_series(1, %d) i"
                 % (", ".join(map(str, odd)), value, rows))


SMALL = ("--split", "key", "--shard-rows", 500)


@story()
def a_source_of_no_encoding_needs_to_be_told_one_and_its_odd_rows_are_named(t):
    ascii_ = database(t, "a", "SQL_ASCII")
    make_odd(ascii_)
    t.target.query("create table o (id int primary key, v text, b bytea, n text)")
    ends = source_args(t, ascii_)
    t.run("copy", *ends, "-t", "o").expect(2, "SQL_ASCII", "--source-encoding")
    t.run("copy", *ends, "-t", "o", "--source-encoding", "KLINGON").expect(2, "KLINGON")
    result = t.run("copy", *ends, "-t", "o", "--source-encoding", "utf-8", *SMALL, "--job", "u").expect(1, "22021", "ctid", "--max-rejects")
    assert "id=7" in result.err or "id=1234" in result.err or "id=3999" in result.err, result
    assert t.rows("o") == 4000 - 3 * 500, "shards without an odd row did not land"
    t.run("clean", "-d", t.target.dsn, "u", "--yes").expect(0)
    t.target.query("truncate o")
    # the same bytes are good LATIN1
    t.run("copy", *ends, "-t", "o", "--source-encoding", "LATIN1", *SMALL).expect(0)
    assert t.target.column("select v from o where id in (7, 1234) order by id") == ["café", "café"]
    t.run("verify", *ends, "-t", "o", "--source-encoding", "LATIN1", "--level", "source").expect(0)
    t.check_ledger(complete=True)


@story()
def rows_that_do_not_fit_go_to_the_reject_file_and_none_is_lost(t):
    ascii_ = database(t, "a", "SQL_ASCII")
    make_odd(ascii_)
    t.target.query("create table o (n text, id int primary key, v text, b bytea)")
    path = os.path.join(t.directory, "rejects.sql")
    base = ("copy", *source_args(t, ascii_), "-t", "o", "--source-encoding", "UTF8", *SMALL, "-j", 2, "--job", "r", "--reject-file", path)
    t.run(*base, "--max-rejects", 2).expect(1, "--max-rejects 2 allows")
    held = t.target.int("select count(*) from pghaul.reject")
    assert held == 2 and open(path, "rb").read().count(b"caf\xe9") == 2, held
    done = t.run(*base, "--max-rejects", 3, "--json").expect(0).json
    assert done["rejected"] == 3 and done["rows"] == 3997 and done["tables"][0]["rejected"] == 3, done
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert t.target.int("select count(*) from o where id in (7, 1234, 3999)") == 0
    t.check_ledger(complete=True)
    before = open(path, "rb").read()
    os.unlink(path)
    t.run(*base).expect(0, "nothing to do")
    assert open(path, "rb").read() == before
    # mended by hand, the file brings them in
    mended = before.replace(b"\xe9", "é".encode())
    run_as_ordinary([bindir() + "/psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", t.target.dsn], input=mended, check=True)
    assert t.rows("o") == 4000
    here = ascii_.query("select id, b::text, n from o order by id")
    assert here == t.target.query("select id, b::text, n from o order by id")


@story()
def characters_that_the_target_lacks_are_named_and_left_out_by_any_way(t):
    latin = t.new_database(t.target_cluster, t.id + "l", "encoding 'LATIN1' locale 'C'")
    make_odd(t.source, odd=(5, 2500), value="'€ 5'")
    t.source.query('create table "größe" (v text); insert into "größe" values (\'ä\'), (null), (\'Ω\'); '
                   "create table fine (id int primary key, v text); insert into fine select i, 'Äß' || i from generate_series(1, 2000) i")
    latin.query('create table o (id int primary key, v text, b bytea, n text); create table "größe" (v text); '
                "create table fine (id int primary key, v text)")
    ends = source_args(t, t.source, latin)
    t.run("copy", *ends, "-t", "fine", "--job", "fine").expect(0, "LATIN1")
    compare.compare(t.source, latin, ["fine"])
    t.run("copy", *ends, "-t", "größe", "--job", "none").expect(1, "22P05", "ctid (0,3)")
    t.run("clean", "-d", latin.dsn, "none", "--yes").expect(0)
    t.run("copy", *ends, "-t", "größe", "--where", "v = '€'", "--job", "none").expect(2, "€", "LATIN1")
    found = t.run("copy", *ends, "-t", "größe", "--where", "v = 'ä'", "--job", "one", "--json").expect(0).json
    assert found["rows"] == 1 and latin.column('select v from "größe"') == ["ä"], found
    latin.query('truncate "größe"')
    t.run("clean", "-d", latin.dsn, "one", "--yes").expect(0)
    for spill in ("never", "always"):
        path = os.path.join(t.directory, spill)
        done = t.run("copy", *ends, "-t", "o", "-t", "größe", *SMALL[2:], "--job", spill, "--spill", spill, "--max-rejects", "100",
                     "--reject-file", path, "-j", 2, "--json").expect(0).json
        assert done["rejected"] == 3 and done["rows"] == 4000, done
        text = open(path, encoding="utf-8").read()
        assert text.count("€ 5") == 2 and "Ω\n\\.\n" in text, text
        latin.query('truncate o; truncate "größe"')
        t.run("clean", "-d", latin.dsn, spill, "--yes").expect(0)


@story()
def bytes_that_are_wrong_in_their_own_encoding_are_named_too(t):
    """As an old release or a broken function may have let them in."""
    make_odd(t.source, rows=1000, odd=(501,), value="'good'")
    t.target.query("create table o (id int primary key, v text, b bytea, n text)")
    t.source.query("create cast (bytea as text) without function; update o set v = '\\xe978'::bytea::text where id = 501")
    assert t.source.int("select octet_length(v) from o where id = 501") == 2
    t.copy("-t", "o").expect(1, "22021", "ctid", "id=501")
    t.copy("-t", "o", "--max-rejects", 1, "--reject-file", os.path.join(t.directory, "r")).expect(0)
    assert t.rows("o") == 999 and b"501\t\xe9x\t" in open(os.path.join(t.directory, "r"), "rb").read()
    t.check_ledger(complete=True)


@story()
def a_target_of_no_encoding_takes_what_it_is_told_that_it_is(t):
    plain = t.new_database(t.target_cluster, t.id + "p", "encoding 'SQL_ASCII' locale 'C'")
    t.source.query("create table l (id int primary key, v text); insert into l select i, 'Ä € ' || i from generate_series(1, 500) i")
    plain.query("create table l (id int primary key, v text)")
    ends = source_args(t, t.source, plain)
    t.run("copy", *ends, "-t", "l").expect(2, "SQL_ASCII", "--source-encoding")
    t.run("copy", *ends, "-t", "l", "--source-encoding", "LATIN1").expect(2, "UTF8", "LATIN1")
    t.run("copy", *ends, "-t", "l", "--source-encoding", "UTF8").expect(0)
    hexes = "select encode(convert_to(v, getdatabaseencoding()), 'hex') from l order by id"
    assert t.source.column(hexes) == plain.column(hexes)


@story(dice=True)
def rejects_are_counted_once_whoever_is_killed(t):
    ascii_ = database(t, "a", "SQL_ASCII")
    odd = t.random.sample(range(1, 6001), 40)
    make_odd(ascii_, rows=6000, odd=odd)
    t.target.query("create table o (id int primary key, v text, b bytea, n text)")
    path = os.path.join(t.directory, "r")
    args = ("copy", *source_args(t, ascii_), "-t", "o", "--source-encoding", "UTF8", "--split", "key", "--shard-rows", 200, "-j", 2,
            "--max-rejects", 40, "--reject-file", path, "--spill", t.random.choice(["never", "always"]))
    for _ in range(2):
        with t.mover.start(*args) as running:
            t.when_landed(t.landed() + t.random.randrange(1, 10), running)
            running.kill9()
    done = t.run(*args, "--json").expect(0).json
    assert done["rejected"] == 40 and done["rows"] == t.rows("o") == 5960, done
    lines = open(path, "rb").read().split(b"\n")
    assert sorted(int(x.split(b"\t")[0]) for x in lines if x[:1].isdigit()) == sorted(odd)
    t.check_ledger(complete=True)


def rejects_of_two_snapshots(t, split):
    ascii_ = database(t, "a", "SQL_ASCII")
    make_odd(ascii_, rows=6000, odd=range(5, 6001, 100))
    t.target.query("create table o (id int primary key, v text, b bytea, n text)")
    path = os.path.join(t.directory, "r")
    args = ("copy", *source_args(t, ascii_), "-t", "o", "--source-encoding", "UTF8", "--split", split, "--shard-rows", 600, "-j", 1,
            "--max-rejects", 60, "--reject-file", path)
    t.run(*args, fault="worker.landed:4:kill").expect(-9)
    ascii_.terminate(ascii_.backends())
    wait_for(lambda: not t.mover.processes(), "the end of the keeper")
    assert t.target.int("select count(*) from pghaul.reject") > 10
    ascii_.query("update o set v = 'mended' where id in (select id from o where v like 'caf%' order by random() limit 30)")
    done = t.run(*args, "--json").expect(0).json
    assert done["rejected"] == 30 and done["rows"] == t.rows("o") == 5970 and done["snapshots"] == 2, done
    lines = [x for x in open(path, "rb").read().split(b"\n") if x[:1].isdigit()]
    assert len(lines) == len(set(lines)) == 30, lines
    t.check_ledger(complete=True)


@story()
def rejects_of_a_snapshot_that_is_lost_are_not_counted_with_those_of_the_next(t):
    rejects_of_two_snapshots(t, "block")


@story(campaign=True)
def rejects_of_shards_that_are_read_again_are_forgotten(t):
    rejects_of_two_snapshots(t, "key")

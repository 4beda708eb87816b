"""Tables and rows for stories. Everything is made by the server; sizes are arguments."""

NARROW = "create table narrow (id bigint primary key, a integer not null, b integer, c bigint)"

MIXED = """create table mixed (
    id bigint primary key, small smallint, flag boolean, amount numeric(12,2), ratio double precision, r4 real,
    name text, code varchar(20), fixed char(8), day date, at timestamp, at_tz timestamptz, span interval,
    u uuid, doc jsonb, tags text[])"""

WIDE = "create table wide (id integer primary key, title text, body text, raw bytea)"


def narrow(t, rows, name="narrow"):
    t.both(NARROW.replace("table narrow", "table " + name))
    t.source.query("insert into %s select i, i %% 97, case when i %% 13 = 0 then null else i * 7 %% 1000003 end, "
                   "i * 1000003::bigint from generate_series(1, %d) i" % (name, rows))


def mixed(t, rows, name="mixed"):
    t.both(MIXED.replace("table mixed", "table " + name))
    t.source.query("""insert into %s select i, (i %% 30000)::smallint, i %% 3 = 0, i * 1.37,
        case i %% 50 when 0 then 'NaN' when 1 then '-Infinity' else sqrt(i) end, (i / 7.0)::real,
        'name ' || i || repeat('x', i %% 40), case when i %% 7 = 0 then null else 'c' || i end, 'f' || i %% 1000,
        date '2000-01-01' + i %% 9000, timestamp '1999-12-31 23:59:59.123456' + i * interval '1 s',
        timestamptz '2020-01-01 00:00:00+00' + i * interval '7 min', i * interval '1 minute',
        md5(i::text)::uuid, jsonb_build_object('n', i, 's', 'ä€𝄞' || i),
        case when i %% 5 = 0 then array['a', null, 'q"' || i] end
        from generate_series(1, %d) i""" % (name, rows))


def wide(t, rows, name="wide"):
    """Values of 4 to 40 kB that do not compress, and some that do: inline, compressed, out of line."""
    t.both(WIDE.replace("table wide", "table " + name))
    t.source.query("""insert into %s select i, 'title ' || i,
        (select string_agg(md5(i::text || j), '') from generate_series(1, 100 + i %% 900) j),
        case when i %% 3 = 0 then convert_to(repeat('abc' || i, 5000), 'UTF8') end
        from generate_series(1, %d) i""" % (name, rows))


BLOB = "create table blob (id integer primary key, body text not null)"


def blob(t, mib, name="blob"):
    """Rows of 4 kB that lie in the heap as they are: so many MiB are quickly made."""
    t.both(BLOB.replace("table blob", "table " + name))
    t.source.query("alter table %s alter body set storage plain" % name)
    t.source.query("insert into %s select i, repeat('x', 4070) from generate_series(1, %d) i" % (name, mib * 256))


KINDS = {"narrow": (narrow, 60000), "mixed": (mixed, 20000), "wide": (wide, 600)}


def target_rows(t, table, rows):
    """Rows that the target has of its own, with the same columns, some of them with keys of the source."""
    t.target.query("insert into %s (id) select -i from generate_series(1, %d) i" % (table, rows))

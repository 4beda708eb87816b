"""Archived binary rows become the text and the CSV that the server itself prints, byte for byte.

The server fills a table, sends it as COPY BINARY and prints it as COPY text and CSV; tests/tools/decode makes text and
CSV of the former. Values come as bytes from here where that reaches more of them (bit patterns of floats, the whole
calendar), and what holds values is put together by the server.
"""

import os
import re
import struct
import subprocess

from cluster import bindir, run_as_ordinary
from story import story

SETTINGS = ["datestyle = ISO", "timezone = UTC", "intervalstyle = postgres", "bytea_output = hex", "extra_float_digits = 1",
            "search_path = pg_catalog", "client_encoding = UTF8"]


# Talking to the server and to the decoder ------------------------------------------------------------------------


def psql(t, sql, data=b""):
    """Standard output of one statement, as bytes."""
    argv = [bindir() + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", t.source.dsn]
    for setting in SETTINGS:
        argv += ["-c", "set " + setting]
    out = run_as_ordinary(argv + ["-c", sql], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert out.returncode == 0, out.stderr.decode(errors="replace")
    return out.stdout


def spec(t, table):
    """What a decoder is told: the table's columns, and every type that is not the system's."""
    lines = [["version", psql(t, "show server_version_num").decode().strip()]]
    columns = psql(t, "select attname || chr(9) || format_type(atttypid, atttypmod) from pg_attribute "
                      "where attrelid = 'public.%s'::regclass and attnum > 0 and not attisdropped order by attnum" % table)
    lines += [["column"] + line.split("\t") for line in columns.decode().splitlines()]
    types = psql(t, """
        select t.typtype, format_type(t.oid, -1), coalesce(format_type(nullif(coalesce(nullif(t.typbasetype, 0),
          r.rngsubtype, m.rngtypid), 0), null), ''),
          (select string_agg(format_type(atttypid, atttypmod), chr(9) order by attnum) from pg_attribute
           where attrelid = nullif(t.typrelid, 0) and attnum > 0 and not attisdropped)
        from pg_type t join pg_namespace n on n.oid = typnamespace left join pg_range r on r.rngtypid = t.oid
        left join pg_range m on m.rngmultitypid = t.oid
        where nspname in ('public', 'odd') and typtype in ('e', 'd', 'r', 'm', 'c')
          and (typrelid = 0 or (select relkind from pg_class where oid = typrelid) = 'c')""")
    kinds = {"e": "enum", "d": "domain", "r": "range", "m": "multirange", "c": "composite"}
    for line in types.decode().splitlines():
        kind, name, of, attributes = line.split("|", 3)
        lines.append([kinds[kind], name] + [w for w in (attributes or of).split("\t") if w])
    return t.write("spec", "".join("\t".join(words) + "\n" for words in lines))


def decode(t, *args, data, expect=0):
    out = subprocess.run([os.path.join(t.rig.tools, "decode"), *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert out.returncode == expect, (out.returncode, out.stderr)
    return out.stdout if expect == 0 else out.stderr.decode()


def check(t, table):
    """The table's rows, decoded in every way, are what the server prints. Returns their number."""
    columns, path = "select * from public.%s" % table, spec(t, table)
    binary = psql(t, "copy (%s) to stdout (format binary)" % columns)
    text = psql(t, "copy (%s) to stdout" % columns)
    csv = psql(t, "copy (%s) to stdout (format csv, header)" % columns)
    for piece in (1 << 20, t.random.randrange(100, 5000)):
        same_lines(table, text, decode(t, path, "binary", "text", str(piece), data=binary))
        same_lines(table, csv, decode(t, path, "binary", "csv", str(piece), "header", data=binary))
        same_lines(table, csv, decode(t, path, "text", "csv", str(piece), "header", data=text))
        same_lines(table, text, decode(t, path, "text", "text", str(piece), data=text))
    return text.count(b"\n")


def same_lines(table, server, ours):
    if server == ours:
        return
    a, b = server.split(b"\n"), ours.split(b"\n")
    n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    x, y = (a + [b""])[n], (b + [b""])[n]
    for left, right in zip(x.split(b"\t"), y.split(b"\t")):
        if left != right:
            raise AssertionError("%s, line %d of %d and %d: %r is %r" % (table, n + 1, len(a), len(b), left[:300], right[:300]))
    raise AssertionError("%s, line %d: %r is %r" % (table, n + 1, x[:300], y[:300]))


def load_bytes(t, table, rows):
    """Rows of values as their send functions would make them; None is NULL."""
    out = [b"PGCOPY\n\377\r\n\0" + b"\0" * 8]
    for row in rows:
        out.append(struct.pack("!h", len(row)))
        out += [struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v for v in row]
    psql(t, "copy public.%s from stdin (format binary)" % table, b"".join(out) + b"\377\377")


# Values ----------------------------------------------------------------------------------------------------------


def float8s(rng, n):
    """All powers of two and of ten, their neighbours, decimals of few digits, and any bits there are."""
    values = [2.0 ** k for k in range(-1074, 1024)] + [float("1e%d" % k) for k in range(-323, 309)] + [0.0, -0.0, 5e-324]
    values += [float(k) for k in (2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 10 ** 15 - 1, 10 ** 15, 999999999999999.9, 123456789012345678)]
    values += [1e23 * 2.0 ** k for k in range(60)]  # beside decimals that lie half-way between two doubles
    patterns = [struct.unpack("!q", struct.pack("!d", v))[0] for v in values]
    patterns += [p + d for p in patterns for d in (1, -1)]
    patterns += [rng.getrandbits(64) - (1 << 63) for _ in range(n)]
    out = [struct.pack("!q", max(p, -(1 << 63))) for p in patterns]
    out += [struct.pack("!d", rng.choice((-1, 1)) * rng.randrange(10 ** rng.randrange(1, 18)) / 10 ** rng.randrange(0, 12))
            for _ in range(n)]
    return out + [struct.pack("!d", float(v)) for v in ("nan", "inf", "-inf")]


def float4s(rng, n):
    patterns = [e << 23 for e in range(256)] + [1 << k for k in range(23)]
    patterns += [struct.unpack("!i", struct.pack("!f", float("1e%d" % k)))[0] for k in range(-45, 39)]
    patterns += [p + d for p in patterns for d in (1, -1) if p + d >= 0]
    patterns += [rng.getrandbits(32) for _ in range(n)]
    return [struct.pack("!I", p | (1 << 31) * (i % 2)) for i, p in enumerate(patterns)] + [
        struct.pack("!f", rng.randrange(10 ** rng.randrange(1, 9)) / 10 ** rng.randrange(0, 6)) for _ in range(n)]


FIRST_DAY, END_DAY = -2451545, 2145031949
FIRST_US, END_US = -211813488000000000, 9223371331200000000
DAY_US = 86400000000


def dates(rng, n):
    days = [FIRST_DAY, END_DAY - 1, 0, -1, 59, 60, 366, -730119, -730120, -730486, -(1 << 31), (1 << 31) - 1]
    days += [rng.randrange(FIRST_DAY, END_DAY) for _ in range(n)] + [rng.randrange(-1100000, 300000) for _ in range(n)]
    return [struct.pack("!i", d) for d in days]


def timestamps(rng, n):
    us = [FIRST_US, END_US - 1, 0, -1, 1, 999999, DAY_US - 1, DAY_US, -DAY_US, -(1 << 63), (1 << 63) - 1]
    us += [rng.randrange(FIRST_US, END_US) for _ in range(n)] + [rng.randrange(-95000000000, 30000000000) * 1000000 for _ in range(n)]
    us += [rng.randrange(FIRST_US // 10 ** k, 2 * 10 ** 17 // 10 ** k) * 10 ** k for k in range(1, 7) for _ in range(n // 6)]
    return [struct.pack("!q", v) for v in us]


def times(rng, n):
    us = [0, DAY_US, 1, DAY_US - 1] + [rng.randrange(DAY_US // 10 ** (i % 7)) * 10 ** (i % 7) for i in range(n)]
    return [struct.pack("!q", v) for v in us]


def timetzs(rng, n):
    zones = [0, 3600, -3600, -19800, 1, -1, 57599, -57599] + [rng.randrange(-57599, 57600) for _ in range(n)]
    return [t + struct.pack("!i", z) for t, z in zip(times(rng, n), zones)]


def intervals(rng, n):
    def some(bits):
        return rng.choice((0, 0, 1, -1, rng.randrange(-40, 40), rng.getrandbits(bits) - (1 << (bits - 1))))

    def time():
        return rng.choice((some(64), rng.randrange(-200000, 200000) * 1000000, rng.randrange(-DAY_US, DAY_US)))
    values = [(0, 0, 0), ((1 << 63) - 1, (1 << 31) - 1, (1 << 31) - 1), (-(1 << 63), -(1 << 31), -(1 << 31))]
    return [struct.pack("!qii", *v) for v in values + [(time(), some(32), some(32)) for _ in range(n)]]


def numerics(rng, n):
    def one():
        digits = rng.choice((0, 1, 2, 3, 5, 9, rng.randrange(60)))
        weight = rng.randrange(-8, 12) if rng.random() < 0.95 else rng.randrange(-4000, 30000)
        scale = rng.choice((0, 1, 2, 3, 4, 5, 7, 20, rng.randrange(100), rng.randrange(16384)))
        body = [rng.choice((0, 1, 10, 9999, rng.randrange(10000), rng.randrange(10) * 1000)) for _ in range(digits)]
        return struct.pack("!hhHH%dh" % digits, digits, weight, rng.choice((0, 0x4000)), scale, *body)
    special = [struct.pack("!hhHH", 0, 0, sign, 0) for sign in (0xC000, 0xD000, 0xF000, 0)]
    return special + [one() for _ in range(n)]


def inets(rng, n, cidr):
    def one():
        family, size = rng.choice(((2, 4), (3, 16)))
        ip = bytearray(rng.getrandbits(8) if rng.random() < 0.5 else 0 for _ in range(size))
        if size == 16:
            for _ in range(rng.randrange(4)):  # words of zeros, and embedded IPv4 addresses
                at, run = rng.randrange(8), rng.randrange(1, 8)
                ip[2 * at:2 * (at + run)] = bytes(len(ip[2 * at:2 * (at + run)]))
            if rng.random() < 0.3:
                ip[:12] = rng.choice((bytes(12), bytes(10) + b"\xff\xff"))
        bits = rng.choice((size * 8, rng.randrange(size * 8 + 1)))
        if cidr:
            value = int.from_bytes(ip, "big") >> (size * 8 - bits) << (size * 8 - bits)
            ip = value.to_bytes(size, "big")
        return bytes((family, bits, cidr, size)) + bytes(ip)
    return [one() for _ in range(n)]


def bits(rng, n):
    def one(size):
        value = rng.getrandbits(size) if size else 0
        return struct.pack("!i", size) + (value << (-size % 8)).to_bytes((size + 7) // 8, "big")
    return [one(rng.choice((0, 1, 7, 8, 9, rng.randrange(200)))) for _ in range(n)]


def raw(size):
    def make(rng, n):
        return [bytes(size), b"\xff" * size] + [bytes(rng.getrandbits(8) for _ in range(size)) for _ in range(n)]
    return make


NASTY = ["\t", "\n", "\r", "\b", "\f", "\v", "\x01", "\x1f", "\x7f", "\\", '"', "'", ",", ";", "{", "}", "(", ")", "[", "]", " ", ".", "N",
         "a", "b", "x", "0", "7", "NULL", "null", "\\.", "\\N", "ä", "€", "𝄞", "\u00a0", "\u2028", ":", "=", "=>", "<", ">", "|", "&", "!"]


def nasty(rng):
    return "".join(rng.choice(NASTY) for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 20))))


def texts(rng, n):
    return [v.encode() for v in ["", "\\.", "\\N", "NULL", "null", " ", "\\", '"', "a"] + [nasty(rng) for _ in range(n)]]


def jsons(rng, n):
    import json

    def one(depth=0):
        kind = rng.randrange(7 if depth < 3 else 4)
        if kind > 4:
            return {nasty(rng): one(depth + 1) for _ in range(rng.randrange(4))}
        return (nasty(rng), rng.random() * 10 ** rng.randrange(-20, 20), None, rng.random() < 0.5,
                [one(depth + 1) for _ in range(rng.randrange(4))] if depth < 3 else 1)[min(kind, 4)]
    return [json.dumps(one(), ensure_ascii=rng.random() < 0.3, indent=rng.choice((None, 1))).encode() for _ in range(n)]


def lexeme(rng):
    return (nasty(rng) or "x")[:40].encode()


def tsvectors(rng, n):
    def one():
        words = sorted({lexeme(rng) for _ in range(rng.randrange(6))})
        out = struct.pack("!i", len(words))
        for word in words:
            places = sorted({rng.choice((1, 2, 16383, rng.randrange(1, 16384))) for _ in range(rng.randrange(4))})
            out += word + b"\0" + struct.pack("!H%dH" % len(places), len(places), *(p | rng.randrange(4) << 14 for p in places))
        return out
    return [one() for _ in range(n)]


def tsqueries(rng, n):
    def tree(depth):
        if depth == 0 or rng.random() < 0.25:
            return [b"\1" + bytes((rng.choice((0, 0, rng.randrange(16))), rng.random() < 0.2)) + lexeme(rng) + b"\0"]
        oper = rng.randrange(1, 5)
        head = b"\2" + bytes((oper,)) + (struct.pack("!h", rng.choice((0, 1, 2, 16384))) if oper == 4 else b"")
        return [head] + tree(depth - 1) + (tree(depth - 1) if oper != 1 else [])
    trees = [tree(rng.randrange(7)) for _ in range(n)] + [[b"\2\1"] * 500 + tree(0)]
    return [struct.pack("!i", len(items)) + b"".join(items) for items in trees]


def vectors(oid, code, span):
    def make(rng, n):
        def one():
            values = [rng.choice((0, 1, rng.randrange(*span))) for _ in range(rng.randrange(1, 6))]
            return struct.pack("!iiiii", 1, 0, oid, len(values), 0) + b"".join(
                struct.pack("!i" + code, struct.calcsize("!" + code), v) for v in values)
        return [one() for _ in range(n)]
    return make


def points(count=None, head=b""):
    """count: points, or else any number of them, which comes first."""
    def make(rng, n):
        def coordinate():
            return rng.choice((0.0, -0.0, float("inf"), float("nan"), rng.randrange(-99, 99) / 8, rng.gauss(0, 1e10), rng.gauss(0, 1)))

        def one():
            k = count or rng.randrange(1, 6)
            values = [coordinate() for _ in range(2 * k)]
            first = bytes((rng.randrange(2),)) if head is None else head
            return first + (b"" if count else struct.pack("!i", k)) + struct.pack("!%dd" % len(values), *values)
        return [one() for _ in range(n)]
    return make


def lines(rng, n):
    return [struct.pack("!ddd", rng.gauss(0, 1) or 1, rng.gauss(0, 5), rng.gauss(0, 1e6)) for _ in range(n)]


def circles(rng, n):
    return [struct.pack("!ddd", rng.gauss(0, 5), rng.gauss(0, 5), abs(rng.gauss(0, 1e6))) for _ in range(n)]


def snapshots(rng, n):
    def one():
        xips = sorted({rng.randrange(100, 1 << 40) for _ in range(rng.randrange(4))})
        return struct.pack("!iqq%dq" % len(xips), len(xips), 100, (1 << 40) + 3, *xips)
    return [one() for _ in range(n)]


def versioned(make):
    return lambda rng, n: [b"\1" + v for v in make(rng, n)]


def chosen_from(*values):
    return lambda rng, n: [rng.choice(values) for _ in range(n)]


# Every type that can be shown, and what makes its bytes.
TYPES = {
    "bool": raw(0) and chosen_from(b"\0", b"\1"), '"char"': chosen_from(b"\0", b"a", b"\t", b"\n", b"\\", b",", b'"', b" ", b"}", b"\x7f"),
    "int2": raw(2), "int4": raw(4), "int8": raw(8), "oid": raw(4), "xid": raw(4), "cid": raw(4), "xid8": raw(8), "tid": raw(6),
    "float4": float4s, "float8": float8s, "numeric": numerics,
    "text": texts, "varchar": texts, "bpchar": texts, "name": lambda rng, n: [v[:15].decode(errors="ignore").encode() for v in texts(rng, n)],
    "json": jsons, "jsonb": versioned(jsons), "jsonpath": versioned(chosen_from(b"$", b'$."a b"[*] ? (@ > 1)', b'strict $.x')),
    "xml": chosen_from(b"<a/>", b"<a b='1'>\n&lt;\t\"</a>", b"x", b'<?xml version="1.1"?><a/>', b'<?xml version="1.0" standalone="yes"?>\n<a/>',
                       b'<?xml version="1.0" encoding="UTF-8"?>\n<a/>'),
    "bytea": lambda rng, n: [bytes(rng.getrandbits(8) for _ in range(rng.choice((0, 1, 5, 255, 256, 700)))) for _ in range(n)],
    "varbit": bits, "date": dates, "time": times, "timetz": timetzs, "timestamp": timestamps, "timestamptz": timestamps,
    "interval": intervals, "uuid": raw(16), "inet": lambda rng, n: inets(rng, n, 0), "cidr": lambda rng, n: inets(rng, n, 1),
    "macaddr": raw(6), "macaddr8": raw(8), "pg_lsn": raw(8), "point": points(1), "lseg": points(2), "box": points(2),
    "path": points(None, None), "polygon": points(), "line": lines, "circle": circles,
    "int2vector": vectors(21, "h", (-32768, 32768)), "oidvector": vectors(26, "I", (0, 1 << 32)),
    "tsvector": tsvectors, "tsquery": tsqueries, "pg_snapshot": snapshots, "txid_snapshot": snapshots, "refcursor": texts,
}


def fill(t, table, types, n, most):
    """A table with a column of each type and `most` rows at most; one value in ten is NULL."""
    t.source.query("create table %s (id serial, %s)" % (table, ", ".join(
        "c%d %s" % (i, name) for i, name in enumerate(types))))
    columns = [TYPES[name](t.random, n) for name in types]
    height = min(most, max(len(c) for c in columns))
    for column in columns:
        if len(column) > height:
            t.random.shuffle(column)
    rows = [[struct.pack("!i", i)] + [c[i] if i < len(c) else t.random.choice(c) if t.random.random() < 0.9 else None
                                      for c in columns] for i in range(height)]
    load_bytes(t, table, rows)


# Stories ---------------------------------------------------------------------------------------------------------


@story(dice=True)
def values_of_every_type_are_shown_as_the_server_shows_them(t):
    fill(t, "every", list(TYPES), 1000, 4000)
    assert check(t, "every") == 4000


@story(dice=True)
def floats_have_the_digits_that_the_server_gives_them(t):
    fill(t, "floats", ["float8", "float4", "point"], 40000, 200000)
    assert check(t, "floats") > 80000


@story(dice=True)
def arrays_have_the_quotes_and_bounds_of_the_server(t):
    fill(t, "every", list(TYPES), 150, 150)
    t.source.query("delete from every where pg_column_size(every) > 20000")
    makers = ["array(select x.{0} from every x where x.id between b.id and b.id + b.id % 4)",
              "array[[[b.{0}, null]], [[b.{0}, b.{0}]]]", "array_fill(b.{0}, array[2, 1], array[-3, b.id])"]
    for k, maker in enumerate(makers):
        t.source.query("create table arrays%d as select b.id, %s from every b" % (k, ", ".join(
            "%s as a%d" % (maker.format("c%d" % i), i) for i in range(len(TYPES)))))
        assert check(t, "arrays%d" % k) > 80


@story(dice=True)
def composites_domains_and_enums_are_shown_at_any_depth(t):
    fill(t, "every", list(TYPES), 100, 100)
    t.source.query("""delete from every where pg_column_size(every) > 20000;
        create schema odd; create type odd."Mood, (x)[]" as enum ('', 'a b', 'NULL', '"', 'x,y', 'é');
        create domain odd.narrow as varchar(40); create domain odd.narrower as odd.narrow check (value <> 'never');
        create domain boxes as box[]; create domain one_box as box; create type nothing as ();
        create type everything as (%s); create type small as (n int, s odd.narrower, m odd."Mood, (x)[]", dropped int, t text[]);
        alter type small drop attribute dropped; create type deep as (s small, l small[], e everything);
        create domain checked as small;
        create table nested (id int, s small, l small[], e everything, d deep, dd deep[], m odd."Mood, (x)[]"[], b boxes, ob one_box[], n nothing,
          c checked, cc checked[], v odd.narrower[])""" % ", ".join("c%d %s" % (i, name) for i, name in enumerate(TYPES)))
    names = list(TYPES)
    text, box = "c%d" % names.index("text"), "c%d" % names.index("box")
    t.source.query("""insert into nested select id, s, array[s, null, s], e, row(s, array[s], e)::deep, array[row(s, array[s, s], e)::deep, null],
        array[(s).m, null], array[%(box)s, null], array[%(box)s, null], row()::nothing, s, array[s, null], array[left(%(text)s, 40)] from (
        select every.*, row(id, left(%(text)s, 40), (enum_range(null::odd."Mood, (x)[]"))[1 + id %% 6],
          array[%(text)s, 'x'])::small as s, row(%(all)s)::everything as e from every) as made"""
                   % {"box": box, "text": text, "all": ", ".join("c%d" % i for i in range(len(TYPES)))})
    assert check(t, "nested") > 50


RANGES = {"int4range": "c0", "int8range": "c1", "numrange": "c2", "daterange": "c3", "tsrange": "c4", "tstzrange": "c5",
          "public.textrange": "c6", "public.floatrange": "c7"}


@story(dice=True)
def ranges_and_multiranges_are_shown_with_their_brackets(t):
    fill(t, "bounds", ["int4", "int8", "numeric", "date", "timestamp", "timestamptz", "text", "float8"], 600, 600)
    t.source.query("""create type textrange as range (subtype = text, multirange_type_name = textranges);
        create type floatrange as range (subtype = float8, multirange_type_name = floatranges);
        update bounds set c0 = least(c0, 2147483646), c1 = least(c1, 9223372036854775806), c3 = least(c3, '5874897-12-30')""")
    kinds = ["()", "[)", "(]", "[]"]
    made = ", ".join("%s(least(a.%s, b.%s), greatest(a.%s, b.%s), (%s)[1 + a.id %% 4]) as r%d"
                     % (name, c, c, c, c, "array" + str(kinds), i) for i, (name, c) in enumerate(RANGES.items()))
    t.source.query("""create table ranges as select a.id, %s from bounds a join bounds b on b.id = (a.id * 7 + 3) %% 600
        union all select 1000, %s""" % (made, ", ".join("'empty'::" + name for name in RANGES)))
    t.source.query("insert into ranges select id, %s from bounds" % ", ".join(
        "%s(%s)" % (name, "null, " + c if i % 2 else c + ", null") for i, (name, c) in enumerate(RANGES.items())))
    assert check(t, "ranges") > 1200
    columns = range(len(RANGES))
    t.source.query("create table multiranges as select id, %s, %s from (select a.id / 3 as id, a.* from ranges a offset 0) x group by 1"
                   .replace("a.id / 3 as id, a.*", "a.id / 3 as k, a.*").replace("select id,", "select k,")
                   % (", ".join("range_agg(r%d) as m%d" % (i, i) for i in columns),
                      ", ".join("array_agg(r%d) as a%d" % (i, i) for i in columns)))
    assert check(t, "multiranges") > 100


@story()
def types_of_known_extensions_are_shown(t):
    t.source.query("create extension citext; create extension ltree; create extension hstore")
    t.source.query("create table known (a citext, b ltree, c lquery, d hstore, e hstore[], f citext[], g ltxtquery)")
    rng = t.random
    for _ in range(300):
        text = nasty(rng).replace("\\", "\\\\").replace("'", "''")
        t.source.query("insert into known values (E'%s', 'a.b_c', '*.x|y{1,}', hstore(array[[E'%s', E'%s'], ['k', null]]), "
                       "array[hstore('a', E'%s')], array[E'%s', null], 'a & b*')" % (text, text, text[::-1].replace("\\", "") .replace("'", ""),
                                                                              text, text))
    assert check(t, "known") == 300


@story()
def modifiers_and_narrow_tables_change_nothing(t):
    t.source.query("""create type hollow_range as range (subtype = int); create table modified (a varchar(20), b char(6), c numeric(12, 3), d timestamp(3), e timestamptz(0), f time(2), g timetz(1),
        h interval day to second(2), i interval year, j bit(5), k varbit(9), l numeric(10, 2)[], m char(3)[], n timestamp(2)[], o "bit", p "bit"[], "Odd, ""name\\" int);
        insert into modified values ('x', 'y', 1.5, '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+03', '12:34:56.78', '12:34:56.7+05:30',
          '1 day 02:03:04.56', '3 years', '10101', '101', '{1.5,NULL,2}', '{a,"b,",NULL}', '{"2024-01-01 00:00:00.25"}', '1011', '{101,1}', 1);
        create table single (v text); insert into single values ('\\.'), (''), (null), ('\\N'), ('a'), ('"');
        create table bare (); insert into bare default values; insert into bare default values;
        create table vacant (a int, b text);
        create table hollow (a tsquery, b int2vector, c oidvector, d int2vector[], e int[], f text[], g tsvector, h path[], i varbit[], j hollow_range,
          k int4multirange); insert into hollow values ('', '', '', '{"","1 2"}', '{}', '[5:6]={"",b}', '', null, '{"",1}', 'empty', '{}')""")
    for table, rows in (("hollow", 1), ("modified", 1), ("single", 6), ("bare", 2), ("vacant", 0)):
        assert check(t, table) == rows


@story()
def what_cannot_be_shown_is_named_before_a_byte_is_written(t):
    t.source.query("create extension cube; create type c as (a int, r regclass); create domain price as money")
    for kind, inner in (("money", "money"), ("regclass", "regclass"), ("price[]", "money"), ("c[]", "regclass"), ("cube", "public.cube")):
        t.source.query("drop table if exists cannot; create table cannot (id int, v %s)" % kind)
        said = decode(t, spec(t, "cannot"), "binary", "text", "9", data=b"", expect=2)
        assert '"v"' in said and inner in said, said


@story(dice=True)
def damaged_streams_are_refused_and_nothing_falls_over(t):
    fill(t, "every", list(TYPES), 40, 40)
    path = spec(t, "every")
    whole = psql(t, "copy (select * from public.every where pg_column_size(every) < 20000) to stdout (format binary)")
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(t.random.randrange(1, 4)):
            data[t.random.randrange(19, len(data))] = t.random.choice((0, 1, 0x7f, 0x80, 0xff, t.random.randrange(256)))
        out = subprocess.run([os.path.join(t.rig.tools, "decode"), path, "binary", "csv", "65536"], input=bytes(data),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert out.returncode == 0 or (out.returncode == 1 and re.search(b"malformed|ends", out.stderr)), (out.returncode, out.stderr)
        refused += out.returncode
    assert refused > 50, refused
    assert "ends" in decode(t, path, "binary", "text", "9", data=whole[:-2], expect=1)

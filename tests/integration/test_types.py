"""Pairs of types: what lands is the same value, or the pair is refused. Never a different value in silence. (test_matrix.py
walks many more pairs every day, all of them in one job.)

COPY BINARY itself has no types on scalars: int8 into timestamp loads, and is garbage.
"""

from story import story

SAMPLES = {
    "bool": "true", "int2": "-7", "int4": "1234567", "int8": "123456789012", "oid": "1247", "float4": "2.5", "float8": "2.25",
    "numeric": "12345.6789", "numeric(10,2)": "12345.68", "numeric(5,1)": "99.9", "money": "12.34", "text": "text 12 €",
    "varchar": "varying", "varchar(4)": "four", "varchar(200)": "two hundred", "char(6)": "six", '"char"': "c", "name": "a name",
    "bytea": r"\x00ff10", "json": '{"a": 1, "a": 2}', "jsonb": '{"a": 1}', "xml": "<a>1</a>", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "date": "2024-02-29", "time": "12:34:56.789012", "timetz": "12:34:56+05", "timestamp": "2024-11-03 01:30:00.123456",
    "timestamp(0)": "2024-11-03 01:30:00", "timestamptz": "2024-11-03 01:30:00.123456+00", "interval": "1 mon 2 days 03:04:05",
    "inet": "10.0.0.1/24", "cidr": "10.0.0.0/24", "macaddr": "08:00:2b:01:02:03", "macaddr8": "08:00:2b:01:02:03:04:05",
    "bit(5)": "10110", "varbit": "1011", "point": "(1,2)", "box": "(2,2),(1,1)", "path": "[(1,2),(3,4)]", "lseg": "[(1,2),(3,4)]",
    "circle": "<(1,2),3>", "int4range": "[1,5)", "int8range": "[1,5)", "numrange": "[1.5,5)", "daterange": "[2024-01-01,2024-02-01)",
    "int4[]": "{1,2,null}", "int8[]": "{1,2,null}", "text[]": "{a,NULL}", "pg_lsn": "0/16B3748", "xid8": "77", "tsvector": "'a':1",
    "regclass": "pg_class", "regtype": "integer", "int4multirange": "{[1,3),[5,7)}",
}

# Those that load without an error by COPY BINARY and mean something else, of the kinds that people meet.
EVERYDAY = [
    ("int8", "timestamp"), ("int8", "timestamptz"), ("int8", "float8"), ("int8", "money"), ("int8", "pg_lsn"), ("int8", "macaddr8"),
    ("int4", "date"), ("int4", "float4"), ("int4", "oid"), ("int4", "regclass"), ("float8", "int8"), ("float8", "timestamp"),
    ("float4", "int4"), ("money", "int8"), ("timestamp", "timestamptz"), ("timestamptz", "timestamp"), ("date", "int4"),
    ("time", "timestamp"), ("uuid", "interval"), ("uuid", "point"), ("interval", "uuid"), ("jsonb", "text"), ("text", "bytea"),
    ("bytea", "text"), ("char(6)", "text"), ("numeric", "numeric(5,1)"), ("numeric", "numeric(10,2)"), ("timestamp", "timestamp(0)"),
    ("text", "varchar(4)"), ("varchar(200)", "varchar(4)"), ("int4", "text"), ("int4", "int8"), ("int2", "int4"), ("float4", "float8"),
    ("int8", "int4"), ("text", "jsonb"), ("json", "jsonb"), ("int4[]", "int8[]"), ("varchar(4)", "text"), ("regclass", "int4"),
    ("int4range", "int8range"), ("bool", "int4"), ('"char"', "bool"), ("date", "timestamp"), ("numeric(5,1)", "numeric"),
]


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def check_pair(t, source_type, target_type):
    """A message when the pair lands with another value; None when it is refused or right."""
    t.source.query("drop table if exists pair; create table pair (v %s); insert into pair values (%s), (null)"
                   % (source_type, quoted(SAMPLES[source_type])))
    t.target.query("drop table if exists pair; create table pair (v %s); drop schema if exists pghaul cascade" % target_type)
    result = t.copy("-t", "pair")
    if result.rc == 2:
        return None if t.rows("pair") == 0 else "refused, and rows are there"
    if result.rc == 0 and source_type == target_type:
        return same_text(t, source_type, target_type)
    if result.rc != 0:
        return "exit status %d: %s" % (result.rc, result.err)
    return same_text(t, source_type, target_type) and not_the_cast(t, source_type, target_type)


def same_text(t, source_type, target_type):
    here, there = [side.column("select v::text from pair order by 1") for side in (t.source, t.target)]
    return None if here == there else "%s became %s" % (here, there)


def not_the_cast(t, source_type, target_type):
    """Another text may still be the same value: what the server's own cast makes of it, and back again."""
    sql = "select coalesce((select min(v::%s::text) from pair), '')" % target_type
    back = "select count(*) from pair where v is not null and v::%s::%s::text is distinct from v::text" % (target_type, source_type)
    try:
        cast, lost = t.source.one(sql), t.source.int(back)
    except Exception as e:
        return "it landed without there being a cast: %s" % e
    landed = t.target.one("select min(v::text) from pair")
    return None if landed == cast and not lost else "%s landed, the cast is %s%s" % (landed, cast, ", and not lossless" if lost else "")


def check_pairs(t, pairs):
    wrong = []
    for source_type, target_type in pairs:
        message = check_pair(t, source_type, target_type)
        if message:
            wrong.append("%s into %s: %s" % (source_type, target_type, message))
    assert not wrong, "%d of %d pairs:\n%s" % (len(wrong), len(pairs), "\n".join(wrong))


@story(campaign=True, timeout=300)
def pairs_of_types_that_binary_would_load_as_garbage_are_refused_or_cast(t):
    check_pairs(t, EVERYDAY)


@story()
def what_is_widened_is_cast_and_not_refused(t):
    for source_type, target_type in (("int4", "int8"), ("int2", "int4"), ("float4", "float8"), ("varchar(4)", "text"),
                                     ("numeric(5,1)", "numeric"), ("varchar(4)", "varchar(200)")):
        t.source.query("drop table if exists pair; create table pair (v %s); insert into pair values (%s)"
                       % (source_type, quoted(SAMPLES[source_type])))
        t.target.query("drop table if exists pair; create table pair (v %s); drop schema if exists pghaul cascade" % target_type)
        t.copy("-t", "pair").expect(0)
        assert same_text(t, source_type, target_type) is None


@story(campaign=True, timeout=300)
def every_type_goes_into_itself(t):
    check_pairs(t, [(name, name) for name in SAMPLES])


@story(campaign=True, timeout=1800)
def no_pair_of_types_lands_with_another_value(t):
    check_pairs(t, [(a, b) for a in SAMPLES for b in SAMPLES])


@story()
def types_of_one_name_and_another_make_are_not_taken_for_the_same(t):
    t.source.query("create domain d as int; create type c as (a int, b text); create type e as enum ('x', 'y')")
    t.target.query("create domain d as float4; create type c as (b text, a int); create type e as enum ('x')")
    for name, kind, value in (("t1", "d", "1069547520"), ("t2", "d[]", "{1069547520}"), ("t3", "c", '(1,x)'), ("t4", "e", "y")):
        t.both("create table %s (v %s)" % (name, kind))
        t.source.query("insert into %s values ('%s')" % (name, value))
        t.copy("-t", name).expect(2, name)

"""Every pair of 54 types: what binary COPY would load as another value is cast or refused, and never passes through.

tests/golden/type-matrix.tsv says of each pair what PostgreSQL 15 makes of it by COPY BINARY, with nobody in between:
an error, the same text, or in silence another one.
"""

import os

from story import story

MATRIX = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden", "type-matrix.tsv")

# Several values of each type: ordinary ones, and those that a cast that only looks lossless would lose.
VALUES = {
    "int2": ["-32768", "7"], "int4": ["-2147483648", "1234567"], "int8": ["-9223372036854775808", "9007199254740993"],
    "float4": ["1.5", "0.1", "NaN", "-0", "16777217"], "float8": ["2.25", "0.1", "-Infinity", "9007199254740993"],
    "numeric": ["123.4500", "NaN", "Infinity", "1e-20"], "numeric(5,1)": ["99.9", "-9999.9"], "money": ["12.34", "-0.01"],
    "text": ["text 12 €", "", " a "], "varchar(2)": ["ab", "a "], "varchar(4)": ["a€b ", ""], "char(5)": ["ab", "a b"],
    "bytea": [r"\x00ff10", r"\x"], "name": ["a name", "é"], '"char"': ["c", "1"], "json": ['{"a": 1, "a": 2}', "1"],
    "jsonb": ['{"a": 1}', "[]"], "xml": ["<a>1</a>", '<?xml version="1.0"?><a/>'], "date": ["2024-02-29", "infinity", "0044-03-15 BC"],
    "timestamp": ["2024-11-03 01:30:00.123456", "-infinity"], "timestamptz": ["2024-11-03 01:30:00.123456+00"],
    "timestamp(0)": ["2024-11-03 01:30:00"], "time": ["12:34:56.789012", "24:00"], "timetz": ["12:34:56+05", "12:34:56-05"],
    "interval": ["1 mon 2 days 03:04:05", "30 days", "1 mon"], "bool": ["true", "false"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], "inet": ["10.0.0.1/24", "::1"], "cidr": ["10.0.0.0/24", "fe80::/10"],
    "oid": ["1259", "4294967295"], "regclass": ["pg_class"], "bit(4)": ["1011", "0000"], "varbit": ["10110", ""],
    "int4[]": ["{1,2,null}", "[2:3]={1,2}", "{{1},{2}}"], "int8[]": ["{1,2,null}", "{}"], "text[]": ["{a,NULL,\"NULL\"}"],
    "int4range": ["[1,5)", "empty"], "int8range": ["[1,5)", "(,)"], "numrange": ["[1.50,5)"], "frange": ["[1.5,2.5)"],
    "tsvector": ["'a':1"], "tsquery": ["'a' & 'b'"], "jsonpath": ['$."a"'], "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"], "pg_lsn": ["0/16B3748"], "point": ["(1,2)"], "citext": ["aBc"], "hstore": ['"a"=>"1"'],
    "ltree": ["a.b"], "mood": ["ok"], "mood[]": ["{ok,sad}"], "pt": ["(1,a)"], "posint": ["5"],
}
TYPES = """create extension citext; create extension hstore; create extension ltree; create type mood as enum ('sad', 'ok');
    create type pt as (x int, y text); create domain posint as int check (value <> 0);
    create type frange as range (subtype = float8)"""


def matrix():
    with open(MATRIX) as f:
        lines = [line.rstrip("\n").split("\t") for line in f][1:]
    return {(line[0], line[1]): line[2] for line in lines}


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def make_tables(t, names):
    """One table for each type of the source, with a column for each type of the target: m3.c7 goes from the third to the seventh."""
    source, target = [TYPES], [TYPES]
    for i, name in enumerate(names):
        others = [j for j in range(len(names)) if j != i]
        source.append("create table m%d (id int, %s)" % (i, ", ".join("c%d %s" % (j, name) for j in others)))
        target.append("create table m%d (id int, %s)" % (i, ", ".join("c%d %s" % (j, names[j]) for j in others)))
        for row, value in enumerate(VALUES[name] + [None]):
            item = literal(value) if value is not None else "null"
            source.append("insert into m%d values (%d, %s)" % (i, row, ", ".join([item] * len(others))))
    t.source.query("; ".join(source))
    t.target.query("; ".join(target))


def refused_columns(plan):
    """(table, column) of every obstacle; an obstacle of another kind is a failure."""
    out = set()
    for obstacle in plan["obstacles"]:
        where = obstacle["message"].split(": ")[0]
        assert where.startswith("public.m") and ", column c" in where, obstacle
        assert obstacle["hint"], "nothing is said of what to do: %s" % obstacle
        table, column = where[len("public.m"):].split(", column c")
        out.add((int(table), int(column)))
    return out


def drop_columns(t, refused):
    for table in sorted({i for i, _ in refused}):
        sql = "alter table m%d %s" % (table, ", ".join("drop c%d" % j for i, j in sorted(refused) if i == table))
        t.both(sql)


def check_values(t, names, i, columns, wrong):
    """What landed is what the server's own cast makes of each value, and that leads back."""
    source, target = [], []
    for j in columns:
        source += ["c%d::%s::text" % (j, names[j]), "c%d::text is not distinct from c%d::%s::%s::text" % (j, j, names[j], names[i])]
        target.append("c%d::text" % j)
    if not columns:
        return 0
    here = t.source.query("select %s from m%d order by id" % (", ".join(source), i))
    there = t.target.query("select %s from m%d order by id" % (", ".join(target), i))
    assert len(here) == len(there) == len(VALUES[names[i]]) + 1, "rows of %s" % names[i]
    for n, j in enumerate(columns):
        cast, back = [r[2 * n] for r in here], [r[2 * n + 1] for r in here]
        landed = [r[n] for r in there]
        if landed != cast:
            wrong.append("%s into %s: %s landed, the cast is %s" % (names[i], names[j], landed, cast))
        if set(back) != {"t"}:
            wrong.append("%s into %s is cast, and not lossless: %s" % (names[i], names[j], cast))
    return len(columns) * len(here)


@story(heavy=True)
def of_2862_pairs_of_types_none_passes_through_that_binary_would_change(t):
    outcomes = matrix()
    names = list(dict.fromkeys(source for source, _ in outcomes))
    assert len(names) == 54 and len(outcomes) == 2862 and set(names) == set(VALUES), names
    make_tables(t, names)
    plan = t.run("plan", *t.ends(), "-t", "m*", "--json").expect(2).json
    refused, wrong, kept = refused_columns(plan), [], {}
    ways = {"cast": 0, "binary": 0, "text": 0}
    for table in plan["tables"]:
        i = int(table["source"][len("public.m"):])
        for column in table["columns"][1:]:
            j = int(column["name"][1:])
            if (i, j) in refused:
                continue
            kept.setdefault(i, []).append(j)
            ways[column["format"]] += 1
            if column["format"] != "cast" and outcomes[names[i], names[j]] != "same":
                wrong.append("%s into %s passes through: %s" % (names[i], names[j], column))
    assert not wrong, "\n".join(wrong)
    assert len(refused) + sum(ways.values()) == 2862, (len(refused), ways)
    assert ways["cast"] > 20 and ways["binary"] > 10, ways
    drop_columns(t, refused)
    result = t.copy("-t", "m*", "--json").expect(0).json
    assert len(result["tables"]) == 54
    checked = sum(check_values(t, names, i, sorted(columns), wrong) for i, columns in kept.items())
    assert not wrong, "\n".join(wrong)
    assert checked > 80, checked

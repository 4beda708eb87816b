"""All that a column can be: every built-in type with its edge values, arrays and domains of it, ranges, enums, composites,
the types of contrib and PostGIS. The target's OIDs are others, its extensions lie in other schemas."""

from story import Skip, story

# Each type's edge values; every one comes as itself, within an array, as a domain and as an array of that domain.
BUILT_IN = {
    "bool": ["true", "false"], "bytea": [r"\x", r"\x00ff5c0a09"], '"char"': ["c", "", r"\377"], "name": ["", "é" * 31, "a\tb"],
    "int2": ["-32768", "32767"], "int4": ["-2147483648", "2147483647"], "int8": ["-9223372036854775808", "9223372036854775807"],
    "int2vector": ["", "1 -32768 3"], "oidvector": ["", "1 4294967295"], "oid": ["0", "4294967295"], "tid": ["(0,0)", "(4294967295,65535)"],
    "xid": ["0", "4294967295"], "xid8": ["0", "18446744073709551615"], "cid": ["0", "4294967295"],
    "float4": ["NaN", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1"], "float8": ["NaN", "Infinity", "-0", "4.9e-324", "0.1"],
    "numeric": ["NaN", "Infinity", "-Infinity", "0.00", "1e-16383", "1e131071", "-1.50"], "money": ["-92233720368547758.08", "0.01"],
    "text": ["", "\\N", "\\.", "\t\r\n\b\f\v", "\u0001\U0001F600€", "'\"\\"], "varchar": ["", " trails "], "bpchar": ["", "trails "],
    "json": ['{"a": 1,  "a": [2, null]}', r'"\u0000"', " 1 "], "jsonb": ['{"b": {"a": [1.50, null, "\\n"]}}', "[]", '"\U0001F600"'],
    "jsonpath": ['$."a"[*] ? (@ > 1)', "strict $"], "xml": ["", '<?xml version="1.0"?><a b="ä">&lt;</a>', "text<b/>"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "date": ["infinity", "-infinity", "4713-11-24 BC", "5874897-12-31"], "time": ["00:00", "24:00", "23:59:59.999999"],
    "timetz": ["24:00-15:59", "00:00+15:59"], "timestamp": ["infinity", "-infinity", "4713-11-24 BC", "294276-12-31 23:59:59.999999"],
    "timestamptz": ["infinity", "-infinity", "4713-11-24 00:00+00 BC", "294276-12-31 23:59:59.999999+00"],
    "interval": ["178000000 years", "-178000000 years", "1 mon -30 days 24:00", "-00:00:00.000001"],
    "bit": ["0", "1"], "bit(9)": ["101010101"], "varbit": ["", "1011"], "inet": ["0.0.0.0/0", "::1", "fe80::1/64", "10.1.2.3/8"],
    "cidr": ["0.0.0.0/0", "::/0"], "macaddr": ["ff:ff:ff:ff:ff:ff"], "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(NaN,-0)", "(Infinity,1e-300)"], "lseg": ["[(1,2),(3,4)]"], "path": ["[(1,2),(3,4)]", "((1,2),(3,4))"],
    "box": ["(2,2),(-1,-1)"], "polygon": ["((0,0),(1,0),(1,1))"], "line": ["{1,-1,0}"], "circle": ["<(0,0),0>", "<(1,2),Infinity>"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"], "tsvector": ["", "'a':1A,2B 'b c'"], "tsquery": ["", "!'a' & 'b':*A <2> 'c'"],
    "txid_snapshot": ["10:20:10,14"], "pg_snapshot": ["10:20:10,14"], "refcursor": ["", "a cursor"], "aclitem": ["tester=arwdDxt/tester"],
    "regclass": ["pg_class", "there.it"], "regtype": ["integer", "there.kind"], "regproc": ["there.does", "pg_backend_pid"],
    "regprocedure": ["there.does(integer)"], "regoper": ["|/", "0"], "regoperator": ["+(integer,integer)"], "regrole": ["tester"],
    "regnamespace": ["there"], "regconfig": ["english"], "regdictionary": ["simple"], "regcollation": ['"C"'],
    "int4range": ["empty", "(,)", "[-2147483648,1)"], "int8range": ["empty", "[1,)"], "numrange": ["[1.50,NaN]", "(,Infinity)"],
    "tsrange": ["[-infinity,infinity]"], "tstzrange": ["[2024-11-03 01:30+00,)"], "daterange": ["[infinity,infinity]"],
    "int4multirange": ["{}", "{[1,2),[5,)}"], "int8multirange": ["{(,)}"], "nummultirange": ["{[1.0,1.00],[2,3)}"],
    "tsmultirange": ["{[2024-01-01,2024-01-02)}"], "tstzmultirange": ["{}"], "datemultirange": ["{[2024-01-01,2024-02-01)}"],
}
# What the server itself lets nobody put into a table has no place in one.
NEVER_IN = {"gtsvector", "pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_brin_bloom_summary",
            "pg_brin_minmax_multi_summary"}
THERE = """create schema there; create table there.it (a int); create type there.kind as enum ('x');
    create function there.does(int) returns int language sql as 'select 1'"""


def literal(text, kind):
    return "'%s'::%s" % (text.replace("'", "''"), kind)


def others_below(t):
    """The target has made other objects before, so that none has the OID that it has in the source."""
    t.target.query("create schema junk; do $$ begin for i in 1 .. 40 loop execute format('create type junk.e%s as enum ()', i); "
                   "end loop; end $$")


def make_four_ways(t, n, kind, values):
    """Table e<n> of one type: v, an array, a domain, an array of that domain."""
    t.both("create domain d%d as %s; create table e%d (id int, v %s, a %s[], d d%d, da d%d[])" % (n, kind, n, kind, kind, n, n))
    items = [literal(v, kind) for v in values]
    rows = ["(%d, %s, array[%s, null, %s], %s, array[%s]::d%d[])" % (i, v, v, v, v, v, n) for i, v in enumerate(items)]
    rows.append("(-1, null, null, null, null)")
    rows.append("(-2, null, '{}', null, array[null, %s]::d%d[])" % (", ".join(items), n))
    t.source.query("insert into e%d values %s" % (n, ", ".join(rows)))


@story(heavy=True)
def every_built_in_type_arrives_to_the_last_bit_also_in_arrays_and_domains(t):
    """Whatever type a later PostgreSQL brings is missed here until it is told of."""
    others_below(t)
    t.both(THERE)
    known = set(t.source.column(
        "select format_type(oid, null) from pg_type where typtype in ('b', 'r', 'm') and typnamespace = 'pg_catalog'::regnamespace "
        "and typinput <> 'array_in'::regproc"))
    told = set(t.source.column("select format_type(x::regtype, null) from unnest(array[%s]) x"
                               % ", ".join(literal(k, "text") for k in BUILT_IN)))
    assert known - told == NEVER_IN, "types without a value here: %s" % sorted(known - told - NEVER_IN)
    for n, (kind, values) in enumerate(BUILT_IN.items()):
        make_four_ways(t, n, kind, values)
    result = t.copy("-t", "e*", "--triggers", "fire", "-j", 2, "--json").expect(0).json
    assert len(result["tables"]) == len(BUILT_IN)
    t.whole(*["e%d" % n for n in range(len(BUILT_IN))])
    t.run("verify", *t.ends(), "-t", "e*", "--level", "source").expect(0)


MADE = """create type mood as enum ('low', 'mid''s', 'hi "gh'); create type "In Ner" as (a int, "b c" text, m mood[]);
    create type outer_ as (i "In Ner", list "In Ner"[], d numeric(8,3)); create domain small as int check (value < 100);
    create domain smaller as small not null; create domain moods as mood[] check (cardinality(value) < 9);
    create domain boxed as outer_; create type span as range (subtype = float8, subtype_diff = float8mi);
    create type said as range (subtype = text, collation = "C");
    create table whole_row (x int, y "In Ner");
    create table made (id int primary key, m mood, ms mood[], md moods, c "In Ner", cs "In Ner"[], o outer_, os outer_[], b boxed,
        s smaller, ss smaller[], r span, rm span_multirange, rs span[], t said, w whole_row, ws whole_row[])"""


@story()
def enums_composites_domains_and_ranges_of_ones_own_arrive_however_nested(t):
    others_below(t)
    t.both(MADE.replace("'low', 'mid''s', 'hi \"gh'", "'hi \"gh', 'mid''s', 'low'"))
    t.source.query(r"""insert into made select i, m, array[m, null], array[m]::moods, c, array[c, null], o, array[o, null], o::boxed,
        i % 100, array[i % 100]::smaller[], span(-0.0, 'NaN'), span_multirange(span(1, 2), span(3, null)), array[span(null, null), 'empty'],
        said('a', 'b' || chr(8364), '[]'), row(i, c)::whole_row, array[row(null, null)::whole_row]
        from generate_series(1, 2000) i, lateral (select (enum_range(null::mood))[1 + i % 3] m) m,
        lateral (select row(i, E'x,"\\ )' || i, array[m])::"In Ner" c) c,
        lateral (select row(c, array[c, null], 1.5)::outer_ o) o""")
    t.source.query("insert into made (id, s) values (0, 1)")
    assert t.source.one("select 'mood'::regtype::oid") != t.target.one("select 'mood'::regtype::oid")
    t.copy("-t", "made", "-j", 2, "--shard-size", "256kB").expect(0)
    t.whole("made")
    t.run("verify", *t.ends(), "-t", "made", "--level", "source").expect(0)


CONTRIB = {
    "hstore": ("hstore", [("hstore", '"a"=>"1", "b"=>NULL'), ("hstore", "")]), "citext": ("citext", [("citext", "aBc"), ("citext", "")]),
    "ltree": ("ltree", [("ltree", "Top.Ö.c"), ("ltree", ""), ("lquery", "Top.*{1,2}.!a|b"), ("ltxtquery", "a & !b*")]),
    "cube": ("cube", [("cube", "(1,2),(3,4)"), ("cube", "(NaN)")]), "seg": ("seg", [("seg", "1.50 .. 2"), ("seg", "< 5"), ("seg", "6.5(+-)0.5")]),
    "isn": ("isn", [("isbn13", "978-0-393-04002-9"), ("isbn", "0-393-04002-X"), ("issn", "1436-4522"), ("ean13", "220-500012-345-4"),
                    ("upc", "220500012345"), ("ismn", "979-0-2306-7118-7"), ("ismn13", "979-0-2306-7118-7"), ("issn13", "977-1436-452-00-8")]),
    "intarray": ("intarray", [("query_int", "1&(2|!3)")]), "lo": ("lo", [("lo", "4294967295")]),
    "earthdistance": ("earthdistance cascade", [("earth", "(6378168, 0, 0)")]), "uuid-ossp": ('"uuid-ossp"', []), "pg_trgm": ("pg_trgm", []),
}


@story()
def the_types_of_contrib_arrive_though_their_extensions_lie_in_another_schema(t):
    if not t.source.column("select name from pg_available_extensions where name = 'hstore'"):
        raise Skip("postgresql-contrib is not installed")
    others_below(t)
    t.target.query("create schema ext; alter database %s set search_path = public, ext" % t.target.name)
    t.target.forget()
    for name in CONTRIB:
        t.source.query("create extension if not exists %s" % CONTRIB[name][0])
    for name in reversed(CONTRIB):
        if name == "earthdistance":
            t.target.query("create extension cube schema ext")
        t.target.query("create extension if not exists %s schema ext" % CONTRIB[name][0].split()[0])
    n = 0
    for _, values in CONTRIB.values():
        for kind in dict.fromkeys(k for k, _ in values):
            make_four_ways(t, n, kind, [v for k, v in values if k == kind])
            n += 1
    t.copy("-t", "e*", "-j", 2).expect(0)
    t.whole(*["e%d" % i for i in range(n)])
    t.run("verify", *t.ends(), "-t", "e*", "--level", "source").expect(0)


@story(heavy=True)
def geometries_geographies_and_rasters_of_postgis_arrive(t):
    if not t.source.column("select name from pg_available_extensions where name = 'postgis_raster'"):
        raise Skip("PostGIS is not installed (postgresql-15-postgis-3)")
    others_below(t)
    t.source.query("create extension postgis; create extension postgis_raster")
    t.target.query("create extension postgis; create extension postgis_raster")
    t.both("create table geo (id int primary key, g geometry, p geometry(PointZ, 4326), l geometry(MultiLineString), w geography(Point, 4326), "
           "gs geometry[], b2 box2d, b3 box3d); create table ras (id int primary key, r raster); create table sum (v geomval[])")
    t.source.query("""insert into geo select i, st_buffer(st_makepoint(i, -i), 1 + i % 7), st_setsrid(st_makepoint(i, i / 3.0, 1e9), 4326),
        'MULTILINESTRING((0 0, 1 1), (2 2, 3 4))', st_makepoint(i % 180, i % 90)::geography, array[st_makepoint(1, 'NaN'), null,
        'GEOMETRYCOLLECTION EMPTY', 'CURVEPOLYGON(CIRCULARSTRING(0 0,1 1,2 2,3 3,0 0))', 'TIN(((0 0 0,0 0 1,0 1 0,0 0 0)))'],
        'BOX(0 0,1 1)', 'BOX3D(0 0 0,1 1 1)' from generate_series(1, 2000) i; insert into geo (id) values (0);
        insert into ras select i, st_setvalue(st_addband(st_addband(st_makeemptyraster(40, 30, i, i, 0.5, -0.5, 0, 0, 4326),
        '8BUI'::text, i % 255, 0), '64BF'::text, i / 3.0, null), 1, 3, 4, 7) from generate_series(1, 300) i;
        insert into sum select array_agg((v.geom, v.val)::geomval) from (select * from ras limit 1) r, st_pixelaspolygons(r.r) v""")
    t.copy("-t", "geo", "-t", "ras", "-t", "sum", "-j", 2, "--shard-size", "512kB").expect(0)
    t.whole("geo", "ras", "sum")
    t.run("verify", *t.ends(), "-t", "geo", "-t", "ras", "--level", "source").expect(0)

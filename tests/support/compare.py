"""Compares contents without any help from pghaul: by the servers' own text of every row.

A table's digest is its number of rows and the sum of 64 bits of the md5 of each row's text: it does not care
about order and sees lost, doubled and changed rows. Tables that differ are compared row by row, so that the report
names some of the rows.
"""

from pgwire import quote_ident

PIN = "set extra_float_digits = 3; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; " \
      "set timezone = 'UTC'; set bytea_output = 'hex'; set row_security = off; set search_path = pg_catalog"


def qualified(table):
    """table: 'name' in public, or a tuple (schema, name)."""
    schema, name = table if isinstance(table, tuple) else ("public", table)
    return quote_ident(schema) + "." + quote_ident(name)


def columns_of(session, table):
    return session.column(
        "select attname from pg_attribute where attrelid = $q$%s$q$::regclass and attnum > 0 "
        "and not attisdropped order by attname" % qualified(table))


def row_text(columns, casts=None):
    """The text of a row, columns by name: their order in the table does not matter."""
    casts = casts or {}
    items = [quote_ident(c) + casts.get(c, "") for c in columns]
    return "row(%s)::text" % ", ".join(items) if items else "'()'"


def digest(session, table, columns=None, where="true", casts=None):
    if columns is None:
        columns = columns_of(session, table)
    sql = ("select count(*), coalesce(sum(('x' || substr(md5(convert_to(%s, 'UTF8')), 1, 16))::bit(64)::bigint::numeric), 0) "
           "from %s where %s" % (row_text(columns, casts), qualified(table), where))
    return session.query(sql)[0]


def differences(source, target, source_table, target_table, columns, where="true", casts=None, limit=5):
    """Some rows that only one side has, for the failure's report (tests' data are no secret)."""
    def rows(session, table):
        return session.column("select %s from %s where %s order by 1" % (
            row_text(columns, casts), qualified(table), where))
    left, right = rows(source, source_table), rows(target, target_table)
    only_left, only_right = _minus(left, right), _minus(right, left)
    return "%d rows here, %d there; only in the source (%d): %s; only in the target (%d): %s" % (
        len(left), len(right), len(only_left), only_left[:limit], len(only_right), only_right[:limit])


def _minus(left, right):
    counts = {}
    for row in right:
        counts[row] = counts.get(row, 0) + 1
    out = []
    for row in left:
        if counts.get(row, 0):
            counts[row] -= 1
        else:
            out.append(row)
    return out


def compare(source, target, tables, where="true", casts=None, snapshot=None, columns=None):
    """Asserts that each table has the same rows on both sides. tables: names, or pairs (source, target).

    snapshot: an exported snapshot under which the source is read."""
    with source.session() as s, target.session() as t:
        s.query(PIN)
        t.query(PIN)
        s.query("begin isolation level repeatable read, read only")
        if snapshot:
            s.query("set transaction snapshot '%s'" % snapshot)
        for pair in tables:
            left, right = pair if isinstance(pair, list) else (pair, pair)
            _compare_table(s, t, left, right, where, casts, columns)


def _compare_table(s, t, left, right, where, casts, columns):
    if columns is None:
        columns = columns_of(s, left)
        theirs = columns_of(t, right)
        assert columns == theirs, "columns of %s and %s differ: %s, %s" % (left, right, columns, theirs)
    here = digest(s, left, columns, where, casts)
    there = digest(t, right, columns, where, casts)
    if here != there:
        raise AssertionError("%s is not as %s: %s" % (
            qualified(right), qualified(left), differences(s, t, left, right, columns, where, casts)))


def whole_digest(database):
    """A digest of everything in a database, catalog and rows: two equal ones mean that nothing was changed."""
    with database.session() as s:
        s.query(PIN)
        relations = s.query(
            "select n.nspname, c.relname, c.relkind, c.relfilenode::text, c.relpersistence, "
            "coalesce(c.relacl::text, '') from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname !~ '^(pg_|information_schema)' order by 1, 2")
        schemas = s.query("select nspname from pg_namespace where nspname !~ '^pg_(toast|temp)' order by 1")
        rows = [digest(s, (r[0], r[1])) for r in relations if r[2] == "r"]
        return repr((schemas, relations, rows))

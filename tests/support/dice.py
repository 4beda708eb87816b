"""Tables that dice have made, and a history of what was written into them: what each snapshot must show.

A live table has a bigint `id`; whoever writes into it writes the row's text into hist.log in the same transaction. So the content
at any snapshot can be told afterwards, by the source itself and without any help from pghaul.
"""

import threading

from compare import PIN, qualified
from pgwire import ConnectionLost, PgError, quote_ident

PRELUDE = """create type mood as enum ('sad', 'ok', 'happy'); create type pair as (x int, y text);
create domain price as numeric(12,2) check (value > -1000000);
create schema hist; create table hist.log (seq bigserial primary key, xid bigint not null, tab text not null, id bigint not null, line text)"""

# Of row i; {k} is the column's own number.
TYPES = [
    ("integer", "(i * 7919 + {k}) % 100003"), ("bigint", "i * 1000003::bigint - {k}"), ("smallint", "((i + {k}) % 30000)::smallint"),
    ("numeric(14,3)", "(i * 13 + {k}) / 7.0"), ("numeric", "case i % 40 when 0 then 'NaN' else (i + {k})::numeric / 3 end"),
    ("double precision", "case i % 50 when 0 then 'NaN' when 1 then '-Infinity' when 2 then '-0' else sqrt(i + {k}) end"),
    ("real", "(i / 7.0)::real"), ("boolean", "(i + {k}) % 3 = 0"), ("text", "'t' || i || repeat('ä', ((i * {k}) % 30)::int)"),
    ("varchar(40)", "'v' || (i + {k})"), ("char(9)", "'c' || i % 1000"), ("bytea", "decode(md5((i + {k})::text), 'hex')"),
    ("date", "date '2000-01-01' + (i % 9000)::int"), ("timestamp", "timestamp '1999-12-31 23:59:59.123456' + i * interval '1 s'"),
    ("timestamptz", "timestamptz '2020-01-01 00:00:00+00' + i * interval '7 min'"), ("interval", "i * interval '1 minute'"),
    ("uuid", "md5((i + {k})::text)::uuid"), ("jsonb", "jsonb_build_object('n', i, 's', 'ä€𝄞' || i)"), ("json", "json_build_array(i, {k})"),
    ("text[]", "array['a', null, 'q\"' || i]"), ("int4range", "int4range((i % 1000)::int, (i % 1000 + {k} % 50)::int)"),
    ("inet", "inet '10.0.0.0' + i % 65000"), ("mood", "(array['sad', 'ok', 'happy'])[1 + i % 3]::mood"),
    ("mood[]", "array['sad', 'ok']::mood[]"), ("pair", "row(i % 1000, 'y' || i)::pair"), ("price", "i % 5000 / 3.0"),
    ("varbit", "(i % 255)::int::bit(8)::varbit"), ("tsvector", "to_tsvector('simple', 'w' || i || ' x')"), ("tid[]", "null::tid[]"),
    ("text", "(select string_agg(md5((i * {k} + j)::text), '') from generate_series(1, 40 + (i % 150)::int) j)"),
]
NAMES = ["plain", "Mixed Case", "ünï", "select", "a.b", "q\"q", "x"]
KEYS = ["id", "id", "id", "id", "composite", "uuid", "text", "none", "nullable"]
ROWS = [0, 1, 7, 300, 3000, 9000, 20000, 30000]


class Table:
    """name, quoted as q; live: has an id, and may be written to; referenced: foreign keys point here."""

    def __init__(self, rng, number, parents):
        self.rng = rng
        self.name = "%s%d" % (rng.choice(NAMES), number)
        self.q = qualified(self.name)
        self.key = rng.choice(KEYS)
        self.live = self.key == "id"
        self.referenced = False
        self.rows = rng.choice(ROWS)
        self.step = rng.choice((1, 1, 3, 1000)) if self.live else 1
        self.parted = self.live and rng.random() < 0.25
        self.unique = self.live and not self.parted and rng.random() < 0.4
        self.parent = rng.choice(parents) if parents and rng.random() < 0.35 else None
        self.columns = [("c%d" % k, *rng.choice(TYPES), rng.random() < 0.3) for k in range(rng.randint(1, 9))]
        self.next_id = self.rows * self.step + 1

    def value(self, name, kind, expression, nullable, salt=0):
        e = "(%s)" % expression.replace("{k}", str(int(name[1:]) * 7 + 1 + salt))
        return "case when i %% %d = 0 then null else %s end" % (5 + salt % 7, e) if nullable else e

    def key_columns(self):
        return {"id": [("id", "bigint", "i * %d - %d" % (self.step, self.step * self.rows // 3), "primary key")],
                "composite": [("ka", "int", "i % 10", ""), ("kb", "text", "'k' || i", "")],
                "uuid": [("ku", "uuid", "md5(i::text)::uuid", "primary key")],
                "text": [("kt", "text collate \"C\"", "'é' || i % 7 || '-' || i", "primary key")],
                "nullable": [("kn", "int", "nullif(i, i / 10 * 10)", "unique")], "none": []}[self.key]

    def make(self, source):
        keys = self.key_columns()
        items = ["%s %s %s" % (quote_ident(c), kind, note) for c, kind, _, note in keys]
        items += ["%s %s" % (c[0], c[1]) for c in self.columns]
        self.values = [e for _, _, e, _ in keys] + [self.value(*c) for c in self.columns]
        self.names = [c for c, *_ in keys] + [c[0] for c in self.columns]
        if self.key == "composite":
            items.append("primary key (ka, kb)")
        if self.unique:
            items.append("u bigint unique")
            self.values.append("i * 3")
            self.names.append("u")
        if self.parent:
            items.append("ref bigint references %s (id)" % self.parent.q)
            self.values.append("(select min(id) from %s)" % self.parent.q)
            self.names.append("ref")
            self.parent.referenced = True
        if self.rng.random() < 0.2 and self.live:
            items.append("g bigint generated always as (id * 2) stored")
        if self.rng.random() < 0.2:
            items.insert(self.rng.randint(0, len(items) - (self.key == "composite")), "gone text")
        source.query("create table %s (%s)%s" % (self.q, ", ".join(items), " partition by range (id)" if self.parted else ""))
        if self.parted:
            self.make_parts(source)
        if any(i.startswith("gone ") for i in items):
            source.query("alter table %s drop gone" % self.q)
        source.query("insert into %s (%s) select %s from generate_series(1::bigint, %d) i" % (
            self.q, ", ".join(map(quote_ident, self.names)), ", ".join(self.values), self.rows))
        for c in self.columns:
            if self.rng.random() < 0.2 and c[1] in ("integer", "bigint", "date", "uuid", "boolean", "varchar(40)"):
                source.query("create index on %s (%s)" % (self.q, c[0]))
        if self.key == "none" and self.rows:
            source.query("insert into %s select * from %s limit 5" % (self.q, self.q))
        self.all_columns = source.column("select attname from pg_attribute where attrelid = $q$%s$q$::regclass and attnum > 0 "
                                         "and not attisdropped order by attname" % self.q)
        if self.live:
            self.log(source, "select %s from %s x" % (self.logged(), self.q))

    def make_parts(self, source):
        middle, how = self.rows * self.step // 4, self.rng.choice(("plain", "sub"))
        low, high = quote_ident(self.name + " low"), quote_ident(self.name + "_high")
        source.query("create table %s partition of %s for values from (minvalue) to (%d)%s" % (
            low, self.q, middle, " partition by hash (id)" if how == "sub" else ""))
        for n in range(3 if how == "sub" else 0):
            source.query("create table %s partition of %s for values with (modulus 3, remainder %d)" % (
                quote_ident(self.name + "_sub%d" % n), low, n))
        source.query("create table %s partition of %s default" % (high, self.q))

    def line(self):
        return "row(%s)::text" % ", ".join("x." + quote_ident(c) for c in self.all_columns)

    def logged(self):
        return "x.id, " + self.line()

    def log(self, session, select):
        session.query("insert into hist.log (xid, tab, id, line) select txid_current(), $q$%s$q$, r.* from (%s) r" % (self.name, select))

    # Writing: each statement tells the history what it did. ------------------------------------------------------

    def change(self, rng, upsert):
        tell = "insert into hist.log (xid, tab, id, line) select txid_current(), $q$%s$q$, " % self.name
        kinds = ["update", "update", "touch", "insert"] + ([] if self.referenced or upsert else ["delete", "move"]) + \
                (["swap"] if self.unique and not upsert else [])
        kind, low = rng.choice(kinds), rng.randint(-self.rows * self.step // 3, self.rows * self.step * 2 // 3 + 1)
        span = "x.id between %d and %d" % (low, low + rng.choice((0, 0, 3, 40)) * self.step)
        if kind == "insert":
            first, self.next_id = self.next_id, self.next_id + 50
            values = [v if n != "id" else "i" for n, v in zip(self.names, self.values)]
            values = [v if n not in ("u", "ref") else "null" for n, v in zip(self.names, values)]
            return "with x as (insert into %s (%s) select %s from generate_series(%d::bigint, %d) i returning *) %s%s from x" % (
                self.q, ", ".join(map(quote_ident, self.names)), ", ".join(values), first, first + rng.randint(0, 20), tell, self.logged())
        if kind == "delete":
            return "with x as (delete from %s x where %s returning *) %s x.id, null from x" % (self.q, span, tell)
        if kind == "move":
            far = rng.choice((1, -1)) * (self.next_id + 10 ** 9)
            self.next_id += 1000
            return "with x as (update %s x set id = x.id + %d where %s returning *), y as (%s x.id - %d, null from x) %s%s from x" % (
                self.q, far, "x.id = %d" % low, tell, far, tell, self.logged())
        if kind == "swap":
            return self.swap(rng, tell)
        name, kind_, expression, nullable = rng.choice(self.columns)
        new = "x." + name if kind == "touch" else self.fresh(name, kind_, expression, nullable, rng)
        return "with x as (update %s x set %s = %s where %s returning *) %s%s from x" % (self.q, name, new, span, tell, self.logged())

    def fresh(self, name, kind, expression, nullable, rng):
        """A new value that does not depend on the row."""
        return "(select %s from (select %d::bigint as i) i)" % (self.value(name, kind, expression, nullable, rng.randint(1, 50)),
                                                                rng.randint(1, 10 ** 6))

    def swap(self, rng, tell):
        """Two rows, far from each other, exchange their unique values."""
        one = "(select id from %s where u is not null order by id offset %d limit 1)" % (self.q, rng.randint(0, max(self.rows // 3, 1)))
        other = "(select id from %s where u is not null order by id desc offset %d limit 1)" % (self.q, rng.randint(0, max(self.rows // 3, 1)))
        return ("create temp table pick (a bigint, ua bigint, b bigint, ub bigint) on commit drop; "
                "insert into pick select a.id, a.u, b.id, b.u from {q} a, {q} b where a.id = {one} and b.id = {other} and a.id <> b.id; "
                "update {q} x set u = null from pick where x.id in (a, b); "
                "update {q} x set u = ub from pick where x.id = a; update {q} x set u = ua from pick where x.id = b; "
                "{tell}{logged} from {q} x, pick where x.id in (a, b)").format(
                    q=self.q, one=one, other=other, tell=tell, logged=self.logged())


class Writer(threading.Thread):
    """Changes live tables all the time, until told to stop; a source that is away is waited for."""

    def __init__(self, source, tables, rng, pause, upsert):
        super().__init__(daemon=True)
        self.source, self.tables, self.rng, self.pause = source, [t for t in tables if t.live], rng, pause
        self.upsert, self.halt, self.done, self.errors = upsert, threading.Event(), 0, []

    def run(self):
        session = None
        while not self.halt.wait(self.rng.uniform(0, self.pause)):
            try:
                session = session or self.source.session()
                sql = self.rng.choice(self.tables).change(self.rng, self.upsert)
                form = self.rng.choice(("begin; {}; commit", "begin; savepoint a; {}; release a; commit",
                                        "begin; {}; rollback; begin; savepoint a; {}; savepoint b; commit"))
                session.query(form.replace("{}", sql))
                self.done += 1
            except (ConnectionLost, OSError):
                session = None
            except PgError as e:
                if e.sqlstate[:2] not in ("23", "57", "40"):
                    self.errors.append(str(e))
                session = self.rolled_back(session)

    @staticmethod
    def rolled_back(session):
        try:
            session.query("rollback")
            return session
        except (ConnectionLost, OSError, PgError, AttributeError):
            return None

    def stop(self):
        self.halt.set()
        self.join()
        assert not self.errors, self.errors[:3]


def make(rng, source, most=6):
    source.query(PRELUDE)
    tables = []
    for n in range(rng.randint(1, most)):
        t = Table(rng, n, [p for p in tables if p.live and p.rows])
        t.make(source)
        tables.append(t)
    source.query("vacuum analyze")
    return tables


def expected(table, snapshot):
    """SQL of the lines that a table has at a snapshot."""
    if not table.live:
        return "select %s as line from %s x" % (table.line(), table.q)
    return ("select line from (select distinct on (id) line from hist.log where tab = $q$%s$q$ and "
            "txid_visible_in_snapshot(xid, '%s') order by id, seq desc) y where line is not null" % (table.name, snapshot))


def check(source, target, tables, snapshot):
    with source.session() as s, target.session() as d:
        s.query(PIN + "; set search_path = public")
        d.query(PIN + "; set search_path = public")
        for t in tables:
            here, there = expected(t, snapshot), "select %s as line from %s x" % (t.line(), t.q)
            digest = "select count(*), sum(('x' || substr(md5(line), 1, 15))::bit(60)::bigint::numeric) from (%s) z"
            if s.query(digest % here) != d.query(digest % there):
                raise AssertionError("%s is not as it was at %s: %s" % (t.q, snapshot, differences(s.column(here), d.column(there))))


def differences(left, right):
    count = {}
    for sign, lines in ((1, left), (-1, right)):
        for line in lines:
            count[line] = count.get(line, 0) + sign
    lost, extra = [[l[:150] for l, n in count.items() if n * sign > 0] for sign in (1, -1)]
    return "%d lines expected, %d there; %d lost: %s; %d too many: %s" % (
        len(left), len(right), len(lost), lost[:3], len(extra), extra[:3])

"""Indexes and constraints: dropped, remembered, built again by several at once; nothing of them is ever lost."""

import ledger
from story import story

# Every kind of index and constraint that can be said of a table, some tables big enough for steps of their own.
SCHEMA = r'''
create schema "Odd ""s";
create extension if not exists btree_gist;
create collation "Odd ""s".german (provider = icu, locale = 'de-u-co-phonebk');
create function "Odd ""s".twice(i int) returns int immutable language sql as 'select i * 2';
create table public.p (
    id bigint constraint p_pkey primary key with (fillfactor = 70),
    a int, b text collate "C" not null, n numeric, j jsonb, r int4range, pt point, ts timestamptz, u uuid not null, w text,
    constraint p_b_key unique (b, a) include (n) deferrable initially deferred,
    constraint p_nd unique nulls not distinct (a, id),
    constraint p_r_excl exclude using gist (id with =, r with &&) where (id > 0));
create index p_expr on p (lower(w) text_pattern_ops desc nulls last, (a + 1) nulls first) where a % 3 = 0;
create index p_coll on p (w collate "Odd ""s".german) with (deduplicate_items = off);
create index p_hash on p using hash (w) with (fillfactor = 60);
create index p_gin on p using gin (j jsonb_path_ops) with (fastupdate = off);
create index p_gist on p using gist (r);
create index p_brin on p using brin (ts timestamptz_minmax_multi_ops (values_per_range = 16)) with (pages_per_range = 7);
create index p_spgist on p using spgist (pt);
create index "P ""odd""" on p ("Odd ""s".twice(a), b varchar_pattern_ops) include (n);
create unique index p_ident on p (u);
alter index p_expr alter column 2 set statistics 77;
alter index p_expr depends on extension btree_gist;
alter table p cluster on p_coll;
alter table p replica identity using index p_ident;
comment on index p_gin is 'it''s a GIN';
comment on index p_pkey is 'of the key';
comment on constraint p_b_key on p is 'unique; "b"';
create table c (
    id int primary key, p bigint, self int constraint c_self references c,
    constraint c_p foreign key (p) references p on delete cascade on update set null deferrable initially deferred);
create unique index c_p_id on c (id desc, p);
alter table c add constraint c_p_not_valid foreign key (p) references p not valid;
comment on constraint c_p on c is 'points at p';
alter table p add column c int constraint p_c references c;
create table elsewhere (c int references c, p bigint);
alter table elsewhere add constraint elsewhere_p foreign key (p) references p;
create table t (k int, v int, w text, primary key (v, k), constraint t_w unique (w, v, k)) partition by range (v);
create table t_1 partition of t for values from (0) to (3000);
create table "T 2" partition of t for values from (3000) to (100000) partition by list (k);
create table t_2_a partition of "T 2" for values in (0);
create table t_2_b partition of "T 2" default;
create index t_w_idx on t (lower(w));
create index only_a on t_2_a (k);
create unique index only_b on t_2_b (k, v, w);
alter table t add constraint t_p foreign key (v) references p;
create table of_t (v int, k int, foreign key (v, k) references t);
create table "Odd ""s"."Tiny %" ("I %" int constraint "tiny %I" primary key, a text unique);
create index "tiny %s" on "Odd ""s"."Tiny %" (a, "I %");
alter table "Odd ""s"."Tiny %" cluster on "tiny %I";
'''

ROWS = r"""
set session_replication_role = replica;
insert into p select i, i, 'b' || i, i / 7.0, jsonb_build_object('i', i % 13), int4range(i, i + 3), point(i, -i),
    '2026-01-01'::timestamptz + i * interval '1 min', md5(i::text)::uuid, 'w' || i % 97, i % 1000 + 1
    from generate_series(1, 6000) i;
insert into c select i, i, i % 1000 + 1 from generate_series(1, 6000) i;
insert into t select i % 3, i, 'w' || i from generate_series(1, 6000) i;
insert into of_t select i, i % 3 from generate_series(1, 500) i;
insert into "Odd ""s"."Tiny %" select i, i from generate_series(1, 20) i;
"""
TABLES = ("p", "c", "t_1", "t_2_a", "t_2_b", "of_t", ('Odd "s', "Tiny %"))
ALL = ("-t", "p", "-t", "c", "-t", "t", "-t", "of_t", "-t", '"Odd ""s"."Tiny %"')

SHAPE = """
set search_path = pg_catalog;
select format('%s %s %s', i.indrelid::regclass, i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)),
       i.indisunique, i.indisprimary, i.indisexclusion, i.indimmediate, i.indisclustered, i.indisvalid, i.indisready,
       i.indisreplident, (select h.inhparent::regclass::text from pg_inherits h where h.inhrelid = i.indexrelid),
       (select array_agg(a.attstattarget order by a.attnum)::text from pg_attribute a where a.attrelid = i.indexrelid),
       (select string_agg(e.extname, ',') from pg_depend d join pg_extension e on e.oid = d.refobjid
         where d.objid = i.indexrelid and d.deptype = 'x' and d.refclassid = 'pg_extension'::regclass),
       obj_description(i.indexrelid, 'pg_class')
  from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('public', 'Odd "s') order by 1;
select format('%s %s %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)), c.contype, c.condeferrable,
       c.condeferred, c.convalidated, c.conislocal, c.coninhcount, c.connoinherit and c.conparentid = 0, c.conindid::regclass, c.confrelid::regclass,
       (select p.conname from pg_constraint p where p.oid = c.conparentid), obj_description(c.oid, 'pg_constraint')
  from pg_constraint c join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
 where n.nspname in ('public', 'Odd "s') order by 1;
select c.oid::regclass, c.relreplident from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('public', 'Odd "s') and relkind in ('r', 'p') order by 1::text
"""


def shape(database):
    """All that the catalog says of indexes and constraints."""
    found = []
    for sql in SHAPE.split(";\n"):
        rows = database.query(sql)
        found.extend(rows or [])
    return found


def differing(before, after):
    return "lost: %s; new: %s" % ([r for r in before if r not in after][:4], [r for r in after if r not in before][:4])


def same_shape(before, database):
    after = shape(database)
    assert before == after, differing(before, after)


def make(t):
    t.both(SCHEMA)
    t.source.query(ROWS)
    return shape(t.target)


def steps(t):
    return {state: int(n) for state, n in t.target.query("select state, count(*) from pghaul.step group by 1")}


@story(heavy=True)
def deferred_indexes_and_constraints_come_back_as_they_were(t):
    before = make(t)
    assert len(before) > 50
    args = (*ALL, "-j", 2, "--shard-size", "256kB", "--defer-indexes")
    t.copy(*args).expect(0)
    same_shape(before, t.target)
    t.whole(*TABLES)
    done = steps(t)
    assert set(done) == {"done"} and done["done"] > 20, done
    t.copy(*args).expect(0)
    assert steps(t) == done, "a completed job did something again"
    same_shape(before, t.target)

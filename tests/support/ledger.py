"""Reads the ledger behind pghaul's back and checks what must hold whatever has happened.

The numbers are those of the invariants at the head of src/ledger/schema.sql.
"""

import time

from pgwire import PgError, quote_ident

RECEIPTS = "pghaul.all_receipts"

ODD = {
    # Receipts of unlogged targets go with a crash of the server, and the next run takes note of it.
    "1: a landed shard of a logged target has no receipt":
        "select s.id from pghaul.shard s join pghaul.tab t on t.job = s.job and t.id = s.tab and not t.target_unlogged "
        "where s.state in ('landed', 'verified') and not exists "
        "(select from {r} r where r.job = s.job and r.shard = s.id)",
    # One that is to be read again after the loss of its snapshot keeps its rows and its receipt until then.
    "1: a shard with a receipt of the snapshot in force is not landed":
        "select s.id, s.state from pghaul.shard s join {r} r on r.job = s.job and r.shard = s.id "
        "where s.state not in ('landed', 'verified') "
        "and r.snapshot = (select max(n.no) from pghaul.snapshot n where n.job = s.job)",
    "1: a receipt has no shard":
        "select r.shard from {r} r where not exists "
        "(select from pghaul.shard s where s.job = r.job and s.id = r.shard and s.tab = r.tab)",
    "1: a landed shard is still claimed":
        "select id from pghaul.shard where state in ('landed', 'verified') and mover is not null",
    "2: a receipt's attempt is not the one that landed":
        "select s.id, s.attempt, r.attempt from pghaul.shard s join {r} r on r.job = s.job and r.shard = s.id "
        "where r.attempt > s.attempt or r.attempt < 1 or s.state in ('landed', 'verified') and r.attempt <> s.attempt",
    "3: a shard has two receipts":
        "select job, shard from {r} group by 1, 2 having count(*) > 1",
    # tiny tables share a transaction, shards of one target never do: xmin must tell their rows apart
    "3: two receipts of one target are of one transaction":
        "select r.xid, t.target_oid from {r} r join pghaul.tab t on t.job = r.job and t.id = r.tab "
        "where r.xid is not null group by 1, 2 having count(*) > 1",
    "3: a receipt is in the wrong twin":
        "select r.shard from pghaul.receipt r join pghaul.tab t on t.job = r.job and t.id = r.tab "
        "where t.target_unlogged union all select r.shard from pghaul.receipt_unlogged r "
        "join pghaul.tab t on t.job = r.job and t.id = r.tab where not t.target_unlogged",
    "4: a receipt names no snapshot of its job":
        "select r.shard from {r} r where not exists "
        "(select from pghaul.snapshot n where n.job = r.job and n.no = r.snapshot)",
    "1: a spilled shard has no holder, or no file":
        "select s.id, s.holder from pghaul.shard s where s.state = 'spilled' and (s.holder is null or not exists "
        "(select from pghaul.spill p where p.job = s.job and p.shard = s.id))",
    # One that was parked on its way out of a file has that file still.
    "1: a shard that is not spilled has a holder":
        "select id, state, holder from pghaul.shard where state not in ('spilled', 'parked') and holder is not null",
    # A load into an unlogged table may have to begin again after a crash, and the archive is all that it has.
    "1: a file belongs to a shard that is not spilled":
        "select p.shard, s.state from pghaul.spill p join pghaul.shard s on s.job = p.job and s.id = p.shard "
        "join pghaul.tab t on t.job = s.job and t.id = s.tab where s.holder is null "
        "and not (s.state in ('landed', 'verified') and t.target_unlogged)",
    "4: a file names no snapshot of its job":
        "select p.shard from pghaul.spill p where not exists "
        "(select from pghaul.snapshot n where n.job = p.job and n.no = p.snapshot)",
    "a step that is done, or has failed, is still claimed, or a done one has an error":
        "select id, state from pghaul.step where state <> 'planned' and mover is not null or state = 'done' and error is not null",
    "a step is done before one that it comes after":
        "select s.id, a from pghaul.step s, unnest(s.after) a join pghaul.step b on b.id = abs(a) where b.job = s.job "
        "and s.state = 'done' and (b.state = 'planned' or a > 0 and b.state <> 'done') "
        "union all select s.id, b.id from pghaul.step s join pghaul.step b on b.job = s.job and b.id <= s.behind "
        "where s.state = 'done' and b.state <> 'done'",
    "7: a receipt is not filled in":
        "select shard from {r} where rows is null or bytes is null or hash !~ '^[0-9a-f]{{32}}$' "
        "or xid is null or landed_at is null",
}

ODD_WHEN_COMPLETE = {
    "1: a landed shard has no receipt":
        "select s.id from pghaul.shard s where s.state in ('landed', 'verified') and not exists "
        "(select from {r} r where r.job = s.job and r.shard = s.id)",
    "a job is not completed": "select name from pghaul.job where state <> 'completed' or completed_at is null",
    "a completed job has shards that did not land":
        "select id, state from pghaul.shard where state not in ('landed', 'verified')",
    "a completed job has steps that are not done": "select id, state from pghaul.step where state <> 'done'",
    "a completed job of logged tables has files":
        "select p.shard from pghaul.spill p join pghaul.shard s on s.job = p.job and s.id = p.shard "
        "join pghaul.tab t on t.job = s.job and t.id = s.tab where not t.target_unlogged",
    "a completed job has a live mover": "select id from pghaul.live",
    "a completed job's snapshot is not released": "select no from pghaul.snapshot where released_at is null",
    "a mover of a completed job is not marked as ended and is no dead one":
        "select id from pghaul.mover m where ended_at is null and exists (select from pghaul.live l where l.id = m.id)",
}


def exists(target):
    return target.one("select to_regclass('pghaul.receipt') is not null") == "t"


def landed(target):
    """Shards whose receipts are visible."""
    try:
        return target.int("select count(*) from " + RECEIPTS)
    except PgError:
        return 0


def shards(target):
    """(id, state, attempt, rows) of every shard; rows None where there is no receipt."""
    return [(int(i), state, int(attempt), None if rows is None else int(rows)) for i, state, attempt, rows in
            target.query("select s.id, s.state, s.attempt, r.rows from pghaul.shard s left join %s r "
                         "on r.job = s.job and r.shard = s.id order by 1" % RECEIPTS)]


def attempts(target):
    """id → how often a shard was claimed."""
    return {int(i): int(n) for i, n in target.query("select id, attempt from pghaul.shard")}


def states(target):
    """state → number of shards."""
    return {state: int(n) for state, n in target.query("select state, count(*) from pghaul.shard group by 1")}


def table_tally(target):
    """rows, bytes and fingerprint of all receipts together: the same however the table was cut (invariant 5)."""
    rows = target.query("select rows, bytes, hash from " + RECEIPTS)
    return sum(int(r[0]) for r in rows), sum(int(r[1]) for r in rows), sum(int(r[2], 16) for r in rows) % 2 ** 128


def receipts(target):
    """What must not change once a shard has landed: id → (attempt, xid, hash)."""
    return {int(row[0]): row[1:] for row in
            target.query("select shard, attempt, xid, hash from " + RECEIPTS)}


def wasted_attempts(target):
    """How often a shard was begun without being finished."""
    return target.int("select coalesce(sum(attempt) - count(*) filter (where state in ('landed', 'verified')), 0) "
                      "from pghaul.shard")


def check(target, complete=False, source=None, rows=True):
    """Asserts the invariants. source: also that the shards' predicates are disjoint and cover the table, which
    can be asked as long as the source has not changed. rows=False: the target's rows were changed by others."""
    for what, sql in {**ODD, **(ODD_WHEN_COMPLETE if complete else {})}.items():
        found = target.query(sql.format(r=RECEIPTS))
        for _ in range(100 if "pghaul.live" in sql else 0):  # a backend of ours that has been told to end may still be at it
            if not found:
                break
            time.sleep(0.05)
            found = target.query(sql.format(r=RECEIPTS))
        assert not found, "the ledger is not sound, invariant %s: %s" % (what, found[:5])
    if rows:
        check_rows(target)
    if source:
        check_cover(target, source)


def check_rows(target):
    """3 and 7: the rows that a receipt's transaction left in the target are as many as the receipt says.

    An upsert may leave fewer, since rows that were the same already stay as they are; and a large object comes in pieces."""
    tables = target.query(
        "select t.job, t.id, t.target_schema, t.target_name, j.mode from pghaul.tab t join pghaul.job j on j.id = t.job "
        "where to_regclass(quote_ident(t.target_schema) || '.' || quote_ident(t.target_name)) is not null")
    for job, tab, schema, name, mode in tables:
        odd = target.query(
            "select r.shard, r.rows, coalesce(n.n, 0) from {r} r left join "
            "(select xmin::text as x, count(*) as n from {t} group by 1) n "
            "on n.x = (r.xid % 4294967296)::text where r.job = {j} and r.tab = {i} and coalesce(n.n, 0) {op} r.rows".format(
                r=RECEIPTS, t=quote_ident(schema) + "." + quote_ident(name), j=job, i=tab,
                op=">" if mode == "upsert" or schema == "pg_catalog" else "<>"))
        assert not odd, "invariant 7: (shard, rows of its receipt, rows in %s.%s): %s" % (schema, name, odd[:5])


def check_cover(target, source):
    """4: every row of the source is in exactly one shard."""
    for job, tab, schema, name in target.query(
            "select job, id, source_schema, source_name from pghaul.tab"):
        preds = target.column("select pred from pghaul.shard where job = %s and tab = %s" % (job, tab))
        table = quote_ident(schema) + "." + quote_ident(name)
        hits = " + ".join("coalesce((%s), false)::int" % (p or "true") for p in preds)
        odd = source.query("select hits, count(*) from (select %s as hits from only %s) x where hits <> 1 group by 1"
                           % (hits, table))
        assert preds and not odd, "invariant 4: (shards that a row is in, rows) of %s: %s" % (table, odd)

-- The ledger of pghaul, format 1. It lives where the data lands, so that a shard's rows and its receipt become
-- durable in one transaction.
--
-- Invariants (tests check them by these numbers):
--  1. A shard is in exactly one state: planned, spilled, landed, verified, parked. Being worked on is a claim
--     (mover, slot), not a state.
--  2. attempt only grows; it is the fencing token. A commit with an older attempt changes no row and rolls back.
--  3. The rows of a shard and its receipt become durable in one act, or neither does. For unlogged targets the receipt
--     is in the unlogged twin: both vanish together.
--  4. The shards of a table are disjoint and cover it, and their bounds were read under the snapshot of their rows.
--  5. The sum of the receipts' tallies is the table's tally.
--  6. Whoever dies, at any point, leaves a state from which the same command goes on.
--  7. rows of a receipt = rows read = rows landed.
--
-- Time is this server's, always. Everything is qualified, and functions pin their search_path, since the role's
-- own path stays in force in our sessions.

CREATE SCHEMA pghaul;
COMMENT ON SCHEMA pghaul IS 'pghaul ledger, format 1';

CREATE TABLE pghaul.job (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    round           int NOT NULL DEFAULT 1,
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'completed')),
    mode            text NOT NULL,
    fingerprint     text NOT NULL, -- of the definition
    definition      text NOT NULL, -- canonical JSON, without secrets
    source          text NOT NULL, -- for people, without secrets
    target          text NOT NULL,
    source_system   text NOT NULL, -- system identifier, as text: it is an unsigned 64-bit number
    source_database oid NOT NULL,
    nonempty        boolean NOT NULL DEFAULT false, -- appends to tables that have rows of their own
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(), -- this round
    completed_at    timestamptz,
    last_error      text -- how the last run failed; NULL while one runs or after a good end
);

-- Every snapshot that rows of a round were read under. The last one is in force.
CREATE TABLE pghaul.snapshot (
    job            bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    no             int NOT NULL,
    id             text NOT NULL, -- as exported
    pg_snapshot    text NOT NULL, -- as pg_current_snapshot() showed it
    oldest         bigint NOT NULL, -- its pg_snapshot_xmin(): nothing older was in progress
    lsn            text NOT NULL,
    taken_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    released_at    timestamptz,
    keeper_host    text NOT NULL,
    keeper_pid     int NOT NULL,
    keeper_backend int NOT NULL,
    PRIMARY KEY (job, no)
);

CREATE TABLE pghaul.tab (
    job             bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    id              int NOT NULL,
    source_schema   text NOT NULL,
    source_name     text NOT NULL,
    source_oid      oid NOT NULL,
    source_filenode oid NOT NULL,
    target_schema   text NOT NULL,
    target_name     text NOT NULL,
    target_oid      oid NOT NULL,
    target_filenode oid NOT NULL, -- 0 for a partitioned target; renewed by our own TRUNCATE
    target_unlogged boolean NOT NULL,
    format          text NOT NULL,
    split           text NOT NULL,
    select_list     text NOT NULL,
    target_columns  text NOT NULL,
    source_attnums  text NOT NULL DEFAULT '', -- numbers of the columns in use: 1,2,5
    target_attnums  text NOT NULL DEFAULT '',
    target_leaves   oid[], -- of a partitioned target, as they were when the job began
    target_files    oid[], -- and their files
    emptied         boolean NOT NULL DEFAULT false, -- mode replace: done, and never again in this round
    PRIMARY KEY (job, id)
);

-- One run of the program on some host. It is live while it holds its advisory lock (class 1885825121, its id)
-- and its heart beats.
CREATE TABLE pghaul.mover (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job        bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    host       text NOT NULL,
    pid        int NOT NULL,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at   timestamptz
);

CREATE TABLE pghaul.shard (
    job        bigint NOT NULL,
    id         bigint NOT NULL,
    tab        int NOT NULL,
    pred       text NOT NULL, -- SQL that selects its rows in the source; '' for the whole table
    lo         text,          -- bounds as people read them; NULL: open
    hi         text,
    weight     bigint NOT NULL, -- expected bytes
    alone      boolean NOT NULL DEFAULT false, -- its table's only shard, and nothing else loads its target
    state      text NOT NULL DEFAULT 'planned'
               CHECK (state IN ('planned', 'spilled', 'landed', 'verified', 'parked')),
    attempt    int NOT NULL DEFAULT 0,
    failures   int NOT NULL DEFAULT 0, -- of the shard itself; dead claims and lost servers do not count
    error      text,
    mover      int, -- the claim
    slot       int,
    claimed_at timestamptz,
    not_before timestamptz, -- back-off after a failure
    redo_xid   bigint,      -- it landed under a snapshot that is lost, and the source has changed since: the rows of
    redo_rows  bigint,      -- this transaction, so many, are replaced in the transaction that lands it again
    PRIMARY KEY (job, id),
    FOREIGN KEY (job, tab) REFERENCES pghaul.tab ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX shard_free ON pghaul.shard (job, weight DESC, id) WHERE state = 'planned' AND mover IS NULL;
CREATE INDEX shard_claimed ON pghaul.shard (job, mover, slot) WHERE state = 'planned' AND mover IS NOT NULL;

-- Inserted first in a shard's transaction (a rival blocks here, before gigabytes are sent), filled in last.
CREATE TABLE pghaul.receipt (
    job       bigint NOT NULL,
    shard     bigint NOT NULL,
    tab       int NOT NULL,
    attempt   int NOT NULL,
    mover     int NOT NULL,
    snapshot  int NOT NULL, -- pghaul.snapshot.no
    rows      bigint,
    bytes     bigint,
    hash      text,         -- order-free 128-bit fingerprint, 32 hexadecimal digits
    xid       bigint,       -- pg_current_xact_id() of the transaction: its rows carry it as xmin
    landed_at timestamptz,
    PRIMARY KEY (job, shard)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE pghaul.receipt_unlogged (LIKE pghaul.receipt INCLUDING ALL);

-- What a verify that has not ended has proven so far: it goes on with the rest.
CREATE TABLE pghaul.verified (
    job         bigint NOT NULL,
    tab         int NOT NULL,
    how         text NOT NULL, -- level and ways
    verified_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (job, tab),
    FOREIGN KEY (job, tab) REFERENCES pghaul.tab ON DELETE CASCADE
);

CREATE VIEW pghaul.all_receipts AS
    SELECT * FROM pghaul.receipt UNION ALL SELECT * FROM pghaul.receipt_unlogged;

-- Movers that hold their lock and whose heart has beaten within the last minute.
CREATE VIEW pghaul.live AS
    SELECT m.*, l.pid AS backend
    FROM pghaul.mover m
    JOIN pg_catalog.pg_locks l
      ON l.locktype = 'advisory' AND l.classid = 1885825121 AND l.objid = m.id::pg_catalog.oid
     AND l.objsubid = 2 AND l.granted
     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                       WHERE d.datname = pg_catalog.current_database())
    WHERE m.beat_at > pg_catalog.clock_timestamp() - interval '1 minute';

-- Hands a shard to a worker: first, if a_again, the one that it claimed already (the answer was lost), then the heaviest free one,
-- then one whose mover is dead. shard NULL: nothing to claim now; `remaining` shards are not landed or
-- parked, and it is worth asking again in `wait_s` seconds. Tiny shards come several at a time.
CREATE FUNCTION pghaul.claim(a_job bigint, a_mover int, a_slot int, a_again boolean,
        OUT shard bigint, OUT tab int, OUT attempt int, OUT pred text, OUT weight bigint,
        OUT remaining bigint, OUT wait_s double precision,
        OUT redo_xid bigint, OUT redo_rows bigint)
RETURNS SETOF record LANGUAGE plpgsql SET search_path = pg_catalog
-- Nobody has analyzed these tables, and everything here is one step through an index.
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    chosen bigint;
BEGIN
    IF a_again THEN
        SELECT s.id INTO chosen FROM pghaul.shard s
         WHERE s.job = a_job AND s.state = 'planned' AND s.mover = a_mover AND s.slot = a_slot
         ORDER BY s.id LIMIT 1 FOR UPDATE;
    END IF;
    FOR round IN 1 .. 2 LOOP
        IF chosen IS NULL THEN
            SELECT s.id INTO chosen FROM pghaul.shard s
             WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NULL
               AND (s.not_before IS NULL OR s.not_before <= clock_timestamp())
             ORDER BY s.weight DESC, s.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        EXIT WHEN chosen IS NOT NULL OR round = 2;
        UPDATE pghaul.shard s SET mover = NULL, slot = NULL
         WHERE s.job = a_job AND s.state = 'planned' AND s.mover <> a_mover
           AND s.id IN (SELECT z.id FROM pghaul.shard z
                         WHERE z.job = a_job AND z.state = 'planned' AND z.mover <> a_mover
                           AND NOT EXISTS (SELECT FROM pghaul.live v WHERE v.id = z.mover)
                         FOR UPDATE SKIP LOCKED);
        EXIT WHEN NOT FOUND;
    END LOOP;
    IF chosen IS NOT NULL THEN
        UPDATE pghaul.shard s
           SET mover = a_mover, slot = a_slot, attempt = s.attempt + 1, claimed_at = clock_timestamp()
         WHERE s.job = a_job AND s.id = chosen
        RETURNING s.id, s.tab, s.attempt, s.pred, s.weight, s.redo_xid, s.redo_rows
             INTO shard, tab, attempt, pred, weight, redo_xid, redo_rows;
        RETURN NEXT;
        -- A tiny table, tried for the first time: up to 15 more of its kind come along, to land in
        -- one transaction. (Never two shards of one target: a receipt's xid must tell their rows
        -- apart.)
        IF weight <= 65536 AND attempt = 1 AND redo_xid IS NULL
           AND (SELECT s.alone FROM pghaul.shard s WHERE s.job = a_job AND s.id = chosen) THEN
            FOR shard, tab, attempt, pred, weight, redo_xid, redo_rows IN
                UPDATE pghaul.shard s
                   SET mover = a_mover, slot = a_slot, attempt = s.attempt + 1,
                       claimed_at = clock_timestamp()
                 WHERE s.job = a_job AND s.id = ANY (ARRAY(
                           SELECT f.id FROM pghaul.shard f
                            WHERE f.job = a_job AND f.state = 'planned' AND f.mover IS NULL
                              AND f.attempt = 0 AND f.redo_xid IS NULL AND f.weight <= 65536
                              AND f.alone
                            ORDER BY f.weight DESC, f.id LIMIT 15 FOR UPDATE SKIP LOCKED))
                RETURNING s.id, s.tab, s.attempt, s.pred, s.weight, s.redo_xid, s.redo_rows
            LOOP
                RETURN NEXT;
            END LOOP;
        END IF;
        RETURN;
    END IF;
    SELECT count(*),
           least(coalesce(extract(epoch FROM min(s.not_before) FILTER (WHERE s.mover IS NULL)
                                             - clock_timestamp()), 1), 1)
      INTO remaining, wait_s
      FROM pghaul.shard s WHERE s.job = a_job AND s.state = 'planned';
    RETURN NEXT;
END $$;

-- Whether a target is still the planned relation, to the file and the column: nobody has truncated,
-- rewritten or made anew what finished shards have loaded. A partitioned one may get leaves, and lose none.
CREATE FUNCTION pghaul.same_target(a_job bigint, a_tab int) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    t pghaul.tab;
    numbers int2[];
BEGIN
    SELECT * INTO t FROM pghaul.tab x WHERE x.job = a_job AND x.id = a_tab;
    numbers := string_to_array(t.target_attnums, ',')::int2[];
    IF to_regclass(format('%I.%I', t.target_schema, t.target_name))
          IS DISTINCT FROM t.target_oid::regclass
       OR t.target_filenode <> 0
          AND pg_relation_filenode(t.target_oid) IS DISTINCT FROM t.target_filenode
       OR cardinality(numbers) <> (SELECT count(*) FROM pg_attribute a
                                    WHERE a.attrelid = t.target_oid AND a.attnum = ANY (numbers)
                                      AND NOT a.attisdropped)
    THEN
        RETURN false;
    END IF;
    RETURN t.target_leaves IS NULL OR NOT EXISTS (
        SELECT FROM unnest(t.target_leaves, t.target_files) l(leaf, file)
         WHERE pg_relation_filenode(l.leaf) IS DISTINCT FROM l.file
            OR NOT EXISTS (SELECT FROM pg_partition_ancestors(l.leaf) p
                            WHERE p.relid = t.target_oid::regclass));
END $$;

-- The last statement before COMMIT in a shard's transaction. SQLSTATE PH001: fenced, a newer attempt owns the shard;
-- PH002: the target is not the relation that was planned. COPY's lock is held here.
CREATE FUNCTION pghaul.land(a_job bigint, a_shard bigint, a_attempt int, a_mover int,
                            a_unlogged boolean, a_rows bigint, a_bytes bigint, a_hash text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    the_tab int;
BEGIN
    UPDATE pghaul.shard s SET state = 'landed', mover = NULL, slot = NULL, error = NULL,
           redo_xid = NULL, redo_rows = NULL
     WHERE s.job = a_job AND s.id = a_shard AND s.attempt = a_attempt AND s.mover = a_mover
       AND s.state = 'planned'
    RETURNING s.tab INTO the_tab;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a newer attempt owns shard %', a_shard USING ERRCODE = 'PH001';
    END IF;
    IF NOT pghaul.same_target(a_job, the_tab) THEN
        RAISE EXCEPTION 'the target is not the planned relation' USING ERRCODE = 'PH002';
    END IF;
    IF a_unlogged THEN
        UPDATE pghaul.receipt_unlogged r
           SET rows = a_rows, bytes = a_bytes, hash = a_hash,
               xid = pg_current_xact_id()::text::bigint, landed_at = clock_timestamp()
         WHERE r.job = a_job AND r.shard = a_shard AND r.attempt = a_attempt;
    ELSE
        UPDATE pghaul.receipt r
           SET rows = a_rows, bytes = a_bytes, hash = a_hash,
               xid = pg_current_xact_id()::text::bigint, landed_at = clock_timestamp()
         WHERE r.job = a_job AND r.shard = a_shard AND r.attempt = a_attempt;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the receipt of shard % is gone', a_shard USING ERRCODE = 'PH001';
    END IF;
END $$;

-- Gives a claim back after a failure. counted: it was the shard's own; the fifth parks it. park: it would fail for ever.
CREATE FUNCTION pghaul.fail(a_job bigint, a_shard bigint, a_attempt int, a_mover int,
                            a_counted boolean, a_park boolean, a_error text,
                            a_delay_s double precision, OUT state text)
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE pghaul.shard s
       SET mover = NULL, slot = NULL, error = a_error,
           failures = s.failures + a_counted::int,
           state = CASE WHEN a_park OR s.failures + a_counted::int >= 5 THEN 'parked'
                        ELSE s.state END,
           not_before = clock_timestamp() + make_interval(secs => a_delay_s)
     WHERE s.job = a_job AND s.id = a_shard AND s.attempt = a_attempt AND s.mover = a_mover
       AND s.state = 'planned'
    RETURNING s.state
$$;

-- After a crash of this server: shards of unlogged targets whose receipts (and so whose rows) are gone are
-- planned again. Returns how many.
CREATE FUNCTION pghaul.reopen_lost(a_job bigint) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE pghaul.shard s SET redo_xid = NULL, redo_rows = NULL -- nothing is left to be replaced
      FROM pghaul.tab t
     WHERE s.job = a_job AND t.job = s.job AND t.id = s.tab AND t.target_unlogged
       AND s.redo_xid IS NOT NULL
       AND NOT EXISTS (SELECT FROM pghaul.receipt_unlogged r WHERE r.job = s.job AND r.shard = s.id);
    WITH lost AS (
        UPDATE pghaul.shard s SET state = 'planned', mover = NULL, slot = NULL
          FROM pghaul.tab t
         WHERE s.job = a_job AND t.job = s.job AND t.id = s.tab AND t.target_unlogged
           AND s.state IN ('landed', 'verified')
           AND NOT EXISTS (SELECT FROM pghaul.receipt_unlogged r
                            WHERE r.job = s.job AND r.shard = s.id)
        RETURNING 1)
    SELECT count(*) FROM lost
$$;

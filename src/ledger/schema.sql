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
--  7. rows of a receipt = rows read = rows landed. Rows that were left out on purpose (reject) are not read.
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
    set_id          text NOT NULL DEFAULT '', -- 32 hexadecimal digits: this round, in spill files; of a load, its archive
    tag             text NOT NULL DEFAULT '', -- 8 hexadecimal digits: in application_name, and in spill directories
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
    pg_snapshot    text NOT NULL, -- as txid_current_snapshot() showed it
    oldest         bigint NOT NULL, -- xid: nothing older was in progress in the source's database
    lsn            text NOT NULL,
    timeline       int NOT NULL DEFAULT 0, -- of the source, at that position; 0: not known (an archive's)
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
    target_root     oid NOT NULL DEFAULT 0, -- --fk-order: the target, or what it is a partition of
    after           oid[], -- likewise: rows of these roots must be there before its own, which refer to them
    PRIMARY KEY (job, id)
);

-- One run of the program on some host. It is live while it holds its advisory lock (class 1885825121, its id)
-- and its heart beats.
CREATE TABLE pghaul.mover (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job        bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    host       text NOT NULL,
    pid        int NOT NULL,
    holder     text, -- host and directory of its spill files; NULL: it has none
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at   timestamptz,
    heard      bigint NOT NULL DEFAULT -1,     -- the last wish (control.no) that it heeds
    paused     boolean NOT NULL DEFAULT false, -- it touches neither source nor target now, or only one of them
    held       text,                           -- what holds it back, for people; NULL: nothing does
    facts      json -- in order: under what settings it ran, and what the two servers were; for report
);

-- What a live run was asked for, by whom: pause, rate=20MiB/s, ... Nothing is ever taken back.
CREATE TABLE pghaul.control (
    no      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job     bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    mover   int,              -- who passed it on, and heeds it already; NULL: it was said here
    word    text NOT NULL,
    who     text NOT NULL,
    keep    boolean NOT NULL, -- later runs heed it too, unless its like is said again
    said_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- How far a mover was now and then: totals of its run so far. For report; nothing else depends on it.
CREATE TABLE pghaul.sample (
    job     bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    mover   int NOT NULL,
    at      timestamptz NOT NULL,
    rows    bigint NOT NULL, -- that went to the target, those of failed attempts included
    bytes   bigint NOT NULL,
    spilled bigint NOT NULL, -- bytes of rows that went into files
    busy    int NOT NULL,    -- workers with a shard in hand
    stages  jsonb NOT NULL,  -- seconds of all workers, by stage
    waits   text NOT NULL,   -- what the target's backends mostly did, in words; '': not known
    PRIMARY KEY (job, mover, at)
);

-- What happened to a mover, likewise. No value of a row is in it.
CREATE TABLE pghaul.event (
    job   bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    mover int NOT NULL,
    at    timestamptz NOT NULL,
    event text NOT NULL, -- retry, parked, throttled, ...
    shard bigint,
    tab   int,
    text  text NOT NULL
);
CREATE INDEX event_job ON pghaul.event (job, at);

CREATE TABLE pghaul.shard (
    job        bigint NOT NULL,
    id         bigint NOT NULL,
    tab        int NOT NULL,
    pred       text NOT NULL, -- SQL that selects its rows in the source; '' for the whole table
    lo         text,          -- bounds as people read them; NULL: open
    hi         text,
    weight     bigint NOT NULL, -- expected bytes
    alone      boolean NOT NULL DEFAULT false, -- its table's only shard, and nothing else loads its target
    waits      smallint NOT NULL DEFAULT 0, -- as order_look() last found. 1: it may not land yet; 2: nor go into a file
    state      text NOT NULL DEFAULT 'planned'
               CHECK (state IN ('planned', 'spilled', 'landed', 'verified', 'parked')),
    attempt    int NOT NULL DEFAULT 0,
    failures   int NOT NULL DEFAULT 0, -- of the shard itself; dead claims and lost servers do not count
    error      text,
    holder     text, -- of a spilled one: who can load it (mover.holder); '': whoever sees the archive
    mover      int, -- the claim
    slot       int,
    claimed_at timestamptz,
    not_before timestamptz, -- back-off after a failure
    redo_xid   bigint,      -- large objects that landed under a snapshot that is lost: those of this transaction, in so
    redo_rows  bigint,      -- many pieces, are replaced in the transaction that lands them again
    PRIMARY KEY (job, id),
    FOREIGN KEY (job, tab) REFERENCES pghaul.tab ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX shard_free ON pghaul.shard (job, waits, weight DESC, id) WHERE state = 'planned' AND mover IS NULL;
CREATE INDEX shard_spilled ON pghaul.shard (job, holder, waits, weight DESC, id) WHERE state = 'spilled' AND mover IS NULL;
CREATE INDEX shard_claimed ON pghaul.shard (job, mover, slot) WHERE mover IS NOT NULL;

-- What a spilled shard's file holds, and under which snapshot it was read. Gone once the shard has landed, unless that was from
-- an archive into an unlogged target: then a crash may make it spilled again.
CREATE TABLE pghaul.spill (
    job       bigint NOT NULL,
    shard     bigint NOT NULL,
    snapshot  int NOT NULL, -- pghaul.snapshot.no
    file      text NOT NULL,
    rows      bigint NOT NULL,
    bytes     bigint NOT NULL,
    hash      text NOT NULL,
    stored    bigint NOT NULL, -- bytes of the file
    sealed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    mover     int, -- who read it, and since when; NULL: not known
    slot      int,
    read_at   timestamptz,
    PRIMARY KEY (job, shard),
    FOREIGN KEY (job, shard) REFERENCES pghaul.shard ON DELETE CASCADE
);

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
    hash      varchar(32),  -- order-free 128-bit fingerprint, hexadecimal; not text, which would take another table and its index
    xid       bigint,       -- txid_current() of the transaction: its rows carry it as xmin
    landed_at timestamptz,
    slot       int,         -- for report: the worker, when it began,
    claimed_at timestamptz,
    read_mover int,         -- and of a shard that went by way of a file the reading
    read_slot  int,
    read_at    timestamptz,
    sealed_at  timestamptz,
    PRIMARY KEY (job, shard)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE pghaul.receipt_unlogged (LIKE pghaul.receipt INCLUDING ALL);

-- Rows that were left out, since the target's encoding has no characters for them: see pg/reject.h.
CREATE TABLE pghaul.reject (
    job   bigint NOT NULL,
    shard bigint NOT NULL,
    tab   int NOT NULL,
    place text NOT NULL,  -- ctid in the source; or "row 57 of FILE" of an archive
    key   text,
    line  bytea NOT NULL, -- of COPY text, in the source's own bytes
    PRIMARY KEY (job, shard, place),
    FOREIGN KEY (job, tab) REFERENCES pghaul.tab ON DELETE CASCADE
);

-- What is to be done besides rows: indexes, constraints, ... The statements of a step and its mark are one transaction, so
-- it is done exactly once whatever dies; an `outside` one cannot be, and must bear being done twice.
CREATE TABLE pghaul.step (
    job        bigint NOT NULL REFERENCES pghaul.job ON DELETE CASCADE,
    id         bigint NOT NULL,
    kind       text NOT NULL, -- index, constraint, fk, validate, attach, post, matview, analyze, vacuum, ...
    object     text NOT NULL, -- for people
    tabs       int[],         -- ledger tables whose shards must all have landed; NULL: those of all tables
    after      bigint[] NOT NULL DEFAULT '{}', -- steps that must be done before; of a negative one, only that it is done or has failed
    behind     bigint NOT NULL DEFAULT 0, -- all steps up to this one must be done before
    sql        text NOT NULL, -- statements in order, separated by semicolons; an `outside` step has one
    outside    boolean NOT NULL DEFAULT false, -- cannot be in a transaction
    alone      text,          -- never two of the same word at once: they would wait for each other's locks
    weight     bigint NOT NULL, -- the heaviest begins first; tiny ones come several to a transaction
    restores   boolean NOT NULL DEFAULT false, -- it was there before the job, which dropped it
    state      text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'done', 'failed')),
    ready      boolean NOT NULL DEFAULT false, -- as pghaul.step_look() last found
    attempt    int NOT NULL DEFAULT 0, -- the fencing token, as a shard's
    failures   int NOT NULL DEFAULT 0, -- of the step itself
    error      text,
    mover      int, -- the claim
    slot       int,
    started_at timestamptz,
    done_at    timestamptz,
    not_before timestamptz, -- back-off after a failure
    PRIMARY KEY (job, id)
) WITH (fillfactor = 50);
CREATE INDEX step_free ON pghaul.step (job, weight DESC, id) WHERE state = 'planned' AND mover IS NULL AND ready;
CREATE INDEX step_in_hand ON pghaul.step (job, mover, slot) WHERE state = 'planned' AND mover IS NOT NULL;

-- What --create has made in this database, or is making: restored from the dump in chunks, each in one transaction with its
-- mark here; several at once, those of one wave. Without a job until that is written down; then it goes when the job does.
CREATE TABLE pghaul.creation (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job         bigint REFERENCES pghaul.job ON DELETE CASCADE,
    key         text NOT NULL UNIQUE, -- what is created, of which source, how: canonical JSON
    major       int NOT NULL,         -- version of the pg_dump
    dump        bytea NOT NULL,       -- so that any host can go on
    chunks      text[] NOT NULL,      -- lists for pg_restore -L
    waves       int[] NOT NULL,       -- of each chunk: it is made when all of lower waves are
    done        int[] NOT NULL DEFAULT '{}', -- chunks that are made, from 1
    rest        text NOT NULL,        -- likewise, for after the rows; steps by now, when there is a job
    counts      text NOT NULL,        -- JSON: what is made, by kind
    state       text NOT NULL DEFAULT 'making' CHECK (state IN ('making', 'made')),
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    made_at     timestamptz
);

-- What a verify that has not ended has proven so far: it goes on with the rest.
CREATE TABLE pghaul.verified (
    job         bigint NOT NULL,
    tab         int NOT NULL,
    how         text NOT NULL, -- level and ways
    stands      text NOT NULL, -- files, transactions and rows that show that nothing has changed since
    verified_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (job, tab),
    FOREIGN KEY (job, tab) REFERENCES pghaul.tab ON DELETE CASCADE
);

-- What both sides have answered to queries of the user's (verify --queries), round by round.
CREATE TABLE pghaul.answer (
    job         bigint REFERENCES pghaul.job ON DELETE CASCADE, -- NULL: it was asked of none
    at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    query       text NOT NULL,
    verdict     text NOT NULL, -- equal, differs, failed
    text        text,          -- in words, without a row's value
    source_s    float8 NOT NULL,
    target_s    float8 NOT NULL,
    source_rows bigint NOT NULL,
    target_rows bigint NOT NULL
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

-- What a claim says.
CREATE TYPE pghaul.claimed AS (
    shard bigint, tab int, attempt int, pred text, weight bigint,
    remaining bigint,  -- when shard is NULL: shards that are neither landed nor parked
    unread bigint,     -- likewise: those of them that are still to be read from the source
    stranded bigint,   -- likewise: those that are spilled where no mover works
    wait_s double precision,
    redo_xid bigint, redo_rows bigint,
    file text, snapshot int, rows bigint, bytes bigint, hash text, -- of a spilled one
    to_file boolean -- it may not land yet
);

-- Whether a back-off is over. None takes a minute: one that seems to is of a clock that has been set back since.
-- Without a search_path of its own it becomes a part of the queries that ask it.
CREATE FUNCTION pghaul.is_over(a_until timestamptz) RETURNS boolean LANGUAGE sql AS $$
    SELECT a_until IS NULL OR a_until OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
        OR a_until OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '1 minute')
$$;

-- Chooses the next shard for a worker, locked: the heaviest free one of the kind, see claim().
CREATE FUNCTION pghaul.next_free(a_job bigint, a_kind text, a_holder text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    chosen bigint;
BEGIN
    IF a_kind = 's' THEN
        SELECT s.id INTO chosen FROM pghaul.shard s
         WHERE s.job = a_job AND s.state = 'spilled' AND s.mover IS NULL AND s.holder = a_holder
           AND s.waits = 0 AND pghaul.is_over(s.not_before)
         ORDER BY s.weight DESC, s.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        RETURN chosen;
    END IF;
    FOR most IN 0 .. CASE a_kind WHEN 'f' THEN 1 ELSE 0 END LOOP
        SELECT s.id INTO chosen FROM pghaul.shard s
         WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NULL
           AND s.waits = most AND pghaul.is_over(s.not_before)
         ORDER BY s.weight DESC, s.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN chosen IS NOT NULL;
    END LOOP;
    RETURN chosen;
END $$;

-- --fk-order. Finds out which shards may go: a table's land when all rows that they refer to have landed, and are read into
-- files when those are in files at least (else files for which it is too early could fill the directory, and nothing would
-- ever move). Whether anything has changed; NULL: somebody else is looking.
CREATE FUNCTION pghaul.order_look(a_job bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog SET enable_seqscan = on SET enable_nestloop = off AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(1885825123, (a_job & 2147483647)::int) THEN
        RETURN NULL;
    END IF;
    WITH open AS MATERIALIZED (
        SELECT t.target_root AS root, max(CASE WHEN h.state = 'spilled' THEN 1 ELSE 2 END) AS waits
          FROM pghaul.shard h JOIN pghaul.tab t ON t.job = h.job AND t.id = h.tab
         WHERE h.job = a_job AND h.state NOT IN ('landed', 'verified') GROUP BY t.target_root),
    late AS MATERIALIZED (
        SELECT t.id, max(coalesce(o.waits, 0)) AS waits
          FROM pghaul.tab t LEFT JOIN unnest(t.after) a ON true LEFT JOIN open o ON o.root = a
         WHERE t.job = a_job AND t.after IS NOT NULL GROUP BY t.id)
    UPDATE pghaul.shard s SET waits = l.waits
      FROM late l
     WHERE s.job = a_job AND s.tab = l.id AND s.waits <> l.waits AND s.mover IS NULL
       AND s.state IN ('planned', 'spilled', 'parked');
    RETURN FOUND;
END $$;

-- Hands a shard to a worker: first, if a_again, the one that it claimed already (the answer was lost), then a free one of
-- the kinds that it wants, in that order ('p': planned; 'f': planned, to go into a file; 's': spilled where it can read;
-- 'sp', 'fs'), then one whose mover is dead.
-- shard NULL: nothing to claim now; it is worth asking again in `wait_s` seconds. Tiny shards come several at a time.
CREATE FUNCTION pghaul.claim(a_job bigint, a_mover int, a_slot int, a_again boolean, a_want text, a_holder text)
RETURNS SETOF pghaul.claimed LANGUAGE plpgsql SET search_path = pg_catalog
-- Nobody has analyzed these tables, and everything here is one step through an index.
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    chosen bigint;
    c pghaul.claimed;
    tiny boolean;
    waiting bigint;
    changed boolean;
BEGIN
    IF a_again THEN
        SELECT s.id INTO chosen FROM pghaul.shard s
         WHERE s.job = a_job AND s.mover = a_mover AND s.slot = a_slot
           AND (s.state = 'planned' AND (s.waits = 0 AND a_want LIKE '%p%' OR a_want LIKE '%f%')
                OR s.state = 'spilled' AND a_want LIKE '%s%')
         ORDER BY s.id LIMIT 1 FOR UPDATE;
        IF chosen IS NULL THEN -- a claim of a kind that is not wanted now is free for others
            UPDATE pghaul.shard s SET mover = NULL, slot = NULL
             WHERE s.job = a_job AND s.mover = a_mover AND s.slot = a_slot
               AND s.state IN ('planned', 'spilled');
        END IF;
    END IF;
    FOR round IN 1 .. 2 LOOP
        FOR i IN 1 .. length(a_want) LOOP
            EXIT WHEN chosen IS NOT NULL;
            chosen := pghaul.next_free(a_job, substr(a_want, i, 1), a_holder);
        END LOOP;
        EXIT WHEN chosen IS NOT NULL OR round = 2;
        UPDATE pghaul.shard s SET mover = NULL, slot = NULL
         WHERE s.job = a_job AND s.mover <> a_mover
           AND s.id IN (SELECT z.id FROM pghaul.shard z
                         WHERE z.job = a_job AND z.mover <> a_mover AND z.state IN ('planned', 'spilled')
                           AND NOT EXISTS (SELECT FROM pghaul.live v WHERE v.id = z.mover)
                         FOR UPDATE SKIP LOCKED);
        EXIT WHEN NOT FOUND;
    END LOOP;
    IF chosen IS NOT NULL THEN
        UPDATE pghaul.shard s
           SET mover = a_mover, slot = a_slot, attempt = s.attempt + 1, claimed_at = clock_timestamp()
         WHERE s.job = a_job AND s.id = chosen
        RETURNING s.id, s.tab, s.attempt, s.pred, s.weight, s.redo_xid, s.redo_rows,
                  s.waits > 0, s.alone AND s.state = 'planned' AND s.waits = 0 AND s.weight <= 65536
                  AND s.attempt = 1 AND s.redo_xid IS NULL
             INTO c.shard, c.tab, c.attempt, c.pred, c.weight, c.redo_xid, c.redo_rows, c.to_file, tiny;
        SELECT p.file, p.snapshot, p.rows, p.bytes, p.hash INTO c.file, c.snapshot, c.rows, c.bytes, c.hash
          FROM pghaul.spill p WHERE p.job = a_job AND p.shard = chosen;
        RETURN NEXT c;
        -- A tiny table, tried for the first time: up to 15 more of its kind come along, to land in
        -- one transaction. (Never two shards of one target: a receipt's xid must tell their rows
        -- apart.)
        IF tiny THEN
            FOR c.shard, c.tab, c.attempt, c.pred, c.weight IN
                UPDATE pghaul.shard s
                   SET mover = a_mover, slot = a_slot, attempt = s.attempt + 1,
                       claimed_at = clock_timestamp()
                 WHERE s.job = a_job AND s.id = ANY (ARRAY(
                           SELECT f.id FROM pghaul.shard f
                            WHERE f.job = a_job AND f.state = 'planned' AND f.mover IS NULL
                              AND f.waits = 0 AND f.attempt = 0 AND f.redo_xid IS NULL AND f.weight <= 65536
                              AND f.alone
                            ORDER BY f.weight DESC, f.id LIMIT 15 FOR UPDATE SKIP LOCKED))
                RETURNING s.id, s.tab, s.attempt, s.pred, s.weight
            LOOP
                RETURN NEXT c;
            END LOOP;
        END IF;
        RETURN;
    END IF;
    -- What only waits for others does not count: those may be parked.
    SELECT count(*) FILTER (WHERE s.waits = 0 OR s.mover IS NOT NULL), count(*) FILTER (WHERE s.state = 'planned'),
           count(*) FILTER (WHERE s.waits = 0 AND s.state = 'spilled' AND s.holder NOT IN ('', coalesce(a_holder, ''))
                                  AND NOT EXISTS (SELECT FROM pghaul.live v
                                                   WHERE v.job = a_job AND v.holder = s.holder)),
           least(coalesce(extract(epoch FROM min(s.not_before) FILTER (WHERE s.mover IS NULL)
                                             - clock_timestamp()), 1), 1),
           count(*) FILTER (WHERE s.waits > 0)
      INTO c.remaining, c.unread, c.stranded, c.wait_s, waiting
      FROM pghaul.shard s WHERE s.job = a_job AND s.state IN ('planned', 'spilled');
    IF waiting > 0 THEN -- looked after counting: if nothing else was left then, nothing can have landed since
        changed := pghaul.order_look(a_job);
        IF changed THEN
            RETURN QUERY SELECT * FROM pghaul.claim(a_job, a_mover, a_slot, false, a_want, a_holder);
            RETURN;
        END IF;
        c.wait_s := least(c.wait_s, 0.1);
        c.remaining := greatest(c.remaining, (changed IS NULL)::int);
    END IF;
    RETURN NEXT c;
END $$;

-- Whether a snapshot is the one in force. Who reads under an older one has not noticed that others have recovered.
CREATE FUNCTION pghaul.is_in_force(a_job bigint, a_snapshot int) RETURNS boolean LANGUAGE sql AS $$
    SELECT a_snapshot OPERATOR(pg_catalog.=) pg_catalog.max(n.no) FROM pghaul.snapshot n
     WHERE n.job OPERATOR(pg_catalog.=) a_job
$$;

-- A claimed shard is in a sealed file. SQLSTATE PH001: fenced, a newer attempt owns the shard; PH004: it was read under a
-- snapshot that is not in force any more.
CREATE FUNCTION pghaul.spilled(a_job bigint, a_shard bigint, a_attempt int, a_mover int, a_snapshot int,
                               a_holder text, a_file text, a_rows bigint, a_bytes bigint, a_hash text,
                               a_stored bigint)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    was pghaul.shard;
BEGIN
    SELECT * INTO was FROM pghaul.shard s WHERE s.job = a_job AND s.id = a_shard FOR UPDATE;
    UPDATE pghaul.shard s
       SET state = 'spilled', holder = a_holder, mover = NULL, slot = NULL, error = NULL, failures = 0,
           not_before = NULL
     WHERE s.job = a_job AND s.id = a_shard AND s.attempt = a_attempt AND s.mover = a_mover
       AND s.state = 'planned';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a newer attempt owns shard %', a_shard USING ERRCODE = 'PH001';
    END IF;
    IF NOT pghaul.is_in_force(a_job, a_snapshot) THEN
        RAISE EXCEPTION 'shard % was read under an older snapshot', a_shard USING ERRCODE = 'PH004';
    END IF;
    INSERT INTO pghaul.spill (job, shard, snapshot, file, rows, bytes, hash, stored, mover, slot, read_at)
    VALUES (a_job, a_shard, a_snapshot, a_file, a_rows, a_bytes, a_hash, a_stored, a_mover, was.slot,
            was.claimed_at);
END $$;

-- A sealed file was found, or filled while the ledger could not be reached. Says what the file is now: 'spilled' (the shard
-- is in it), 'landed', or 'useless' (of another snapshot, or somebody else has the shard): then it may go.
CREATE FUNCTION pghaul.adopt(a_job bigint, a_shard bigint, a_mover int, a_snapshot int, a_moment text,
                             a_holder text, a_file text, a_rows bigint, a_bytes bigint, a_hash text, a_stored bigint)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    s pghaul.shard;
    known text;
BEGIN
    SELECT * INTO s FROM pghaul.shard x WHERE x.job = a_job AND x.id = a_shard FOR UPDATE;
    IF s.state IN ('landed', 'verified') THEN
        RETURN 'landed';
    END IF;
    SELECT p.file INTO known FROM pghaul.spill p WHERE p.job = a_job AND p.shard = a_shard;
    IF known = a_file THEN -- its directory may have another name by now
        UPDATE pghaul.shard x SET holder = a_holder
         WHERE x.job = a_job AND x.id = a_shard AND x.holder <> a_holder;
        RETURN 'spilled';
    END IF;
    IF s.state IS NULL OR known IS NOT NULL OR s.state NOT IN ('planned', 'parked')
       OR NOT pghaul.is_in_force(a_job, a_snapshot) -- by number, and not another one that was given its number
       OR NOT EXISTS (SELECT FROM pghaul.snapshot n WHERE n.job = a_job AND n.no = a_snapshot
                         AND n.pg_snapshot = coalesce(a_moment, n.pg_snapshot))
       OR s.mover <> a_mover AND EXISTS (SELECT FROM pghaul.live v WHERE v.id = s.mover) THEN
        RETURN 'useless';
    END IF;
    UPDATE pghaul.shard x
       SET state = 'spilled', holder = a_holder, mover = NULL, slot = NULL, error = NULL, failures = 0,
           not_before = NULL, attempt = x.attempt + 1
     WHERE x.job = a_job AND x.id = a_shard;
    INSERT INTO pghaul.spill (job, shard, snapshot, file, rows, bytes, hash, stored)
    VALUES (a_job, a_shard, a_snapshot, a_file, a_rows, a_bytes, a_hash, a_stored);
    RETURN 'spilled';
END $$;

-- The file of a claimed shard is no good: it is to be read from the source again.
CREATE FUNCTION pghaul.unspill(a_job bigint, a_shard bigint, a_attempt int, a_mover int, a_error text)
RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    DELETE FROM pghaul.spill p WHERE p.job = a_job AND p.shard = a_shard
       AND EXISTS (SELECT FROM pghaul.shard s WHERE s.job = a_job AND s.id = a_shard AND s.attempt = a_attempt
                      AND s.mover = a_mover AND s.state = 'spilled' FOR UPDATE);
    UPDATE pghaul.shard s SET state = 'planned', holder = NULL, mover = NULL, slot = NULL, error = a_error
     WHERE s.job = a_job AND s.id = a_shard AND s.attempt = a_attempt AND s.mover = a_mover
       AND s.state = 'spilled'
$$;

-- Files that are lost with their host: shards that are spilled where no mover works are planned again. Returns how many.
CREATE FUNCTION pghaul.forget_spill(a_job bigint, a_holder text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog AS $$
    WITH gone AS (
        UPDATE pghaul.shard s SET state = 'planned', holder = NULL, mover = NULL, slot = NULL,
               attempt = s.attempt + 1
         WHERE s.job = a_job AND s.state = 'spilled' AND s.holder NOT IN ('', coalesce(a_holder, ''))
           AND NOT EXISTS (SELECT FROM pghaul.live v WHERE v.job = a_job AND v.holder = s.holder)
        RETURNING s.id),
    files AS (DELETE FROM pghaul.spill p USING gone WHERE p.job = a_job AND p.shard = gone.id)
    SELECT count(*) FROM gone
$$;

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
-- PH002: the target is not the relation that was planned; PH004: it comes from the source, under a snapshot that is not in
-- force any more. COPY's lock is held here.
CREATE FUNCTION pghaul.land(a_job bigint, a_shard bigint, a_attempt int, a_mover int,
                            a_unlogged boolean, a_rows bigint, a_bytes bigint, a_hash text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    the_tab int;
    since timestamptz;
    was pghaul.spill;
    under int;
BEGIN
    -- An archive is all that a load has: where a crash may take rows back, it must be found again.
    DELETE FROM pghaul.spill p USING pghaul.shard s
     WHERE p.job = a_job AND p.shard = a_shard AND s.job = a_job AND s.id = a_shard
       AND NOT (a_unlogged AND s.holder = '')
    RETURNING p.* INTO was;
    UPDATE pghaul.shard s SET state = 'landed', holder = NULL, mover = NULL, slot = NULL, error = NULL,
           redo_xid = NULL, redo_rows = NULL
     WHERE s.job = a_job AND s.id = a_shard AND s.attempt = a_attempt AND s.mover = a_mover
       AND s.state IN ('planned', 'spilled')
    RETURNING s.tab, s.claimed_at INTO the_tab, since;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a newer attempt owns shard %', a_shard USING ERRCODE = 'PH001';
    END IF;
    IF NOT pghaul.same_target(a_job, the_tab) THEN
        RAISE EXCEPTION 'the target is not the planned relation' USING ERRCODE = 'PH002';
    END IF;
    IF a_unlogged THEN
        UPDATE pghaul.receipt_unlogged r
           SET rows = a_rows, bytes = a_bytes, hash = a_hash,
               xid = txid_current(), landed_at = clock_timestamp(),
               claimed_at = since, read_mover = was.mover, read_slot = was.slot, read_at = was.read_at,
               sealed_at = CASE WHEN was.read_at IS NOT NULL THEN was.sealed_at END
         WHERE r.job = a_job AND r.shard = a_shard AND r.attempt = a_attempt RETURNING r.snapshot INTO under;
    ELSE
        UPDATE pghaul.receipt r
           SET rows = a_rows, bytes = a_bytes, hash = a_hash,
               xid = txid_current(), landed_at = clock_timestamp(),
               claimed_at = since, read_mover = was.mover, read_slot = was.slot, read_at = was.read_at,
               sealed_at = CASE WHEN was.read_at IS NOT NULL THEN was.sealed_at END
         WHERE r.job = a_job AND r.shard = a_shard AND r.attempt = a_attempt RETURNING r.snapshot INTO under;
    END IF;
    IF under IS NULL THEN
        RAISE EXCEPTION 'the receipt of shard % is gone', a_shard USING ERRCODE = 'PH001';
    END IF;
    IF was.shard IS NULL AND NOT pghaul.is_in_force(a_job, under)
       AND NOT EXISTS (SELECT FROM pghaul.spill p WHERE p.job = a_job AND p.shard = a_shard)
    THEN
        RAISE EXCEPTION 'shard % was read under an older snapshot', a_shard USING ERRCODE = 'PH004';
    END IF;
END $$;

-- Makes large objects of the pieces in pg_temp.pghaul_objects, see pg/objects.h. Full pieces of zeros are holes. Roles
-- that are not here get nothing: the object is ours then.
CREATE FUNCTION pghaul.land_objects() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    piece CONSTANT int := 131072;
    zeros CONSTANT bytea := decode(repeat('00', piece), 'hex');
    o record;
    line text;
    who text;
BEGIN
    PERFORM lo_create(p.loid) FROM pg_temp.pghaul_objects p WHERE p.off = 0;
    PERFORM lo_put(p.loid, p.off, p.data) FROM pg_temp.pghaul_objects p
      WHERE octet_length(p.data) > 0 AND p.data <> zeros;
    PERFORM lo_close(f.fd) FROM (
        SELECT lo_open(p.loid, 131072) AS fd, p.off AS size -- one that ends with a hole
          FROM pg_temp.pghaul_objects p JOIN pg_temp.pghaul_objects q
            ON q.loid = p.loid AND q.off = p.off - piece AND q.data = zeros
         WHERE octet_length(p.data) = 0 OFFSET 0) f
      WHERE lo_truncate64(f.fd, f.size) = 0;
    FOR o IN SELECT p.* FROM pg_temp.pghaul_objects p
              WHERE p.off = 0 AND (p.owner <> current_user OR p.acl IS NOT NULL OR p.note IS NOT NULL)
    LOOP
        IF o.note IS NOT NULL THEN
            EXECUTE format('COMMENT ON LARGE OBJECT %s IS %L', o.loid, o.note);
        END IF;
        FOREACH line IN ARRAY string_to_array(coalesce(o.acl, ''), E'\n') LOOP
            who := split_part(line, E'\t', 1);
            CONTINUE WHEN split_part(line, E'\t', 2) NOT IN ('SELECT', 'UPDATE') OR who = o.owner
                OR who <> '' AND to_regrole(quote_ident(who)) IS NULL;
            EXECUTE format('GRANT %s ON LARGE OBJECT %s TO %s%s', split_part(line, E'\t', 2), o.loid,
                           CASE who WHEN '' THEN 'PUBLIC' ELSE quote_ident(who) END,
                           CASE split_part(line, E'\t', 3) WHEN 't' THEN ' WITH GRANT OPTION' ELSE '' END);
        END LOOP;
        IF o.owner <> current_user AND to_regrole(quote_ident(o.owner)) IS NOT NULL THEN
            IF pg_has_role(o.owner, 'MEMBER') THEN
                EXECUTE format('ALTER LARGE OBJECT %s OWNER TO %I', o.loid, o.owner);
            END IF;
        END IF;
    END LOOP;
END $$;

-- The rejects of a shard, in the transaction that lands its other rows; those of an earlier landing go. One shard of the job
-- after the other, so that their number is known. SQLSTATE PH003: there are more than a_most.
CREATE FUNCTION pghaul.set_aside(a_job bigint, a_shard bigint, a_tab int, a_most bigint, a_places text[],
                                 a_keys text[], a_lines text[])
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1885825123, (a_job & 2147483647)::int);
    DELETE FROM pghaul.reject r WHERE r.job = a_job AND r.shard = a_shard;
    INSERT INTO pghaul.reject (job, shard, tab, place, key, line)
    SELECT a_job, a_shard, a_tab, u.place, u.key, decode(u.line, 'hex')
      FROM unnest(a_places, a_keys, a_lines) u(place, key, line);
    IF (SELECT count(*) FROM pghaul.reject r WHERE r.job = a_job) > a_most THEN
        RAISE EXCEPTION 'more rows would be left out than --max-rejects % allows', a_most USING ERRCODE = 'PH003';
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
       AND s.state IN ('planned', 'spilled')
    RETURNING s.state
$$;

-- After a crash of this server: shards of unlogged targets whose receipts (and so whose rows) are gone are
-- planned again; or, where they came from an archive, spilled. Returns how many.
CREATE FUNCTION pghaul.reopen_lost(a_job bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    n bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1885825123, (a_job & 2147483647)::int);
    UPDATE pghaul.shard s SET redo_xid = NULL, redo_rows = NULL -- nothing is left to be replaced
      FROM pghaul.tab t
     WHERE s.job = a_job AND t.job = s.job AND t.id = s.tab AND t.target_unlogged
       AND s.redo_xid IS NOT NULL
       AND NOT EXISTS (SELECT FROM pghaul.receipt_unlogged r WHERE r.job = s.job AND r.shard = s.id);
    WITH lost AS (
        UPDATE pghaul.shard s
           SET mover = NULL, slot = NULL,
               state = CASE WHEN s.id = ANY (kept.ids) THEN 'spilled' ELSE 'planned' END,
               holder = CASE WHEN s.id = ANY (kept.ids) THEN '' END
          FROM pghaul.tab t,
               (SELECT array(SELECT p.shard FROM pghaul.spill p WHERE p.job = a_job) AS ids) kept
         WHERE s.job = a_job AND t.job = s.job AND t.id = s.tab AND t.target_unlogged
           AND s.state IN ('landed', 'verified')
           AND NOT EXISTS (SELECT FROM pghaul.receipt_unlogged r
                            WHERE r.job = s.job AND r.shard = s.id)
        RETURNING 1)
    SELECT count(*) INTO n FROM lost;
    IF n > 0 THEN
        PERFORM pghaul.order_look(a_job);
    END IF;
    RETURN n;
END $$;

-- Steps. Finds out which can begin: what they come after is done, and their tables have landed. One looks at a time.
CREATE FUNCTION pghaul.step_look(a_job bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog SET enable_seqscan = on SET enable_nestloop = off AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(1885825123, (a_job & 2147483647)::int) THEN
        RETURN;
    END IF;
    WITH open AS MATERIALIZED (SELECT DISTINCT h.tab FROM pghaul.shard h
                                WHERE h.job = a_job AND h.state NOT IN ('landed', 'verified')),
    planned AS MATERIALIZED (SELECT x.id, x.tabs, x.after, x.behind FROM pghaul.step x
                              WHERE x.job = a_job AND x.state = 'planned' AND x.mover IS NULL),
    blocked AS (SELECT x.id FROM planned x, unnest(x.after) a
                  JOIN pghaul.step b ON b.job = a_job AND b.id = abs(a)
                 WHERE b.state = 'planned' OR a > 0 AND b.state = 'failed'
                 UNION ALL
                SELECT x.id FROM planned x, unnest(x.tabs) t JOIN open o ON o.tab = t
                 UNION ALL
                SELECT x.id FROM planned x
                 WHERE x.tabs IS NULL AND EXISTS (SELECT FROM open)
                    OR x.behind >= (SELECT min(b.id) FROM pghaul.step b WHERE b.job = a_job AND b.state <> 'done'))
    UPDATE pghaul.step s SET ready = NOT s.ready
     WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NULL
       AND s.ready = (s.id IN (SELECT b.id FROM blocked b));
END $$;

CREATE TYPE pghaul.step_claimed AS (
    step bigint, attempt int, kind text, object text, sql text, outside boolean, weight bigint,
    ready bigint,   -- others that could begin now, up to 100
    others bigint,  -- weight of those, and of what is running
    running bigint, -- in the hands of movers, the claimed ones not counted
    undone bigint   -- when step is NULL: all that are planned
);

-- Chooses the next step, locked: the heaviest that is ready.
CREATE FUNCTION pghaul.step_next(a_job bigint) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog SET enable_seqscan = off SET enable_bitmapscan = off AS $$
    SELECT s.id FROM pghaul.step s
     WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NULL AND s.ready
       AND pghaul.is_over(s.not_before)
       AND NOT (s.alone IS NOT NULL AND EXISTS (
               SELECT FROM pghaul.step o WHERE o.job = a_job AND o.state = 'planned' AND o.mover IS NOT NULL
                  AND o.alone = s.alone))
     ORDER BY s.weight DESC, s.id LIMIT 1 FOR UPDATE SKIP LOCKED
$$;

-- Hands steps to a builder: those that it has claimed already (the answer was lost), or the heaviest that is ready, or one whose
-- mover is dead. Tiny ones come several at a time, in the order of their ids (all builders take their locks in that order). a_look:
-- look for what can begin even though something is ready.
CREATE FUNCTION pghaul.step_claim(a_job bigint, a_mover int, a_slot int, a_look boolean)
RETURNS SETOF pghaul.step_claimed LANGUAGE plpgsql SET search_path = pg_catalog
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    soon CONSTANT bigint := 1::bigint << 61; -- short, but the first that should be done
    chosen bigint[];
    first bigint;
    f pghaul.step;
    c pghaul.step_claimed;
BEGIN
    chosen := ARRAY(SELECT s.id FROM pghaul.step s WHERE s.job = a_job AND s.mover = a_mover AND s.slot = a_slot
                       AND s.state = 'planned' ORDER BY s.id FOR UPDATE);
    IF chosen = '{}' THEN
        IF a_look THEN
            PERFORM pghaul.step_look(a_job);
        END IF;
        first := pghaul.step_next(a_job);
        IF first IS NULL THEN
            UPDATE pghaul.step s SET mover = NULL, slot = NULL
             WHERE s.job = a_job AND s.id IN (
                       SELECT z.id FROM pghaul.step z
                        WHERE z.job = a_job AND z.state = 'planned' AND z.mover IS NOT NULL AND z.mover <> a_mover
                          AND NOT EXISTS (SELECT FROM pghaul.live v WHERE v.id = z.mover)
                        FOR UPDATE SKIP LOCKED);
            PERFORM pghaul.step_look(a_job);
            first := pghaul.step_next(a_job);
        END IF;
        chosen := array_remove(ARRAY[first], NULL);
        SELECT * INTO f FROM pghaul.step s WHERE s.job = a_job AND s.id = first;
        IF f.weight <= 65536 AND f.failures = 0 AND NOT f.outside THEN
            chosen := chosen || ARRAY(
                SELECT s.id FROM pghaul.step s
                 WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NULL AND s.ready AND s.failures = 0
                   AND s.alone IS NOT DISTINCT FROM f.alone AND NOT s.outside AND s.weight <= 65536 AND s.id <> first
                 ORDER BY s.weight DESC, s.id LIMIT 31 FOR UPDATE SKIP LOCKED);
        END IF;
    END IF;
    SELECT count(*), coalesce(sum(r.weight) FILTER (WHERE r.weight < soon), 0) INTO c.ready, c.others FROM (
        SELECT s.weight FROM pghaul.step s WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NULL AND s.ready
           AND s.id <> ALL (chosen) ORDER BY s.weight DESC, s.id LIMIT 100) r;
    SELECT count(*), c.others + coalesce(sum(s.weight) FILTER (WHERE s.weight < soon), 0) INTO c.running, c.others
      FROM pghaul.step s
     WHERE s.job = a_job AND s.state = 'planned' AND s.mover IS NOT NULL AND s.id <> ALL (chosen);
    IF chosen = '{}' THEN
        SELECT count(*) INTO c.undone FROM pghaul.step s WHERE s.job = a_job AND s.state = 'planned';
        RETURN NEXT c;
        RETURN;
    END IF;
    UPDATE pghaul.step s
       SET mover = a_mover, slot = a_slot, attempt = s.attempt + 1, started_at = clock_timestamp()
     WHERE s.job = a_job AND s.id = ANY (chosen);
    FOR c.step, c.attempt, c.kind, c.object, c.sql, c.outside, c.weight IN
        SELECT s.id, s.attempt, s.kind, s.object, s.sql, s.outside, s.weight FROM pghaul.step s
         WHERE s.job = a_job AND s.id = ANY (chosen) ORDER BY s.id
    LOOP
        RETURN NEXT c;
    END LOOP;
END $$;

-- The marks, last in the transaction of one step or of several. SQLSTATE PH001: fenced, a newer attempt owns one of them.
CREATE FUNCTION pghaul.step_done(a_job bigint, a_steps bigint[], a_attempts int[], a_mover int) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    marked int;
BEGIN
    UPDATE pghaul.step s SET state = 'done', mover = NULL, slot = NULL, error = NULL, done_at = clock_timestamp()
      FROM unnest(a_steps, a_attempts) d(id, attempt)
     WHERE s.job = a_job AND s.id = d.id AND s.attempt = d.attempt AND s.mover = a_mover AND s.state = 'planned';
    GET DIAGNOSTICS marked = ROW_COUNT;
    IF marked <> cardinality(a_steps) THEN
        RAISE EXCEPTION 'a newer attempt owns step % or one behind it', a_steps[1] USING ERRCODE = 'PH001';
    END IF;
END $$;

-- Gives a step back after a failure. counted: it was the step's own, and the fifth is its last; a_final: it would fail for ever.
CREATE FUNCTION pghaul.step_fail(a_job bigint, a_step bigint, a_attempt int, a_mover int, a_counted boolean,
                                 a_final boolean, a_error text, a_delay_s double precision, OUT state text)
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE pghaul.step s
       SET mover = NULL, slot = NULL, error = a_error, failures = s.failures + a_counted::int,
           state = CASE WHEN a_final OR s.failures + a_counted::int >= 5 THEN 'failed' ELSE s.state END,
           not_before = clock_timestamp() + make_interval(secs => a_delay_s)
     WHERE s.job = a_job AND s.id = a_step AND s.attempt = a_attempt AND s.mover = a_mover AND s.state = 'planned'
    RETURNING s.state
$$;

-- A database with one of everything that pg_dump knows and a server without special settings can have.
-- (Roles wholedb_owner and wholedb_reader are there; rows are put in as a whole database's would be.)
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
COMMENT ON EXTENSION hstore IS 'our own words';
CREATE SCHEMA shop;
CREATE SCHEMA "odd schema";
COMMENT ON SCHEMA shop IS 'what is sold';
ALTER SCHEMA shop OWNER TO wholedb_owner;

CREATE TYPE shop.mood AS ENUM ('sad', 'so so', 'happy');
CREATE DOMAIN shop.price AS numeric(12, 2) DEFAULT 0 CONSTRAINT price_positive CHECK (VALUE >= 0);
CREATE TYPE shop.place AS (street text, town citext, price shop.price);
CREATE TYPE shop.span AS RANGE (subtype = float8);
CREATE COLLATION shop.plain (provider = libc, locale = 'C');

CREATE FUNCTION shop.norm(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower(btrim(t)) $$;
CREATE FUNCTION shop.allowed(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    -- a line that looks like one of pg_dump's own
--
-- Name: trap; Type: TABLE; Schema: shop; Owner: nobody
--
    RETURN t !~ ';\s*drop';
END $$;
CREATE PROCEDURE shop.nothing() LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE AGGREGATE shop.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE FUNCTION shop.near(numeric, numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 1';
CREATE OPERATOR shop.=~= (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = shop.near);
CREATE CAST (shop.mood AS int) WITH INOUT;
CREATE TEXT SEARCH CONFIGURATION shop.words (COPY = simple);

CREATE SEQUENCE shop.alone START 100 INCREMENT 7;
CREATE SEQUENCE shop.down INCREMENT -1;
CREATE SEQUENCE shop.untouched START 5;
SELECT setval('shop.alone', 777), nextval('shop.down'), nextval('shop.down');

CREATE TABLE shop.maker (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name citext COLLATE "C" NOT NULL UNIQUE,
    best int,
    tags hstore,
    path ltree
);
CREATE TABLE shop.item (
    id serial PRIMARY KEY,
    maker int NOT NULL REFERENCES shop.maker,
    parent int REFERENCES shop.item,
    label text NOT NULL DEFAULT shop.norm(' New ') CHECK (shop.allowed(label)),
    price shop.price NOT NULL,
    mood shop.mood DEFAULT 'happy',
    "where" shop.place,
    span shop.span,
    vat numeric GENERATED ALWAYS AS (price * 0.2) STORED,
    added timestamptz DEFAULT '2026-01-01 00:00+00',
    CONSTRAINT item_label_maker UNIQUE (maker, label) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT item_span EXCLUDE USING gist (span WITH &&)
) WITH (fillfactor = 90);
ALTER TABLE shop.maker ADD CONSTRAINT maker_best FOREIGN KEY (best) REFERENCES shop.item DEFERRABLE;
ALTER TABLE shop.item ADD CONSTRAINT item_old CHECK (price < 100000) NOT VALID;
ALTER TABLE shop.item ALTER COLUMN label SET STATISTICS 500, ALTER COLUMN label SET STORAGE EXTERNAL;
CREATE INDEX item_norm ON shop.item (shop.norm(label)) WHERE price > 1;
CREATE INDEX item_added ON shop.item USING brin (added);
CREATE UNIQUE INDEX item_cover ON shop.item (id) INCLUDE (label);
CREATE STATISTICS shop.item_stats (dependencies) ON maker, mood FROM shop.item;
ALTER TABLE shop.item CLUSTER ON item_pkey;
ALTER TABLE shop.item REPLICA IDENTITY USING INDEX item_cover;
COMMENT ON TABLE shop.item IS 'an item''s "comment"';
COMMENT ON COLUMN shop.item.price IS 'without VAT';
COMMENT ON INDEX shop.item_norm IS 'normal';
COMMENT ON CONSTRAINT item_old ON shop.item IS 'old';

CREATE TABLE shop.sale (
    at date NOT NULL,
    id bigint NOT NULL,
    item int REFERENCES shop.item,
    amount int,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE TABLE shop.sale_2025 PARTITION OF shop.sale FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.sale_2026 PARTITION OF shop.sale FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE shop.sale_2026_0 PARTITION OF shop.sale_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.sale_2026_1 PARTITION OF shop.sale_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.sale_rest PARTITION OF shop.sale DEFAULT;
CREATE INDEX sale_item ON shop.sale (item);

CREATE TABLE "odd schema"."a.b ""c"" ТАБЛИЦА" ("Key; --" int PRIMARY KEY, "select" text, "tab	here" text[]);
CREATE TABLE "odd schema".parent (a int, b text);
CREATE TABLE "odd schema".child (c int) INHERITS ("odd schema".parent);
CREATE UNLOGGED TABLE "odd schema".cache (k text PRIMARY KEY, v jsonb);
CREATE TABLE "odd schema".typed OF shop.place;
CREATE TABLE "odd schema".empty ();
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE "odd schema".outside (a int) SERVER far;

CREATE VIEW shop.cheap AS SELECT id, label, price FROM shop.item WHERE price < 50;
CREATE VIEW shop.cheapest AS SELECT * FROM shop.cheap ORDER BY price LIMIT 3;
CREATE VIEW shop.grouped AS SELECT i.id, i.label, count(*) AS n FROM shop.item i JOIN shop.sale s ON s.item = i.id GROUP BY i.id;
CREATE MATERIALIZED VIEW shop.by_maker AS SELECT maker, count(*) AS n, sum(price) AS total FROM shop.item GROUP BY maker;
CREATE MATERIALIZED VIEW shop.biggest AS SELECT * FROM shop.by_maker ORDER BY total DESC LIMIT 1;
CREATE UNIQUE INDEX by_maker_key ON shop.by_maker (maker);
CREATE MATERIALIZED VIEW shop.never AS SELECT 1 AS one WITH NO DATA;

CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.label := new.label || '!';
    RETURN new;
END $$;
CREATE TRIGGER item_touch BEFORE INSERT OR UPDATE ON shop.item FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.item DISABLE TRIGGER item_touch;
CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER maker_note AFTER UPDATE ON shop.maker FOR EACH STATEMENT EXECUTE FUNCTION shop.note();
CREATE RULE quiet AS ON DELETE TO shop.maker DO ALSO NOTHING;
ALTER TABLE shop.maker ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON shop.maker FOR SELECT TO wholedb_reader USING (true);
CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'nobody changes this database';
END $$;
CREATE PUBLICATION everything FOR TABLE shop.item, shop.sale;

ALTER TABLE shop.item OWNER TO wholedb_owner;
GRANT SELECT ON shop.item TO wholedb_reader;
GRANT UPDATE (label) ON shop.item TO wholedb_reader;
GRANT USAGE ON SCHEMA shop TO wholedb_reader;
REVOKE INSERT ON shop.item FROM wholedb_owner;
REVOKE ALL ON FUNCTION shop.norm(text) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO wholedb_reader;

INSERT INTO shop.maker (name, tags, path) SELECT 'maker ' || g, hstore('g', g::text), ('a.b' || g)::ltree
    FROM generate_series(1, 50) g;
INSERT INTO shop.item (maker, parent, label, price, "where", span)
    SELECT 1 + g % 50, nullif(g / 2, 0), 'item ' || g, g % 90, row('s', 'Town', 3)::shop.place, shop.span(g, g + 0.5)
    FROM generate_series(1, 2000) g;
UPDATE shop.maker SET best = id;
INSERT INTO shop.sale SELECT date '2024-06-01' + g, g, 1 + g % 2000, g FROM generate_series(1, 900) g;
INSERT INTO "odd schema"."a.b ""c"" ТАБЛИЦА" SELECT g, 'x', array['a', null] FROM generate_series(1, 100) g;
INSERT INTO "odd schema".parent VALUES (1, 'p');
INSERT INTO "odd schema".child VALUES (2, 'c', 3);
INSERT INTO "odd schema".cache VALUES ('k', '{"a": 1}');
INSERT INTO "odd schema".typed VALUES ('s', 't', 1);
REFRESH MATERIALIZED VIEW shop.by_maker;
REFRESH MATERIALIZED VIEW shop.biggest;
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION shop.watch();

-- What the archive in `schema` beside was extracted from, with --all --create. Never changed.
CREATE SCHEMA shop;
CREATE TYPE shop.size AS ENUM ('small', 'große');
CREATE DOMAIN shop.price AS numeric(8, 2) CHECK (VALUE >= 0);
CREATE FUNCTION shop.twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
CREATE TABLE shop.item (
    id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    size shop.size DEFAULT 'small',
    cost shop.price,
    two  int GENERATED ALWAYS AS (shop.twice(3)) STORED
);
COMMENT ON COLUMN shop.item.cost IS 'in €';
CREATE TABLE shop.sold (id bigserial, item int REFERENCES shop.item ON DELETE CASCADE, day date) PARTITION BY RANGE (day);
CREATE TABLE shop.sold_2025 PARTITION OF shop.sold FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.sold_else PARTITION OF shop.sold DEFAULT;
CREATE INDEX ON shop.sold (day DESC) WHERE item IS NOT NULL;
CREATE VIEW shop.dear AS SELECT name, cost FROM shop.item WHERE cost > 100;
CREATE MATERIALIZED VIEW shop.sums AS SELECT item, count(*) AS n FROM shop.sold GROUP BY item;
INSERT INTO shop.item (name, size, cost)
SELECT 'item ' || i, CASE WHEN i % 3 = 0 THEN 'große' ELSE 'small' END::shop.size, i * 7.25 FROM generate_series(1, 50) i;
INSERT INTO shop.sold (item, day) SELECT 1 + i % 50, date '2025-01-01' + i * 5 FROM generate_series(1, 200) i;
REFRESH MATERIALIZED VIEW shop.sums;

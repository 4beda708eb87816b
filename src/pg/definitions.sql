-- What a database says of its objects, as facts: kind, relation, schema, name, order, property, value.
--
-- Each query stands behind a line "-- @ WORD", where WORD is `tables` (asked always) or `all` (asked
-- when the whole database is compared) or `positions` (see definitions.h), and behind WITH RECURSIVE scope(rel) AS (...), the relations
-- that are compared. :all is true or false. They run under search_path = pg_catalog, so that the
-- server's own deparsers write every name with its schema. `relation` is 0 where an object is of no
-- relation in the scope: its name is its identity then. Values are texts without OIDs, and lists in
-- them are in order of their own; the first fact of an object tells what it is.

-- @ tables
SELECT 'table', c.oid, n.nspname, '', v.ord, v.property, v.value
FROM scope JOIN pg_class c ON c.oid = scope.rel JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (VALUES
  (1, 'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
     WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE c.relkind::text END),
  (2, 'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END),
  (3, 'owner', pg_get_userbyid(c.relowner)::text),
  (4, 'access method', (SELECT amname::text FROM pg_am WHERE oid = c.relam)),
  (5, 'storage parameters', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o)),
  (6, 'TOAST storage parameters', (SELECT string_agg(o, ', ' ORDER BY o) FROM pg_class t, unnest(t.reloptions) o
     WHERE t.oid = c.reltoastrelid)),
  (7, 'partition key', CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END),
  (8, 'partition bounds', pg_get_expr(c.relpartbound, c.oid)),
  (9, 'parents', (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_inherits i
     WHERE i.inhrelid = c.oid)),
  (10, 'row level security', CASE WHEN c.relforcerowsecurity THEN 'forced' WHEN c.relrowsecurity THEN 'enabled' END),
  (11, 'replica identity', CASE WHEN c.relkind IN ('r', 'p') THEN CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing'
     WHEN 'f' THEN 'full' ELSE 'index ' || coalesce((SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
       WHERE i.indrelid = c.oid AND i.indisreplident), '?') END END),
  (12, 'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END),
  (13, 'populated', CASE c.relkind WHEN 'm' THEN CASE WHEN c.relispopulated THEN 'yes' ELSE 'no' END END),
  (14, 'type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END),
  (15, 'foreign server', (SELECT s.srvname::text FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver
     WHERE f.ftrelid = c.oid)),
  (16, 'comment', obj_description(c.oid, 'pg_class'))
) v(ord, property, value)
WHERE v.value IS NOT NULL

-- @ tables
SELECT 'column', c.oid, '', a.attname, v.ord, v.property, v.value
FROM scope JOIN pg_class c ON c.oid = scope.rel JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
CROSS JOIN LATERAL (VALUES
  (1, 'type', format_type(a.atttypid, a.atttypmod)),
  (2, 'nullable', CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END),
  (3, 'default', CASE WHEN a.attgenerated = '' THEN replace(pg_get_expr(d.adbin, d.adrelid), coalesce((
     SELECT quote_literal(s.objid::regclass::text) FROM pg_depend s JOIN pg_depend u ON u.refobjid = s.objid
     AND u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid AND u.refclassid = 'pg_class'::regclass
     WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND s.refobjid = c.oid
     AND s.refobjsubid = a.attnum AND s.deptype = 'a' LIMIT 1), ''), '(its own sequence)') END),
  (4, 'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END),
  (5, 'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END),
  (6, 'collation', (SELECT l.oid::regcollation::text FROM pg_collation l WHERE l.oid = a.attcollation AND l.oid <> t.typcollation)),
  (7, 'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external'
     WHEN 'm' THEN 'main' ELSE 'extended' END END),
  (8, 'compression', nullif(to_jsonb(a) ->> 'attcompression', '')),
  (9, 'statistics target', nullif(to_jsonb(a) ->> 'attstattarget', '-1')),
  (10, 'options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o)),
  (11, 'comment', col_description(c.oid, a.attnum))
) v(ord, property, value)
WHERE c.relkind IN ('r', 'p', 'f') AND v.value IS NOT NULL

-- @ tables
SELECT 'constraint', k.conrelid, '', k.conname, v.ord, v.property, v.value
FROM scope JOIN pg_constraint k ON k.conrelid = scope.rel AND k.contype NOT IN ('t', 'n')
LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
CROSS JOIN LATERAL (VALUES
  (1, 'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '')),
  (2, 'validated', CASE WHEN k.convalidated THEN 'yes' ELSE 'no' END),
  (3, 'index', CASE WHEN NOT i.indisvalid THEN 'invalid' END),
  (4, 'clustered by', CASE WHEN i.indisclustered THEN 'yes' END),
  (5, 'comment', obj_description(k.oid, 'pg_constraint'))
) v(ord, property, value)
WHERE v.value IS NOT NULL

-- @ tables
SELECT 'index', i.indrelid, '', x.relname, v.ord, v.property, v.value
FROM scope JOIN pg_index i ON i.indrelid = scope.rel JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
CROSS JOIN LATERAL (VALUES
  (1, 'definition', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END ||
     ltrim(substr(pg_get_indexdef(x.oid), length('CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX '
       || quote_ident(x.relname) || ' ON ' || CASE x.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END || c.oid::regclass::text) + 1))),
  (2, 'valid', CASE WHEN i.indisvalid THEN 'yes' ELSE 'no' END),
  (3, 'part of', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = x.oid)),
  (4, 'clustered by', CASE WHEN i.indisclustered THEN 'yes' END),
  (5, 'comment', obj_description(x.oid, 'pg_class'))
) v(ord, property, value)
WHERE v.value IS NOT NULL AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))

-- @ tables
SELECT 'trigger', t.tgrelid, '', t.tgname, v.ord, v.property, v.value
FROM scope JOIN pg_trigger t ON t.tgrelid = scope.rel AND NOT t.tgisinternal
CROSS JOIN LATERAL (VALUES
  (1, 'definition', pg_get_triggerdef(t.oid)),
  (2, 'enabled', CASE t.tgenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' ELSE 'always' END),
  (3, 'comment', obj_description(t.oid, 'pg_trigger'))
) v(ord, property, value)
WHERE v.value IS NOT NULL

-- @ tables
SELECT 'rule', r.ev_class, '', r.rulename, v.ord, v.property, v.value
FROM scope JOIN pg_rewrite r ON r.ev_class = scope.rel AND r.rulename <> '_RETURN'
CROSS JOIN LATERAL (VALUES
  (1, 'definition', pg_get_ruledef(r.oid)),
  (2, 'enabled', CASE r.ev_enabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' ELSE 'always' END),
  (3, 'comment', obj_description(r.oid, 'pg_rewrite'))
) v(ord, property, value)
WHERE v.value IS NOT NULL

-- @ tables
SELECT 'policy', p.polrelid, '', p.polname, v.ord, v.property, v.value
FROM scope JOIN pg_policy p ON p.polrelid = scope.rel
CROSS JOIN LATERAL (VALUES
  (1, 'for', CASE WHEN p.polpermissive THEN '' ELSE 'restrictive ' END || CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
     WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END),
  (2, 'roles', (SELECT string_agg(CASE o WHEN 0 THEN 'public' ELSE pg_get_userbyid(o)::text END, ', ' ORDER BY pg_get_userbyid(o))
     FROM unnest(p.polroles) o)),
  (3, 'using', pg_get_expr(p.polqual, p.polrelid)),
  (4, 'with check', pg_get_expr(p.polwithcheck, p.polrelid)),
  (5, 'comment', obj_description(p.oid, 'pg_policy'))
) v(ord, property, value)
WHERE v.value IS NOT NULL

-- @ tables
SELECT 'statistics', s.stxrelid, '', s.stxname, 1, 'definition', pg_get_statisticsobjdef(s.oid)
FROM scope JOIN pg_statistic_ext s ON s.stxrelid = scope.rel

-- @ tables
, owned(seq, rel, col, attnum) AS (
  SELECT d.objid, d.refobjid, a.attname, a.attnum FROM scope JOIN pg_depend d ON d.refobjid = scope.rel
  AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid)
SELECT 'sequence', coalesce(o.rel, 0), n.nspname, CASE WHEN o.rel IS NULL THEN c.oid::regclass::text ELSE o.col::text END,
  v.ord, v.property, v.value
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN owned o ON o.seq = s.seqrelid
CROSS JOIN LATERAL (VALUES
  (1, 'name', c.oid::regclass::text),
  (2, 'type', format_type(s.seqtypid, NULL)),
  (3, 'increment', s.seqincrement::text),
  (4, 'start', s.seqstart::text),
  (5, 'minimum', s.seqmin::text),
  (6, 'maximum', s.seqmax::text),
  (7, 'cache', s.seqcache::text),
  (8, 'cycle', CASE WHEN s.seqcycle THEN 'yes' ELSE 'no' END),
  (9, 'owner', pg_get_userbyid(c.relowner)::text),
  (10, 'comment', obj_description(c.oid, 'pg_class')),
  (11, CASE WHEN s.seqincrement > 0 THEN 'position' ELSE 'position, falling' END, CASE WHEN o.rel IS NULL
     AND has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(c.oid)::text END)
) v(ord, property, value)
WHERE v.value IS NOT NULL AND (o.rel IS NOT NULL OR (:all AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pghaul')
  AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND (d.deptype = 'e' OR (d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0)))))

-- @ tables
, acl(rel, what, owner, item) AS (
  SELECT c.oid, '', c.relowner, x FROM scope JOIN pg_class c ON c.oid = scope.rel,
    aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
  UNION ALL
  SELECT c.oid, 'column ' || a.attname || ' ', c.relowner, x FROM scope JOIN pg_class c ON c.oid = scope.rel
    JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attacl IS NOT NULL, aclexplode(a.attacl) x
  UNION ALL
  SELECT d.refobjid, 'sequence of ' || a.attname || ' ', c.relowner, x FROM scope JOIN pg_depend d ON d.refobjid = scope.rel
    AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S', aclexplode(coalesce(c.relacl, acldefault('s', c.relowner))) x)
SELECT 'grant', a.rel, '', a.what || 'to ' || w.grantee, 1, 'privileges',
  string_agg((a.item).privilege_type || CASE WHEN (a.item).is_grantable THEN ' with grant option' ELSE '' END, ', '
    ORDER BY (a.item).privilege_type)
FROM acl a CROSS JOIN LATERAL (SELECT CASE (a.item).grantee WHEN 0 THEN 'public' WHEN a.owner THEN 'its owner'
  ELSE pg_get_userbyid((a.item).grantee)::text END) w(grantee)
GROUP BY a.rel, a.what, w.grantee

-- @ tables
, used(oid) AS (
  SELECT a.atttypid FROM scope JOIN pg_attribute a ON a.attrelid = scope.rel AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT d.oid FROM used u JOIN pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (
    SELECT t.typelem WHERE t.typelem <> 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
    UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid) d(oid))
SELECT 'type', 0, n.nspname, format_type(t.oid, NULL), v.ord, v.property, v.value
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
CROSS JOIN LATERAL (VALUES
  (1, 'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' ELSE 'base' END),
  (2, 'definition', CASE t.typtype
     WHEN 'e' THEN (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)
     WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) || coalesce(' default ' || t.typdefault, '')
       || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
       || coalesce((SELECT ' collate ' || l.oid::regcollation::text FROM pg_collation l JOIN pg_type b ON b.oid = t.typbasetype
          WHERE l.oid = t.typcollation AND l.oid <> b.typcollation), '')
     WHEN 'c' THEN (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
         || coalesce((SELECT ' collate ' || l.oid::regcollation::text FROM pg_collation l JOIN pg_type b ON b.oid = a.atttypid
            WHERE l.oid = a.attcollation AND l.oid <> b.typcollation), ''), ', ' ORDER BY a.attnum)
       FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
     WHEN 'r' THEN (SELECT format('subtype %s, operator class %I, canonical %s, difference %s', format_type(r.rngsubtype, NULL),
         o.opcname, r.rngcanonical, r.rngsubdiff) FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid)
     ELSE t.typinput::text || ', ' || t.typlen END),
  (3, 'constraints', (SELECT string_agg(quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname)
     FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n')),
  (4, 'owner', pg_get_userbyid(t.typowner)::text),
  (5, 'comment', obj_description(t.oid, 'pg_type'))
) v(ord, property, value)
WHERE v.value IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pghaul')
  AND t.typtype IN ('b', 'c', 'd', 'e', 'r') AND (t.typrelid = 0 OR c.relkind = 'c') AND (t.typelem = 0 OR t.typtype <> 'b')
  AND (:all OR t.oid IN (SELECT oid FROM used))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')

-- @ all
SELECT 'schema', 0, n.nspname, quote_ident(n.nspname), v.ord, v.property, v.value
FROM pg_namespace n CROSS JOIN LATERAL (VALUES
  (1, 'kind', 'schema'),
  (2, 'owner', pg_get_userbyid(n.nspowner)::text),
  (3, 'comment', obj_description(n.oid, 'pg_namespace'))
) v(ord, property, value)
WHERE v.value IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pghaul')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')

-- @ all
SELECT 'extension', 0, '', quote_ident(e.extname), v.ord, v.property, v.value
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace CROSS JOIN LATERAL (VALUES
  (1, 'version', e.extversion), (2, 'schema', n.nspname::text)) v(ord, property, value)

-- @ all
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, 0, n.nspname,
  format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), v.ord, v.property, v.value
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid
CROSS JOIN LATERAL (VALUES
  (1, 'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid)
     ELSE format('%s, state %s by %s, final %s, combine %s, initial %s, sort %s, %s', pg_get_function_result(p.oid),
       format_type(g.aggtranstype, NULL), g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.agginitval, g.aggsortop::regoperator,
       p.proparallel) END),
  (2, 'owner', pg_get_userbyid(p.proowner)::text),
  (3, 'comment', obj_description(p.oid, 'pg_proc'))
) v(ord, property, value)
WHERE v.value IS NOT NULL AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pghaul')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')

-- @ all
, acl(kind, schema, name, owner, item) AS (
  SELECT 'schema', n.nspname, quote_ident(n.nspname), n.nspowner, x
    FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x
  UNION ALL
  SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, n.nspname,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proowner, x
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  UNION ALL
  SELECT 'type', n.nspname, format_type(t.oid, NULL), t.typowner, x
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace, aclexplode(t.typacl) x WHERE t.typacl IS NOT NULL
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  UNION ALL
  SELECT 'sequence', n.nspname, c.oid::regclass::text, c.relowner, x
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(coalesce(c.relacl, acldefault('s', c.relowner))) x
    WHERE c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND (d.deptype = 'e' OR (d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0))))
SELECT 'grant', 0, a.schema, 'to ' || w.grantee || ' on ' || a.kind || ' ' || a.name, 1, 'privileges',
  string_agg((a.item).privilege_type || CASE WHEN (a.item).is_grantable THEN ' with grant option' ELSE '' END, ', '
    ORDER BY (a.item).privilege_type)
FROM acl a CROSS JOIN LATERAL (SELECT CASE (a.item).grantee WHEN 0 THEN 'public' WHEN a.owner THEN 'its owner'
  ELSE pg_get_userbyid((a.item).grantee)::text END) w(grantee)
WHERE a.schema !~ '^pg_' AND a.schema NOT IN ('information_schema', 'pghaul')
GROUP BY a.kind, a.schema, a.name, w.grantee

-- @ all
SELECT 'event trigger', 0, '', quote_ident(e.evtname), v.ord, v.property, v.value
FROM pg_event_trigger e CROSS JOIN LATERAL (VALUES
  (1, 'event', e.evtevent::text),
  (2, 'function', e.evtfoid::regprocedure::text),
  (3, 'enabled', CASE e.evtenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' ELSE 'always' END),
  (4, 'tags', (SELECT string_agg(x, ', ' ORDER BY x) FROM unnest(e.evttags) x))
) v(ord, property, value)
WHERE v.value IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')

-- @ all
SELECT 'publication', 0, '', quote_ident(p.pubname), v.ord, v.property, v.value
FROM pg_publication p CROSS JOIN LATERAL (VALUES
  (1, 'tables', CASE WHEN p.puballtables THEN 'all' ELSE coalesce((SELECT string_agg(r.prrelid::regclass::text, ', '
     ORDER BY r.prrelid::regclass::text) FROM pg_publication_rel r WHERE r.prpubid = p.oid), 'none') END),
  (2, 'publishes', concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
     CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END)),
  (3, 'owner', pg_get_userbyid(p.pubowner)::text)
) v(ord, property, value)

-- @ all
SELECT 'default privileges', 0, coalesce(n.nspname, ''), format('of %I%s for %s', pg_get_userbyid(a.defaclrole),
  coalesce(' in ' || quote_ident(n.nspname), ''), CASE a.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
  WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END), 1, 'privileges',
  (SELECT string_agg(x::text, ', ' ORDER BY x::text) FROM unnest(a.defaclacl) x)
FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace

-- @ all
, other(class, oid) AS (
  SELECT 'pg_operator'::regclass, oid FROM pg_operator UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast
  UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation WHERE collnamespace <> 'pg_catalog'::regnamespace
  UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
  UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
  UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
  UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
  UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform)
SELECT i.type, 0, coalesce(i.schema, ''), i.identity, 1, 'kind', i.type
FROM other o CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')

-- @ positions
SELECT d.refobjid, a.attname, d.objid::regclass::text, d.refobjid::regclass::text, quote_ident(a.attname), s.seqincrement > 0,
  has_sequence_privilege(d.objid, 'SELECT') AND has_column_privilege(d.refobjid, a.attnum, 'SELECT')
    AND NOT row_security_active(d.refobjid)
FROM scope JOIN pg_depend d ON d.refobjid = scope.rel AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
  AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 JOIN pg_sequence s ON s.seqrelid = d.objid
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_type t ON t.oid = a.atttypid AND t.typcategory = 'N'
ORDER BY 1, 2

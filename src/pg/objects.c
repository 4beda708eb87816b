#include "pg/objects.h"

#include "pg/sql.h"

const char ph_objects_select[] = "oid, off, data, owner, acl, note";
const char ph_objects_columns[] = "loid, off, data, owner, acl, note";

/* lo_get() needs no more than the right to read the object, while pg_largeobject is the superuser's. A
 * recursion, since nobody says how long an object is but the piece that is cut short. Grants are a line
 * each: whom to (nobody: public), what, and whether he may pass it on. */
void ph_objects_from(struct ph_buf *sql)
{
    ph_sql_add(
        sql,
        "(SELECT m.oid, p.off, p.data,"
        " CASE WHEN p.off OPERATOR(pg_catalog.=) 0 THEN"
        " pg_catalog.pg_get_userbyid(m.lomowner)::pg_catalog.text END AS owner,"
        " CASE WHEN p.off OPERATOR(pg_catalog.=) 0 THEN (SELECT pg_catalog.string_agg("
        "pg_catalog.concat_ws(E'\\t', CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN '' ELSE"
        " pg_catalog.pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable), E'\\n')"
        " FROM pg_catalog.aclexplode(m.lomacl) a) END AS acl,"
        " CASE WHEN p.off OPERATOR(pg_catalog.=) 0 THEN"
        " pg_catalog.obj_description(m.oid, 'pg_largeobject') END AS note"
        " FROM pg_catalog.pg_largeobject_metadata m CROSS JOIN LATERAL (WITH RECURSIVE p(off, data)"
        " AS (SELECT 0::pg_catalog.int8, pg_catalog.lo_get(m.oid, 0, %d) UNION ALL"
        " SELECT p.off OPERATOR(pg_catalog.+) %d, pg_catalog.lo_get(m.oid,"
        " p.off OPERATOR(pg_catalog.+) %d, %d) FROM p"
        " WHERE pg_catalog.octet_length(p.data) OPERATOR(pg_catalog.=) %d)"
        " SELECT off, data FROM p) p) objects",
        PH_OBJECT_PIECE, PH_OBJECT_PIECE, PH_OBJECT_PIECE, PH_OBJECT_PIECE, PH_OBJECT_PIECE);
}

void ph_objects_stage(struct ph_buf *sql)
{
    ph_buf_add(sql, "CREATE TEMPORARY TABLE pghaul_objects (loid pg_catalog.oid,"
                    " off pg_catalog.int8, data pg_catalog.bytea, owner pg_catalog.text,"
                    " acl pg_catalog.text, note pg_catalog.text) ON COMMIT DROP;");
}

void ph_objects_take_back(struct ph_buf *sql, int64_t xid)
{
    ph_sql_add(sql,
               "SELECT pg_catalog.count(pg_catalog.lo_unlink(m.oid)) FROM"
               " pg_catalog.pg_largeobject_metadata m"
               " WHERE m.xmin OPERATOR(pg_catalog.=) '%D'::pg_catalog.xid;",
               xid & 0xffffffff);
}

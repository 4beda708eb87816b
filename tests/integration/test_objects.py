"""Large objects: content, OIDs, owners, grants and comments, once each whoever dies."""

import ledger
from story import story

WHOLE = """select m.oid, md5(lo_get(m.oid)), length(lo_get(m.oid)), pg_get_userbyid(m.lomowner),
    (select string_agg(a::text, ' ' order by a::text) from unnest(m.lomacl) a), obj_description(m.oid, 'pg_largeobject')
    from pg_largeobject_metadata m order by 1"""


def make(t, small=300):
    """Objects of all lengths around the size of a piece, holes within and at the end, an owner, grants, a comment."""
    t.both("create extension lo; create table doc (id int primary key, content lo)")
    t.source.query("""
        select lo_from_bytea(0, decode(repeat(md5(i::text), i %% 40), 'hex')) from generate_series(0, %d) i;
        select lo_from_bytea(0, substr(decode(repeat('0123456789abcdef', 50000), 'hex'), 1, n))
          from unnest(array[1, 2047, 2048, 131071, 131072, 131073, 262144]) n;
        select lo_from_bytea(0, decode(repeat('00', n), 'hex')) from unnest(array[1, 131072, 262144]) n;
        do $$ declare o oid; fd int; begin
            o := lo_from_bytea(0, 'begin'); perform lo_put(o, 5000000, 'far');
            o := lo_create(0); fd := lo_open(o, 393216); perform lo_truncate64(fd, 3000000); perform lo_close(fd);
        end $$; insert into doc select row_number() over (), oid from pg_largeobject_metadata""" % small)
    role = "lo_%s" % t.id
    for cluster in (t.source_cluster, t.target_cluster):
        with cluster.session() as s:
            s.query('create role "%s"' % role)
    with t.source_cluster.session() as s:
        s.query('create role "%s_gone"' % role)
    t.source.query("""do $$ declare o oid[] := array(select oid from pg_largeobject_metadata order by oid limit 4); begin
        execute format('alter large object %%s owner to %%I', o[1], '%s');
        execute format('alter large object %%s owner to %%I', o[2], '%s_gone');
        execute format('grant select on large object %%s to public', o[1]);
        execute format('grant select, update on large object %%s to %%I with grant option', o[3], '%s');
        execute format('grant select on large object %%s to %%I', o[3], '%s_gone');
        execute format('comment on large object %%s is %%L', o[4], E'it''s\n a \\ comment'); end $$""" % ((role,) * 4))
    return role


def forget(t, role):
    for side in (t.source, t.target):
        side.query("select lo_unlink(oid) from pg_largeobject_metadata")
        with side.cluster.session() as s:
            s.query('drop role if exists "%s", "%s_gone"' % (role, role))


def same_objects(t, role):
    here, there = t.source.query(WHOLE), t.target.query(WHOLE)
    assert len(here) == len(there) > 10, (len(here), len(there))
    for a, b in zip(here, there):
        if role + "_gone" in (a[3] or "") + (a[4] or ""):  # no such role there: ours, and its grants are left out
            assert a[:3] + a[5:] == b[:3] + b[5:] and role + "_gone" not in "%s%s" % (b[3], b[4]), (a, b)
        else:
            assert a == b, (a, b)


def objects_that_differ_are_named_and_mended(t, job):
    """Leaves all as it was."""
    def look(*args, rc=0):
        table = t.run("verify", *t.ends(), "--json", *args).expect(rc).json["tables"][-1]
        assert table["source"] == "large objects" and table["equal"] == (rc == 0) and table["level"] == "source", table
        return {d["key"]["oid"]: d.get("columns", d["kind"]) for d in table["differences"]}, table
    owners = look("--job", job, "--definitions", rc=3)[0]
    assert sorted(x for v in owners.values() for x in v) == ["grants", "owner"], "roles that the target lacks: %s" % owners
    assert look("--large-objects")[1]["source_rows"] == t.source.int("select count(*) from pg_largeobject_metadata")
    oid = [int(x) for x in t.target.column("select oid from pg_largeobject_metadata where length(lo_get(oid)) > 10 order by 1")]
    long = t.target.int("select oid from pg_largeobject_metadata where length(lo_get(oid)) = 131072 order by 1 limit 1")
    granted = t.target.int("select oid from pg_largeobject_metadata order by oid offset 2 limit 1")
    t.target.query("select lo_put(%d, 3, '!'); comment on large object %d is 'other'; select lo_unlink(%d); select lo_put(%d, 0, '?')"
                   % (oid[5], oid[6], oid[7], granted))
    t.target.query("begin; select lo_open(%d, 393216); select lo_truncate(0, 131071); commit; select lo_create(4000000)" % long)
    expected = {oid[5]: ["content"], oid[6]: ["comment"], oid[7]: "missing", long: ["content"], granted: ["content"]}
    seen, table = look("--job", job, rc=3)
    assert seen == expected and table["extra_ignored"] == 1 and table["changed"] == 4, table
    exact = {**{k: v for k, v in expected.items() if v != ["comment"]}, 4000000: "extra"}
    assert look("--job", job, "--exact", "--no-comments", "-j", 1, rc=3)[0] == exact
    t.run("verify", *t.ends(), "--large-objects", "--repair", "--dry-run").expect(3, "dry run: 5 large objects would be written, 0 deleted")
    t.run("verify", *t.ends(), "--large-objects", "--repair", fault="repair.mended:1:error").expect(1)
    assert look("--job", job, rc=3)[0] == expected
    seen, table = look("--job", job, "--repair", "--exact", rc=3)
    assert seen == {4000000: "extra"} and table["repaired"] == 5 and table["deleted"] == 0, table
    t.run("verify", *t.ends(), "--large-objects", "--repair", "--exact").expect(3, "--max-delete 1 would")
    assert look("--large-objects", "--repair", "--exact", "--max-delete", 1)[1]["deleted"] == 1
    t.target.query("update pghaul.job set state = 'open'; select lo_put(%d, 3, '!')" % oid[5])
    t.run("verify", *t.ends(), "--large-objects", "--repair").expect(3, "job is not complete")
    t.target.query("update pghaul.job set state = 'completed'")
    t.run("verify", *t.ends(), "--large-objects", "--repair").expect(0, "mended: 1 object\n")


@story()
def large_objects_arrive_with_their_oids_owners_grants_and_comments(t):
    role = make(t)
    try:
        plain = t.run("plan", *t.ends(), "-t", "doc").expect(0, "--large-objects")
        assert "large objects: their content is not copied" in plain.out, plain
        shown = t.plan("-t", "doc", "--large-objects", "--shard-size", "32kB")["tables"]
        assert [x["source"] for x in shown] == ["public.doc", "pg_catalog.pg_largeobject_metadata"] and shown[1]["shards"] > 2, shown
        assert role + "_gone" in str(shown[1]["warnings"]), shown
        done = t.copy("-t", "doc", "--large-objects", "-j", 2, "--shard-size", "32kB", "--json").expect(0).json
        assert done["tables"][1]["source"] == "pg_catalog.pg_largeobject_metadata" and done["tables"][1]["rows"] > 300, done
        same_objects(t, role)
        sparse = "select count(*) from pg_largeobject"
        assert t.target.int(sparse) <= t.source.int(sparse) + 200, "holes were filled"
        t.whole("doc")
        t.copy("-t", "doc", "--large-objects", "--shard-size", "32kB").expect(0, "nothing")
        told = t.run("verify", *t.ends(), "--job", done["job"], "--json").expect(0).json
        assert [x["target"] for x in told["tables"]] == ["public.doc", "large objects"], told
        objects_that_differ_are_named_and_mended(t, done["job"])
        t.copy("-t", "doc", "--large-objects", "--again", "--mode", "replace", "--job", "other").expect(2, "already", "hint")
        same_objects(t, role)
    finally:
        forget(t, role)


@story(dice=True)
def large_objects_go_on_after_a_kill_and_are_there_once(t):
    role = make(t, 3000)
    args = ("--large-objects", "-j", 2, "--shard-size", "32kB", "--spill", t.random.choice(["never", "always"]))
    try:
        with t.start_copy(*args) as running:
            t.when_landed(t.random.randrange(1, 12), running)
            running.kill9()
        t.copy(*args).expect(0)
        same_objects(t, role)
        t.check_ledger(complete=True)
        t.nothing_left()
    finally:
        forget(t, role)


@story(own=True, campaign=True)
def large_objects_are_read_again_when_the_snapshot_was_lost(t):
    role = make(t, 2000)
    args = ("--large-objects", "-j", 1, "--shard-size", "32kB", "--max-rate", "3MiB/s", "--spill", "never")
    with t.start_copy(*args) as running:
        t.when_landed(3, running)
        running.kill9()
    landed = t.landed()
    t.source.forget()
    t.source_cluster.restart("immediate")
    t.source.query("select lo_put(min(oid), 0, 'changed') from pg_largeobject_metadata")
    assert landed > 0
    t.copy("--large-objects", "-j", 2).expect(0, "read again")
    same_objects(t, role)
    assert len(ledger.receipts(t.target)) > landed

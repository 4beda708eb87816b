"""--fk-order: a target that has its foreign keys already takes the rows in their order."""

from cluster import wait_for
from story import story

# The youngest come first by size and by name, so that nothing but their keys puts them in order.
TREE = """
create table c_oldest (id int primary key, w text);
create table b_child (id int primary key, up int not null references c_oldest, w text);
create table a_grandchild (id int primary key, up int not null references b_child, other int references c_oldest, w text);
create table apart (id int primary key, w text);
create table z_boss (id int primary key, boss int references z_boss, w text)"""
ROWS = """
insert into c_oldest select g, repeat('x', 100) from generate_series(1, 4000) g;
insert into b_child select g, 1 + g % 4000, repeat('y', 200) from generate_series(1, 6000) g;
insert into a_grandchild select g, 1 + g % 6000, 1 + g % 4000, repeat('z', 300) from generate_series(1, 9000) g;
insert into apart select g, repeat('w', 100) from generate_series(1, 4000) g;
insert into z_boss select g, 8001 - g, repeat('v', 100) from generate_series(1, 8000) g"""
TABLES = ("c_oldest", "b_child", "a_grandchild", "apart", "z_boss")
NAMED = tuple(word for table in TABLES for word in ("-t", table))
SMALL = ("--shard-size", "128kB", "-j", "3")
ORDER = (*NAMED, "--fk-order", *SMALL)


def tree(t):
    t.both(TREE)
    t.source.query(ROWS + "; analyze")


def landed_of(t, table):
    return t.target.int("select count(*) from pghaul.shard s join pghaul.tab t on t.job = s.job and t.id = s.tab "
                        "where s.state = 'landed' and t.source_name = '%s'" % table)


def in_order(t):
    """By the receipts: the last shard of a table that is referred to landed before the first of one that refers to it."""
    for older, younger in (("c_oldest", "b_child"), ("b_child", "a_grandchild"), ("c_oldest", "a_grandchild")):
        late, early = (t.target.column(
            "select %s(landed_at) from pghaul.all_receipts r join pghaul.tab t on t.job = r.job and t.id = r.tab "
            "where t.source_name = '%s'" % (which, table))[0] for which, table in (("max", older), ("min", younger)))
        assert late <= early, (older, younger, late, early)


@story()
def tables_land_after_those_that_they_refer_to(t):
    tree(t)
    t.copy(*NAMED, *SMALL).expect(2, "a_grandchild refers to", "--fk-order")
    plan = t.plan(*ORDER)
    after = {table["source"]: sorted(table["after"]) for table in plan["tables"]}
    assert after == {"public.c_oldest": [], "public.apart": [], "public.z_boss": [], "public.b_child": ["public.c_oldest"],
                     "public.a_grandchild": ["public.b_child", "public.c_oldest"]}, after
    whole = [table for table in plan["tables"] if table["source"] == "public.z_boss"][0]
    assert whole["shards"] == 1 and "itself" in whole["split_reason"], whole
    result = t.copy(*ORDER, "--json").expect(0).json
    assert result["retries"] == 0 and result["shards"] > 20, result
    in_order(t)
    t.whole(*TABLES)
    # again, with all of them emptied by one statement
    t.copy(*ORDER, "--mode", "replace", "--job", "anew").expect(0)
    t.same(*TABLES)


@story()
def by_way_of_files_everything_is_read_at_once_and_lands_in_order(t):
    tree(t)
    result = t.copy(*ORDER, "--spill", "always", "--json").expect(0).json
    assert result["retries"] == 0 and result["spilled_bytes"] > 0, result
    in_order(t)
    t.whole(*TABLES)


@story(campaign=True)
def a_directory_with_little_room_never_fills_with_what_must_wait(t):
    tree(t)
    result = t.copy(*ORDER, "--spill", "always", "--spill-size", "300kB", "--json").expect(0).json
    assert result["spilled_bytes"] > 0, result
    in_order(t)
    t.whole(*TABLES)


@story(campaign=True)
def a_killed_copy_and_two_movers_keep_the_order(t):
    tree(t)
    assert t.copy(*ORDER, fault="desk.claimed:5:kill").rc == -9
    with t.start_copy(*ORDER, "--target-max-rate", "2MB/s") as run:
        wait_for(lambda: not run.alive() or t.landed() > 20, "20 shards landed")
        assert run.alive() and run.kill9()
    with t.start_copy(*ORDER) as one, t.start_copy(*ORDER, "--join") as two:
        for run in (one, two):
            assert run.wait().rc in (0, 4)
    t.copy(*ORDER).expect(0)
    in_order(t)
    t.whole(*TABLES)


@story()
def what_waits_for_a_parked_shard_is_left_and_goes_on_later(t):
    tree(t)
    t.target.query("alter table b_child add check (id <> 3000)")
    t.copy(*ORDER).expect(1, "parked", "b_child")
    assert t.rows("apart") == 4000 and t.rows("c_oldest") == 4000 and t.rows("a_grandchild") == 0
    t.target.query("alter table b_child drop constraint b_child_id_check")
    t.copy(*ORDER).expect(0)
    in_order(t)
    t.whole(*TABLES)


@story()
def a_circle_has_no_order_and_partitions_have_that_of_their_roots(t):
    t.both("create table hen (id int primary key, egg int); create table egg (id int primary key, hen int references hen);"
           "alter table hen add foreign key (egg) references egg;"
           "create table coop (id int primary key, hen int references hen);"
           "create table area (id int primary key) partition by range (id);"
           "create table area1 partition of area for values from (0) to (100);"
           "create table area2 partition of area for values from (100) to (200);"
           "create table a_house (id int, area int references area, w text) partition by range (id);"
           "create table a_house1 partition of a_house for values from (0) to (1000);"
           "create table a_house2 partition of a_house for values from (1000) to (9000)")
    t.source.query("insert into hen select g from generate_series(1, 5) g; insert into egg select g, g from hen h(g);"
                   "update hen set egg = id; insert into coop select g, g from hen h(g);"
                   "insert into area select generate_series(0, 199);"
                   "insert into a_house select g, g % 200, repeat('x', 200) from generate_series(0, 4000) g; analyze")
    circle = ("-t", "hen", "-t", "egg", "-t", "coop", "--fk-order")
    t.copy(*circle).expect(2, "in a circle", "public.hen", "public.egg", "--defer-indexes")
    refused = t.run("plan", *t.ends(), "--json", *circle).json["obstacles"]
    assert len(refused) == 2 and not any("coop" in o["message"] for o in refused), refused
    t.copy(*circle, "--defer-indexes").expect(0)
    t.same("hen", "egg", "coop")
    t.copy("-t", "area", "-t", "a_house", "--fk-order", *SMALL).expect(0)
    t.same("area", "a_house")
    t.nothing_left()


@story()
def an_archive_is_loaded_in_order(t):
    tree(t)
    archive = "archive:" + t.directory + "/archive"
    named = tuple(word for table in TABLES if table != "z_boss" for word in ("-t", table))
    t.run("extract", "-s", t.source.dsn, "-d", archive, *named, "--shard-size", "128kB").expect(0)
    t.run("load", "-s", archive, "-d", t.target.dsn).expect(2, "--fk-order")
    t.run("load", "-s", archive, "-d", t.target.dsn, "--fk-order", "-j", "3").expect(0)
    in_order(t)
    t.same(*(table for table in TABLES if table != "z_boss"))
    t.check_ledger(complete=True)

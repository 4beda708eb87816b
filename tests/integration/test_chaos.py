"""Everything that can happen, in an order that dice choose; afterwards the target is as the source."""

import signal

import data
import ledger
from cluster import wait_for
from story import sleep_random, story


def run_and_stop(t, args):
    """A run that is killed, interrupted or left to its end."""
    how = t.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, "twice"))
    with t.start_copy(*args) as run:
        t.when_landed(ledger.landed(t.target) + t.random.randint(0, 3), run)
        sleep_random(t.random, 0.03)
        for number in (signal.SIGINT, signal.SIGINT) if how == "twice" else (how,):
            if run.alive():
                run.signal(number)
            sleep_random(t.random, 0.01)
        if run.process.wait(60) == -signal.SIGINT:
            return "interrupted before it could hear it"
        result = run.wait()
    assert result.rc in (0, 130, -signal.SIGKILL), result
    return str(how)


def crash_target(t):
    t.target_cluster.crash()
    t.target_cluster.start()


def drop_snapshot(t):
    t.source.terminate(t.source.backends())
    wait_for(lambda: not t.source.backends() and not t.mover.processes(), "the end of the keeper")


def restart_source(t):
    t.source.forget()
    t.source_cluster.restart(t.random.choice(("fast", "immediate")))
    wait_for(lambda: not t.mover.processes(), "the end of the keeper")


CHANGES = ["update narrow set c = c + 1 where id = {a}", "begin; savepoint s; update narrow set b = 7 where id = {a}; release s; commit",
           "delete from narrow where id = {a}", "update narrow set id = -id where id in ({a}, {b})",
           "insert into narrow values (nextval('more'), 1, 1, 1)", "update narrow set a = a where id between {a} and {a} + 50"]


def change_source(t):
    """Only where no snapshot is held: what the job ends with is then the source as it is."""
    for _ in range(t.random.randint(0, 2)):
        t.source.query(t.random.choice(CHANGES).format(a=t.random.randint(1, 60000), b=t.random.randint(1, 60000)))


def nothing_to_read(t):
    """All shards have landed, even if nobody has said yet that the job is complete."""
    return ledger.exists(t.target) and t.target.one(
        "select bool_and(state = 'landed') from pghaul.shard") == "t"


@story(own=True, dice=True, rounds=1, heavy=True)
def whatever_happens_in_whatever_order_every_row_is_there_once(t):
    data.narrow(t, 60000)
    t.source.query("create sequence more start 5000000")
    args = ["-t", "narrow", "-j", t.random.randint(1, 3), "--mode", t.random.choice(("append", "replace", "upsert")),
            "--split", t.random.choice(("block", "key", "hash", "auto")), "--shard-size", "256kB"]
    unlogged = t.random.random() < 0.2
    if unlogged:
        t.target.query("alter table narrow set unlogged")
    t.note("%s, unlogged %s" % (args, unlogged))
    for _ in range(t.random.randint(2, 5)):
        story_so_far = run_and_stop(t, args)
        if t.random.random() < 0.3:
            crash_target(t)
            story_so_far += ", target crashed"
        if t.random.random() < 0.6:
            t.random.choice((drop_snapshot, restart_source))(t)
            story_so_far += ", snapshot lost"
            if nothing_to_read(t):
                t.note(story_so_far + ", everything had landed")
                break
            change_source(t)
        t.note(story_so_far)
        wait_for(lambda: not t.target.backends(), "the end of target backends", 10)
        t.check_ledger()
    t.copy(*args).expect(0)
    upserted_and_gone = args[5] == "upsert" and t.target.int("select count(*) from pghaul.snapshot") > 1
    if not upserted_and_gone:
        t.whole("narrow")
    else:
        # Rows that an upsert had brought and the source has deleted meanwhile are not an upsert's business.
        ids = ",".join(t.source.column("select id from narrow"))
        t.target.query("delete from narrow where not id = any('{%s}')" % ids)
        t.same("narrow")
        t.nothing_left()

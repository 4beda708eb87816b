"""Rates, seen from outside: a proxy before the target counts what comes by. bench/haul/throttle has the whole matrix."""

import os
import time

import data
from cluster import wait_for
from proxy import CountingProxy
from story import story

MIB = 1 << 20
STRAIGHT = ("--spill", "never", "--shard-size", "1MiB")


def counted(t, *args, table="blob"):
    """Copies through the proxy. Returns it, and the result."""
    directory = os.path.join(t.directory, "proxy")
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    with CountingProxy(directory, t.target_cluster) as proxy:
        result = t.run("copy", "-s", t.source.dsn, "-d", proxy.dsn(t.target), "-t", table, "--json", *STRAIGHT,
                       *args).expect(0).json
    return proxy, result


def is_kept(proxy, rate, total):
    """No second has more than 1.25 times the rate, and no time from the first to the last byte is shorter than the rate allows."""
    most = proxy.most(1.0)
    assert most <= 1.25 * rate, "%.2f times the rate in one second" % (most / rate)
    big = [when for when, n in proxy.sent if n > 3000]
    took = big[-1] - big[0]
    assert took >= 0.98 * total / rate - 0.15, "%.2f s for %.2f s worth" % (took, total / rate)
    # what a busy machine did not take for longer than the burst is lost, as it should be
    stalled = sum(b - a - 0.1 for a, b in zip(big, big[1:]) if b - a > 0.1)
    assert took - stalled <= 1.15 * total / rate, "%.2f s, of which %.2f s stalled, for %.2f s worth: slower than it may be" % (
        took, stalled, total / rate)


@story()
def a_rate_is_kept_by_one_worker_and_by_four(t):
    data.blob(t, 8)
    for n in 1, 4:
        proxy, result = counted(t, "--max-rate", "4MiB", "-j", n, "--job", "j", "--mode", "replace", "--again")
        is_kept(proxy, 4 * MIB, 8 * MIB)
        assert result["throttled_seconds"].get("rate", 0) > 0, result["throttled_seconds"]
    t.whole("blob")


@story()
def a_rate_of_rows_is_kept(t):
    data.narrow(t, 60000)
    began = time.monotonic()
    t.copy("-t", "narrow", "--max-rows", "30k/s", "-j", 2, *STRAIGHT).expect(0)
    assert 1.9 < time.monotonic() - began < 3.5, time.monotonic() - began
    t.whole("narrow")


@story()
def clocks_that_are_set_do_no_harm(t):
    """The mover's leaps a day back and forth each second; the target's was set, as the times in the ledger show it."""
    data.blob(t, 6)
    leap = os.path.join(t.rig.tools, "leap.so")
    with t.start_copy("-t", "blob", "--job", "j", "--max-rate", "2MiB", "-j", 2, *STRAIGHT, "--max-load", "50", "--max-lag", "5s",
                      "--metrics-file", t.directory + "/run.prom", "--json", env={"LD_PRELOAD": leap}) as run:
        t.when_landed(1, run)
        t.target.query("update pghaul.mover set beat_at = beat_at - interval '1 day'")  # it went forward
        # and back: what failed a moment ago seems to be due tomorrow
        t.target.query("update pghaul.shard set not_before = clock_timestamp() + interval '1 day' where state = 'planned'")
        result = run.wait().expect(0).json
    assert 2.5 < result["seconds"] < 10, result["seconds"]
    held = result["throttled_seconds"]  # but for the moment in which guards know nothing yet
    assert held.get("load", 0) + held.get("lag", 0) < 1, held
    t.whole("blob")


@story()
def movers_of_one_job_share_its_rate(t):
    data.blob(t, 24)
    args = ("-t", "blob", "--job", "j", "--max-rate", "6MiB", "-j", 2, *STRAIGHT)
    with t.start_copy(*args) as first:
        t.when_landed(1, first)
        with t.start_copy(*args, "--join") as second:
            wait_for(lambda: t.target.int("select count(*) from pghaul.live") == 2, "the second mover")
            time.sleep(1.0)  # both have heard of each other
            before, then = t.target.int("select sum(bytes) from pghaul.all_receipts"), time.monotonic()
            time.sleep(2.0)
            rate = (t.target.int("select sum(bytes) from pghaul.all_receipts") - before) / (time.monotonic() - then)
            assert second.alive() and first.alive()
            movers = t.target.int("select count(distinct mover) from pghaul.all_receipts")
            first.wait().expect(0)
            second.wait().expect(0)
    assert movers == 2, "only one of them landed anything"
    assert 0.6 * 6 * MIB < rate < 1.4 * 6 * MIB, "%.1f MiB/s together" % (rate / MIB)  # receipts come by the MiB
    t.whole("blob")


@story()
def a_timetable_holds_by_local_time(t):
    data.blob(t, 4)
    now = time.localtime()
    if now.tm_hour == 23 and now.tm_min >= 58:
        time.sleep(125)
        now = time.localtime()
    today, env = time.strftime("%a", now), {"TZ": time.tzname[0] + "0" if time.timezone == 0 else ""}
    env = {k: v for k, v in env.items() if v}
    with t.start_copy("-t", "blob", "--job", "j", "--timetable", "%s pause; else off" % today, *STRAIGHT, env=env) as run:
        wait_for(lambda: "paused: timetable: %s pause" % today in run.stderr_so_far(), "the pause", 10)
        assert t.landed() == 0
        run.kill9()
    began = time.monotonic()
    result = t.copy("-t", "blob", "--job", "j", "--timetable", "%s 2MiB/s; else pause" % today, *STRAIGHT, "--json",
                    env=env).expect(0).json
    assert 1.6 < time.monotonic() - began < 4.5
    assert result["throttled_seconds"]["rate"] > 0
    t.copy("-t", "blob", "--job", "x", "--timetable", "Mon 8-18 1MiB").expect(2, "timetable", "08:00-18:00")
    t.whole("blob")

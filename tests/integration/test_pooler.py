"""A pooler between us and a server is recognised, whatever it is: it would hand our sessions' settings to others."""

import os
import shutil
import subprocess

import data
from cluster import chown_to_ordinary, free_port, ordinary_user, wait_for
from story import Skip, story

CONF = """[databases]
* = host=%s port=%d user=%s
[pgbouncer]
listen_addr =
listen_port = %d
unix_socket_dir = %s
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits, options
logfile = %s/pgbouncer.log
pidfile = %s.pid
"""


@story()
def pgbouncer_in_transaction_mode_is_recognised_and_nothing_is_changed(t):
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not os.path.exists(program):
        raise Skip("pgbouncer is not installed")
    data.narrow(t, 100)
    place = t.directory + "/p"
    os.mkdir(place)
    chown_to_ordinary(place)
    for side in ("source", "target"):
        cluster = getattr(t, side + "_cluster")
        port = free_port(t.rig.sockets)
        conf = t.write(side + ".ini", CONF % (cluster.sockets, cluster.port, cluster.user, port, place, place, place + "/" + side))
        with subprocess.Popen([program, "-q", conf], **ordinary_user()[0], cwd="/", stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(lambda: os.path.exists("%s/.s.PGSQL.%d" % (place, port)), "pgbouncer's socket", 10)
                dsn = "host=%s port=%d dbname=%s user=%s" % (place, port, t.source.name, cluster.user)
                ends = ("-s", dsn, "-d", t.target.dsn) if side == "source" else ("-s", t.source.dsn, "-d", dsn)
                t.run("copy", *ends, "-t", "narrow").expect(2, "the %s is behind a connection pooler" % side, "hint")
            finally:
                process.terminate()
    assert not t.target.column("select 1 from pg_namespace where nspname = 'pghaul'")
    assert t.rows("narrow") == 0

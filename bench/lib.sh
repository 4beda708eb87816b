# shellcheck shell=bash
# Two throwaway PostgreSQL clusters and the data that the benches and the demo move between them.
#
# To be sourced by bash. Call order:
#     bench_begin                     a temporary directory, emptied again when the shell ends
#     bench_pair [setting=value ...]  initdb and start of `source` and `target`; exports BENCH_SOURCE and BENCH_TARGET
#     make_narrow 4000000 ...         a table in the source, and its empty twin (no indexes) in the target
#
# Everything lives under ${TMPDIR:-/tmp}. The servers listen on Unix sockets only and trust whoever reaches the
# directory (mode 0700, of the user who runs them: the caller, or `postgres`/`nobody` when the caller is root).
# BENCH_KEEP=1 leaves servers and directory behind and says where.

bench_say() { printf '%s\n' "$*" >&2; }

bench_die() {
    bench_say "bench: $*"
    exit 1
}

# The newest server of at least 14 that is installed; PGHAUL_PGBIN overrides.
bench_pgbin() {
    local dir
    if [ -n "${PGHAUL_PGBIN:-}" ]; then
        printf '%s\n' "$PGHAUL_PGBIN"
        return
    fi
    dir=$(pg_config --bindir 2>/dev/null)
    if [ ! -x "$dir/initdb" ]; then
        dir=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
    fi
    [ -x "$dir/initdb" ] || bench_die "no PostgreSQL server found (set PGHAUL_PGBIN)"
    printf '%s\n' "$dir"
}

# As the user who owns the clusters: PostgreSQL refuses to run as root.
bench_as() {
    if [ -n "$BENCH_USER" ]; then
        (cd / && exec setpriv --reuid "$BENCH_USER" --regid "$(id -g "$BENCH_USER")" --clear-groups \
            env HOME=/ "$@")
    else
        "$@"
    fi
}

bench_begin() {
    local base=${TMPDIR:-/tmp} name
    BENCH_PGBIN=$(bench_pgbin) || exit 1
    # Nothing of the caller's environment decides where we connect or what is moved.
    for name in $(compgen -e); do
        case $name in PGHAUL | PGHAUL_PGBIN) ;; PG*) unset "$name" ;; esac
    done
    BENCH_USER=
    if [ "$(id -u)" = 0 ]; then
        if id postgres >/dev/null 2>&1; then BENCH_USER=postgres; else BENCH_USER=nobody; fi
    fi
    # A socket's path may have 107 bytes.
    [ ${#base} -le 60 ] || base=/tmp
    BENCH_DIR=$(mktemp -d "$base/pghaul.XXXXXX") || exit 1
    [ -z "$BENCH_USER" ] || chown "$BENCH_USER" "$BENCH_DIR"
    BENCH_OWNER_PID=$BASHPID
    export BENCH_DIR BENCH_USER BENCH_PGBIN BENCH_OWNER_PID
    trap 'bench_end' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

bench_end() {
    local status=$? name pid
    [ "${BENCH_OWNER_PID:-}" = "$BASHPID" ] || return $status
    trap - EXIT
    # A mover of ours would wait for its servers to come back.
    for pid in $(jobs -p); do kill -9 "$pid" 2>/dev/null; done
    if [ -n "${BENCH_KEEP:-}" ]; then
        bench_say "kept: $BENCH_DIR (host=$BENCH_DIR port=5401 is the source, 5402 the target)"
        return $status
    fi
    for name in source target; do
        [ -f "$BENCH_DIR/$name/postmaster.pid" ] && bench_stop "$name" immediate
    done
    rm -rf "$BENCH_DIR"
    return $status
}

bench_port() { case $1 in source) echo 5401 ;; target) echo 5402 ;; *) bench_die "no cluster $1" ;; esac; }

# bench_init NAME [setting=value ...]
bench_init() {
    local name=$1 dir=$BENCH_DIR/$1 setting
    shift
    bench_as "$BENCH_PGBIN/initdb" -D "$dir" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
        >"$BENCH_DIR/initdb.log" 2>&1 || { cat "$BENCH_DIR/initdb.log" >&2; bench_die "initdb failed"; }
    {
        echo "port = $(bench_port "$name")"
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$BENCH_DIR'"
        echo "unix_socket_permissions = 0700"
        echo "shared_buffers = ${BENCH_BUFFERS:-1GB}"
        echo "max_wal_size = 8GB"
        echo "min_wal_size = 2GB"
        echo "checkpoint_timeout = 30min"
        echo "max_connections = 100"
        echo "max_prepared_transactions = 0"
        echo "fsync = ${BENCH_FSYNC:-on}"
        # A chance autovacuum in one run and not in the other would be measured as a difference of movers.
        echo "autovacuum = off"
        echo "logging_collector = off"
        echo "log_checkpoints = on"
        for setting in "$@"; do echo "${setting%%=*} = ${setting#*=}"; done
    } | bench_as tee -a "$dir/postgresql.conf" >/dev/null
}

bench_start() {
    bench_as "$BENCH_PGBIN/pg_ctl" -D "$BENCH_DIR/$1" -l "$BENCH_DIR/$1.log" -w -t 60 -s start ||
        { tail -n 20 "$BENCH_DIR/$1.log" >&2; bench_die "the $1 cluster does not start"; }
}

# bench_stop NAME [fast|immediate]
bench_stop() {
    bench_as "$BENCH_PGBIN/pg_ctl" -D "$BENCH_DIR/$1" -m "${2:-fast}" -w -t 120 -s stop >&2
}

# bench_record NAME FILE: the section of bench/RESULTS.md that has this name is replaced by the file's text, or added. From the
# repository's top.
bench_record() {
    python3 - "$1" "$2" <<'PY'
import re, sys
name, path = sys.argv[1:]
results = "bench/RESULTS.md"
head = "# Results\n\nWritten by `bench/run.sh`, `bench/versus` and `bench/limit`; each section says how it came about.\n"
try:
    text = open(results).read()
except FileNotFoundError:
    text = head
parts = re.split(r"(?m)^(?=## )", text)
new = open(path).read().strip() + "\n"
for i, part in enumerate(parts):
    if part.startswith("## %s\n" % name):
        parts[i] = new
        break
else:
    parts.append(new)
open(results, "w").write("\n".join(p.rstrip("\n") + "\n" for p in parts))
PY
}

# Installs what bench/packages.txt lists, as far as it is missing. From the repository's top.
bench_packages() {
    (
        . tests/support/setup.sh
        pghaul_packages=bench/packages.txt
        pghaul_setup
    )
}

# Both clusters, each with an empty database `bench`.
bench_pair() {
    local name
    for name in source target; do
        bench_init "$name" "$@"
        bench_start "$name"
        "$BENCH_PGBIN/psql" -X -q -h "$BENCH_DIR" -p "$(bench_port "$name")" -U postgres -d postgres \
            -c 'CREATE DATABASE bench' || bench_die "cannot create the $name database"
    done
    BENCH_SOURCE="host=$BENCH_DIR port=5401 user=postgres dbname=bench"
    BENCH_TARGET="host=$BENCH_DIR port=5402 user=postgres dbname=bench"
    export BENCH_SOURCE BENCH_TARGET
}

# SQL in the source and in the target: `sql_s 'SELECT 1'`, or on stdin; bare values come back.
sql_s() { bench_sql "$BENCH_SOURCE" "$@"; }
sql_t() { bench_sql "$BENCH_TARGET" "$@"; }
bench_sql() {
    local dsn=$1
    shift
    if [ $# -gt 0 ]; then
        "$BENCH_PGBIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$dsn" -c "$1"
    else
        "$BENCH_PGBIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$dsn"
    fi
}

# Creates a table on both sides.
bench_both() {
    sql_s "$1" && sql_t "$1" || bench_die "cannot create the tables"
}

# Hint bits and visibility are settled now, so that the first reader is not the one who pays for them.
bench_settle() { sql_s "VACUUM (FREEZE, ANALYZE) $1"; }

# The data sets: deterministic, made by the server. Each takes the number of rows. --------------------------------

make_narrow() { # 4 int-like columns, 50 bytes of heap a row
    bench_both 'CREATE TABLE narrow (id bigint NOT NULL, a integer, b integer, c integer)'
    sql_s "INSERT INTO narrow SELECT g, (g * 7919 % 1000003)::int, (g % 97)::int, (g * 31 % 65521)::int - 32768
           FROM generate_series(1, $1::bigint) g" && bench_settle narrow
}

make_mixed() { # 16 columns of 14 types, about 400 bytes of heap a row
    bench_both 'CREATE TABLE mixed (id bigint NOT NULL, customer integer NOT NULL, kind smallint, amount numeric(14,4),
        ratio double precision, score real, code varchar(40), note text, created timestamptz NOT NULL, day date,
        token uuid, active boolean, doc jsonb, raw bytea, addr inet, took interval)'
    sql_s "INSERT INTO mixed SELECT g, (g * 7919 % 500009)::int, (g % 11)::smallint,
             CASE WHEN g % 13 = 0 THEN NULL ELSE ((g * 48271 % 2147483647)::numeric / 10007)::numeric(14,4) END,
             sqrt(g::float8), (g % 1000) / 7.0::real, 'order-' || to_hex(g * 2654435761 % 4294967296),
             CASE WHEN g % 17 = 0 THEN NULL ELSE repeat(md5(g::text), 1 + (g % 4)::int) END,
             timestamptz '2020-01-01 00:00:00+00' + g * interval '1 second', date '2000-01-01' + (g % 9000)::int,
             md5((g + 1)::text)::uuid, g % 3 = 0,
             jsonb_build_object('id', g, 'tags', jsonb_build_array('a' || g % 7, 'b'), 'ok', g % 2 = 0),
             decode(md5((g + 2)::text), 'hex'), '10.0.0.0'::inet + g % 16777216, (g % 100000) * interval '1 second'
           FROM generate_series(1, $1::bigint) g" && bench_settle mixed
}

make_wide() { # one TOASTed, incompressible value of 1 to 100 kB a row (50 kB in the mean)
    bench_both 'CREATE TABLE wide (id bigint NOT NULL, name text, body bytea)'
    sql_s "CREATE TEMP TABLE pool (n int, b bytea); ALTER TABLE pool ALTER b SET STORAGE EXTERNAL;
           INSERT INTO pool SELECT p, (SELECT string_agg(sha512((p::text || ':' || i)::bytea), ''::bytea ORDER BY i)
               FROM generate_series(1, 2048) i) FROM generate_series(0, 31) p;
           INSERT INTO wide SELECT g, 'file-' || g,
               substr(b, 1 + (g * 7919 % 30000)::int, 1000 + (g * 104729 % 99001)::int)
           FROM generate_series(1, $1::bigint) g JOIN pool ON n = g % 32" && bench_settle wide
}

make_huge() { # rows of 200 MB, among ordinary ones
    bench_both 'CREATE TABLE huge (id bigint NOT NULL, body bytea)'
    sql_s "ALTER TABLE huge ALTER body SET STORAGE EXTERNAL;
           INSERT INTO huge SELECT g, sha512(g::text::bytea) FROM generate_series(1, 100000) g;
           INSERT INTO huge SELECT 1000000 + g, convert_to(repeat(md5(g::text), 6250000), 'UTF8')
           FROM generate_series(1, $1::bigint) g" && bench_settle huge
}

make_broad() { # rows of 1 to 100 MB: N of 1 to 16 MB, and three of 100
    bench_both 'CREATE TABLE broad (id bigint NOT NULL, name text, body bytea)'
    sql_s "ALTER TABLE broad ALTER body SET STORAGE EXTERNAL;
           CREATE TEMP TABLE pool AS SELECT string_agg(sha512(i::text::bytea), ''::bytea) b FROM generate_series(1, 262144) i;
           INSERT INTO broad SELECT g, 'file-' || g, substr(b, 1 + (g * 7919 % 500000)::int, 1000000 + (g * 104729 % 15000)::int * 1000)
           FROM generate_series(1, $1::bigint) g, pool;
           INSERT INTO broad SELECT 1000000 + g, 'big-' || g, substr(b||b||b||b||b||b||b, (g * 7919)::int, 100000000)
           FROM generate_series(1, 3) g, pool" && bench_settle broad
}

make_skewed() { # keys 1 to N, and one of 2,000,000,000
    bench_both 'CREATE TABLE skewed (id bigint PRIMARY KEY, pad text)'
    sql_s "INSERT INTO skewed SELECT g, repeat(md5(g::text), 4) FROM generate_series(1, $1::bigint) g;
           INSERT INTO skewed VALUES (2000000000, 'outlier')" && bench_settle skewed
}

make_tiny() { # N tables of 10 rows with a primary key, in schema tiny
    local ddl="CREATE SCHEMA tiny; DO \$\$ BEGIN FOR i IN 1..$1 LOOP
        EXECUTE format('CREATE TABLE tiny.%I (id int PRIMARY KEY, name text, at timestamptz)', 't' || lpad(i::text, 5, '0'));
        IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END \$\$"
    # COMMIT inside DO wants to be the only statement of its message.
    bench_sql_lines "$BENCH_SOURCE" "$ddl" && bench_sql_lines "$BENCH_TARGET" "$ddl" || bench_die "cannot create tiny tables"
    sql_s "DO \$\$ BEGIN FOR i IN 1..$1 LOOP
        EXECUTE format('INSERT INTO tiny.%I SELECT g, md5(g::text), timestamptz ''2024-01-01 00:00+00'' + g * interval ''1h''
            FROM generate_series(1, 10) g', 't' || lpad(i::text, 5, '0')); END LOOP; END \$\$"
    sql_s 'VACUUM (FREEZE, ANALYZE)'
}

bench_sql_lines() { "$BENCH_PGBIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d "$1" <<<"$2;"; }

# pgbench's own tables; scale 1 is 100,000 accounts.
make_pgbench() {
    "$BENCH_PGBIN/pgbench" -i -q -I dtGvp -s "$1" -d "$BENCH_SOURCE" >/dev/null 2>&1 || bench_die "pgbench -i failed"
    make_pgbench_target "$1"
}

# The same tables, with their primary keys, empty.
make_pgbench_target() {
    "$BENCH_PGBIN/pgbench" -i -q -I dtp -s "$1" -d "$BENCH_TARGET" >/dev/null 2>&1 || bench_die "pgbench -i failed"
}

#!/bin/bash
# What pghaul is, shown in a few minutes on a machine that has nothing yet: run it first.
#
#     bench/demo.sh
#
# On Debian, as root or with sudo, it installs what is missing (tests/support/packages.txt), builds into build/, starts
# two throwaway PostgreSQL clusters, moves tables from one to the other, kills the mover in the middle and runs the
# same command again. It leaves nothing running. The exit status is not 0 when anything is not as promised.
#
# DEMO_ROWS (2,000,000) and DEMO_SCALE (20: 2,000,000 accounts) say how much; BENCH_KEEP=1 leaves the clusters running.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. bench/lib.sh

rows=${DEMO_ROWS:-2000000} scale=${DEMO_SCALE:-20}

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' cyan='' plain=''
fi

steps=0 checks=0 failures=0
step() {
    steps=$((steps + 1))
    printf '\n%s── %d. %s%s\n\n' "$bold" "$steps" "$*" "$plain"
}
note() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }
good() {
    checks=$((checks + 1))
    printf '%s  ✓ %s%s\n' "$green" "$*" "$plain"
}
bad() {
    checks=$((checks + 1)) failures=$((failures + 1))
    printf '%s  ✗ %s%s\n' "$red" "$*" "$plain"
}
# check "what is claimed" COMMAND...: the command's success decides.
check() {
    local what=$1
    shift
    if "$@"; then good "$what"; else bad "$what"; fi
}
typed() {
    local word line=
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./=:,-]*) line+=" '$word'" ;;
        *) line+=" $word" ;;
        esac
    done
    printf '%s$%s%s\n' "$cyan" "$line" "$plain"
}
# Shows a command as typed, runs it, and keeps its status in $status.
run() {
    typed "$@"
    "$@"
    status=$?
}
stop_here() {
    bad "$*"
    exit 1
}

# json 'expression of j' <text: one value out of a JSON object.
json() { python3 -c 'import json, sys
j = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1"; }

# --- what is needed ------------------------------------------------------------------------------------------------------

step "What is needed: packages and a build"
bash tests/support/setup.sh || stop_here "packages are missing and could not be installed"
typed cmake -B build '&&' cmake --build build -j "$(nproc)" | tr -d "'"
log=$(mktemp)
if ! { cmake -B build && cmake --build build -j "$(nproc)"; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    stop_here "the build failed"
fi
rm -f "$log"
run build/pghaul --version
[ $status = 0 ] || stop_here "build/pghaul does not run"

# From here on the clock runs: packages and compiler are not what is shown.
SECONDS=0

step "Two throwaway PostgreSQL clusters: old, with data, and new, with empty tables"
bench_begin
bench_pair
export PGSERVICEFILE=$BENCH_DIR/services XDG_STATE_HOME=$BENCH_DIR/state
printf '[old]\n%s\n[new]\n%s\n' "${BENCH_SOURCE// /$'\n'}" "${BENCH_TARGET// /$'\n'}" >"$PGSERVICEFILE"
note "pgbench at scale $scale, and a table \"mixed\" of 16 columns of all kinds and $rows rows ..."
make_mixed "$rows" &
maker=$!
make_pgbench "$scale"
wait "$maker" || stop_here "the data could not be made"
"$BENCH_PGBIN/psql" -X -d service=old -c "SELECT relname AS table, reltuples::bigint AS rows,
    pg_size_pretty(pg_table_size(oid)) AS size FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    ORDER BY pg_table_size(oid) DESC"

# --- plan ----------------------------------------------------------------------------------------------------------------

what=(-s service=old -d service=new -t 'pgbench_*' -t mixed)

step "The plan: what copy would do; nothing is changed"
run build/pghaul plan "${what[@]}"
check "plan ends with status 0" [ "$status" = 0 ]
check "the target has no ledger yet" [ "$(sql_t "SELECT count(*) FROM pg_namespace WHERE nspname = 'pghaul'")" = 0 ]

# --- copy, and kill -9 ---------------------------------------------------------------------------------------------------

# landed: "landed total" of the shards, or "0 0" while there is no ledger.
landed() {
    build/pghaul status -d service=new --json 2>"$BENCH_DIR/status.err" | json \
        '" ".join(map(str, (sum(t["shards"]["landed"] for t in j["tables"]), sum(sum(t["shards"].values()) for t in j["tables"]))))' \
        2>/dev/null || echo 0 0
}

# copy_and_kill PERCENT: starts the copy, kills it when that many shards have landed. Fails when it was too late.
copy_and_kill() {
    local ready total
    build/pghaul copy "${what[@]}" &
    mover=$!
    while kill -0 "$mover" 2>/dev/null; do
        read -r ready total < <(landed)
        if [ "${total:-0}" -gt 0 ] && [ "$ready" -gt 0 ] && [ $((ready * 100)) -ge $((total * $1)) ]; then
            kill -9 "$mover" 2>/dev/null || break
            { wait "$mover"; } 2>/dev/null
            [ $? = 137 ]
            return
        fi
        sleep 0.05
    done
    { wait "$mover"; } 2>/dev/null
    return 1
}

step "Copy, with kill -9 when about half has landed"
typed build/pghaul copy "${what[@]}"
killed=
for percent in 45 20 1; do
    if copy_and_kill "$percent"; then
        killed=yes
        break
    fi
    read -r ready total < <(landed)
    [ "${total:-0}" -gt 0 ] || stop_here "copy did not get as far as landing a shard"
    note "that was over before it could be killed; once more from the beginning"
    cat "$BENCH_DIR/status.err"
    build/pghaul clean -d service=new --yes >/dev/null 2>&1
    sql_t 'TRUNCATE mixed, pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history'
done
[ -n "$killed" ] || stop_here "the copy was always over before it could be killed: give DEMO_ROWS a larger number"
printf '\n'
typed kill -9 "$mover"
good "the mover is dead, in the middle"

step "What the ledger says"
run build/pghaul status -d service=new
check "status ends with status 0" [ "$status" = 0 ]
before=$(build/pghaul status -d service=new --shards --json)
printf '\nrows in the target now: %s in mixed, %s in pgbench_accounts\n' \
    "$(sql_t 'SELECT count(*) FROM mixed')" "$(sql_t 'SELECT count(*) FROM pgbench_accounts')"

step "The same command again: it goes on"
run build/pghaul copy "${what[@]}"
check "copy ends with status 0" [ "$status" = 0 ]
after=$(build/pghaul status -d service=new --shards --json)
compared=$(python3 - <(printf %s "$before") <(printf %s "$after") <<'PY'
import json, sys
before, after = (json.load(open(p)) for p in sys.argv[1:])
was = {s["shard"]: s for s in before["shards"]}
now = {s["shard"]: s for s in after["shards"]}
done = [i for i in was if was[i]["state"] == "landed"]
kept = [i for i in done if now[i]["attempt"] == was[i]["attempt"] and now[i]["state"] == "landed"]
again = [i for i in was if i not in done and was[i]["attempt"] > 0]
print(len(was), len(done), len(kept), len(again), sum(s["state"] != "landed" for s in now.values()))
PY
)
read -r n_all n_done n_kept n_again n_open <<<"$compared"
printf '\n%s of %s shards had landed before the kill; %s were in hand and were read again.\n' "$n_done" "$n_all" "$n_again"
check "no landed shard was read again ($n_kept of $n_done kept)" [ "${n_done:-0}" -gt 0 -a "$n_kept" = "$n_done" ]
check "every shard has landed" [ "${n_open:-1}" = 0 ]

# --- equal? --------------------------------------------------------------------------------------------------------------

# Counts and order-free sums of hashes of whole rows: SQL of the two servers, nothing of pghaul.
content() {
    local table
    for table in mixed pgbench_accounts pgbench_branches pgbench_tellers pgbench_history; do
        printf "SELECT '%s', count(*), coalesce(sum(hash_record_extended(t, 0)::numeric), 0) FROM %s t;\n" $table $table
    done
}

step "Equal? Both servers count and hash every row, without pghaul"
note "SELECT count(*), sum(hash_record_extended(t, 0)::numeric) FROM mixed t   -- and so on, on both sides"
content | sql_s >"$BENCH_DIR/content.old" &
summer=$!
content | sql_t >"$BENCH_DIR/content.new"
wait "$summer"
paste -d '|' "$BENCH_DIR/content.old" "$BENCH_DIR/content.new" | awk -F '|' \
    'BEGIN { printf "\n%-18s %10s %26s %10s %26s\n", "table", "old", "hashes", "new", "hashes" }
           { printf "%-18s %10s %26s %10s %26s\n", $1, $2, $3, $5, $6 }'
same() { [ "$(wc -l <"$BENCH_DIR/content.old")" = 5 ] && cmp -s "$BENCH_DIR/content.old" "$BENCH_DIR/content.new"; }
check "every row is there, once" same

# --- verify --------------------------------------------------------------------------------------------------------------

step "Proof by pghaul itself: the target is read back once, and its rows are those of the receipts"
run build/pghaul verify "${what[@]}"
check "verify ends with status 0" [ "$status" = 0 ]

step "Three rows go wrong in the target: verify names them, --repair mends them"
sql_t "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 4711;
       DELETE FROM pgbench_accounts WHERE aid = 815;
       INSERT INTO pgbench_accounts VALUES (-1, 1, 0, 'nobody knows')"
run build/pghaul verify -s service=old -d service=new -t pgbench_accounts --level source
check "verify ends with status 3: differences" [ "$status" = 3 ]
printf '\n'
run build/pghaul verify -s service=old -d service=new -t pgbench_accounts --level source --repair --max-delete 1
check "repair ends with status 0" [ "$status" = 0 ]
content | sql_t >"$BENCH_DIR/content.new"
check "and the servers' own hashes agree again" same

step "Once more the same command: nothing is left to do"
began=${EPOCHREALTIME/./}
run build/pghaul copy "${what[@]}"
check "copy ends with status 0, after $(((${EPOCHREALTIME/./} - began) / 1000)) ms" [ "$status" = 0 ]
content | sql_t >"$BENCH_DIR/content.new"
check "and the target is as it was" same

# --- upsert --------------------------------------------------------------------------------------------------------------

step "Upsert: 200,000 customers into a table that has some of them, older, and 10 rows of its own"
bench_both 'CREATE TABLE customers (id int PRIMARY KEY, name text, balance numeric(12,2), seen timestamptz)'
fill="SELECT g, 'customer ' || g, g * 1.01, timestamptz '2024-01-01 00:00+00' + g * interval '1 min'"
sql_s "INSERT INTO customers $fill FROM generate_series(1, 200000) g"
sql_t "INSERT INTO customers SELECT g, 'old name', 0, NULL FROM generate_series(1, 100000) g;
       INSERT INTO customers SELECT -g, 'only here', 0, NULL FROM generate_series(1, 10) g"
upsert=(-s service=old -d service=new -t customers --mode upsert --job customers)
ours='SELECT count(*), sum(hash_record_extended(t, 0)::numeric) FROM customers t WHERE id > 0'
versions='SELECT count(*), sum(hashtextextended(id || xmin::text || ctid::text, 0)::numeric) FROM customers'
run build/pghaul copy "${upsert[@]}" --no-progress
check "copy ends with status 0" [ "$status" = 0 ]
check "all customers are as in the source" [ "$(sql_t "$ours")" = "$(sql_s "$ours")" ]
check "the 10 rows of its own are untouched" [ "$(sql_t "SELECT count(*) FROM customers WHERE id < 0 AND name = 'only here'")" = 10 ]
seen=$(sql_t "$versions")
printf '\n'
run build/pghaul copy "${upsert[@]}" --no-progress --again
check "a second round ends with status 0" [ "$status" = 0 ]
check "and has changed no row (not one row version is new)" [ "$(sql_t "$versions")" = "$seen" ]

# --- steering ------------------------------------------------------------------------------------------------------------

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}
# rate SECONDS: MiB that land in each second of so many.
rate() {
    local of="SELECT coalesce(sum(r.bytes), 0) FROM pghaul.all_receipts r JOIN pghaul.job j ON j.id = r.job WHERE j.name = 'live'"
    local first then=$EPOCHREALTIME
    first=$(sql_t "$of")
    sleep "$1"
    python3 -c 'import sys
now, then, bytes, first = map(float, sys.argv[1:])
print("%.1f" % ((bytes - first) / (now - then) / (1 << 20)))' "$EPOCHREALTIME" "$then" "$(sql_t "$of")" "$first"
}
# is_near RATE LIMIT: not above it, and not far below.
is_near() { python3 -c 'import sys; rate, limit = map(float, sys.argv[1:]); sys.exit(not 0.6 * limit < rate < 1.15 * limit)' "$1" "$2"; }

step "A live run is steered: held to 10 MiB/s, then 30, then let go"
live=(-s service=old -d service=new -t mixed --mode replace --job live --shard-size 1MiB --max-rate 10MiB/s --no-progress)
typed build/pghaul copy "${live[@]}"
build/pghaul copy "${live[@]}" &
mover=$!
has_begun() { [ "$(sql_t "SELECT count(*) FROM pghaul.all_receipts r JOIN pghaul.job j ON j.id = r.job WHERE j.name = 'live'" 2>/dev/null || echo 0)" -ge 4 ]; }
wait_for 30 has_begun || stop_here "the copy did not begin"
slow=$(rate 3)
check "it lands $slow MiB/s" is_near "$slow" 10
run build/pghaul control live rate=30MiB/s
sleep 1
faster=$(rate 3)
check "a second later it lands $faster MiB/s" is_near "$faster" 30
run build/pghaul control live rate=off
wait "$mover"
status=$?
check "copy ends with status 0" [ "$status" = 0 ]
content | sql_t >"$BENCH_DIR/content.new"
check "every row is there, once" same

# --- the target stops ----------------------------------------------------------------------------------------------------

keepers() { sql_s "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^pghaul/.*/keeper$'"; }
files_left() { find "$XDG_STATE_HOME" -name '*.lz4' 2>/dev/null | wc -l; }
let_go() { [ "$(keepers)" = 0 ]; }

step "The target stops in the middle: the source is read to its end into files, and let go"
spill=(-s service=old -d service=new -t mixed --mode replace --job spilled)
typed build/pghaul copy "${spill[@]}"
build/pghaul copy "${spill[@]}" &
mover=$!
begun() { [ "$(sql_t "SELECT count(*) FROM pghaul.all_receipts r JOIN pghaul.job j ON j.id = r.job WHERE j.name = 'spilled'" 2>/dev/null || echo 0)" -ge 3 ]; }
wait_for 30 begun || stop_here "the copy did not begin"
bench_as "$BENCH_PGBIN/pg_ctl" -D "$BENCH_DIR/target" -m immediate -s stop
printf '\n'
typed pg_ctl -D target -m immediate stop
check "with the target down, everything is read and the source's snapshot is let go" wait_for 60 let_go
check "what was read lies in $(files_left) files here" [ "$(files_left)" -gt 0 ]
check "the mover waits" kill -0 "$mover"
bench_start target
typed pg_ctl -D target start
wait "$mover"
status=$?
check "copy ends with status 0" [ "$status" = 0 ]
content | sql_t >"$BENCH_DIR/content.new"
check "every row is there, once" same
check "no file is left" [ "$(files_left)" = 0 ]

# --- archive -------------------------------------------------------------------------------------------------------------

step "A copy in two halves: an archive that can be kept, proven and read by other tools"
archive=$BENCH_DIR/archive
run build/pghaul extract -s service=old -d "archive:$archive" -t mixed --no-progress
check "extract ends with status 0" [ "$status" = 0 ]
run build/pghaul archive ls "$archive"
run build/pghaul archive verify "$archive"
check "the archive is whole, says itself, without a database" [ "$status" = 0 ]
sql_t 'TRUNCATE mixed'
run build/pghaul load -s "archive:$archive" -d service=new --no-progress
check "load ends with status 0" [ "$status" = 0 ]
content | sql_t >"$BENCH_DIR/content.new"
check "every row is there, once" same
sql_t 'TRUNCATE mixed'
printf '\n%s$ for f in archive/*.lz4; do lz4 -dc $f | psql -c "copy mixed from stdin (format binary)"; done%s\n' "$cyan" "$plain"
for file in "$archive"/*.lz4; do
    lz4 -dc "$file" | "$BENCH_PGBIN/psql" -X -q -d service=new -c 'COPY mixed FROM STDIN (FORMAT binary)'
done
content | sql_t >"$BENCH_DIR/content.new"
check "the same with lz4 and psql alone" same

# --- a whole database ----------------------------------------------------------------------------------------------------

step "A whole database with one command: schema, rows, indexes, constraints, sequences, statistics, proof"
sql_s 'CREATE SCHEMA shop;
       CREATE TYPE shop.state AS ENUM ($$open$$, $$paid$$, $$sent$$);
       CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int REFERENCES pgbench_accounts,
           state shop.state NOT NULL, total numeric(12,2) CHECK (total >= 0), note text);
       INSERT INTO shop.orders (account, state, total, note)
           SELECT 1 + g % 100000, (enum_range(NULL::shop.state))[1 + g % 3], g % 1000, md5(g::text) FROM generate_series(1, 200000) g;
       CREATE INDEX ON shop.orders (account); CREATE INDEX ON shop.orders (state, total) WHERE state <> $$sent$$;
       CREATE VIEW shop.unpaid AS SELECT id, total FROM shop.orders WHERE state = $$open$$'
sql_t 'CREATE DATABASE whole'
printf '[whole]\n%s\n' "${BENCH_TARGET// /$'\n'}" | sed 's/^dbname=.*/dbname=whole/' >>"$PGSERVICEFILE"
run build/pghaul copy --all --create --verify -s service=old -d service=whole --no-progress
check "copy ends with status 0" [ "$status" = 0 ]
run build/pghaul verify --all --schema -s service=old -d service=whole
check "rows and definitions are equal" [ "$status" = 0 ]
run build/pghaul copy --all --create -s service=old -d service=whole
check "and once more there is nothing to do" [ "$status" = 0 ]

# --- the end -------------------------------------------------------------------------------------------------------------

step "Done"
printf '%d checks, %d failed, %d seconds (without packages and build)\n' "$checks" "$failures" "$SECONDS"
[ "$failures" = 0 ]

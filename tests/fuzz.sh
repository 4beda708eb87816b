#!/bin/bash
# Fuzzes every parser of bytes that come from outside, with address and undefined behaviour sanitizers.
#
#   tests/fuzz.sh [SECONDS [NAME...]]     10 seconds for each of tests/fuzz/*.c, or those that are named
#
# Needs clang with libFuzzer. The corpus begins with the golden archives, in a temporary folder; what made a fuzzer fail is
# kept in build-fuzz/ and its path printed. The last line is `N passed, N failed`, and the exit status says the same.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
case ${1-} in
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
seconds=${1:-10}
shift $(($# > 0))
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(basename -s .c tests/fuzz/*.c)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# What the parsers need, and nothing that does I/O.
sources=(src/base/{arena,buf,err}.c src/copy/*.c src/io/frame.c
    src/archive/{fields,receipt,tail,manifest_parse,manifest_format}.c)

build() {
    # shellcheck disable=SC2046
    clang -std=gnu17 -O1 -g -D_GNU_SOURCE -Iinclude -Isrc -fno-omit-frame-pointer \
        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o "$dir/$1" "tests/fuzz/$1.c" "${sources[@]}" \
        $(pkg-config --cflags --libs libxxhash jansson liblz4)
}

# Seeds for each: the frames of the golden files, their tails, and their JSON.
seed() {
    mkdir "$dir/corpus-$1" || return 1
    local file n size i=0
    [ ! -d "tests/fuzz/seeds/$1" ] || cp "tests/fuzz/seeds/$1/"* "$dir/corpus-$1" || return 1
    for file in tests/golden/v*/*/*.lz4; do
        size=$(stat -c %s "$file")
        n=$(tail -c 64 "$file" | od -An -tu4 -j12 -N4 | tr -d ' ')
        i=$((i + 1))
        case $1 in
        tail) tail -c "$n" "$file" >"$dir/corpus-$1/$i" ;;
        frame) head -c $((size - n)) "$file" >"$dir/corpus-$1/$i" ;;
        esac
    done
    [ "$1" != manifest ] || for file in tests/golden/v*/*/*.json; do
        i=$((i + 1))
        cp "$file" "$dir/corpus-$1/$i" || return 1
    done
}

passed=0
failed=0
for name in "${names[@]}"; do
    dict=()
    [ "$name" = frame ] || dict=(-dict=tests/fuzz/json.dict)
    if ! { seed "$name" && build "$name"; }; then
        echo "FAIL fuzz $name: it does not build"
        failed=$((failed + 1))
        continue
    fi
    mkdir -p build-fuzz
    if "$dir/$name" -max_total_time="$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix=build-fuzz/"$name"- "${dict[@]}" "$dir/corpus-$name" >"$dir/log" 2>&1; then
        echo "ok   fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log") executions," \
            "$(grep -o 'cov: [0-9]*' "$dir/log" | tail -n 1)"
        passed=$((passed + 1))
    else
        tail -n 60 "$dir/log"
        echo "FAIL fuzz $name"
        failed=$((failed + 1))
    fi
done
rmdir build-fuzz 2>/dev/null
echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/bash
# Builds the micro benches against the library in build/ and runs them; markdown on stdout. BENCH_RING_DIR (/var/tmp) is
# where the files of ring.c are written.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
[ -f build/libpghaul.a ] || { echo "micro: no build/libpghaul.a: build first" >&2; exit 1; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
for bench in paths frame ring; do
    # shellcheck disable=SC2046
    ${CC:-cc} -std=gnu17 -O2 -g -D_GNU_SOURCE -Iinclude -Isrc -o "$dir/$bench" "bench/micro/$bench.c" build/libpghaul.a \
        $(pkg-config --libs libpq libxxhash jansson liblz4 liburing) -lpthread -lm || exit 1
done
echo "## micro"
echo
echo "What a row costs on its way through the mover, without any server, in buffers of 64 KiB. Best of 7 passes. A hop is edges and tally, as a worker does it."
echo
echo "\`bench/run.sh micro\` · $(date -u +%F) · $(nproc) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)) · commit $(git rev-parse --short HEAD 2>/dev/null || echo '?')"
echo
"$dir/paths"
echo
echo "Into LZ4 frames and out of them, in memory, blocks of 64 KiB, with every checksum. Best of 7 passes."
echo
"$dir/frame"
echo
echo "A file of 512 MiB on a disk ($(df --output=fstype "${BENCH_RING_DIR:-/var/tmp}" | tail -n 1)): GB/s, and in parentheses CPU seconds a GB. Best of 3 passes or more."
echo
"$dir/ring" "${BENCH_RING_DIR:-/var/tmp}"

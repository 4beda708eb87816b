#!/bin/bash
# Builds the micro benches against the library in build/ and runs them; markdown on stdout.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
[ -f build/libpghaul.a ] || { echo "micro: no build/libpghaul.a: build first" >&2; exit 1; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# shellcheck disable=SC2046
${CC:-cc} -std=gnu17 -O2 -g -D_GNU_SOURCE -Iinclude -Isrc -o "$dir/row_path" bench/micro/row_path.c build/libpghaul.a \
    $(pkg-config --libs libpq libxxhash jansson) -lpthread -lm || exit 1
echo "## micro"
echo
echo "What a row costs on its way through the mover, without any server, in buffers of 64 KiB. Best of 9 passes."
echo
echo "\`bench/run.sh micro\` · $(date -u +%F) · $(nproc) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)) · commit $(git rev-parse --short HEAD 2>/dev/null || echo '?')"
echo
"$dir/row_path"

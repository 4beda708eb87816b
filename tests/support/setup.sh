#!/bin/bash
# Installs what packages.txt lists, as far as it is missing; does nothing, quickly, when all is there.
# Run it or source it. It never starts a server: PostgreSQL's package would make and start a default
# cluster, which it is told not to.

pghaul_packages=$(dirname "${BASH_SOURCE[0]}")/packages.txt

pghaul_missing_packages() {
    grep -v '^#' "$pghaul_packages" | while read -r package; do
        [ -n "$package" ] || continue
        dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed$' || echo "$package"
    done
}

pghaul_apt() {
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Options::=--force-confold \
        -o Dpkg::Use-Pty=0 -qq -y "$@" >&2
}

# Writes our create_main_cluster=false before the server's package is there, unless there is one already.
pghaul_no_default_cluster() {
    local as_root=() conf=/etc/postgresql-common/createcluster.conf
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    pghaul_apt install --no-install-recommends postgresql-common || return 1
    "${as_root[@]}" sed -i 's/^#\?create_main_cluster *=.*/create_main_cluster = false/' "$conf"
}

pghaul_setup() {
    if ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
        echo "setup: this is not Debian; install the counterparts of $pghaul_packages by hand" >&2
        return 0
    fi
    local missing
    missing=$(pghaul_missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        echo "setup: these packages are missing and neither root nor sudo is here to install them:" $missing >&2
        return 1
    fi
    echo "setup: installing" $missing >&2
    pghaul_apt update || return 1
    if grep -qx postgresql <<<"$missing"; then
        pghaul_no_default_cluster || return 1
    fi
    pghaul_apt install --no-install-recommends $missing
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    pghaul_setup
fi

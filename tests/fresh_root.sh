# A fresh Debian in a folder; sourced by tests/packages.sh, archive.sh and container.sh, which have $folder.
#   ok WHAT COMMAND...             counts it, or says what failed and ends the test
#   skip WHY                       ends it as skipped
#   fresh_root_needs               skips where none can be made
#   fresh_root ROOT                the least Debian of this one's release, from where this one's packages come
#   inside ROOT COMMAND...         runs a command there, with nothing of ours in its environment
#   apt_inside ROOT ARGUMENTS...   apt-get there; what it said where it fails
passed=0
ok() {
    local what=$1
    shift
    "$@" || { echo "FAIL: $what"; exit 1; }
    passed=$((passed + 1))
}
skip() { echo "SKIP $(basename "$0" .sh): $*"; echo "$passed passed, 0 failed"; exit 0; }

fresh_root_needs() {
    [ "$(id -u)" -eq 0 ] || skip "only root makes a fresh root"
    command -v debootstrap >/dev/null || skip "no debootstrap"
}

# Debian's own packages alone: ADDRESS SUITE COMPONENT, a line each. A machine may have others' besides, with keys that a fresh root lacks.
debian_sources() { apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' | sed -n 's/^Debian //p' | sort -u; }

fresh_root() {
    local root=$1 suite address begin=$SECONDS
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    address=$(debian_sources | awk -v suite="$suite" '$2 == suite { print $1; exit }')
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${address:+"$address"} >"$folder/debootstrap.log" 2>&1 ||
        skip "debootstrap: $(tail -1 "$folder/debootstrap.log")"
    rm -f "$root"/etc/apt/sources.list.d/*
    debian_sources | sed 's/^/deb /' >"$root/etc/apt/sources.list"
    [ -s "$root/etc/apt/sources.list" ] || echo "deb $(sed -n 's/^deb //p;q' /etc/apt/sources.list)" >"$root/etc/apt/sources.list"
    cp -r /etc/apt/apt.conf.d "$root/etc/apt/" # a proxy, where there is one
    cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    echo "a fresh $suite in $((SECONDS - begin)) s"
}

# With /proc, as every system has it, mounted for that command alone: a program finds by it where it lies.
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$@"' - "$@"
}
apt_inside() {
    local root=$1
    shift
    inside "$root" apt-get -qq "$@" >"$folder/apt.log" 2>&1 || { cat "$folder/apt.log"; exit 1; }
}

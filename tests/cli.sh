# cli.sh - sourced by the command tests (cli_*.sh BUILD_FOLDER): the program, a folder of their own to work in, and what they count.
# Afterwards: $variant, $root (of the sources), the working folder $out; ok, bad, run.
variant=$(cd "$1" && pwd)/variant
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$out" || exit 1
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL: $*"; sed 's/^/    /' err.txt; }
run() { "$variant" "$@" >out.txt 2>err.txt || bad "exit $?: $*"; }

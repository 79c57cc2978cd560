#!/usr/bin/env bash
# tools/experiments, end to end on a tiny base of its own: a run is trained, judged and written down once, and what the results
# hold is not run again, whichever folder they came from. Then the report of them.
#   tests/experiments.sh BUILD_FOLDER
set -euo pipefail
VARIANT=$(cd "$1" && pwd)/variant
export VARIANT PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/.."
[ -e /usr/share/datasets/fashion-mnist ] || { echo "SKIP: no Fashion-MNIST"; exit 0; }
RUNS=$(mktemp -d)
export RUNS
trap 'rm -rf "$RUNS"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
results=$RUNS/smoke/results.csv

for script in 1_asymmetry 3_selectors 5_alone; do
    tools/experiments/$script.sh --smoke >"$RUNS/out" 2>&1 || { cat "$RUNS/out"; fail "$script"; }
done
for row in 1_asymmetry,base,0,full,frechet 1_asymmetry,base,0,zone3-depth2,class_share 3_selectors,rounded-seed1,1,full,loss \
    3_selectors,prefix-seed1,1,depth2,frechet 3_selectors,prefix-seed1,1,depth4,loss_scale7 5_alone,depth2-seed1,1,full,frechet; do
    [ "$(grep -c "^$row," "$results")" = 1 ] || fail "$row: not once in the results"
done

# again, and elsewhere with the results alone: nothing is trained, nothing is written twice
cp "$results" "$RUNS/before"
mkdir -p "$RUNS/elsewhere/smoke"
cp "$results" "$RUNS/elsewhere/smoke/"
tools/experiments/3_selectors.sh --smoke >/dev/null 2>&1 || fail "3_selectors again"
cmp "$RUNS/before" "$results" || fail "rows written twice"
RUNS=$RUNS/elsewhere tools/experiments/3_selectors.sh --smoke >/dev/null 2>&1 || fail "3_selectors elsewhere"
cmp "$RUNS/before" "$RUNS/elsewhere/smoke/results.csv" || fail "rows written twice elsewhere"
[ ! -e "$RUNS/elsewhere/smoke/3_selectors" ] || fail "trained what the results hold"

if python3 -c "import matplotlib" 2>/dev/null; then
    printf 'above\n<!-- table choices -->\nold\n<!-- end -->\nbelow\n' >"$RUNS/page.md"
    tools/experiments/report.py "$results" -o "$RUNS/report" --into "$RUNS/page.md" >/dev/null
    grep -q "| layers rounded | 1 |" "$RUNS/page.md" || fail "the table has no row of the run"
    grep -q "^old" "$RUNS/page.md" && fail "the table's former text stayed"
    [ "$(head -1 "$RUNS/page.md")" = above ] && [ "$(tail -1 "$RUNS/page.md")" = below ] || fail "text beside the table was lost"
    [ -s "$RUNS/report/asymmetry.png" ] || fail "no plot"
else
    echo "SKIP: no Matplotlib, so no report"
fi
echo "experiments: passed"

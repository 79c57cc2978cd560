# mpi.sh - sourced by tests that start ranks: $mpirun, which starts them on this machine alone, however few processors it has; $build;
# and $room, an empty folder that goes when the test ends. Without MPI in the build or mpirun here the test is skipped.
build=$(cd "${1:?usage: $0 BUILD_FOLDER}" && pwd)
name=$(basename "$0" .sh)
grep -q '^VARIANT_HAS_MPI:INTERNAL=ON' "$build/CMakeCache.txt" || { echo "SKIP $name: built without MPI"; exit 0; }
command -v mpirun >/dev/null || { echo "SKIP $name: no mpirun"; exit 0; }
! grep -qE '^VARIANT_SANITIZE:STRING=.' "$build/CMakeCache.txt" || { echo "SKIP $name: MPI's own memory is no sanitizer's business"; exit 0; }
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mpirun=(mpirun)
if mpirun --version 2>&1 | grep -q 'Open MPI'; then
    # no network but the loopback; the ranks wait for each other asleep, as there are more of them than processors
    mpirun+=(--oversubscribe --bind-to none --mca btl "self,vader,tcp" --mca btl_tcp_if_include lo --mca oob_tcp_if_include lo)
    [ "$(id -u)" -ne 0 ] || mpirun+=(--allow-run-as-root)
fi

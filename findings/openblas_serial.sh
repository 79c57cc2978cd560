#!/usr/bin/env bash
# Debian 12's serial OpenBLAS (libopenblas0-serial 0.3.21+ds-4) is not safe to call from two threads.
#
# Expected: "serial" means that a call uses one thread; calls from several threads on matrices of their own are independent, as
# they are with the openmp and pthread flavours of the same source package.
# Seen: the calls share work buffers. Two threads that multiply float matrices of their own (128 x 128), each pair begun at one
# time, get other numbers than the same products one after another; with the openmp flavour all are the same. No error, no crash.
# What it means here: src/kern/blas.h lets calls of the serial flavour take turns.
#
# Needs gcc and apt; packages are unpacked in a temporary folder, nothing is installed.
set -euo pipefail
version=0.3.21+ds-4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for flavour in serial openmp; do
    apt-get download -qq "libopenblas0-$flavour=$version" >/dev/null 2>&1
    dpkg -x libopenblas0-"$flavour"_*.deb "$flavour"
done
cat >products.c <<'C'
#include <pthread.h>
#include <stdatomic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { N = 128, THREADS = 2, TIMES = 20000 };
void cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
static float a[THREADS][N * N], b[THREADS][N * N], alone[THREADS][N * N];
static int wrong[THREADS];
static atomic_int arrived;
static void multiply(int t, float *c) { cblas_sgemm(101, 111, 111, N, N, N, 1, a[t], N, b[t], N, 0, c, N); }
static void *run(void *arg) {
    int t = (int)(size_t)arg;
    float *c = malloc(N * N * sizeof *c);
    for (int i = 0; i < TIMES; ++i) {
        atomic_fetch_add(&arrived, 1); /* both begin at one time */
        while (atomic_load(&arrived) < THREADS * (i + 1)) sched_yield();
        multiply(t, c);
        wrong[t] += memcmp(c, alone[t], N * N * sizeof *c) != 0;
    }
    free(c);
    return NULL;
}
int main(void) {
    pthread_t threads[THREADS];
    int sum = 0;
    srand(1);
    for (int t = 0; t < THREADS; ++t)
        for (int i = 0; i < N * N; ++i) a[t][i] = (float)rand() / RAND_MAX, b[t][i] = (float)rand() / RAND_MAX;
    for (int t = 0; t < THREADS; ++t) multiply(t, alone[t]);
    for (int t = 0; t < THREADS; ++t) pthread_create(&threads[t], NULL, run, (void *)(size_t)t);
    for (int t = 0; t < THREADS; ++t) pthread_join(threads[t], NULL);
    for (int t = 0; t < THREADS; ++t) sum += wrong[t];
    printf("%d\n", sum);
    return 0;
}
C
count() { # flavour: products of 40000 that differ
    local library
    library=$(find "$PWD/$1" -name 'libopenblas.so.0' -o -name 'libopenblas*-r*.so' | head -1)
    [ -n "$library" ] || { echo "no library in the package of the $1 flavour" >&2; exit 1; }
    gcc -O1 products.c -o "products-$1" "$library" -pthread -Wl,-rpath,"$(dirname "$library")"
    OMP_NUM_THREADS=1 LD_LIBRARY_PATH=$(dirname "$library") "./products-$1"
}
serial=$(count serial) openmp=$(count openmp)
echo "products of 40000 that differ from the same alone: serial $serial, openmp $openmp"
[ "$serial" -gt 0 ] && [ "$openmp" -eq 0 ]

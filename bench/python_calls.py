"""What a call from Python takes beyond the same call from C: two processes draw the same pictures, one thread each, call by call in turn;
told is the median of the pairs' differences, of all that is beside the computing itself (whose time the report tells, and which differs from process to
process by where memory happens to lie) and of the whole.

    cmake --build --preset release --target bench_calls variant_python
    PYTHONPATH=build/release/python python3 bench/python_calls.py build/release/bench/calls
"""
import argparse
import statistics
import subprocess
import sys
import time


def serve(model, depth, pictures):
    """As calls.c: draws for every line on stdin; a picture's array is looked at, and all are given back, within the time."""
    import variant

    with variant.Engine(model, threads=1) as engine:
        for seed, _ in enumerate(sys.stdin, 1):
            begin = time.perf_counter()
            drawn = engine.generate(0, n=pictures, depth=depth, seed=seed)
            drawn[0].array.shape
            seconds = drawn.report.total_seconds
            del drawn
            print(f"{1e3 * (time.perf_counter() - begin):.4f} {1e3 * seconds:.4f}", flush=True)


class Drawer:
    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def draw(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def pairs(commands, calls):
    """((whole, computing) of C, of Python) of each call, after some that warm up."""
    drawers = [Drawer(*command) for command in commands]
    found = [tuple(drawer.draw() for drawer in drawers) for _ in range(calls + 5)][5:]
    for drawer in drawers:
        drawer.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("calls", nargs="?", help="bench/calls of the same build")
    parser.add_argument("--model", default="models/fashion")
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--repeat", type=int, default=30, help="calls of each pair of processes")
    parser.add_argument("--turns", type=int, default=8, help="pairs of processes")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.model, options.depth, options.serve)
        return
    for pictures in options.pictures:
        shape = [options.model, options.depth, pictures]
        python = [sys.executable, __file__, "--serve", pictures, "--model", options.model, "--depth", options.depth]
        turns = [pairs(([options.calls, *shape], python), options.repeat) for _ in range(options.turns)]
        of_c = statistics.median(c[0] for turn in turns for c, _ in turn)
        beside = sorted(statistics.median((p[0] - p[1]) - (c[0] - c[1]) for c, p in turn) for turn in turns)
        whole = sorted(statistics.median(p[0] - c[0] for c, p in turn) for turn in turns)
        middle = statistics.median(beside)
        print(f"{pictures} pictures a call, {options.depth} layers: C {of_c:.3f} ms; beside the computing {1e3 * middle:+.0f} us a call "
              f"({1e3 * beside[0]:+.0f} to {1e3 * beside[-1]:+.0f}), {100 * middle / of_c:+.2f} %; the whole {1e3 * statistics.median(whole):+.0f} us "
              f"({1e3 * whole[0]:+.0f} to {1e3 * whole[-1]:+.0f})")


if __name__ == "__main__":
    main()

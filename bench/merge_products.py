"""Joins several runs of onednn_products (CSV files) into one table on stdout.

Of each shape: the median of the runs' medians and the best of all. Runs at different times lose
less to other work on the machine than one long run does.
"""
import csv
import statistics
import sys


def main():
    rows = {}
    for path in sys.argv[1:]:
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                key = tuple(row[k] for k in ("kind", "shape", "type", "weights", "library"))
                rows.setdefault(key, []).append(row)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow("kind shape type weights runs median_us least_us median_gops best_gops library "
                 "kernel".split())
    for (kind, shape, dtype, weights, library), runs in rows.items():
        def column(name):
            return [float(run[name]) for run in runs]
        out.writerow([kind, shape, dtype, weights, len(runs),
                      f"{statistics.median(column('median_us')):.1f}",
                      f"{min(column('least_us')):.1f}",
                      f"{statistics.median(column('median_gops')):.1f}",
                      f"{max(column('best_gops')):.1f}", library, runs[0]["kernel"]])


if __name__ == "__main__":
    main()

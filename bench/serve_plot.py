#!/usr/bin/env python3
"""Latency of `variant serve` by rate of arrival, as SVG for light and dark pages, from what serve_load.py --json wrote.

    bench/serve_plot.py bench/results/serve_load.json docs/serving_load.svg
"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 62, 96, 20, 66
SERIES = (("p50_ms", "p50", "a"), ("p95_ms", "p95", "b"), ("p99_ms", "p99", "c"))
STYLE = """text { font: 13px sans-serif; fill: #333 } .small { font-size: 11px } .grid { stroke: #ddd } .axis { stroke: #888 } path { fill: none; stroke-width: 2 }
.a { stroke: #0b6bb0 } .b { stroke: #b85c00 } .c { stroke: #a01a58 } circle.a { fill: #0b6bb0 } circle.b { fill: #b85c00 } circle.c { fill: #a01a58 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .grid { stroke: #444 } .axis { stroke: #999 } .a { stroke: #6cb8f0 } .b { stroke: #f0a050 } .c { stroke: #f078b0 }
circle.a { fill: #6cb8f0 } circle.b { fill: #f0a050 } circle.c { fill: #f078b0 } }"""


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        measured = json.load(file)
    loads = sorted((load for load in measured["loads"] if load["rate"]), key=lambda load: load["rate"])
    most_rate = max(load["rate"] for load in loads)
    values = [load[name] for load in loads for name, _, _ in SERIES]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(rate):
        return LEFT + (WIDTH - LEFT - RIGHT) * rate / most_rate

    def y(ms):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(ms)) / (high - low)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Latency by requests a second">', f"<style>{STYLE}</style>"]
    for decade in range(low, high + 1):
        for part in (1, 2, 5):
            ms = part * 10.0 ** decade
            if ms <= 10.0 ** high:
                out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(ms):.1f}" y2="{y(ms):.1f}"/><text class="small" x="{LEFT - 6}" y="{y(ms) + 4:.1f}" text-anchor="end">{ms:g} ms</text>')
    out.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(10.0 ** low):.1f}" y2="{y(10.0 ** low):.1f}"/>')
    for load in loads:
        out.append(f'<text class="small" x="{x(load["rate"]):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{load["rate"]}</text>')
        out.append(f'<text class="small" x="{x(load["rate"]):.1f}" y="{HEIGHT - BOTTOM + 30}" text-anchor="middle">{100 * load["engine_share"]:.0f} %</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - BOTTOM + 47}" text-anchor="middle">requests a second; below, the share of time that the engine is at work</text>')
    out.append(f'<text class="small" x="{LEFT}" y="{HEIGHT - 5}">{measured["machine"].replace("&", "and").replace("<", "")}</text>')
    for name, title, kind in SERIES:
        points = [(x(load["rate"]), y(load[name])) for load in loads]
        out.append(f'<path class="{kind}" d="M' + " L".join(f"{a:.1f} {b:.1f}" for a, b in points) + '"/>')
        out += [f'<circle class="{kind}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points]
    names = sorted((y(loads[-1][name]), title) for name, title, _ in SERIES)
    for i, (place, title) in enumerate(names):
        names[i] = (max(place, names[i - 1][0] + 15) if i else place, title)
        out.append(f'<text x="{x(most_rate) + 10:.1f}" y="{names[i][0] + 4:.1f}">{title}</text>')
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n</svg>\n")


if __name__ == "__main__":
    main()

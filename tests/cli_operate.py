"""How `variant serve` is operated, asked over HTTP: latencies, load, the model file opened again, sockets handed over.    cli_operate.py VARIANT [TEST...]"""
import os
import re
import sys
import tempfile
import threading
import time

from serving import SLOW, SMALL, Server, picture, run_tests, synth

VARIANT = os.path.abspath(sys.argv[1])
FOLDER = tempfile.TemporaryDirectory(prefix="operate-")
os.environ["XDG_CACHE_HOME"] = os.path.join(FOLDER.name, "cache")  # times are measured here, and forgotten
os.environ["VARIANT_WATCH"] = "off"  # neighbours are other tests
FASHION = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../models/fashion")
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def model(name, shape):
    path = os.path.join(FOLDER.name, name + ".safetensors")
    return path if os.path.exists(path) else synth(VARIANT, FOLDER.name, name, shape)


def layers(answer):
    return sum(int(depth) for depth in answer.json()["request"]["depths"].split(","))


# ---- latencies

@test
def a_latency_chooses_the_depth():
    with Server(VARIANT, FASHION) as server:
        assert server.gauges()["variant_measurements_total"] == 0  # nothing is measured before somebody asks
        wish = {"prompt": "Sneaker", "seed": 7}
        long = server.post("/v1/images/generations", dict(wish, max_latency=600))
        assert long.status == 200, long.body
        assert server.gauges()["variant_measurements_total"] == 1
        used = long.json()["request"]
        full = server.post("/v1/images/generations", wish)
        assert layers(long) == layers(full) and picture(long.json()["data"][0]) == picture(full.json()["data"][0])
        assert used["max_latency"] == 600 and 0 < used["expected_seconds"] < 600 and "max_latency 600 s, 0 requests before it" in used["depth_because"], used
        # less time than all layers take: fewer
        plan = server.get("/api/plan").json()
        assert plan["fits"] and plan["before"] == 0 and plan["running"] == 0 and plan["seconds"] > 0
        short = server.post("/v1/images/generations", dict(wish, max_latency=round(0.8 * plan["expected_seconds"], 4)))
        assert short.status == 200, short.body
        assert layers(short) < layers(full)
        depths = [int(depth) for depth in short.json()["request"]["depths"].split(",")]
        trained = server.get("/api/model").json()["depths"] + [12]
        assert all(depth in trained for depth in depths), depths
        # with what this one taught the pace of steps the plan may differ by a scale
        told = server.get(f"/api/plan?max_latency={short.json()['request']['max_latency']}").json()
        assert told["fits"] and told["depth"] in trained and told["kept"] < plan["kept"], told
        # of no guidance there is another table
        plain = server.post("/v1/images/generations", dict(wish, max_latency=600, cfg_scale=0))
        assert plain.status == 200 and server.gauges()["variant_measurements_total"] >= 2
        # never: 400. A job likewise
        for path in ("/v1/images/generations", "/api/jobs"):
            never = server.post(path, dict(wish, max_latency=0.001))
            assert never.status == 400 and never.error()["param"] == "max_latency" and "with nothing else at work" in never.error()["message"], never.body
        made = server.post("/api/jobs", dict(wish, max_latency=600)).json()
        list(server.stream("GET", made["events_url"])[1])
        job = server.get(made["poll_url"])
        assert job.json()["request"]["max_latency"] == 600 and layers(job) == layers(full)
        gauges = server.gauges()
        assert gauges["variant_latency_plans_total"] == 4 and gauges['variant_rejected_total{why="latency"}'] == 2
        assert server.get("/api/plan?max_memory=1").json()["fits"] is False
        for more, word in (({"depth": 3}, "depth"), ({"bridge": 3}, "bridge"), ({"depths": [12] * 7}, "depths"), ({"quality": "low"}, "quality")):
            refused = server.post("/v1/images/generations", dict(wish, max_latency=1, **more))
            assert refused.status == 400 and refused.error()["message"] == f"max_latency chooses the depth: give no {word} with it", refused.body
        assert server.post("/v1/images/generations", dict(wish, max_latency=600, quality="auto")).status == 200
    # kept times are found again, and nothing is measured
    with Server(VARIANT, FASHION) as server:
        assert server.post("/v1/images/generations", dict(wish, max_latency=600)).status == 200
        assert server.gauges()["variant_measurements_total"] == 0


@test
def a_latency_counts_the_load():
    slow = model("slow", SLOW)
    with Server(VARIANT, slow, "--queue", "100") as server:
        # nothing is measured while there is work: the answer says when to come back
        first = server.post("/api/jobs", {"prompt": "1", "n": 10}).json()
        server.wait_for("variant_running", 1)
        early = server.post("/v1/images/generations", {"prompt": "1", "max_latency": 100})
        assert early.status == 503 and early.headers["retry-after"] == "2" and early.error()["code"] == "no_times_yet", early.body
        assert server.get("/api/plan").status == 503
        server.ask("DELETE", first["poll_url"])
        server.wait_for("variant_running", 0)
        server.wait_for("variant_measurements_total", 1)  # somebody had asked
        idle = server.get("/api/plan").json()
        assert idle["before"] == 0
        jobs = [server.post("/api/jobs", {"prompt": "1", "n": 10}).json() for _ in range(4)]
        busy = server.get("/api/plan").json()
        assert busy["before"] == busy["running"] + busy["queued"] >= 1, busy
        assert busy["expected_seconds"] > 2 * idle["expected_seconds"], (idle, busy)
        # what would be easy alone is refused, or gets fewer layers, behind the others
        alone = server.get(f"/api/plan?max_latency={1.5 * idle['expected_seconds']:.3f}").json()
        assert not alone["fits"] or alone["kept"] < idle["kept"], (idle, alone)
        now = server.post("/v1/images/generations", {"prompt": "1", "max_latency": round(0.5 * idle["expected_seconds"], 3)})
        if now.status != 200:
            assert now.status == 503 and now.error()["code"] == "latency_not_now" and 1 <= int(now.headers["retry-after"]) <= 60, now.body
            assert re.search(r"behind \d+ other requests even the least depth takes [\d.]+ s", now.error()["message"])
        for job in jobs:
            server.ask("DELETE", job["poll_url"])


@test
def a_request_ends_a_measurement():
    slow = model("slow", SLOW)
    os.environ["XDG_CACHE_HOME"] = os.path.join(FOLDER.name, "other")
    with Server(VARIANT, slow) as server:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.get("/api/plan")))
        asking.start()
        time.sleep(0.3)  # it is at it
        start = time.time()
        assert server.post("/v1/images/generations", {"prompt": "1", "depth": 1, "bridge": 0}).status == 200
        took = time.time() - start
        asking.join()
        assert answers[0].status in (200, 503), answers[0].body
        server.wait_for("variant_measurements_total", 1)  # what was asked for is measured afterwards
        assert server.get("/api/plan").status == 200
        print(f"  a picture took {took:.2f} s beside a measurement")


if __name__ == "__main__":
    run_tests(TESTS, FOLDER)

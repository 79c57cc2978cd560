"""How `variant serve` is operated, asked over HTTP: latencies, load, the model file opened again, sockets handed over.    cli_operate.py VARIANT [TEST...]"""
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
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
MEDIUM = dict(SLOW, depth=6, patch_nums=[1, 2, 3, 4, 6])  # times of it are measured within seconds under sanitizers as well
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def model(name, shape):
    path = os.path.join(FOLDER.name, name + ".safetensors")
    return path if os.path.exists(path) else synth(VARIANT, FOLDER.name, name, shape)


def memory_of(path):
    """MB of the weights, of pictures kept (--keep-size 1M) and of a request, as the server counts them."""
    told = subprocess.run([VARIANT, "serve", "-m", path, "--max-memory", "1M", "--keep-size", "1M"], capture_output=True, text=True, timeout=60)
    return [float(number) for number in re.search(r"take ([\d.]+) MB, pictures kept ([\d.]+) MB and one request ([\d.]+) MB", told.stderr).groups()]


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
        # ten pictures, so that the milliseconds of a busy machine between two lines do not matter; and nothing was learned of so many yet
        short = server.post("/v1/images/generations", dict(wish, n=10, max_latency=round(8 * plan["seconds"], 3)))
        assert short.status == 200, short.body
        assert layers(short) < layers(full)
        depths = [int(depth) for depth in short.json()["request"]["depths"].split(",")]
        trained = server.get("/api/model").json()["depths"] + [12]
        assert all(depth in trained for depth in depths), depths
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
    with Server(VARIANT, model("medium", MEDIUM), "--queue", "100") as server:
        # nothing is measured while there is work: the answer says when to come back
        first = [server.post("/api/jobs", {"prompt": "1", "n": 10}).json() for _ in range(12)]
        early = server.post("/v1/images/generations", {"prompt": "1", "max_latency": 100})
        assert early.status == 503 and early.headers["retry-after"] == "2" and early.error()["code"] == "no_times_yet", early.body
        assert server.get("/api/plan").status == 503
        for job in first:
            server.ask("DELETE", job["poll_url"])
        server.wait_for("variant_measurements_total", 1, 300)  # somebody had asked
        idle = server.get("/api/plan").json()
        assert idle["before"] == 0
        jobs = [server.post("/api/jobs", {"prompt": "1", "n": 10}).json() for _ in range(12)]
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
    os.environ["XDG_CACHE_HOME"] = os.path.join(FOLDER.name, "other")
    with Server(VARIANT, model("medium", MEDIUM)) as server:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(server.get("/api/plan")))
        asking.start()
        time.sleep(0.1)  # it is at it
        start = time.time()
        assert server.post("/v1/images/generations", {"prompt": "1", "depth": 1, "bridge": 0}).status == 200
        took = time.time() - start
        asking.join()
        assert answers[0].status in (200, 503), answers[0].body
        server.wait_for("variant_measurements_total", 1, 300)  # what was asked for is measured afterwards
        assert server.get("/api/plan").status == 200
        print(f"  a picture took {took:.2f} s beside a measurement")


# ---- the model's file opened again

def two_models(name, shape):
    """Their files, and a name that the server opens, which one of them takes."""
    first, second = model(name + "-1", shape), model(name + "-2", dict(shape, seed="H"))
    path = os.path.join(FOLDER.name, name + ".safetensors")
    put(first, path)
    return first, second, path


def put(file, path):
    """In place of what is there, in one step: whoever has that open keeps it."""
    shutil.copy(file, path + ".new")
    os.replace(path + ".new", path)


def hash_of(path):
    told = subprocess.run([VARIANT, "inspect", path], check=True, capture_output=True, text=True).stdout
    return re.search(r"^hash +([0-9a-f]{16})", told, re.M).group(1)


def generated(path, *options):
    out = os.path.join(FOLDER.name, "generated.png")
    subprocess.run([VARIANT, "generate", "-m", path, "-o", out, *options], check=True, capture_output=True)
    with open(out, "rb") as file:
        return file.read()


@test
def the_model_is_opened_again_and_nothing_is_dropped():
    files = two_models("again", MEDIUM)
    path = files[2]
    wanted = {hash_of(file): [generated(file, "--class", "1", "-s", str(seed)) for seed in range(3)] for file in files[:2]}
    assert len(wanted) == 2
    with Server(VARIANT, path) as server:
        answers, over = [], threading.Event()

        def ask(place):
            for i in range(1000):
                if over.is_set():
                    return
                seed = (place + i) % 3
                answers.append((seed, server.post("/v1/images/generations", {"prompt": "1", "seed": seed, "n": 1})))
        threads = [threading.Thread(target=ask, args=(place,)) for place in range(6)]
        for thread in threads:
            thread.start()
        old = server.post("/api/jobs", {"prompt": "1", "n": 2}).json()
        for count in range(1, 6):
            put(files[count % 2], path)
            before = len(answers)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for('variant_reloads_total{result="done"}', count)
            gauges = server.gauges()
            assert gauges[f'variant_model_info{{hash="{hash_of(path)}"}}'] == 1
            until = time.time() + 60
            while len(answers) < before + 12 and time.time() < until:  # some of each
                time.sleep(0.02)
        over.set()
        for thread in threads:
            thread.join()
        assert len(answers) >= 50 and all(answer.status == 200 for _, answer in answers), [answer.body[:200] for _, answer in answers if answer.status != 200]
        made = {}
        for seed, answer in answers:
            used = answer.json()["request"]["model_hash"]
            assert picture(answer.json()["data"][0]) == wanted[used][seed], used
            made[used] = made.get(used, 0) + 1
        assert len(made) == 2, made
        server.wait_for("variant_models_open", 1)  # the last one of before is closed
        gauges = server.gauges()
        assert gauges["variant_memory_reserved_bytes"] == 0 and gauges['variant_reloads_total{result="failed"}'] == 0
        # what the first model made is still there, but its token maps mean nothing to the one of now
        server.wait_for('variant_jobs_total{end="failed"}', 0)
        assert server.get(old["poll_url"]).json()["state"] == "completed" and server.get(old["poll_url"] + "/images/0.png").status == 200
        assert server.get("/api/model").json()["hash"] == hash_of(files[1])
        refused = server.post(old["poll_url"] + "/refine", {"depth": 2})
        assert refused.status == 409 and refused.error()["code"] == "model_changed" and hash_of(files[0]) in refused.error()["message"], refused.body
        assert sum('"reloaded"' in line for line in server.log) == 5 and all(json.loads(line) for line in server.log)


@test
def a_file_that_is_none_leaves_the_model():
    first, second, path = two_models("none", SMALL)
    with Server(VARIANT, path) as server:
        wish = {"prompt": "1", "seed": 5}
        before = server.post("/v1/images/generations", wish).json()
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write("no model")
        os.replace(path + ".new", path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('variant_reloads_total{result="failed"}', 1)
        after = server.post("/v1/images/generations", wish).json()
        assert after["data"] == before["data"] and after["request"]["model_hash"] == hash_of(first)
        assert any('"error"' in line and '"reload"' in line and path in line for line in server.log), server.log
        put(second, path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('variant_reloads_total{result="done"}', 1)
        assert server.post("/v1/images/generations", wish).json()["request"]["model_hash"] == hash_of(second)
    # two of them have no room
    weights, kept, one = memory_of(first)
    put(first, path)
    with Server(VARIANT, path, "--keep-size", "1M", "--max-memory", f"{weights + kept + one + 0.2:.1f}M") as server:
        put(second, path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('variant_reloads_total{result="failed"}', 1)
        assert any("two models and pictures kept take" in line for line in server.log), server.log
        assert server.post("/v1/images/generations", wish).json()["request"]["model_hash"] == hash_of(first)
        assert server.gauges()["variant_models_open"] == 1
    with Server(VARIANT, path, "--keep-size", "1M", "--max-memory", f"{2 * weights + kept + 3 * one + 0.2:.1f}M") as server:
        put(first, path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('variant_reloads_total{result="done"}', 1)
        server.wait_for("variant_models_open", 1)
        assert server.post("/v1/images/generations", wish).json()["request"]["model_hash"] == hash_of(first)


@test
def a_file_that_is_cut_short_fails_requests_until_it_is_whole():
    first, _, path = two_models("cut", SMALL)
    with Server(VARIANT, path) as server:
        wish = {"prompt": "1", "seed": 5}
        before = server.post("/v1/images/generations", wish)
        assert before.status == 200, before.body
        assert server.get("/healthz").status == 200 and server.get("/readyz").status == 200
        os.truncate(path, os.path.getsize(path) // 8)
        for probe in ("/healthz", "/health", "/readyz"):  # before anybody has read what is gone
            told = server.get(probe)
            assert told.status == 503 and b"cut short" in told.body and path.encode() not in told.body, (probe, told.body)
        for _ in range(3):
            refused = server.post("/v1/images/generations", wish)
            assert refused.status == 500 and refused.headers["content-type"].startswith("application/json"), refused.body
            assert refused.error()["message"] == f"{path} was cut short while it was in use", refused.body
            assert server.get("/healthz").status == 503
        os.truncate(path, 0)
        assert server.post("/v1/images/generations", wish).status == 500
        server.process.send_signal(signal.SIGHUP)  # a stump
        server.wait_for('variant_reloads_total{result="failed"}', 1)
        assert server.get("/healthz").status == 503
        put(first, path)
        assert server.get("/healthz").status == 503
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('variant_reloads_total{result="done"}', 1)
        assert server.get("/healthz").status == 200 and server.get("/readyz").status == 200
        after = server.post("/v1/images/generations", wish)
        assert after.status == 200 and after.json()["data"] == before.json()["data"], after.body


# ---- fewer layers under load

@test
def under_load_requests_that_name_no_depth_get_fewer_layers():
    trained = {12, 6, 3, 2}
    with Server(VARIANT, FASHION, "--adapt", "50ms", "-t", "1") as server:
        answers, over = [], threading.Event()

        def ask(place):
            for i in range(1000):
                if over.is_set():
                    return
                body = {"prompt": "Bag", "seed": place} if place % 4 else {"prompt": "Bag", "seed": place, "quality": "high"} if i % 2 else {"prompt": "Bag", "depth": 12}
                answers.append((body, server.post("/v1/images/generations", body)))
        threads = [threading.Thread(target=ask, args=(place,)) for place in range(16)]
        for thread in threads:
            thread.start()
        until = time.time() + 300
        while time.time() < until and (server.gauges()["variant_adapted_total"] < 20 or len(answers) < 60):
            time.sleep(0.05)
        over.set()
        for thread in threads:
            thread.join()
        gauges = server.gauges()
        assert gauges["variant_adapted_total"] >= 20 and gauges['variant_adapt_changes_total{to="fewer"}'] >= 1, gauges
        assert all(answer.status == 200 for _, answer in answers)
        fewer = []
        for body, answer in answers:
            depths = [int(depth) for depth in answer.json()["request"]["depths"].split(",")]
            assert set(depths) <= trained and depths == sorted(depths, reverse=True), depths  # late scales first
            assert ("depth" not in body and "quality" not in body) or depths == [12] * 7
            if depths != [12] * 7:
                fewer.append((body, answer))
                assert answer.json()["request"]["depth_because"].startswith("--adapt: "), answer.body
        assert len(fewer) == server.gauges()["variant_adapted_total"]
        # it is what a request of these layers makes
        body, answer = fewer[-1]
        depths = answer.json()["request"]["depths"]
        again = server.post("/v1/images/generations", dict(body, depth=int(depths.rsplit(",", 1)[1]), bridge=depths.split(",").count("12")))
        assert picture(again.json()["data"][0]) == picture(answer.json()["data"][0])
        # all layers are back once nothing is there
        server.wait_for("variant_adapt_level", 0)
        assert server.gauges()['variant_adapt_changes_total{to="more"}'] >= 1
        last = server.post("/v1/images/generations", {"prompt": "Bag"}).json()
        assert last["request"]["depths"] == ",".join(["12"] * 7) and last["request"]["depth_because"] == "the model's own"
        assert any('"adapt"' in line for line in server.log)
    told = subprocess.run([VARIANT, "serve", "-m", model("small", SMALL), "--adapt", "1s"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 2 and "no fewer to give" in told.stderr, told


def write_sweep(path, model_hash, points):
    """As `variant sweep` writes it: bridge, depth, score of each point."""
    def point(bridge, depth, score):
        return {"id": f"d{depth}-n{bridge}", "bridge": bridge, "depth": depth, "selector": "equidistant", "cfg_scale": 1.5,
                "quality": {"frechet": score, "name": "FID(classifier)", "samples": 9}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"model": {"hash": model_hash}, "settings": {"weights": "f32", "kv": "f32"}, "points": [point(*each) for each in points]}, file)


@test
def qualities_are_plans():
    """Of a sweep where there is one: the fastest within 25 % and 5 % of the best, and the best."""
    with Server(VARIANT, FASHION) as server:
        plans = server.get("/api/model").json()["qualities"]
        for quality, name in (("low", "fast"), ("medium", "balanced"), ("high", "high")):
            told = json.loads(subprocess.run([VARIANT, "plan", "-m", FASHION, "--quality", name, "--json"], check=True, capture_output=True, text=True).stdout)
            answer = server.post("/v1/images/generations", {"prompt": "Bag", "quality": quality})
            used = answer.json()["request"]
            assert (plans[quality]["depth"], plans[quality]["bridge"]) == (told["depth"], told["bridge"]), (quality, plans, told)
            assert used["depth_because"] == plans[quality]["because"] and f"quality {name}" in used["depth_because"]
            same = server.post("/v1/images/generations", {"prompt": "Bag", "seed": used["seed"], "depth": told["depth"], "bridge": told["bridge"]})
            assert picture(same.json()["data"][0]) == picture(answer.json()["data"][0])
    sweep = os.path.join(FOLDER.name, "sweep.json")
    write_sweep(sweep, hash_of(FASHION), ((7, 12, 10.0), (4, 6, 10.4), (4, 3, 12.0), (4, 2, 30.0)))
    with Server(VARIANT, FASHION, "--sweep", sweep) as server:
        for quality, depth in (("low", 3), ("medium", 6), ("high", 12)):
            answer = server.post("/v1/images/generations", {"prompt": "Bag", "quality": quality}).json()["request"]
            assert answer["depths"].split(",")[-1] == str(depth), (quality, answer)
            assert "FID(classifier)" in answer["depth_because"], answer
        chosen = server.post("/v1/images/generations", {"prompt": "Bag", "max_latency": 600}).json()["request"]
        assert "the best FID(classifier) of 4 measured schedules" in chosen["depth_because"], chosen


# ---- what a service manager hands over and is told

def activated(server, listening, count="1"):
    """The server's command as systemd would begin it: sockets from descriptor 3 on."""
    words = " ".join(shlex.quote(word) for word in server.command)
    fds = [listening] if not isinstance(listening, list) else listening
    moves = "; ".join(f"exec {3 + i}<&{100 + i}" for i in range(len(fds)))
    high = [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD, 100 + i) for i, each in enumerate(fds)]
    assert high == list(range(100, 100 + len(fds))), high
    server.command = ["bash", "-c", f"{moves}; export LISTEN_PID=$$ LISTEN_FDS={count}; exec {words}"]
    server.how = {"pass_fds": high}
    return server


def close_handed(server):
    for fd in server.how["pass_fds"]:
        os.close(fd)


@test
def a_socket_is_handed_over():
    small = model("small", SMALL)
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listening = socket.create_server((address, 0), family=family)
        except OSError:
            assert family == socket.AF_INET6  # a machine without it
            continue
        port = listening.getsockname()[1]
        with activated(Server(VARIANT, small, "--listen", "0.0.0.0"), listening) as server:  # what is handed over goes before
            assert server.port == port
            if family == socket.AF_INET:
                assert server.post("/v1/images/generations", {"prompt": "1"}).status == 200
                assert server.ask("GET", "/healthz", headers={"Host": "example.org"}).status == 403  # it is loopback
            else:
                with socket.create_connection(("::1", port), timeout=60) as raw:
                    raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    assert raw.recv(1000).startswith(b"HTTP/1.1 200")
        # the manager's own end is still there: who comes now waits for the next server, which answers
        late = socket.create_connection((address, port), timeout=60)
        late.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        close_handed(server)
        with activated(Server(VARIANT, small), listening) as server:
            assert late.recv(1000).startswith(b"HTTP/1.1 200")
        late.close()
        listening.close()
        close_handed(server)
    # what does not fit is told, in one line
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    local = socket.socket(socket.AF_UNIX)
    local.bind(os.path.join(FOLDER.name, "local"))
    local.listen()
    open_to_all = socket.create_server(("0.0.0.0", 0))
    for sockets, count, words in (([silent, datagrams], "2", "hands over 2 sockets: expected one"), ([datagrams], "1", "no listening TCP socket"),
                                  ([silent], "1", "no listening TCP socket"), ([local], "1", "no listening TCP socket"), ([silent], "many", "expected one"),
                                  ([open_to_all], "1", "--api-key-file")):
        server = activated(Server(VARIANT, small), sockets, count)
        done = subprocess.run(server.command, stderr=subprocess.PIPE, text=True, timeout=60, **server.how)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, (words, done)
        close_handed(server)
    # another process's sockets are none of ours
    server = Server(VARIANT, small)
    server.how = {"env": dict(os.environ, LISTEN_PID="1", LISTEN_FDS="1")}
    with server:
        assert server.get("/healthz").status == 200
    for each in (datagrams, silent, local, open_to_all):
        each.close()


@test
def a_manager_is_told_of_the_state():
    path = os.path.join(FOLDER.name, "notify")
    small = model("small", SMALL)
    for name in (path, "@variant-test-" + str(os.getpid())):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(name if name[0] == "/" else "\0" + name[1:])
            manager.settimeout(60)
            server = Server(VARIANT, small)
            server.how = {"env": dict(os.environ, NOTIFY_SOCKET=name)}
            with server:
                assert manager.recv(1000) == b"READY=1"
                server.process.send_signal(signal.SIGHUP)
                assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(1000))
                assert manager.recv(1000) == b"READY=1"
                server.process.send_signal(signal.SIGTERM)
                assert manager.recv(1000) == b"STOPPING=1"


@test
def units_are_sound():
    if not shutil.which("systemd-analyze"):
        print("SKIP units_are_sound: no systemd-analyze")
        return
    build = os.path.dirname(VARIANT)
    with open(os.path.join(build, "share", "variant.service"), encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"ExecStart=\S+", f"ExecStart={VARIANT}", text)  # which is there before it is installed
    room = os.path.join(FOLDER.name, "units")
    os.makedirs(room)
    with open(os.path.join(room, "variant.service"), "w", encoding="utf-8") as file:
        file.write(text)
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../share/systemd/variant.socket"), room)
    units = [os.path.join(room, name) for name in ("variant.service", "variant.socket")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=120)
    told = [line for line in done.stderr.splitlines() if "variant" in line]
    assert done.returncode == 0 and not told, done
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", units[0]], capture_output=True, text=True, timeout=120)
    if "unrecognized option" in done.stderr or "Unknown option" in done.stderr:
        print("SKIP units_are_sound: systemd-analyze security knows no --offline")
        return
    level = re.search(r"Overall exposure level for variant.service: ([\d.]+)", done.stdout)
    assert done.returncode == 0 and float(level.group(1)) <= 2.0, done.stdout + done.stderr  # of 10


# ---- previews, and clients' shares

def room_for(path, requests):
    """Options that leave room for so many requests of one picture at a time."""
    weights, kept, one = memory_of(path)
    return ["--keep-size", "1M", "--max-memory", f"{weights + kept + requests * one + 0.1:.1f}M"]


@test
def previews_are_decoded_for_whoever_looks_and_never_ahead_of_who_waits():
    slow = model("slow", SLOW)
    with Server(VARIANT, slow, *room_for(slow, 1.6)) as server:
        # nobody looks
        job = server.post("/api/jobs", {"prompt": "1"}).json()
        server.wait_for('variant_jobs_total{end="completed"}', 1)
        gauges = server.gauges()
        assert gauges["variant_previews_total"] == 0 and gauges["variant_previews_left_out_total"] == 0
        # somebody looks
        job = server.post("/api/jobs", {"prompt": "1"}).json()
        names = [name for name, _ in server.stream("GET", job["events_url"])[1]]
        looked = server.gauges()["variant_previews_total"]
        assert looked >= 4 and "preview" in names
        # and another waits for the memory: not one, until it has begun
        first = server.post("/api/jobs", {"prompt": "1", "n": 10}).json()
        server.wait_for("variant_running", 1)
        second = server.post("/api/jobs", {"prompt": "1"}).json()
        server.wait_for("variant_queue", 1)
        start = server.gauges()
        connection, events = server.stream("GET", first["events_url"])
        server.wait_for_more("variant_previews_left_out_total", 5)
        gauges = server.gauges()
        assert gauges["variant_queue"] == 1 and gauges["variant_previews_total"] <= start["variant_previews_total"] + 1, (start, gauges)
        server.ask("DELETE", second["poll_url"])
        server.wait_for_more("variant_previews_total", gauges["variant_previews_total"] + 2)
        assert next(data for name, data in events if name == "preview")["scale"] >= 1
        connection.close()
        server.ask("DELETE", first["poll_url"])
        server.wait_for("variant_running", 0)  # or the next lines see this one
        # a stream that is left without partial pictures still ends well
        first = server.post("/api/jobs", {"prompt": "1", "n": 10, "deadline": 100}).json()
        server.wait_for("variant_running", 1)
        results = []
        asking = threading.Thread(target=lambda: results.extend(server.stream("POST", "/v1/images/generations", {"prompt": "1", "stream": True, "partial_images": 3, "deadline": 150})[1]))
        asking.start()
        server.wait_for("variant_queue", 1)
        third = server.post("/api/jobs", {"prompt": "1", "n": 10, "deadline": 200}).json()
        server.ask("DELETE", first["poll_url"])  # now the stream is at work, and the third waits
        asking.join()
        server.ask("DELETE", third["poll_url"])
        assert results[-1][0] == "image_generation.completed", results
        slots = [data["partial_image_index"] for name, data in results[:-1]]
        assert slots == sorted(set(slots)) and len(slots) < 3, slots


@test
def a_client_has_its_share():
    slow, keys = model("slow", SLOW), os.path.join(FOLDER.name, "keys")
    with open(keys, "w", encoding="utf-8") as file:
        file.write("first-key-of-ours\nsecond-key-of-ours\n")
    with Server(VARIANT, slow, "--drain", "100ms", "--per-client", "2", "--api-key-file", keys) as server:
        first, second = ({"Authorization": f"Bearer {name}-key-of-ours"} for name in ("first", "second"))

        def gauges():
            text = server.get("/metrics", **first).body.decode()
            return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}
        jobs = [server.post("/api/jobs", {"prompt": "1", "n": 10}, **first) for _ in range(3)]
        assert [job.status for job in jobs] == [202, 202, 429], [job.body for job in jobs]
        assert jobs[2].error()["code"] == "client_limit" and jobs[2].error()["type"] == "rate_limit_error" and int(jobs[2].headers["retry-after"]) >= 1
        assert server.post("/api/jobs", {"prompt": "1", "n": 10}, **second).status == 202  # the other's share is its own
        server.ask("DELETE", jobs[0].json()["poll_url"], headers=first)
        until = time.time() + 60
        while gauges()['variant_jobs_total{end="cancelled"}'] < 1 and time.time() < until:
            time.sleep(0.02)
        assert server.post("/api/jobs", {"prompt": "1"}, **first).status == 202
        assert gauges()['variant_rejected_total{why="client"}'] == 1
    with Server(VARIANT, slow, "--drain", "100ms", "--per-client", "1") as server:  # without keys it is the address
        assert server.post("/api/jobs", {"prompt": "1", "n": 10}).status == 202
        assert server.post("/v1/images/generations", {"prompt": "1"}).status == 429


if __name__ == "__main__":
    run_tests(TESTS, FOLDER)

"""kill -9 at moments drawn at random, and at calls with which a file is written: what goes on afterwards ends with the bytes of a run that nobody stopped.
   cli_kills.py BUILD_FOLDER IO_FAIL [--all] [SUBJECT...]

Subjects: trainings (each kind, any moment), checkpoints (each kind, at a call on the temporary file or its name: io_fail.c), sweep, serve."""
import http.client
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import faults
import serving

STEPS, SAVE_EVERY = 24, 3
SEED = 1
KILLS = {"trainings": (2, 50), "checkpoints": (2, 50), "sweep": (1, 50), "serve": (1, 50)}  # fast, with --all
MOST_IN_A_ROW = 3


class Subject:
    """One command, what it writes when left alone, and how long that takes."""

    def __init__(self, place, command, io_fail):
        self.place, self.command, self.io_fail = place, command, io_fail
        self.begin, self.before, done = place.prepared(command)
        self.right = {name: faults.read(done, name) for name in command.results}
        self.points = points(done)
        shutil.rmtree(done)
        folder = place.copy(self.begin, command.name)
        began = time.monotonic()
        place.run(folder, command.words)
        self.seconds = time.monotonic() - began
        shutil.rmtree(folder)

    def writing(self):
        """KIND:N of the calls that write the checkpoint."""
        folder = self.place.copy(self.begin, self.command.name)
        log = folder + ".log"
        self.place.run(folder, self.command.words, [self.io_fail, log])
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = [line.rstrip("\n").split(" ", 2) for line in file]
        shutil.rmtree(folder)
        return [f"{kind}:{n}" for kind, n, path in lines
                if faults.CHECKPOINT + "." in path or (kind == "rename" and path.endswith(faults.CHECKPOINT))]

    def judge(self, folder, killed, whole):
        wrong = faults.judge_files(self.command, folder, self.right, self.before, whole)
        if whole and points(folder) != self.points:
            wrong.append("other points")
        return [f"{self.command.name}: {killed}: {what}" for what in wrong]

    def killed_at_call(self, call):
        """The folder of a run that was killed there."""
        folder = self.place.copy(self.begin, self.command.name)
        status = self.place.run(folder, self.command.words, [self.io_fail, folder + ".log", call + ":kill"], right=False)
        return folder, [] if status == 137 else [f"{self.command.name}: {call}: ended with {status}, not by the kill"]

    def killed_after(self, folder, seconds):
        """Is it killed before it ends?"""
        process = self.place.start(folder, self.command.again(folder))
        try:
            process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True

    def go_on(self, folder, killed):
        wrong = self.judge(folder, killed, False)
        if self.place.run(folder, self.command.again(folder), right=False) != 0:
            wrong.append(f"{self.command.name}: {killed}: cannot go on: " + faults.read(folder, "err.txt").decode(errors="replace")[-300:])
        wrong += self.judge(folder, killed, True)
        shutil.rmtree(folder)
        return wrong


def points(folder):
    """What a sweep has measured; times are others each time."""
    state = faults.read(folder, "swept/sweep.json")
    return sorted(point["id"] for point in faults.json.loads(state)["points"]) if state else None


def kill_runs(subject, count, draw):
    """(kills, runs that went on, faults): up to three kills in a row, each somewhere in what a whole run takes."""
    kills = runs = 0
    wrong = []
    while kills < count:
        folder, moments = subject.place.copy(subject.begin, subject.command.name), []
        for _ in range(min(draw.randint(1, MOST_IN_A_ROW), count - kills)):
            moment = draw.random() * subject.seconds
            if not subject.killed_after(folder, moment):
                break
            moments.append(f"{moment:.3f} s")
            wrong += subject.judge(folder, moments, False)
        kills += len(moments)
        runs += 1
        wrong += subject.go_on(folder, moments)
    return kills, runs, wrong


def training_commands():
    return [c for c in faults.train_commands(STEPS, SAVE_EVERY) if c.name.startswith("train ")]


def share(count, parts, i):
    return count // parts + (i < count % parts)


def kill_trainings(place, io_fail, count, draw):
    sums = [0, 0, []]
    for i, command in enumerate(training_commands()):
        mine = share(count, 5, i)
        if mine:
            sums = [a + b for a, b in zip(sums, kill_runs(Subject(place, command, io_fail), mine, draw))]
    return sums


def kill_checkpoints(place, io_fail, count, draw):
    kills, wrong = 0, []
    for i, command in enumerate(training_commands()):
        mine = share(count, 5, i)
        if not mine:
            continue
        subject = Subject(place, command, io_fail)
        for call in draw.sample(subject.writing(), mine):
            folder, bad = subject.killed_at_call(call)
            wrong += bad + subject.go_on(folder, call)
            kills += 1
    return kills, kills, wrong


def kill_sweep(place, io_fail, count, draw):
    command = {c.name: c for c in faults.commands()}["sweep"]
    return kill_runs(Subject(place, command, io_fail), count, draw)


# ---- a server with jobs

class Server(serving.Server):
    def __init__(self, place, folder):
        super().__init__(place.variant, "tiny.safetensors", "-t", "1")
        self.how = place.settings(folder)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def picture(self):
        return self.post("/v1/images/generations", {"prompt": "1", "seed": 5}).json()["data"][0]["b64_json"]


def ask_until_gone(server):
    try:
        while True:
            server.post("/api/jobs", {"prompt": "1", "n": 2})
            server.picture()
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        pass


def kill_serve(place, _io_fail, count, draw):
    folder = place.copy(place.master, "serve")
    wrong = []
    with Server(place, folder) as server:
        right = server.picture()
    for i in range(count):
        server = Server(place, folder)
        server.__enter__()
        client = threading.Thread(target=ask_until_gone, args=(server,))
        client.start()
        time.sleep(draw.random() * 0.4)
        server.process.kill()
        server.process.wait()
        client.join()
        with Server(place, folder) as again:
            wrong += [] if again.picture() == right else [f"serve: kill {i}: another picture"]
        kept = os.path.join(folder, "cache", "variant")
        wrong += [f"serve: kill {i}: {name} is no whole file" for name in (os.listdir(kept) if os.path.isdir(kept) else [])
                  if name.endswith(".json") and not faults.is_json(faults.read(kept, name))]
    return count, count, wrong


def main():
    words = sys.argv[3:]
    whole, names = "--all" in words, [word for word in words if word != "--all"]
    place = faults.Place(os.path.join(os.path.abspath(sys.argv[1]), "variant"))
    traced = place.run(place.master, ["--version"], [sys.argv[2], os.path.join(place.top, "log")], right=False) != 125
    subjects = {"trainings": kill_trainings, "checkpoints": kill_checkpoints, "sweep": kill_sweep, "serve": kill_serve}
    count = 0
    try:
        for name, kill in subjects.items():
            if names and name not in names:
                continue
            if name == "checkpoints" and not traced:
                print("SKIP checkpoints: system calls cannot be intercepted here (x86-64, ptrace and seccomp)")
                continue
            kills, runs, wrong = kill(place, sys.argv[2], KILLS[name][whole], random.Random(SEED))
            for line in wrong:
                print("FAULT", line)
            print(f"{name}: {kills} kills, {runs} runs went on, {len(wrong)} faults", flush=True)
            count += len(wrong)
    finally:
        place.remove()
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())

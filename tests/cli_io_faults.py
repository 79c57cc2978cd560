"""Each system call of a command fails once (io_fail.c): the disk is full, does not answer, moves half of what was asked for, is interrupted.
   cli_io_faults.py BUILD_FOLDER IO_FAIL [--all] [COMMAND...]

An interruption and a part of the bytes are no failures: the results are those of an undisturbed run. After an error the exit status says so, one line
names the file, what was there before is whole, no temporary file stays, and the same command (a training: --resume) then makes the undisturbed run's results."""
import concurrent.futures
import http.client
import os
import re
import shutil
import sys

import faults
import serving

HOWS = {"open": ["EMFILE", "EINTR"], "read": ["EIO", "EINTR", "short"], "write": ["ENOSPC", "EINTR", "short"], "fsync": ["EIO", "EINTR"],
        "rename": ["EIO"], "truncate": ["EIO", "EINTR"], "close": ["EIO", "EINTR"], "mmap": ["ENOMEM"], "mkdir": ["EACCES"], "unlink": ["EACCES"],
        "stat": ["EIO"], "seek": ["EIO"], "list": ["EIO"], "duplicate": ["EMFILE"], "receive": ["EIO", "EINTR", "short"],
        "send": ["EIO", "EINTR", "short"], "accept": ["EMFILE", "EINTR"]}
HARMLESS = ("EINTR", "short")
FAST = ("generate", "convert", "encode data", "resume transformer", "sweep again", "serve")
SAMPLE, MOST = 14, 150  # calls of a command: of those, and of all with --all


def sites(log, top):
    """[(kind, number, path)]: of calls on the machine's own files (/proc, /sys), which every command makes, each path once."""
    found, known = [], set()
    for line in log.splitlines():
        kind, number, path = line.split(" ", 2)
        path = re.sub(r"/proc/\d+", "/proc/self", path)
        if not path.startswith(top) and (kind, path) in known:
            continue
        known.add((kind, path))
        found.append((kind, int(number), path))
    return found


def sampled(tries, top, most):
    """Spread over all; tries at files of the command's own first."""
    own = [t for t in tries if t[2].startswith(top)]
    other = [t for t in tries if not t[2].startswith(top)]
    chosen = []
    for group, room in ((own, most - min(len(other), most // 5)), (other, most // 5)):
        step = max(1.0, len(group) / max(room, 1))
        chosen += [group[int(i * step)] for i in range(min(len(group), room))]
    return chosen


class Trial:
    def __init__(self, place, command, io_fail):
        self.place, self.command, self.io_fail, self.name = place, command, io_fail, command.name
        self.begin, self.before, done = place.prepared(command)
        self.right = {name: faults.read(done, name) for name in command.results}
        shutil.rmtree(done)

    def sites(self):
        folder = self.place.copy(self.begin, self.command.name)
        log = folder + ".log"
        self.place.run(folder, self.command.words, [self.io_fail, log])
        found = faults.judge_files(self.command, folder, self.right, self.before, True)
        assert not found, f"{self.command.name}: two runs differ: {found}"
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        shutil.rmtree(folder)
        return [(kind, n, path.replace(folder, self.place.top)) for kind, n, path in sites(text, folder)]

    def told(self, folder, path):
        """What is wrong with the line about a failure."""
        lines = [line for line in faults.read(folder, "err.txt").decode(errors="replace").splitlines() if re.match(r"variant[a-z ]*: (?!warning: |note: )", line)]
        if len(lines) != 1:
            return [f"{len(lines)} lines of error"]
        if not path.startswith(folder):
            return []
        name = re.sub(r"\.\d+-\d+\.tmp$", "", path[len(folder) + 1:])
        return [] if name in lines[0] or (path.endswith("out.txt") and "output" in lines[0]) else [f"\"{name}\" is not in \"{lines[0]}\""]

    def run(self, kind, number, how):
        """(fault or None, whether the call came, whether the command failed)"""
        folder = self.place.copy(self.begin, self.command.name)
        log = folder + ".log"
        status = self.place.run(folder, self.command.words, [self.io_fail, log, f"{kind}:{number}:{how}"], right=False)
        with open(log, encoding="utf-8", errors="replace") as file:
            failed = file.read().strip()
        path = failed.split(" ", 3)[3] if failed else ""
        wrong = []
        if status >= 125:
            wrong.append(f"ended with {status}")
        elif status != 0:
            output = path.endswith("out.txt")  # the C library's own stream: an interrupted write is a failed one, and told
            wrong += [f"exit {status} after {how}"] if how in HARMLESS and not output else self.told(folder, path)
            left = faults.temporaries(folder)
            wrong += [f"{left} stay"] if left and kind != "unlink" else []
        wrong += faults.judge_files(self.command, folder, self.right, self.before, status == 0)
        said = faults.read(folder, "err.txt").decode(errors="replace")[-300:]
        if status != 0 and not wrong:
            if self.place.run(folder, self.command.again(folder), right=False) != 0:
                wrong.append("cannot go on: " + faults.read(folder, "err.txt").decode(errors="replace")[-300:])
            wrong += [f"gone on with: {what}" for what in faults.judge_files(self.command, folder, self.right, self.before, True)]
        shutil.rmtree(folder)
        os.remove(log)
        where = path.replace(folder, ".")
        fault = f"{self.command.name}: {kind} {number} of {where}: {how}: exit {status}: {'; '.join(wrong)} [{said.strip()}]" if wrong else None
        return fault, bool(failed), status != 0


class Server(serving.Server):
    def __init__(self, place, folder, before):
        super().__init__(place.variant, "tiny.safetensors", "-t", "1")
        self.command = [*before, *self.command]
        self.how = place.settings(folder)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def picture(self):
        """What came, or None."""
        try:
            return self.post("/v1/images/generations", {"prompt": "1", "seed": 5}).json()["data"][0]["b64_json"]
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None


class ServeTrial:
    """A server may refuse to begin, or lose the one request; it does not end, and its next answers are right."""
    name = "serve"

    def __init__(self, place, io_fail):
        self.place, self.io_fail, self.right = place, io_fail, None

    def sites(self):
        folder = self.place.copy(self.place.master, self.name)
        log = folder + ".log"
        with Server(self.place, folder, [self.io_fail, log]) as server:
            self.right = server.picture()
        assert self.right, "no picture of an undisturbed server"
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        return [(kind, n, path.replace(folder, self.place.top)) for kind, n, path in sites(text, folder)]

    def serve(self, server, how):
        first, wrong = server.picture(), []
        if first != self.right and (first or how in HARMLESS):
            wrong.append(f"another answer after {how}")
        wrong += [f"answer {i} is another" for i in range(2) if server.picture() != self.right]
        status = server.stop()
        return wrong + ([f"ended with {status}"] if status else []), first != self.right

    def run(self, kind, number, how):
        folder = self.place.copy(self.place.master, self.name)
        log = folder + ".log"
        server = Server(self.place, folder, [self.io_fail, log, f"{kind}:{number}:{how}"])
        try:
            with server:
                wrong, told = self.serve(server, how)
        except AssertionError:
            status, told = server.process.wait(60), True
            lines = [line for line in server.log if line.startswith("variant serve: ")]
            wrong = [] if status in (1, 2) and len(lines) == 1 and how not in HARMLESS else [f"exit {status}, {len(lines)} lines: {server.log[-3:]}"]
        with open(log, encoding="utf-8", errors="replace") as file:
            failed = file.read().strip()
        left = faults.temporaries(folder)
        wrong += [f"{left} stay"] if left and kind != "unlink" else []
        shutil.rmtree(folder)
        return f"serve: {failed}: {how}: {'; '.join(wrong)}" if wrong else None, bool(failed), told


def try_command(place, trial, most, pool):
    all_tries = [(kind, number, path, how) for kind, number, path in trial.sites() for how in HOWS.get(kind, [])]
    tries = sampled(all_tries, place.top, most)
    results = list(pool.map(lambda t: trial.run(t[0], t[1], t[3]), tries))
    for fault, _, _ in results:
        if fault:
            print("FAULT", fault, flush=True)
    failed = sum(1 for r in results if r[2])
    print(f"{trial.name}: {len(tries)} of {len(all_tries)} failures tried, {sum(1 for r in results if r[1])} came, {failed} were told, "
          f"{sum(1 for r in results if r[0])} faults", flush=True)
    return [len(tries), len(all_tries), sum(1 for r in results if r[0])]


def main():
    words = sys.argv[3:]
    whole, names = "--all" in words, [word for word in words if word != "--all"]
    place, io_fail = faults.Place(os.path.join(os.path.abspath(sys.argv[1]), "variant")), os.path.abspath(sys.argv[2])
    sums = [0, 0, 0]
    try:
        if place.run(place.master, ["--version"], [io_fail, os.path.join(place.top, "log")], right=False) == 125:
            print("SKIP cli_io_faults: system calls cannot be intercepted here (x86-64, ptrace and seccomp)")
            return 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            made = {command.name: command for command in faults.commands()}
            for name in names or ([*made, "serve"] if whole else FAST):
                trial = ServeTrial(place, io_fail) if name == "serve" else Trial(place, made[name], io_fail)
                sums = [a + b for a, b in zip(sums, try_command(place, trial, MOST if whole else SAMPLE, pool))]
    finally:
        place.remove()
    print(f"{sums[0]} of {sums[1]} failures tried, {sums[2]} faults")
    return 1 if sums[2] or not sums[0] else 0


if __name__ == "__main__":
    sys.exit(main())

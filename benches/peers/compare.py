#!/usr/bin/env python3
"""Times stylegan-rs and its peers on the same networks in turn, A B A B, and prints tables of speeds and ratios.

`cargo xtask bench peers` installs what this needs and runs it. Tables go to standard output, progress to standard
error, and every turn to a file of JSON lines. The exit status is 1 where a peer failed or made other pictures.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

NAMES = {
    "stylegan-rs": "stylegan-rs",
    "pytorch": "PyTorch",
    "torch-compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
OURS = "stylegan-rs"
RUNTIMES = ["onnxruntime", "openvino"]
# Programs at work on average beyond which a machine isn't quiet.
QUIET_LOAD = 0.5
# Seconds of a turn of ours, and the fewest and most calls in it.
TURN_SECONDS, TURN_CALLS = 2.0, (3, 50)
GIB = 2**30


class Failure(Exception):
    """A side that can't do the work, with the reason."""


class Ours:
    """Our program, started anew for every turn."""

    def __init__(self, args, case, file):
        threads = ["--threads", str(args.threads)]
        self.command = [args.binary, "bench", case["work"], *case["options"], *threads, "--json"]
        self.case, self.file = case, file

    def run(self, *options):
        run = subprocess.run([*self.command, *options], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failure(last_line(run.stderr))
        return json.loads(run.stdout)

    def prepare(self):
        """Writes the networks for the others, and finds out how many calls a turn has."""
        result = self.run("--runs", "1", "--export", str(self.file))
        calls = math.ceil(TURN_SECONDS / result["median_seconds"])
        fewest, most = TURN_CALLS
        self.runs = max(fewest, min(calls, most)) if self.case["work"] == "generate" else 1
        return result

    def turn(self):
        result = self.run("--runs", str(self.runs))
        return result["median_seconds"], result["peak_memory_bytes"] or math.nan

    def stop(self):
        pass


class Peer:
    """A worker that keeps its network between turns."""

    def __init__(self, args, case, file, name):
        self.command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        self.command += ["--work", case["work"], "--file", str(file)]
        self.command += ["--threads", str(args.threads)]
        self.name, self.process = name, None
        self.log = file.with_suffix(f".{name}.log")

    def start(self, *options, peer=None):
        # Warnings of the libraries would fill a pipe.
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*self.command, "--peer", peer or self.name, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self.answer()

    def prepare(self):
        """Finds the fastest variant, in a process of its own, and compares its results with ours."""
        # Compiling every variant would take many minutes: the one that is fastest without is compiled.
        like = "pytorch" if self.name == "torch-compile" else self.name
        variant = self.start("--tune", peer=like)["variant"]
        self.stop()
        return {"variant": variant, **self.start("--variant", variant)}

    def turn(self):
        print("turn", file=self.process.stdin, flush=True)
        answer = self.answer()
        return answer["seconds"], answer["peak_memory_bytes"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            errors = last_line(self.log.read_text(errors="replace"))
            raise Failure(f"{errors or f'exit status {status}'} (more in {self.log})")
        return json.loads(line)

    def stop(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""


class Measured:
    """What the turns of one side gave."""

    def __init__(self):
        self.seconds, self.peak_memory_bytes, self.failure = [], math.nan, None

    def add(self, seconds, peak_memory_bytes):
        self.seconds.append(seconds)
        self.peak_memory_bytes = max(peak_memory_bytes, self.peak_memory_bytes)

    def median(self):
        return statistics.median(self.seconds) if self.seconds else math.nan


class Log:
    """A file of JSON lines, so that an interrupted comparison leaves what it has measured."""

    def __init__(self, path):
        self.file = open(path, "a")

    def write(self, **values):
        print(json.dumps(values), file=self.file, flush=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


def load_average():
    """Programs at work in the last minute; none where the system doesn't tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def compare(case, args, log):
    """Measures one piece of work: what each side gave, and the pictures per call."""
    file = args.folder / f"{case['name']}.safetensors"
    for old in args.folder.glob(f"{case['name']}.*"):
        old.unlink()
    sides = {OURS: Ours(args, case, file)}
    sides |= {name: Peer(args, case, file, name) for name in case["peers"]}
    measured = {name: Measured() for name in sides}
    batch = 1

    def attempt(name, action):
        """The result, or None where the side fails now or has failed before."""
        if measured[name].failure:
            return None
        try:
            return action()
        except Failure as failure:
            measured[name].failure = str(failure)
            log.write(work=case["name"], peer=name, failure=str(failure))
            say(f"  {NAMES[name]}: failed: {failure}")
            return None

    try:
        for name, side in sides.items():
            prepared = attempt(name, side.prepare)
            if name == OURS and prepared is None:
                # Without our networks there is nothing to compare.
                return measured, batch
            if name == OURS:
                batch = prepared["batch"]
            elif prepared is not None:
                log.write(work=case["name"], peer=name, **prepared)
                deviation, variant = prepared["deviation"], prepared["variant"]
                say(f"  {NAMES[name]}: same results within {deviation:.0e} ({variant})")
        for number in range(args.rounds):
            for name, side in sides.items():
                turn = attempt(name, side.turn)
                if turn is not None:
                    measured[name].add(*turn)
                    seconds, memory = turn
                    log.write(
                        work=case["name"],
                        peer=name,
                        round=number,
                        seconds=seconds,
                        images_per_second=batch / seconds,
                        peak_memory_bytes=memory,
                    )
            medians = (f"{NAMES[n]} {m.median():.4f}" for n, m in measured.items() if m.seconds)
            say(f"  round {number + 1} of {args.rounds}, seconds: {', '.join(medians)}")
    finally:
        for side in sides.values():
            side.stop()
    return measured, batch


def table(header, rows):
    for row in [header, ["---"] * len(header), *rows]:
        print(f"| {' | '.join(row)} |")
    print()


def number(value, text):
    return text.format(value) if math.isfinite(value) else "-"


def speeds(results):
    """Pictures per second with the slowest and fastest turn, and memory."""
    sides = list(NAMES)
    rows = []
    for case, measured, batch in results:
        row = [case["name"]]
        for name in sides:
            side = measured.get(name)
            if side is None or not side.seconds:
                row.append("-")
                continue
            slowest, fastest = (batch / f(side.seconds) for f in (max, min))
            rate = number(batch / side.median(), "**{:.2f}**")
            memory = number(side.peak_memory_bytes / GIB, "{:.2f} GiB")
            row.append(f"{rate} ({slowest:.2f} to {fastest:.2f}), {memory}")
        rows.append(row)
    print("Pictures per second in the median of all turns (slowest and fastest), and peak memory:\n")
    table(["work", *NAMES.values()], rows)


def ratios(results):
    """How many times as fast ours is, beside the targets."""

    def cell(ratio, target):
        if target is None:
            return number(ratio, "{:.2f}")
        return number(ratio, "{:.2f}" if ratio >= target else "**{:.2f}**") + f" (target {target:g})"

    rows = []
    for case, measured, _ in results:
        ours = measured[OURS]
        of = {name: side.median() / ours.median() for name, side in measured.items()}
        runtimes = [of[name] for name in RUNTIMES if name in of and math.isfinite(of[name])]
        pytorch = measured.get("pytorch", Measured())
        memory = ours.peak_memory_bytes / pytorch.peak_memory_bytes
        target = case["targets"]
        below = target.get("memory")
        share = number(memory, "{:.2f}" if below is None or memory < below else "**{:.2f}**")
        rows.append(
            [
                case["name"],
                cell(of.get("pytorch", math.nan), target.get("pytorch")),
                cell(of.get("torch-compile", math.nan), None),
                cell(min(runtimes, default=math.nan), target.get("runtimes")),
                share + (f" (target below {below:g})" if below is not None else ""),
            ]
        )
    print("How many times as fast ours is; what misses its target is bold:\n")
    better = "the better of ONNX Runtime and OpenVINO"
    table(["work", "PyTorch", "torch.compile", better, "memory, of PyTorch's"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, help="the built program `xtask`")
    parser.add_argument("--cases", type=Path, required=True, help="JSON file that says what to time")
    parser.add_argument("--folder", type=Path, required=True, help="for files in between")
    parser.add_argument("--results", type=Path, required=True, help="JSON lines, which are added to")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    args = parser.parse_args()

    log = Log(args.results)
    load = load_average()
    log.write(load_average=load, threads=args.threads, rounds=args.rounds)
    if load > QUIET_LOAD:
        say(
            f"note: other programs are at work (load {load:.1f}). PyTorch's threads wait for each other busily and "
            "suffer most: ratios mean something on a quiet machine only"
        )
    results = []
    for case in json.loads(args.cases.read_text()):
        say(f"{case['name']}: preparing {', '.join(NAMES[name] for name in case['peers'])}")
        results.append((case, *compare(case, args, log)))
    speeds(results)
    ratios(results)
    failures = [
        f"{case['name']}: {NAMES[name]}: {side.failure}"
        for case, measured, _ in results
        for name, side in measured.items()
        if side.failure
    ]
    for failure in failures:
        say(f"failed: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

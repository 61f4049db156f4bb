"""Fuzz the reader: python fuzz/run.py --seconds 600; with libFuzzer's coverage: python fuzz/run.py --atheris.

Mutants are checked by a process of their own, which may die; what fails is kept in fuzz/found, and belongs
into fuzz/corpus once it is mended.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # behind an installed package

from fuzz.check import MEMORY, Found, check  # noqa: E402
from fuzz.mutate import coded_in_parts, mutated  # noqa: E402

CORPUS = ROOT / "fuzz" / "corpus"
GOLDEN = ROOT / "tests" / "golden"
HANG = 20  # s of the clock after which a mutant is given up


def seeds() -> list[bytes]:
    """The golden files, and the same with a directory in each field."""
    files = [path.read_bytes() for path in sorted(GOLDEN.rglob("*.splat"))]
    return files + [parted for data in files if (parted := coded_in_parts(data)) != data]


def mutant(files: list[bytes], rng: random.Random) -> bytes:
    """One to three generations from a good file."""
    data = rng.choice(files)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = mutated(data, rng.choice(files), rng)
    return data


def work(seed: int, seconds: float, found: Path, memory: int) -> int:
    """Check mutants until the time is up; one that fails ends it."""
    if memory and sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    rng, files, counts = random.Random(seed), seeds(), collections.Counter()
    current = found / f"current-{seed}"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutant(files, rng)
        current.write_bytes(data)
        signal.alarm(HANG)
        try:
            counts[check(data)] += 1
        except (Exception, MemoryError) as fault:
            print("".join(traceback.format_exception(fault)), file=sys.stderr)
            break
    else:
        current.unlink(missing_ok=True)
    signal.alarm(0)
    print(sum(counts.values()), counts["good"])
    return int(current.exists())


def fuzz(seconds: float, seed: int, found: Path, memory: int) -> int:
    """Run workers one after another until the time is up; the number of faults."""
    found.mkdir(exist_ok=True)
    start, done, good, faults = time.monotonic(), 0, 0, 0
    while (left := seconds - (time.monotonic() - start)) > 1:
        words = [__file__, "--worker", str(seed), "--seconds", str(min(left, 60)), "--found", str(found)]
        child = subprocess.run(
            [sys.executable, *words, "--memory", str(memory)], capture_output=True, text=True, check=False
        )
        numbers = child.stdout.split()
        if len(numbers) == 2:
            done, good = done + int(numbers[0]), good + int(numbers[1])
        current = found / f"current-{seed}"
        if child.returncode and current.exists():
            data = current.read_bytes()
            name = found / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
            current.rename(name)
            faults += 1
            last = child.stderr.strip().splitlines()[-1:] or [f"signal {-child.returncode}"]
            print(f"{name}: {last[0]}", flush=True)
        elif child.returncode:
            print(child.stderr, file=sys.stderr)
            return 1
        seed += 1
    print(f"{done:,} mutants in {time.monotonic() - start:.0f} s, {good:,} of them good, {faults} faults")
    return faults


def replay() -> int:
    """Check the corpus, and say what fails."""
    faults = 0
    for path in sorted(CORPUS.glob("*.bin")):
        try:
            check(path.read_bytes())
        except (Exception, MemoryError) as fault:
            faults += 1
            print(f"{path.name}: {type(fault).__name__}: {fault}")
    return faults


def with_atheris() -> None:
    """Let libFuzzer choose what to mutate, by coverage of the package's Python."""
    import atheris

    files = seeds()

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return mutated(bytes(data) or rng.choice(files), rng.choice(files), rng)[:most]

    atheris.instrument_all()
    atheris.Setup(
        [sys.argv[0], "-max_len=20000", *map(str, [GOLDEN / "pictures"])], check, custom_mutator=mutator
    )
    atheris.Fuzz()


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--seed", type=int, default=None, help="of the first mutant; by the clock when not given"
    )
    parser.add_argument("--found", type=Path, default=ROOT / "fuzz" / "found", help="folder for what fails")
    parser.add_argument(
        "--memory", type=int, default=MEMORY, help="bytes that a file may take; 0 for no limit"
    )
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker is not None:
        return work(given.worker, given.seconds, given.found, given.memory)
    if given.atheris:
        with_atheris()
    faults = replay()
    seed = int(time.time()) if given.seed is None else given.seed
    return int(bool(faults + fuzz(given.seconds, seed, given.found, given.memory)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Found as fault:
        sys.exit(str(fault))

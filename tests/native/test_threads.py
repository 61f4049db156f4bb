"""Threads of the native core: forks, too many of them, interrupts; the same pixels whatever happens."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import splat2d
from splat2d.format.container import Container, write
from splat2d.format.field import Field
from splat2d.format.header import Header
from splat2d.native import core

from ..support.command import needs
from ..support.integers import random_integers
from ..support.places import GOLDEN

GOLDEN = GOLDEN / "pictures"
WORK = """
import os, signal, sys
import splat2d
data = open(sys.argv[1], "rb").read()
expected = splat2d.decode(data, threads=2, scale=4)
"""


@pytest.fixture
def many() -> Path:
    return GOLDEN / "parts.splat"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_decodes(run_python, many):
    done = run_python(
        "-c",
        WORK
        + """
signal.alarm(60)
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if (splat2d.decode(data, threads=2, scale=4) == expected).all() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print((splat2d.decode(data, threads=2, scale=4) == expected).all())
""",
        many,
    )
    assert done.stdout.split() == ["0", "True"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_pool_of_forked_processes_decodes(run_python, many):
    done = run_python(
        "-c",
        WORK
        + """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(len(pool.map_async(splat2d.decode, [data] * 4).get(60)))
""",
        many,
    )
    assert done.stdout == "4\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
@pytest.mark.parametrize("room", [4, 200])
def test_more_threads_than_there_is_room_for(run_python, many, room):
    done = run_python(
        "-c",
        f"""
import resource, sys
import numpy, splat2d
from splat2d.native import core
data = open(sys.argv[1], "rb").read()
expected = splat2d.decode(data, threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
most = used + {room} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
print((splat2d.decode(data, threads=1024) == expected).all(), core().granted_threads(1024) < 32)
""",
        many,
    )
    assert done.stdout == "True True\n", done.stderr


def test_many_threads_at_once_decode_the_same(many):
    data = many.read_bytes()
    expected = splat2d.decode(data, threads=1)
    with ThreadPoolExecutor(4) as pool:
        for pixels in pool.map(lambda n: splat2d.decode(data, threads=n), [1, 2, 3, 1024] * 5):
            assert np.array_equal(pixels, expected)


def steps_of(fitter, count: int) -> float:
    """CPU seconds of steps, of all threads together."""
    start = time.process_time()
    for _ in range(count):
        fitter.step()
    return time.process_time() - start


def test_threads_do_not_wait_awake_on_a_busy_machine():
    pixels = np.random.default_rng(1).random((3, 192, 256), dtype=np.float32)
    fitters = []
    for threads in (1, 2):
        fitter = core().Fitter(pixels, np.full(3, 0.5, np.float32), 0.3, 0.0096, threads=threads)
        fitter.seed(0.01, 0.3)
        fitter.refresh()
        fitters.append(fitter)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        alone, together = zip(*([steps_of(fitter, 10) for fitter in fitters] for _ in range(5)), strict=True)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    ratio = np.median(together) / np.median(alone)
    print(f"two threads take {ratio:.2f} times the CPU seconds of one, {fitters[0].count} splats")
    assert ratio < 1.6
    for a, b in zip(fitters[0].splats(), fitters[1].splats(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_ctrl_c_ends_a_long_drawing(tmp_path, dtype):
    needs(signal.SIGINT)
    q = random_integers(2000, 3, 400, 300, seed=5)
    header = Header(400, 300, 3, 900, 10, 0, (0, 0, 0))
    data = write(Container(header, Field.encode(q, header.layout)))
    (tmp_path / "slow.splat").write_bytes(data)
    script = (
        "import splat2d, sys\n"
        "data = open('slow.splat', 'rb').read()\n"
        "print('go', flush=True)\n"
        f"while True: splat2d.decode(data, width=8000, dtype={dtype!r})\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "go\n"
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, complaint = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in complaint
    print(f"ended after {time.monotonic() - start:.2f} s")

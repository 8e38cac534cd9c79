"""Memory of large tensors is used again inside, and given back afterwards."""

import subprocess
import sys

import pytest

from fau_utils.training import heap

PROGRAM = """
import resource, torch
from fau_utils.training.heap import kept_heap

def faults(wanted):
    with kept_heap(wanted=wanted):
        for k in range(5):
            if k == 2:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(20_000_000).sum()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

start = resident()
print(faults(False), faults(True), faults(False), resident() - start)
"""


@pytest.mark.skipif(heap._glibc() is None or sys.platform != "linux", reason="no glibc")
def test_pages_are_kept_inside_and_given_back_afterwards():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    usual, kept, after, left = map(int, said.stdout.split())
    assert kept < 0.1 * usual  # whatever the size of a page
    assert after > 0.5 * usual
    assert left < 40_000_000


def test_nothing_happens_without_glibc(monkeypatch):
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    with heap.kept_heap():
        pass


def test_nothing_happens_when_it_is_not_wanted(monkeypatch):
    monkeypatch.setattr(heap, "_glibc", lambda: pytest.fail("asked"))
    with heap.kept_heap(wanted=False):
        pass

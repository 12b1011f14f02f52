"""How much memory there is for a sweep, and how much a compiled program needs."""

import os
from pathlib import Path
from typing import Any

import jax

SHARE = 0.8
"""Of the memory that is free when a sweep begins: the rest is for Python, JAX and the user."""

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def budget(device: jax.Device) -> int:
    """Bytes that a sweep may use on a device, by default."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(SHARE * (stats["bytes_limit"] - stats["bytes_in_use"]))
    return int(SHARE * free_on_host())


def free_on_host() -> int:
    """Bytes of main memory still free, within the limit of a container where there is one."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = pages // 2  # where the system doesn't say
    if MEMINFO.exists():
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    limit = CGROUP / "memory.max"
    if limit.exists() and (most := limit.read_text().strip()) != "max":
        used = int((CGROUP / "memory.current").read_text())
        counts = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        cached = int(counts["inactive_file"])  # files once read: given up when memory is needed
        free = min(free, int(most) - used + cached)
    return free


def required_bytes(compiled: Any) -> int:
    """Bytes of a compiled program on one device: arguments, results and what lies between."""
    sizes = compiled.memory_analysis()
    parts = ("argument", "output", "temp")
    return sum(getattr(sizes, f"{part}_size_in_bytes") for part in parts) if sizes else 0

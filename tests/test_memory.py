from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from toymodels.sweep import memory


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A machine with 8 GB free; its container's limit and use can be set."""
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n")

    def container(limit, used, cached=0):
        (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")

    return container


def test_free_memory_is_what_the_system_says(host):
    assert memory.free_on_host() == 8_000_000 * 1024


def test_a_containers_limit_counts_if_it_is_tighter(host):
    host("max", 10)
    assert memory.free_on_host() == 8_000_000 * 1024
    host(3_000_000_000, 1_000_000_000)
    assert memory.free_on_host() == 2_000_000_000
    host(3_000_000_000, 2_900_000_000, cached=2_000_000_000)
    assert memory.free_on_host() == 2_100_000_000
    host(10**12, 0)
    assert memory.free_on_host() == 8_000_000 * 1024


def test_an_accelerator_knows_its_own_memory(host):
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 100, "bytes_in_use": 50})
    assert memory.budget(device) == 40
    silent = SimpleNamespace(memory_stats=lambda: None)
    assert memory.budget(silent) == int(0.8 * 8_000_000 * 1024)


def test_a_program_needs_at_least_its_arguments_and_its_results():
    x = jnp.ones((256, 256))
    compiled = jax.jit(lambda x: (x @ x @ x).sum(axis=0)).lower(x).compile()
    assert 4 * (256 * 256 + 256) <= memory.required_bytes(compiled) < 10 * 4 * 256 * 256

"""How many cores a process may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch

from segzoo import machine, resources

if TYPE_CHECKING:
    from pathlib import Path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("limit", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)]
)
def test_a_quota_of_the_second_kind_is_rounded_up(tmp_path: Path, limit: str, cores: int | None) -> None:
    write(tmp_path / "jobs/mine/cpu.max", limit)
    assert resources.cgroup_cores("0::/jobs/mine\n", tmp_path) == cores


def test_the_least_quota_of_the_groups_around_a_process_holds(tmp_path: Path) -> None:
    write(tmp_path / "jobs/mine/cpu.max", "max 100000")
    write(tmp_path / "jobs/cpu.max", "300000 100000")
    write(tmp_path / "cpu.max", "800000 100000")
    assert resources.cgroup_cores("0::/jobs/mine\n", tmp_path) == 3


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", None)])
def test_a_quota_of_the_first_kind(tmp_path: Path, quota: str, cores: int | None) -> None:
    write(tmp_path / "cpu,cpuacct/mine/cpu.cfs_quota_us", quota)
    write(tmp_path / "cpu,cpuacct/mine/cpu.cfs_period_us", "100000")
    assert resources.cgroup_cores("5:memory:/\n4:cpu,cpuacct:/mine\n", tmp_path) == cores


def test_inside_a_container_the_group_is_at_the_root(tmp_path: Path) -> None:
    write(tmp_path / "cpu.max", "200000 100000")
    assert resources.cgroup_cores("0::/docker/4f1e\n", tmp_path) == 2


def test_no_more_cores_than_the_process_may_run_on() -> None:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert 1 <= resources.usable_cores() <= allowed


def test_threads_without_a_core_are_taken_away_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(machine, "usable_cores", lambda: 1)
    try:
        torch.set_num_threads(2)
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert machine.use_cores() == 2
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
        assert machine.use_cores() == 1
        monkeypatch.setattr(machine, "usable_cores", lambda: 8)
        assert machine.use_cores() == 1
    finally:
        torch.set_num_threads(before)

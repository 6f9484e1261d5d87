"""The tracker keeps segzoo's contract, and writes what it documents."""

import json

import pytest

from segzoo.testing import check_tracker

pytest.importorskip("accelerate")


def test_the_tracker_keeps_its_contract():
    check_tracker("template")


def test_each_step_is_a_line(tmp_path):
    from segzoo_template.tracker import LinesTracker

    tracker = LinesTracker(tmp_path)
    tracker.start()
    tracker.log({"loss": 0.5}, step=1)
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1, "loss": 0.5}

"""A checkpoint brings a training's state back bit for bit, and outlives crashes; best epochs are kept."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import signal
import stat
import subprocess

import numpy as np
import pytest
import torch
from crashes import run_apart, save_and_die_at_every_call, save_to_a_full_disk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import load, load_file, save

from segzoo.errors import FailureError, OptionError, UsageError, WeightsError
from segzoo.training.checkpoints import Checkpoints, from_json, to_json
from segzoo.training.outputs import Best
from segzoo.training.randomness import random_state, restore_random, seed_everything

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | arrays.arrays(
        st.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes(min_len=1, max_len=3)),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=3),
    )
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.integers() | st.sampled_from(["$tuple", "a.b", "a"]) | st.text(), inner, max_size=3
        )
    ),
    max_leaves=8,
)

# fmt: off
KINDS = [
    "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "complex128",
    "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
]
# fmt: on


def same(one, other):
    """Return whether two states are the same to the last bit, in their types too."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        return one.contiguous().view(-1).numpy().tobytes() == other.contiguous().view(-1).numpy().tobytes()
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        keys = [(type(key), key) for key in one] == [(type(key), key) for key in other]
        return keys and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other or math.isnan(one))
    return one == other


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def back(checkpoints, state):
    return checkpoints.load(checkpoints.save(1, state))


@given(tree=TREES)
def test_any_nested_state_comes_back_bit_for_bit(tree):
    data, table = to_json(tree)
    assert same(from_json(json.loads(json.dumps(data, allow_nan=False)), load(save(table))), tree)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_of_any_kind_of_numbers_comes_back(kind, checkpoints):
    bits = torch.arange(256, dtype=torch.uint8).reshape(4, 64)
    tensor = bits > 100 if kind == "bool" else bits.view(getattr(torch, kind))
    state = {"many": tensor, "one": tensor[0, 0].clone(), "none": tensor[:0]}
    loaded = back(checkpoints, state)
    for name, wanted in state.items():
        assert loaded[name].dtype == wanted.dtype
        assert loaded[name].shape == wanted.shape
        assert raw(loaded[name]) == raw(wanted)


def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


LAYOUTS = {
    "turned": torch.randn(3, 5).t(),
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "one pixel, channels last": torch.randn(4, 8, 1, 1).to(memory_format=torch.channels_last),
    "every second": torch.randn(10)[::2],
    "a row for all": torch.randn(1, 4).expand(3, 4),
    "part of a larger": torch.randn(100)[40:44],
    "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_keeps_its_values_and_where_it_is_dense_its_strides(layout, checkpoints):
    tensor = LAYOUTS[layout]
    loaded = back(checkpoints, {"t": tensor})["t"]
    assert torch.equal(loaded, tensor)
    if layout not in ("every second", "a row for all"):
        assert loaded.stride() == tensor.stride()


def test_one_tensor_in_two_places_is_stored_once_and_comes_back_as_one(checkpoints):
    weight = torch.nn.Parameter(torch.randn(4))
    whole = torch.randn(6)
    path = checkpoints.save(1, {"encoder": weight, "head": weight, "parts": [whole[:4], whole[2:]]})
    assert set(load_file(path / "tensors.safetensors")) == {"encoder", "parts.0", "parts.1"}
    loaded = checkpoints.load(path)
    assert loaded["encoder"] is loaded["head"]
    assert not loaded["encoder"].requires_grad
    assert torch.equal(loaded["parts"][1], whole[2:])


def test_a_number_and_its_conjugate_are_two_tensors(checkpoints):
    number = torch.tensor([1 + 2j])
    loaded = back(checkpoints, [number, number.conj()])
    assert torch.equal(loaded[1], number.conj().resolve_conj())


def test_names_that_collide_or_belong_to_safetensors_are_told_apart(checkpoints):
    state = {
        "a.b": torch.tensor(1),
        "a": {"b": torch.tensor(2)},
        "__metadata__": torch.tensor(3),
        "\ud800": np.ones(2),
    }
    assert same(back(checkpoints, state), state)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"a": [1, {2, 3}]}, r"a\.1 is a set"),
        ({"a": {(1, 2): 3}}, r"a has the key \(1, 2\)"),
        ({"a": np.array([object()])}, "a is an array of object"),
        ({"a": torch.eye(2).to_sparse()}, "a is a tensor without plain memory"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_its_place(state, told, checkpoints):
    with pytest.raises(UsageError, match=told):
        checkpoints.save(1, state)
    assert checkpoints.latest() is None


def test_an_optimizer_goes_on_as_if_nothing_had_happened(checkpoints):
    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.randn(2, 3, 8, 8)).square().sum().backward()
            optimizer.step()

    def fresh():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.Dropout(0.5))
        model = model.to(memory_format=torch.channels_last)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    model, optimizer = fresh()
    steps(model, optimizer, 3)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": random_state()}
    path = checkpoints.save(3, state)
    steps(model, optimizer, 3)

    resumed, other = fresh()
    state = checkpoints.load(path)
    resumed.load_state_dict(state["model"])
    other.load_state_dict(state["optimizer"])
    restore_random(state["random"])
    steps(resumed, other, 3)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def draw():
    return random.random(), random.gauss(), np.random.random(), np.random.normal(), torch.rand(3).tolist()


@pytest.mark.parametrize("seed", [0, 2**40 + 1])
def test_a_seed_settles_what_all_generators_draw(seed):
    seed_everything(seed)
    drawn = draw()
    seed_everything(seed)
    assert draw() == drawn
    seed_everything(seed + 1)
    assert not set(draw()[:4]) & set(drawn[:4])


def test_all_generators_draw_again_what_they_drew(checkpoints):
    random.gauss()  # which keeps a second number for the next call
    path = checkpoints.save(1, random_state())
    drawn = draw()
    restore_random(checkpoints.load(path))
    assert draw() == drawn


def test_the_newest_are_kept_and_the_oldest_deleted(checkpoints):
    for step in (3, 20, 100):
        checkpoints.save(step, {"step": step})
    assert names(checkpoints.folder) == ["step-00000020", "step-00000100"]
    assert checkpoints.load(checkpoints.latest())["step"] == 100


def test_after_going_back_the_later_ones_are_gone(checkpoints):
    for step in (10, 20):
        checkpoints.save(step, step)
    checkpoints.save(15, "anew")
    assert names(checkpoints.folder) == ["step-00000010", "step-00000015"]


def test_a_step_saved_again_is_replaced(checkpoints):
    checkpoints.save(10, "first")
    checkpoints.save(10, "second")
    assert names(checkpoints.folder) == ["step-00000010"]
    assert checkpoints.load(checkpoints.latest()) == "second"


def test_without_checkpoints_there_is_no_latest(checkpoints):
    assert checkpoints.latest() is None


def test_no_checkpoints_at_all_cannot_be_kept(tmp_path):
    with pytest.raises(OptionError, match="keep"):
        Checkpoints(tmp_path, keep=0)


def test_the_files_are_as_readable_as_others_and_their_sums_are_those_of_sha256sum(checkpoints):
    path = checkpoints.save(1, {"a": torch.ones(2)})
    assert len({stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}) == 1
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=path, check=True, capture_output=True)


def damage_cut(path):
    os.truncate(path / "tensors.safetensors", 50)


def damage_one_bit(path):
    file = path / "tensors.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def damage_number(path):
    file = path / "state.json"
    file.write_text(file.read_text().replace('"epoch": ', '"epoch": 1'))


def damage_missing_file(path):
    (path / "tensors.safetensors").unlink()


def damage_no_sums(path):
    (path / "SHA256SUMS").unlink()


def damage_empty_sums(path):
    (path / "SHA256SUMS").write_text("")


@pytest.mark.parametrize(
    "damage",
    [damage_cut, damage_one_bit, damage_number, damage_missing_file, damage_no_sums, damage_empty_sums],
)
def test_a_damaged_checkpoint_is_passed_over_and_told_of(damage, checkpoints):
    first = checkpoints.save(1, {"epoch": 1, "w": torch.ones(9)})
    second = checkpoints.save(2, {"epoch": 2, "w": torch.ones(9)})
    damage(second)
    with pytest.warns(UserWarning, match="step-00000002 is damaged"):
        assert checkpoints.latest() == first
    with pytest.raises(
        WeightsError, match=r"step-00000002 is not an intact checkpoint.*Resume from .*step-00000001"
    ):
        checkpoints.load(second)
    damage(first)
    with pytest.warns(UserWarning, match="is damaged") as told:
        assert checkpoints.latest() is None
    assert len(told) == 2
    with pytest.raises(WeightsError, match="There is no other"):
        checkpoints.load(first)


def test_a_checkpoint_that_is_not_there_is_said_to_be_missing(checkpoints):
    with pytest.raises(WeightsError, match="there is no such folder"):
        checkpoints.load(checkpoints.folder / "step-00000007")


def rewritten(path, **changes):
    """Change ``state.json`` and its sum, as somebody with bad intentions would."""
    file = path / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    sums = [
        f"{hashlib.sha256((path / n).read_bytes()).hexdigest()}  {n}\n"
        for n in ("state.json", "tensors.safetensors")
    ]
    (path / "SHA256SUMS").write_text("".join(sums))
    return path


@pytest.mark.parametrize(
    "node",
    [
        {"$tensor": {"name": "other"}},
        {"$tensor": {"name": "w", "dtype": "float32", "shape": [10**9], "stride": [1]}},
        {"$tensor": {"name": "w", "dtype": "float32", "shape": [3], "stride": [-1]}},
        {"$tensor": {"name": "w", "dtype": "load", "shape": [9]}},
        {"$tensor": {"name": "w", "dtype": "float32", "shape": [8]}},
        {"$tensor": "w"},
        {"$array": {"name": "w", "dtype": "O", "shape": [9]}},
        {"$array": {"name": "w", "dtype": "<f8", "shape": [9]}},
        {"$array": {"name": "w", "dtype": "V4", "shape": [9]}},
        {"$eval": "1 + 1"},
        {"$dict": [1]},
        {"$dict": [[[1], 2]]},
        {"$tuple": 3},
        {"$float": "many"},
    ],
)
def test_a_state_that_makes_no_sense_is_refused(node, checkpoints):
    path = rewritten(checkpoints.save(1, {"w": torch.ones(9)}), state=node)
    with pytest.raises(WeightsError, match="not an intact checkpoint"):
        checkpoints.load(path)


def test_a_layout_of_another_version_says_so(checkpoints):
    path = rewritten(checkpoints.save(1, {}), version=99)
    with pytest.raises(WeightsError, match=r"layout version 99.*the version of segzoo that wrote it"):
        checkpoints.load(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match=r"file/checkpoints/step-00000001: Not a directory.*start again"):
        Checkpoints(tmp_path / "file/checkpoints").save(1, {})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -------------------------------------------------------------------------------- crashes and full disks


@pytest.mark.slow
@pytest.mark.parametrize("step", [5, 4], ids=["the next step", "the same step again"])
def test_killed_at_any_call_while_it_saves_a_whole_checkpoint_is_left(step, tmp_path):
    ended = run_apart(tmp_path, save_and_die_at_every_call, tmp_path / "checkpoints", step)
    assert ended.code == 0, ended.text


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path):
    ended = run_apart(tmp_path, save_to_a_full_disk, tmp_path / "checkpoints")
    assert ended.code == 0, ended.text
    assert len(ended.text.splitlines()) == 3
    for line in ended.text.splitlines():
        assert "step-00000005: " in line
        assert "File too large" in line
        assert "step-00000004 is intact: fix this and resume" in line


def test_ctrl_c_while_saving_leaves_nothing_half_written(checkpoints, monkeypatch):
    first = checkpoints.save(1, {})

    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {"w": torch.ones(3)})
    assert names(checkpoints.folder) == [first.name]


# ------------------------------------------------------------------------------------------- best epochs


def offer(best, scores):
    def saver(score):
        def save(folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model.txt").write_text(str(score))

        return save

    return [best.offer(score, epoch, saver(score)) for epoch, score in enumerate(scores, start=1)]


def test_the_run_folder_holds_the_best_epoch(tmp_path):
    best = Best(tmp_path)
    assert offer(best, [0.1, 0.3, 0.2, 0.3]) == [True, True, False, False]
    assert (best.score, best.epoch) == (0.3, 2)
    assert (tmp_path / "model.txt").read_text() == "0.3"
    assert not (tmp_path / "best").exists()


def test_the_best_few_are_kept_in_folders_of_their_own(tmp_path):
    best = Best(tmp_path, keep=2, higher_is_better=False)
    assert offer(best, [5.0, 3.0, 4.0, 9.0, 2.0]) == [True, True, False, False, True]
    assert best.epochs == [5, 2]
    assert names(tmp_path / "best") == ["epoch-002", "epoch-005"]
    assert (tmp_path / "model.txt").read_text() == "2.0"
    assert (tmp_path / "best/epoch-002/model.txt").read_text() == "3.0"


def test_nan_is_no_score(tmp_path):
    best = Best(tmp_path, keep=2)
    assert offer(best, [math.nan, 0.0, math.nan]) == [False, True, False]
    assert best.epochs == [2]
    assert Best(tmp_path).score is None


def test_best_goes_on_where_a_checkpoint_left_it(checkpoints, tmp_path):
    best = Best(tmp_path / "run", keep=2)
    offer(best, [0.5, 0.7])
    state = back(checkpoints, best.state_dict())
    offer(best, [0.5, 0.7, 0.9])  # then the crash
    resumed = Best(tmp_path / "run", keep=2)
    resumed.load_state_dict(state)
    assert (resumed.score, resumed.epochs) == (0.7, [2, 1])
    assert not resumed.offer(0.4, 3, lambda folder: pytest.fail("too bad to be saved"))
    assert names(tmp_path / "run/best") == ["epoch-002"]


def test_processes_that_write_nothing_know_the_best_too(tmp_path):
    best = Best(tmp_path)
    assert best.offer(0.5, 1)
    assert not names(tmp_path)


def test_what_a_kill_left_is_removed_before_a_training_goes_on(checkpoints):
    whole = checkpoints.save(4, {"step": 4})
    (checkpoints.folder / ".step-00000004.replaced.0123abcd").mkdir()
    (checkpoints.folder / ".segzoo-0123456789abcdef.part").mkdir()
    whole.rename(checkpoints.folder / ".step-00000004.replaced")
    checkpoints.tidy()
    assert list(checkpoints.folder.iterdir()) == [whole]
    Checkpoints(checkpoints.folder / "none").tidy()

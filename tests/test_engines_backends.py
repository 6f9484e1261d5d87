"""Engines of other libraries, 8-bit integers, and what happens where they are missing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import segzoo
from segzoo.errors import MissingExtraError, OptionError, PluginError
from segzoo.prediction.engines import make_engine
from segzoo.prediction.engines.openvino import disagreement
from segzoo.prediction.engines.sized import SizedEngine
from segzoo.specs import EngineSpec
from segzoo.testing import isolated_zoo

if TYPE_CHECKING:
    from torch import nn


def network() -> nn.Module:
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2, width=4, depth=2).eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))


def away(plain: nn.Module, found: torch.Tensor, taken: torch.Tensor) -> float:
    with torch.no_grad():
        expected = plain(taken)
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_another_library_gives_the_network_s_logits_by_one_program_for_all_sizes(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    plain = network()
    engine = make_engine(plain, backend=backend, on_message=told.append)
    made: list[bool] = []
    export = torch.onnx.export

    def counted(*given: Any, **options: Any) -> Any:
        made.append(True)
        return export(*given, **options)

    monkeypatch.setattr(torch.onnx, "export", counted)
    for taken in (images(17, 24), images(70, 65), images(17, 24), images(33, 90).repeat(3, 1, 1, 1)):
        found = engine(taken)
        assert away(plain, found, taken) < 1e-4
        assert found.dtype is torch.float32
    assert told == []
    assert len(made) == 1
    assert isinstance(engine, SizedEngine)
    assert not engine.failed


@pytest.mark.slow
def test_8_bit_integers_are_calibrated_and_their_disagreement_is_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []
    plain, taken = network(), images(16, 24)
    watched = os.environ.get("CI")
    engine = make_engine(plain, precision="fastest", calibration=[taken], on_message=told.append)
    assert isinstance(engine, SizedEngine)
    assert 1e-4 < away(plain, engine(taken), taken) < 0.2
    share, pixels = disagreement(engine, [taken])
    assert f"{share:.3%} of {pixels} calibration pixels" in told[-1]
    assert pixels == 384
    assert "preparing int8 for images of 1x3x32x32 with 1 calibration" in told[0]
    assert capfd.readouterr().out == ""
    assert f"{share:.3%}" in engine.description
    assert os.environ.get("CI") == watched


@pytest.mark.parametrize(
    ("backend", "module", "line"),
    [
        ("openvino", "openvino", "pip install 'segmentation-zoo[openvino]'"),
        ("onnxruntime", "onnxruntime", "pip install 'segmentation-zoo[onnxruntime]'"),
    ],
)
def test_a_missing_library_is_named_and_torch_goes_on(
    backend: Any, module: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    told: list[str] = []
    plain, taken = network(), images(16, 16)
    engine = make_engine(plain, backend=backend, on_message=told.append)
    assert away(plain, engine(taken), taken) < 1e-4
    assert line in told[0]
    assert engine.description.startswith("torch on cpu")


@pytest.mark.parametrize(
    ("calibration", "missing", "reason"),
    [
        ([], (), "needs images for calibration"),
        ([images(16, 16)], ("openvino", "nncf"), "pip install 'segmentation-zoo[int8]'"),
    ],
)
def test_without_images_or_libraries_8_bits_give_way_to_16(
    calibration: list[torch.Tensor],
    missing: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    told: list[str] = []
    engine = make_engine(network(), precision="fastest", calibration=calibration, on_message=told.append)
    assert any(reason in line and 'runs as precision="fast"' in line for line in told)
    assert engine.description.startswith("torch on cpu")


def test_a_size_that_comes_seldom_is_not_worth_a_program_that_takes_long_to_make() -> None:
    made: list[int] = []
    told: list[str] = []
    plain = network()

    def make(_: nn.Module, taken: torch.Tensor) -> Any:
        made.append(taken.shape[-1])
        return lambda array: plain(torch.from_numpy(array)).numpy()

    engine = SizedEngine(
        plain,
        make,
        tolerance=1e-4,
        description="another library",
        on_message=told.append,
        meanwhile=torch.bfloat16,
        patience=3,
    )
    for width in (16, 24, 32, 24):
        taken = images(16, width)
        assert away(plain, engine(taken), taken) < 0.1
    assert made == [16]
    assert told == [
        f"images of 1x3x16x{width}: using torch in bfloat16 until 3 have come" for width in (24, 32)
    ]
    engine(images(16, 24))
    assert made == [16, 24]
    assert not engine.failed


def test_a_program_for_all_sizes_is_tried_first_and_each_small_size_is_compared() -> None:
    told: list[str] = []
    plain = network()
    runs: list[int] = []

    def make(_: nn.Module, taken: torch.Tensor) -> Any:
        raise AssertionError("one for all is there")

    def for_all(_: nn.Module) -> Any:
        def run(array: Any) -> Any:
            runs.append(array.shape[-1])
            found = plain(torch.from_numpy(array)).numpy()
            return 2 * found if array.shape[-1] == 20 else found

        return run

    engine = SizedEngine(
        plain, make, make_for_all=for_all, tolerance=1e-4, description="another", on_message=told.append
    )
    for width in (16, 20, 20, 24):
        taken = images(16, width)
        assert away(plain, engine(taken), taken) < 1e-4
    assert [line.split(" (")[0] for line in told] == [
        "images of 1x3x16x20: using torch in float32 instead of another"
    ]
    assert runs == [16, 16, 20, 24, 24]

    def cannot(_: nn.Module) -> Any:
        raise NotImplementedError("sizes are fixed")

    told.clear()
    each = SizedEngine(
        plain,
        lambda *_: lambda array: plain(torch.from_numpy(array)).numpy(),
        make_for_all=cannot,
        tolerance=1e-4,
        description="another",
        on_message=told.append,
    )
    assert away(plain, each(taken), taken) < 1e-4
    assert told == [
        "another: one program per size, because none fits all (NotImplementedError: sizes are fixed)"
    ]


def test_where_there_is_no_program_for_a_size_torch_computes_it() -> None:
    told: list[str] = []
    plain = network()

    def make(_: nn.Module, taken: torch.Tensor) -> Any:
        if taken.shape[-1] == 20:
            raise NotImplementedError("no rule for this operation")
        if taken.shape[-1] == 24:
            return lambda array: array[:, :2]
        return lambda array: plain(torch.from_numpy(array)).numpy()

    engine = SizedEngine(plain, make, tolerance=1e-4, description="another library", on_message=told.append)
    for width in (16, 20, 24, 16):
        taken = images(16, width)
        assert away(plain, engine(taken), taken) < 1e-4
    assert engine.failed
    assert [line.split(":")[0] for line in told] == ["images of 1x3x16x20", "images of 1x3x16x24"]
    assert "no rule for this operation" in told[0]


@pytest.mark.slow
def test_torch_compile_makes_one_program_for_single_images_and_one_for_batches(monkeypatch):
    counter = CompileCounter()
    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda model, **options: compiled(model, backend=counter, **options)
    )
    torch.compiler.reset()
    engine = make_engine(segzoo.create("unet", num_classes=2, width=4, depth=2), backend="compile")
    for height, width in ((256, 256), (257, 301), (120, 640)):
        for batch in (1, 2, 3):
            engine(torch.rand(batch, 3, height, width))
    assert counter.frame_count == 2


def doubling(network: nn.Module, *, precision: str, on_message: Any, **_: Any) -> Any:
    """Return a stranger's engine, which twice what the network says shows to have run."""
    if precision == "fastest":
        raise ValueError("no integers here")
    if precision == "fast":
        raise MissingExtraError("doubling needs a library: pip install doubles")
    on_message("doubled")
    return lambda images: 2 * network(images)


def test_a_plug_in_brings_an_engine_and_only_the_precisions_that_it_declares() -> None:
    told: list[str] = []
    plain, taken = network(), images(16, 16)
    spec = EngineSpec(name="double", factory=f"{__name__}:doubling", precisions=("exact", "fast", "fastest"))
    with isolated_zoo(spec), torch.no_grad():
        assert torch.equal(
            make_engine(plain, backend="double", on_message=told.append)(taken), 2 * plain(taken)
        )
        assert told == ["doubled"]
        engine = make_engine(plain, backend="double", precision="fast", on_message=told.append)
        assert engine.description.startswith("torch on cpu")
        assert any("pip install doubles; using torch instead" in line for line in told)
        with pytest.raises(PluginError, match="engine 'double' of isolated: ValueError: no integers here"):
            make_engine(plain, backend="double", precision="fastest")
    with pytest.raises(OptionError, match="only precision exact"):
        make_engine(plain, backend="eager", precision="fast")
    with pytest.raises(OptionError, match=r"'torhc'.*did you mean 'torch'"):
        make_engine(plain, backend="torhc")

"""Exported files are models like any other, and files of strangers run nothing and read nothing else."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn
from torch.export import Dim

import segzoo
from segzoo.cli import run
from segzoo.config import Architecture, ModelConfig
from segzoo.errors import OptionError, WeightsError
from segzoo.runtimes import METADATA_KEY, ExportInfo, Port
from segzoo.specs import ExportSpec, Labels
from segzoo.testing import isolated_zoo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGHT = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)


def info(**changed: Any) -> ExportInfo:
    config = ModelConfig(
        architecture=Architecture(name="one-convolution", num_classes=2), labels=Labels(classes=("no", "yes"))
    )
    return replace(ExportInfo(config=config, name="tiny", format="onnx"), **changed)


def model(said: ExportInfo | None = None, size: tuple[Any, Any] = ("height", "width"), **node: Any) -> Any:
    """Return one convolution as an ONNX model, of three bands and two classes."""
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "weight"], ["logits"], pads=[1, 1, 1, 1], **node)],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, *size])],
        [numpy_helper.from_array(WEIGHT, "weight")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if said is not None:
        made.metadata_props.add(key=METADATA_KEY, value=said.to_json())
    return made


def expected(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(images, torch.from_numpy(WEIGHT), padding=1)


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # A size of its own, which the file holds as an expression.
        padded = nn.functional.pad(images, (1, 1, 1, 1))
        return nn.functional.conv2d(padded, self.weight)


def write_onnx(path: Path) -> None:
    onnx.save(model(info()), path)


def write_openvino(path: Path) -> None:
    import openvino

    made = openvino.Core().read_model(model().SerializeToString())
    made.set_rt_info(info().to_json(), METADATA_KEY)
    openvino.save_model(made, path, compress_to_fp16=False)


def write_program(path: Path) -> None:
    free = {0: Dim("batch", min=1, max=64), 2: Dim("height", min=1), 3: Dim("width", min=1)}
    program = torch.export.export(Convolution(), (torch.zeros(2, 3, 8, 9),), dynamic_shapes=(free,))
    torch.export.save(program, path, extra_files={METADATA_KEY: info().to_json()})


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "write"), [("a.onnx", write_onnx), ("a.xml", write_openvino), ("a.pt2", write_program)]
)
def test_an_exported_file_is_a_network_that_says_how_it_predicts(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    network: Any = segzoo.load(tmp_path / name)
    assert network.segzoo_config.labels.classes == ("no", "yes")
    assert not network.train().training
    for size in ((1, 3, 8, 9), (2, 3, 1, 1), (3, 3, 31, 17)):
        images = torch.randn(size, generator=torch.Generator().manual_seed(1))
        assert torch.allclose(network(images), expected(images), atol=1e-5)
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(again(images), network(images))
    told: list[str] = []
    predictor = segzoo.Predictor(
        str(tmp_path / name), backend="compile", precision="fast", on_message=told.append
    )
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    tensor = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    assert np.array_equal(predictor(image).mask, expected(tensor)[0].argmax(0).numpy())
    assert "runs as exported" in told[0]
    assert "backend='compile', precision='fast'" in told[0]
    assert len(told) == 2


@pytest.mark.medium
def test_a_file_for_one_size_gets_small_images_continued_and_large_ones_in_tiles(tmp_path: Path) -> None:
    onnx.save(model(info(size=(32, 48)), (32, 48)), tmp_path / "fixed.onnx")
    network = segzoo.load(tmp_path / "fixed.onnx")
    images = torch.randn(1, 3, 20, 30)
    assert torch.allclose(network(images)[..., :19, :29], expected(images)[..., :19, :29], atol=1e-5)
    with pytest.raises(OptionError, match=r"made for images of 32x48, got 33x48.*Predictor cuts"):
        network(torch.zeros(1, 3, 33, 48))
    image = np.random.default_rng(1).integers(0, 256, (100, 130, 3), np.uint8)
    told: list[str] = []
    mask = segzoo.Predictor(str(tmp_path / "fixed.onnx"), on_message=told.append)(image).mask
    wanted = expected(torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None])[0].argmax(0)
    assert "tiles of 31x" in told[-1] or "tiles of 32x" in told[-1]
    for views, wrong in (({"turns": True}, "leave out turns"), ({"scales": (1, 1.5)}, "at most 1, got 1.5")):
        with pytest.raises(OptionError, match=wrong):
            segzoo.Predictor(str(tmp_path / "fixed.onnx"), **views)
    # Only pixels at the edges of tiles see anything else.
    assert (mask != wanted.numpy()).mean() < 0.05


@pytest.mark.parametrize("size", [("height", "width"), (32, 48)])
def test_the_network_is_cut_out_of_a_file_with_preprocessing(size: tuple[Any, Any], tmp_path: Path) -> None:
    made = model()
    before = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["values", "full"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", ["planes", "first"], ["images"]),
    ]
    after = [helper.make_node("ArgMax", ["logits"], ["mask"], axis=1)]
    nodes = [*before, *made.graph.node, *after]
    del made.graph.node[:], made.graph.input[:], made.graph.output[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(
        [numpy_helper.from_array(np.float32(255), "full"), numpy_helper.from_array(np.array([0]), "first")]
    )
    made.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, [*size, 3]))
    made.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.INT64, None))
    for name, shape in (("images", [1, 3, *size]), ("logits", ["batch", 2, *size])):
        made.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    said = info(with_preprocessing=True, size=None if size[0] == "height" else size)
    made.metadata_props.add(key=METADATA_KEY, value=said.to_json())
    onnx.save(made, tmp_path / "whole.onnx")
    network: Any = segzoo.load(tmp_path / "whole.onnx")
    assert network.fixed_size == said.size
    images = torch.randn(2, 3, 32, 48)
    assert torch.allclose(network(images), expected(images), atol=1e-5)
    for field in made.graph.node, made.graph.value_info:
        for one in field:
            one.name = f"other_{one.name}"
    for node in made.graph.node:
        node.output[:] = [f"other_{name}" if name == "logits" else name for name in node.output]
        node.input[:] = [f"other_{name}" if name == "logits" else name for name in node.input]
    onnx.save(made, tmp_path / "unnamed.onnx")
    with pytest.raises(WeightsError, match=r"cannot be extracted.*export the model without preprocessing"):
        segzoo.load(tmp_path / "unnamed.onnx")


class Saved:
    """A plug-in's file: a program of numpy, which knows nothing of preprocessing inside."""

    def __init__(self, path: Path) -> None:
        self.info = ExportInfo.from_json(path.read_text(), str(path))
        self.inputs = (Port(name="images", shape=(None, 3, None, None), dtype="float32"),)
        self.outputs = (Port(name="logits", shape=(None, 2, None, None), dtype="float32"),)
        self.description = "numpy on cpu, float32"

    def __call__(self, images: Any) -> Any:
        return images[:, :2]


def test_a_plug_in_opens_files_of_its_own(tmp_path: Path) -> None:
    spec = ExportSpec(name="saved", factory=f"{__name__}:Saved", suffix=".saved", runtime=f"{__name__}:Saved")
    (tmp_path / "a.saved").write_text(info().to_json())
    (tmp_path / "b.saved").write_text(info(with_preprocessing=True).to_json())
    with isolated_zoo(spec):
        images = torch.randn(1, 3, 4, 5)
        assert torch.equal(segzoo.load(tmp_path / "a.saved")(images), images[:, :2])
        with pytest.raises(WeightsError, match="its format does not let it be extracted"):
            segzoo.load(tmp_path / "b.saved")


def beside(location: str) -> Any:
    made = model(info())
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return made


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret.bin", "a/../../secret.bin", "C:\\secret", "link.bin", "into/x"]
)
def test_an_onnx_file_reads_no_tensors_outside_its_folder(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "into").symlink_to(tmp_path)
    onnx.save(beside(location), folder / "a.onnx")
    monkeypatch.delattr(onnxruntime, "InferenceSession")  # it is not asked
    with pytest.raises(WeightsError, match="outside its folder: it is not opened"):
        segzoo.load(folder / "a.onnx")


def test_an_onnx_file_may_have_tensors_beside_it(tmp_path: Path) -> None:
    onnx.save(beside("a.data"), tmp_path / "a.onnx")
    with pytest.raises(WeightsError, match=r"tensors in 'a.data' next to it.*copy both files"):
        segzoo.load(tmp_path / "a.onnx")
    (tmp_path / "a.data").write_bytes(WEIGHT.tobytes())
    images = torch.randn(1, 3, 5, 6)
    assert torch.allclose(segzoo.load(tmp_path / "a.onnx")(images), expected(images), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.onnx", b"", "it is empty"),
        ("a.onnx", b"<!DOCTYPE html><html>", "is damaged, or not an ONNX file"),
        ("a.onnx", b"\x08\x08\x12\x07pytorch", "holds no graph"),
        ("a.onnx", model(info()).SerializeToString()[:-40], "is damaged, or not an ONNX file"),
        (
            "a.onnx",
            model(info(), domain="com.evil").SerializeToString(),
            "needs custom operations .com.evil:Conv",
        ),
        ("a.onnx", model(info(), strides=[0, 0]).SerializeToString(), "ONNX Runtime .* cannot run it"),
        ("a.xml", b"<annotation><object/></annotation>", "is not an OpenVINO model"),
        ("a.xml", b'<?xml version="1.0"?><net name="a" version="11"><layers>', "cannot read it"),
        ("a.pt2", b"PK\x03\x04 and no more", "is damaged, or not a torch.export file"),
    ],
)
def test_what_is_damaged_or_something_else_is_named(
    name: str, data: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=told) as raised:
        segzoo.load(tmp_path / name)
    assert name in str(raised.value)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("ran",)


def rewritten(path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> None:
    """Write an archive anew, with each member changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))
        for name, data in more.items():
            archive.writestr(f"a/{name.replace('__', '/')}", data)


@pytest.mark.medium
def test_a_program_of_torch_runs_no_code_of_whoever_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = tmp_path / "good.pt2"
    write_program(good)

    def of(end: str, old: str, new: str) -> Callable[[str, bytes], bytes]:
        return lambda name, data: data.replace(old.encode(), new.encode()) if name.endswith(end) else data

    def sample(name: str, data: bytes) -> bytes:
        return pickle.dumps(Evil()) if "sample_inputs" in name else data

    def guards(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        return json.dumps({**json.loads(data), "guards_code": ["__import__('os').mkdir('ran')"]}).encode()

    program = "models/model.json"
    symbol = "Symbol('"
    refused = [
        (of(program, "torch.ops.aten.conv2d.default", "torch.os.mkdir"), "torch.os.mkdir"),
        (of(program, "torch.ops.aten.conv2d.default", "torch.ops.aten.from_file.default"), "from_file"),
        (of(program, symbol, f"__import__(chr(111)+chr(115)).mkdir('ran') + {symbol}"), "no operator"),
        (of(program, symbol, f"9**9**9**9 + {symbol}"), "no operator"),
        (of("weights_config.json", '"use_pickle": false', '"use_pickle": true'), "pickled objects"),
    ]
    for change, told in refused:
        bad = tmp_path / "bad.pt2"
        bad.write_bytes(good.read_bytes())
        rewritten(bad, change)
        assert bad.read_bytes() != good.read_bytes()
        with pytest.raises(WeightsError, match=told):
            segzoo.load(bad)
    for change in (sample, guards):  # left out, whatever they are
        bad.write_bytes(good.read_bytes())
        rewritten(bad, change)
        images = torch.randn(1, 3, 5, 6)
        assert torch.allclose(segzoo.load(bad)(images), expected(images), atol=1e-5)
    bad.write_bytes(good.read_bytes())
    rewritten(bad, lambda _, data: data, data__aotinductor__model__x=b"so")
    with pytest.raises(WeightsError, match="which no exported network needs"):
        segzoo.load(bad)
    assert not (tmp_path / "ran").exists()


def test_what_is_exported_is_not_trained_further(tmp_path: Path) -> None:
    onnx.save(model(info()), tmp_path / "a.onnx")
    with pytest.raises(WeightsError, match=r"cannot be trained.*`segzoo predict`"):
        segzoo.create(str(tmp_path / "a.onnx"))
    with pytest.raises(WeightsError, match=r"there is no file .*b\.onnx$"):
        segzoo.load(str(tmp_path / "b.onnx"))
    with pytest.raises(OptionError, match="mirror is an option of the network that it was made from"):
        segzoo.load(tmp_path / "a.onnx", mirror=False)


def test_a_file_of_another_program_asks_for_what_it_does_not_say(tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "foreign.onnx")
    with pytest.raises(WeightsError, match=r"states neither its classes.*images \(batch, 3, height, width"):
        segzoo.load(tmp_path / "foreign.onnx")


@pytest.mark.medium
def test_info_and_benchmark_take_a_file_for_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(model(info(size=(32, 48)), (32, 48)), tmp_path / "fixed.onnx")
    assert run(["info", str(tmp_path / "fixed.onnx")]) == 0
    shown = capsys.readouterr().out
    for words in ("images (batch, 3, 32, 48) float32", "32x48", "no, yes"):
        assert words in shown
    assert run(["benchmark", str(tmp_path / "fixed.onnx"), "--repeats", "1", "--seconds", "1"]) == 0
    shown = capsys.readouterr().out
    assert "images of 32x48" in shown
    assert "torch:fast" not in shown


def foreign(kind: str) -> Any:
    """Return the convolution as other programs export it."""
    bytes_in, last = kind == "bytes", kind in ("bytes", "classes")
    size = (32, 48) if bytes_in else ("h", "w")
    nodes, source, found = [], "x", "y"
    if bytes_in:
        nodes += [helper.make_node("Cast", [source], ["f"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Div", ["f", "full"], ["scaled"])]
        source = "scaled"
    if last:
        nodes += [helper.make_node("Transpose", [source], ["t"], perm=[0, 3, 1, 2])]
        source = "t"
    step = 2 if kind == "aux" else 1
    nodes += [helper.make_node("Conv", [source, "weight"], ["y"], pads=[1, 1, 1, 1], strides=[step, step])]
    if kind == "bytes":
        nodes += [helper.make_node("Softmax", ["y"], ["p"], axis=1)]
        nodes += [helper.make_node("Transpose", ["p"], ["out"], perm=[0, 2, 3, 1])]
        found = "out"
    elif kind == "classes":
        nodes += [helper.make_node("ArgMax", ["y"], ["out"], axis=1, keepdims=0)]
        found = "out"
    elif kind == "sigmoid":
        nodes += [helper.make_node("Slice", ["y", "one", "two", "one"], ["s"])]
        nodes += [helper.make_node("Sigmoid", ["s"], ["out"])]
        found = "out"
    outputs = [helper.make_tensor_value_info(found, TensorProto.INT64 if kind == "classes" else 1, None)]
    if kind == "aux":
        nodes += [helper.make_node("Neg", ["y"], ["aux"])]
        outputs += [helper.make_tensor_value_info("aux", TensorProto.FLOAT, None)]
    shape = ["n", *size, 3] if last else ["n", 3, *size]
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.UINT8 if bytes_in else TensorProto.FLOAT, shape)],
        outputs,
        [
            numpy_helper.from_array(WEIGHT, "weight"),
            numpy_helper.from_array(np.float32(255), "full"),
            numpy_helper.from_array(np.array([1]), "one"),
            numpy_helper.from_array(np.array([2]), "two"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bytes", []),
        ("classes", ["mean=0", "std=1"]),
        ("sigmoid", ["mean=0,0,0", "std=1"]),
        ("aux", ["mean=0", "std=1", "output=y"]),
    ],
)
def test_an_onnx_file_of_another_program_is_told_what_it_does_not_say(
    kind: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(foreign(kind), tmp_path / "theirs.onnx")
    picture = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert run(["predict", str(tmp_path / "a.png"), "--model", str(tmp_path / "theirs.onnx")]) != 0
    assert "--classes A,B,C" in capsys.readouterr().err
    said = ["convert", str(tmp_path / "theirs.onnx"), "--out", str(tmp_path / "named.onnx")]
    assert run(said) != 0
    assert "--classes background,road" in capsys.readouterr().err
    said += ["--classes", "no,yes"]
    if kind != "bytes":
        assert run(said) != 0
        told = capsys.readouterr().err
        assert "output=NAME" in told if kind == "aux" else "--option mean=0 --option std=1" in told
    assert run([*said, *(word for one in options for word in ("--option", one))]) == 0
    capsys.readouterr()
    tensor = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    logits = expected(tensor)
    if kind == "sigmoid":
        wanted = logits[0, 1] > 0
    elif kind == "aux":
        small = nn.functional.conv2d(tensor, torch.from_numpy(WEIGHT), padding=1, stride=2)
        wanted = nn.functional.interpolate(small, (32, 48), mode="bilinear")[0].argmax(0)
    else:
        wanted = logits[0].argmax(0)
    found = segzoo.Predictor(str(tmp_path / "named.onnx"))(picture)
    assert np.array_equal(found.mask, wanted.numpy())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--classes", "a,b,c", "--option", "mean=0"], "3 classes are named: name as many"),
        (
            ["--classes", "a,b", "--option", "mean=123.7", "--option", "std=58"],
            "divide those for bytes by 255",
        ),
        (["--classes", "a,b", "--option", "men=0"], "did you mean 'mean'"),
        (["--classes", "a,b", "--option", "mean=0", "--option", "resize=stretch"], "made for one size"),
        (["--classes", "a,b", "--option", "mean=0", "--from", "smp"], "has no layout"),
    ],
)
def test_what_is_told_of_an_onnx_file_must_fit_it(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(model(), tmp_path / "theirs.onnx")
    assert run(["convert", str(tmp_path / "theirs.onnx"), "--out", str(tmp_path / "n.onnx"), *words]) != 0
    assert told in capsys.readouterr().err
    assert not (tmp_path / "n.onnx").exists()

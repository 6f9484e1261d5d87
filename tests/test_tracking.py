"""TensorBoard and Weights & Biases, read back by their own readers."""

from __future__ import annotations

import json
import socket
import struct
import sys
import warnings
from typing import ClassVar

import numpy as np
import pytest
import torch

from segzoo.errors import FailureError, MissingExtraError, UnknownNameError, UsageError
from segzoo.specs import Labels, TrackerSpec
from segzoo.testing import check_tracker, isolated_zoo
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.report.examples import Example
from segzoo.training.report.trackers import Tracking, make_trackers

accelerate = pytest.importorskip("accelerate")
LABELS = Labels(classes=("background", "cell"), ignore_index=255)
CONFIG = {
    "model": "unet",
    "learning_rate": 1e-3,
    "augment": {"crop": {"size": 64, "scale": (0.5, 2)}},
    "x": None,
}


def example(size: int = 40) -> Example:
    target = np.zeros((size, size), np.uint8)
    target[: size // 2] = 1
    target[0] = 255
    return Example("a/b", np.full((size, size, 3), 99, np.uint8), target, target // 255, 0.25)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Conv2d(1, 2, 3)
    model(torch.rand(1, 1, 8, 8)).sum().backward()
    return model


def tracked(out, names, *, step: int = 0, steps=(1, 2, 3)) -> None:
    """Follow a training of a few steps."""
    trackers = make_trackers(names, out)
    accelerator = accelerate.Accelerator(cpu=True, log_with=trackers or None, project_dir=str(out))
    tracking = Tracking(accelerator, names, CONFIG, labels=LABELS)
    tracking.rewind(step)
    tracking.begin()
    for number in steps:
        tracking.scalars({"loss": 1 / number, "dice_per_image": np.nan if number == 1 else 0.5}, number)
        tracking.histograms(network(), number)
        tracking.pictures("validation", [example()], number)
    tracking.close()


def events(out):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(
        str(out / "tensorboard"), size_guidance={"images": 0, "scalars": 0, "histograms": 0}
    )
    return found.Reload()


def test_an_unknown_tracker_is_an_error_that_names_the_known(tmp_path):
    with pytest.raises(UnknownNameError, match=r"did you mean 'tensorboard'.*`segzoo list trackers`"):
        make_trackers(["tensorbord"], tmp_path)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_says_what_to_install(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'segmentation-zoo\[{name}\]'"):
        make_trackers([name], tmp_path)


def test_without_trackers_nothing_is_written(tmp_path):
    tracked(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_only_the_main_process_writes(tmp_path):
    class Second(accelerate.Accelerator):
        is_main_process = False

    trackers = make_trackers(["tensorboard"], tmp_path)
    tracking = Tracking(Second(cpu=True, log_with=trackers, project_dir=str(tmp_path)), ["tensorboard"], {})
    tracking.begin()
    tracking.scalars({"loss": 1.0}, 1)
    tracking.pictures("validation", [example()], 1)
    tracking.close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_reads_back_numbers_histograms_pictures_and_the_recipe(tmp_path):
    tracked(tmp_path, ["tensorboard"])
    found = events(tmp_path)
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
    ]
    assert [one.step for one in found.Scalars("dice_per_image")] == [2, 3]
    assert set(found.Tags()["histograms"]) == {
        f"{kind}/{name}" for kind in ("weights", "gradients") for name in ("weight", "bias")
    }
    weights = network().get_parameter("weight").detach()
    told = found.Histograms("weights/weight")[-1].histogram_value
    assert told.num == sum(told.bucket) == weights.numel()
    assert told.sum == pytest.approx(float(weights.sum()), abs=1e-6)
    assert [told.min, told.max] == pytest.approx([float(weights.min()), float(weights.max())])
    (picture, *_) = found.Images("validation/a/b")
    assert (picture.width, picture.height) == (3 * 40, 40)
    text = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"augment.crop.scale" in text


def test_a_training_that_goes_on_hides_what_it_does_again(tmp_path):
    tracked(tmp_path, ["tensorboard"], steps=(1, 2, 3, 4))
    tracked(tmp_path, ["tensorboard"], step=2, steps=(3,))
    assert [one.step for one in events(tmp_path).Scalars("loss")] == [1, 2, 3]


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """Weights & Biases as on a machine that nobody has logged in on."""
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "own"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    wandb.teardown()
    yield wandb
    wandb.teardown()


def stored(path):
    """Yield the records of a run's file: LevelDB's log format, behind a header of seven bytes."""
    data, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        room = 32768 - place % 32768
        if room < 7:  # a block's end, too short for a record
            place += room
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        record += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def records(folder):
    """Return what a run's file holds: its history, and its configuration."""
    from wandb.proto.wandb_internal_pb2 import Record

    history, config = [], {}
    for data in stored(next(folder.glob("*.wandb"))):
        record = Record.FromString(data)
        if record.HasField("history"):
            items = record.history.item
            history.append(
                {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            )
        for item in (*record.config.update, *record.run.config.update):
            config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return history, config


@pytest.mark.slow
def test_without_an_account_wandb_is_offline_says_so_and_goes_on_with_its_run(tmp_path, wandb):
    with pytest.warns(UserWarning, match="offline, because no account is logged in"):
        tracked(tmp_path / "run", ["wandb"])
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    wandb.teardown()  # its process writes the end of a run a moment after it has finished
    history, config = records(folder)
    assert [row["loss"] for row in history] == [1, 0.5, pytest.approx(1 / 3)]
    assert "dice_per_image" not in history[0]
    assert history[1]["weights/weight/_type"] == "histogram"
    assert sum(history[1]["gradients/bias/values"]) == 2
    assert config["augment.crop.size"] == 64
    media = folder / "files" / "media" / "images"
    assert len(list(media.glob("validation_*.png"))) == 3
    assert len(list((media / "mask").iterdir())) == 2 * 3
    with pytest.warns(UserWarning, match="offline"):
        tracked(tmp_path / "run", ["wandb"], step=3, steps=(4,))
    names = {path.name.rpartition("-")[2] for path in (tmp_path / "run" / "wandb").glob("offline-run-*")}
    assert len(names) == 1


@pytest.mark.slow
def test_wandb_mode_is_honoured_without_a_word(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tracked(tmp_path / "run", ["wandb"], steps=(1,))
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.slow
def test_with_an_account_but_no_network_wandb_is_offline(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    with pytest.warns(UserWarning, match="offline, because its server refused access"):
        tracked(tmp_path / "run", ["wandb"], steps=(1,))
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.slow
def test_wandb_is_offline_where_the_network_is_switched_off(tmp_path, wandb, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        for name, value in (("API_KEY", "0" * 40), ("MODE", "online")):
            monkeypatch.setenv(f"WANDB_{name}", value)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("SEGZOO_OFFLINE", "1")
        wandb.teardown()
        with pytest.warns(
            UserWarning, match="offline, because the network is switched off by SEGZOO_OFFLINE=1"
        ):
            tracked(tmp_path / "run", ["wandb"], steps=(1,))
        with pytest.raises(BlockingIOError):  # nobody has connected
            listener.accept()
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("mlflow", "mlflow"),
        ("comet", "comet-ml"),
        ("aim", "aim"),
        ("clearml", "clearml"),
        ("dvclive", "dvclive"),
    ],
)
def test_a_tracker_of_accelerate_says_which_package_it_needs(name, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(MissingExtraError, match=f"pip install '{package}'"):
        make_trackers([name], tmp_path)


def test_a_tracker_that_needs_a_network_is_refused_where_it_is_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGZOO_OFFLINE", "1")
    spec = TrackerSpec(name="far", factory="test_tracking:Noting", network=True)
    with (
        isolated_zoo(spec),
        pytest.raises(FailureError, match=r"far needs a network, .*SEGZOO_OFFLINE"),
    ):
        make_trackers(["far"], tmp_path)


class Noting(accelerate.tracking.GeneralTracker):
    """Remembers what it is told."""

    name, requires_logging_directory, tracker = "noting", False, None
    told: ClassVar[list] = []

    def __init__(self, folder) -> None:
        super().__init__()

    def start(self) -> None:
        self.told.append("start")

    def store_init_configuration(self, values) -> None:
        self.told.append(("recipe", values["model"]))

    def log(self, values, step=None, **kwargs) -> None:
        self.told.append((step, values))

    def log_images(self, values, step=None, **kwargs) -> None:
        self.told.append((step, {name: image.shape for name, image in values.items()}))

    def finish(self) -> None:
        self.told.append("finish")


def test_a_tracker_of_a_plugin_gets_the_recipe_the_numbers_and_the_pictures(tmp_path):
    spec = TrackerSpec(name="noting", factory="test_tracking:Noting")
    sys.modules["test_tracking"].Noting.told.clear()
    with isolated_zoo(spec, owner="segzoo-mine"):
        read_recipe(None, ["data=folder", "root=.", "trackers=noting"])
        tracked(tmp_path, ["noting"], steps=(1,))
        told = list(sys.modules["test_tracking"].Noting.told)
        check_tracker("noting")
    picture = (1, {"validation/a/b": (40, 120, 3)})
    assert told == ["start", ("recipe", "unet"), (1, {"loss": 1.0}), picture, "finish"]
    with pytest.raises(UsageError, match="trackers: no tracker is named 'noting'"):
        read_recipe(None, ["data=folder", "root=.", "trackers=noting"])

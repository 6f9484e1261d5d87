"""The contract of trackers: they start, take a line of numbers, and close."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

from segzoo.errors import missing_extra
from segzoo.specs import TrackerSpec
from segzoo.testing.promises import Checked, described, promise
from segzoo.training.report.trackers import Tracking, check_installed, make_tracker

_CONFIG = {"model": "unet", "learning_rate": 1e-3, "augment": {"crop": {"size": 64}}}


def check_tracker(tracker: str | TrackerSpec) -> None:
    """Check a tracker; one that needs a network is made, and not started.

    It is an Accelerate tracker with a name of its own, which writes nothing before it starts, takes the
    recipe's values and a line of numbers for two steps, and closes.

    Args:
        tracker: its name, or its spec if no plug-in registers it yet.

    Raises:
        PluginError: it breaks a promise; the message names it.
        MissingExtraError: its package, or Accelerate, is not installed.
    """
    _Subject(described(tracker, TrackerSpec)).keep()


class _Subject(Checked[TrackerSpec], of="tracker"):
    """A tracker under check."""

    def made(self) -> None:
        check_installed(self.spec)
        with tempfile.TemporaryDirectory() as folder:
            made = make_tracker(self.spec, Path(folder))
            written = [path.name for path in Path(folder).iterdir()]
            promise(
                not written,
                f"{self.what}: made, it writes {', '.join(written)}; leave that to start(), which "
                "training calls once all else is well",
            )
            name = getattr(made, "name", "")
            others = ("tensorboard", "wandb")
            promise(
                isinstance(name, str) and bool(name) and (name not in others or name == self.spec.name),
                f"{self.what}: its attribute name is {name!r}, which must be a word of its own",
            )

    def log(self) -> None:
        check_installed(self.spec)
        if self.spec.network:
            return
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise missing_extra("checks of trackers need Accelerate", "train") from error
        mode = os.environ.get("WANDB_MODE")
        os.environ["WANDB_MODE"] = "offline"
        try:
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trackers = [make_tracker(self.spec, Path(folder))]
                accelerator = Accelerator(cpu=True, log_with=list(trackers), project_dir=folder)
                tracking = Tracking(accelerator, [self.spec.name], _CONFIG)
                tracking.begin()
                for step in (1, 2):
                    tracking.scalars({"loss": 1 / step, "dice_per_image": 0.5}, step)
                tracking.close()
        finally:
            if mode is None:
                del os.environ["WANDB_MODE"]
            else:
                os.environ["WANDB_MODE"] = mode

"""The training loop, on Accelerate: AdamW, warm-up and cosine, best weights by validation Dice.

What is left in the output folder is a segzoo folder that predicts, and ``history.jsonl``.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from tqdm import tqdm

import segzoo
from segzoo.creation import create
from segzoo.datasets.cached import Cached
from segzoo.errors import FailureError, MissingExtraError, OptionError
from segzoo.evaluation import evaluate
from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.parts import make_loss, open_dataset
from segzoo.prediction.predictor import config_of
from segzoo.specs import Resize
from segzoo.training.data import make_loader
from segzoo.training.recipe import Recipe, make_recipe
from segzoo.weights.folder import save

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import Accelerator
    from torch import Tensor, nn

    from segzoo.config import ModelConfig
    from segzoo.interfaces import Dataset


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind.

    Attributes:
        folder: holds the best weights; `segzoo.load` and ``--model`` take it.
        best: validation Dice of those weights: mean over images of the mean over foreground classes.
        epoch: the epoch that gave them, counted from 1.
        seconds: how long the training took.
    """

    folder: Path
    best: float
    epoch: int
    seconds: float


def train(recipe: Recipe | None = None, /, *, progress: bool = True, **values: Any) -> TrainingResult:
    """Train a model and keep the weights with the best validation Dice.

    Args:
        recipe: what to train; or give its values instead.
        progress: whether to show a bar.
        **values: of a `segzoo.training.Recipe`: ``data=...``, ``model=...``, ``epochs=...``.

    Raises:
        MissingExtraError: Accelerate is not installed.
        OptionError: a value is unknown or out of range, or a split of the data is empty.
        FailureError: the output folder cannot be written, or the loss is no longer finite.

    Example:
        >>> segzoo.train(data="photos", model="unet", epochs=20, out="runs/photos")
    """
    recipe = make_recipe(values) if recipe is None else replace(recipe, **values)
    accelerator = _accelerator(recipe)
    torch.manual_seed(recipe.seed)
    training, validation = (_open(recipe, split) for split in ("train", "val"))
    out = _writable(Path(recipe.out))
    model = _network(recipe, training)
    with tqdm(total=recipe.epochs, desc="train", unit="epoch", disable=not progress) as bar:
        run = _Run(recipe, accelerator, model, training, validation, out)
        return run.follow(lambda text: (bar.set_postfix_str(text), bar.update()))


class _Run:
    """One training from its first epoch to its last."""

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        model: nn.Module,
        training: Dataset,
        validation: Dataset,
        out: Path,
    ) -> None:
        self.recipe, self.accelerator, self.out = recipe, accelerator, out
        self.validation = validation
        self.config = config_of(model)
        loader, self.sampler = make_loader(training, recipe, self.config.preprocessing)
        model = cast("Any", model).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.model, self.optimizer, self.loader = accelerator.prepare(model, optimizer, loader)
        steps = recipe.epochs * len(self.loader)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(steps, recipe.warmup))
        loss = make_loss(recipe.loss, ignore_index=training.labels.ignore_index, **recipe.loss_options)
        self.loss = DeepSupervision(loss)
        self.best, self.best_epoch = -math.inf, 0

    def follow(self, tell: Callable[[str], Any]) -> TrainingResult:
        start = time.perf_counter()
        for epoch in range(1, self.recipe.epochs + 1):
            began = time.perf_counter()
            entry: dict[str, Any] = {"epoch": epoch, "loss": self._epoch(epoch)}
            if epoch % self.recipe.validate_every == 0 or epoch == self.recipe.epochs:
                entry |= self._validate(epoch, start)
            entry["seconds"] = round(time.perf_counter() - began, 2)
            self._log(entry)
            tell(f"loss {entry['loss']:.3f} best Dice {max(self.best, 0):.4f}")
        return TrainingResult(self.out, self.best, self.best_epoch, time.perf_counter() - start)

    def _epoch(self, epoch: int) -> float:
        self.model.train()
        self.sampler.epoch = epoch
        total = torch.zeros((), device=self.accelerator.device)
        for images, masks in self.loader:
            images = images.contiguous(memory_format=torch.channels_last)
            masks = masks.long()  # here, as bytes travel faster between processes and to the device
            with self.accelerator.autocast():
                outputs = _outputs(self.model, images)
            loss = self.loss(outputs, masks)
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.schedule.step()
            total += loss.detach()
        mean = float(total) / len(self.loader)
        if not math.isfinite(mean):
            raise FailureError(
                f"the loss became {mean} in epoch {epoch}: lower learning_rate, or say precision='no'"
            )
        return mean

    def _validate(self, epoch: int, start: float) -> dict[str, float]:
        model = self.accelerator.unwrap_model(self.model)
        with self.accelerator.autocast():
            score = evaluate(model, self.validation, metrics=["dice"])[0]
        dice = score.values["per_image"]
        if dice > self.best:
            self.best, self.best_epoch = dice, epoch
            if self.accelerator.is_main_process:
                seconds = round(time.perf_counter() - start)
                told = {"validation": {**score.values, "contract": score.contract}, "seconds": seconds}
                config = replace(
                    _for_whole_images(self.config, self.validation), provenance=self._provenance(epoch, told)
                )
                save(model, self.out, config=config)
        return {f"dice_{name}": value for name, value in score.values.items()}

    def _provenance(self, epoch: int, told: dict[str, Any]) -> dict[str, Any]:
        recipe = {name: value for name, value in asdict(self.recipe).items() if name not in ("root", "out")}
        recipe["data"] = Path(self.recipe.data).name
        return {"segzoo": segzoo.__version__, "recipe": recipe, "epoch": epoch, **told}

    def _log(self, entry: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with (self.out / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


def warm_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    """Return the learning rate's share of its height at a step: linear warm-up, then half a cosine to 0."""
    warm = max(round(steps * warmup), 1)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min((step - warm) / max(steps - warm, 1), 1)))

    return share


def _outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return all logits that a model can be trained on: several where it is deeply supervised."""
    bare = getattr(model, "module", model)
    if len(getattr(bare, "side_heads", ())):
        return cast("Any", bare).side_logits(images)
    return [model(images)]


def _network(recipe: Recipe, training: Dataset) -> nn.Module:
    classes = len(training.labels.classes)
    options = dict(recipe.model_options)
    # Two classes need one logit.
    options.setdefault("num_classes", 1 if classes == 2 else classes)
    model = create(recipe.model, **options)
    config = config_of(model)
    preprocessing = config.preprocessing
    if recipe.mean:
        preprocessing = replace(preprocessing, mean=recipe.mean, std=recipe.std)
    model.segzoo_config = replace(  # pyright: ignore[reportArgumentType]
        config,
        labels=training.labels,
        preprocessing=preprocessing,
        licence=recipe.licence or config.licence,
    )
    return model


def _for_whole_images(config: ModelConfig, dataset: Dataset) -> ModelConfig:
    """Return the config with which the model takes images that no data set has made smaller."""
    scale = float(getattr(dataset, "scale", 1.0))
    if scale == 1 or config.preprocessing.resize is not None:
        return config
    resize = Resize(mode="scale", scale=scale)
    return replace(config, preprocessing=replace(config.preprocessing, resize=resize))


def _open(recipe: Recipe, split: str) -> Dataset:
    dataset = open_dataset(recipe.data, root=recipe.root, split=split, **recipe.data_options)
    if not len(dataset):
        raise OptionError(f"the split {split!r} of {recipe.data!r} is empty: it needs at least one image")
    # Who says where samples are kept, or that they are not, has reasons to keep them from memory.
    return dataset if "cache" in recipe.data_options else Cached(dataset)


def _writable(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "history.jsonl").write_text("", encoding="utf-8")
    except OSError as error:
        raise FailureError(f"cannot write to {out}: {error}") from error
    return out


def _accelerator(recipe: Recipe) -> Accelerator:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise MissingExtraError("training needs Accelerate: pip install 'segzoo[train]'") from error
    precision = recipe.precision
    if precision == "auto":
        precision = "bf16" if _fast_bf16() else "no"
    # Accelerate keeps the precision of a process's first training, and refuses another in the next.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=precision)


def _fast_bf16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported()) and not torch.backends.mps.is_available()

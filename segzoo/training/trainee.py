"""What a training changes: the network, its optimizer, the schedule, the moving average.

Its state, whole whatever the number of processes, is what a checkpoint keeps.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from segzoo.prediction.plain import config_of
from segzoo.training.averages import Averages
from segzoo.training.freezing import Freezing
from segzoo.training.network import make_network
from segzoo.training.optimizers import make_optimizer
from segzoo.training.processes import (
    load_optimizer,
    load_whole,
    optimizer_state,
    own_tensors,
    sharded,
    whole,
)
from segzoo.training.recomputing import recompute
from segzoo.training.schedules import make_schedule
from segzoo.training.supervised import Supervised
from segzoo.training.transfer import transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.interfaces import Dataset
    from segzoo.training.recipe import Recipe


class Trainee:
    """The network in training and all that steps change.

    Args:
        recipe: what to build.
        accelerator: where, and with how many others.
        training: the data, for its classes.
        tell: is told what start weights gave.

    Attributes:
        model: what is called in training; gives a list of logits.
        snapshot: a network of its own, with the weights to validate and to save; see `settle`.
        config: the network's, as the training knows it.
    """

    def __init__(
        self, recipe: Recipe, accelerator: Accelerator, training: Dataset, *, tell: Callable[[str], None]
    ) -> None:
        self.accelerator = accelerator
        network = make_network(recipe, training)
        if recipe.weights:
            tell(transfer(network, recipe.weights).text())
        self.config: ModelConfig = config_of(network)
        # What is to be divided among processes must be contiguous; images need not.
        last = recipe.channels_last and not recipe.shard
        layout: Any = torch.channels_last if last else torch.contiguous_format
        network = cast("Any", network).to(accelerator.device, memory_format=layout)
        self.snapshot = copy.deepcopy(network).eval()
        alone = accelerator.num_processes == 1
        if recipe.checkpointing:
            recompute(network)
        model: nn.Module = Supervised(network)
        if recipe.sync_batchnorm and not alone:
            model = _synchronised(model, accelerator, tell)
        self.divided = sharded(model, recipe, accelerator)
        # After sharding, which gives the network other parameters.
        self.freezing = Freezing(network, recipe.freeze, toggle=alone)
        if recipe.compile:
            model.compile()
        # A model that is divided already is not to be wrapped for data parallel processes.
        self.model: nn.Module = accelerator.prepare_model(model, evaluation_mode=self.divided)
        self.optimizer: Any = accelerator.prepare(
            make_optimizer(network, recipe, batch_size=recipe.batch_size)
        )
        self.averages = Averages(own_tensors(model), recipe.average) if recipe.average else None
        self._bare = model

    def follow_schedule(self, recipe: Recipe, *, steps: int, steps_per_epoch: int) -> None:
        """Begin the schedule of a training of so many steps."""
        self.schedule = make_schedule(
            self.optimizer.optimizer, recipe, steps=steps, steps_per_epoch=steps_per_epoch
        )

    def stepped(self) -> None:
        """Follow the optimizer's step with the schedule and the average."""
        # A step that a loss scale skipped changed nothing.
        if not self.accelerator.optimizer_step_was_skipped:
            self.schedule.step()
        if self.averages is not None:
            self.averages.update(own_tensors(self._bare))

    def settle(self) -> nn.Module:
        """Return the network with the weights that validation sees; every process must ask."""
        self.snapshot.load_state_dict(whole(self._settled()))
        return self.snapshot

    def state(self) -> dict[str, Any]:
        """Return everything that steps change; every process must ask."""
        scaler = self.accelerator.scaler
        return {
            "model": whole(own_tensors(self._bare)),
            "averages": None if self.averages is None else whole(self.averages.state),
            "averaged": 0 if self.averages is None else self.averages.steps,
            "optimizer": optimizer_state(self._bare, self.optimizer.optimizer, divided=self.divided),
            "schedule": self.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned, on any number of processes."""
        if self.averages is not None:
            self._restore_averages(state)
        load_whole(self._bare, state["model"])
        optimizer = self.optimizer.optimizer
        load_optimizer(self._bare, optimizer, state["optimizer"], divided=self.divided)
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def config_with(self, **changes: Any) -> ModelConfig:
        """Return the network's config with some values changed."""
        return replace(self.config, **changes)

    def _settled(self) -> dict[str, Tensor]:
        return own_tensors(self._bare) if self.averages is None else self.averages.state

    def _restore_averages(self, state: Mapping[str, Any]) -> None:
        assert self.averages is not None
        # The model divides what is whole; the average then takes its own parts from it.
        load_whole(self._bare, state["averages"])
        self.averages = Averages(own_tensors(self._bare), self.averages.decay)
        self.averages.steps = state["averaged"]


def _synchronised(model: nn.Module, accelerator: Accelerator, tell: Callable[[str], None]) -> nn.Module:
    """Return the model with batch norms that see the images of all processes, where torch has such."""
    if accelerator.device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        tell(
            "batch norms see the images of one process only, as torch synchronises them on accelerators "
            "alone: sync_batchnorm=true changes nothing here"
        )
    return model

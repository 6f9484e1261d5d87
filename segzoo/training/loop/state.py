"""The state that training changes: the network, its optimizer, the schedule, the moving average.

A checkpoint keeps this state, whole for any number of processes.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from segzoo.config import config_of, pretraining_of
from segzoo.labels import with_ignored
from segzoo.specs import BandStatistics
from segzoo.training.data.measuring import measure_data
from segzoo.training.loop.distributed import (
    load_optimizer,
    load_whole,
    optimizer_state,
    own_tensors,
    shard,
    stages,
    whole,
)
from segzoo.training.network import make_network, start_of
from segzoo.training.optim.freezing import Freezing
from segzoo.training.optim.optimizers import make_optimizer
from segzoo.training.optim.schedules import Schedule
from segzoo.training.transfer import transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from accelerate import Accelerator
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.interfaces import Dataset
    from segzoo.training.recipe.schema import Recipe


class TrainState:
    """The network in training and everything that steps change.

    Args:
        recipe: the recipe.
        accelerator: the device and the processes.
        training: the training data, for its classes.
        on_message: called with a message about the start weights.

    Attributes:
        model: the module to call in training; it returns a list of logits.
        snapshot: a separate network with the weights to validate and to save; see `settle`.
        config: the network's config.
        side_weight: weight of the losses of the network's side heads, if its decoder defines one.
        labels: labels of the data, with an ``ignore_index`` if images have pixels without a measurement.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        training: Dataset,
        *,
        on_message: Callable[[str], None],
    ) -> None:
        self.accelerator = accelerator
        network = make_network(recipe, training)
        if (learnt := pretraining_of(network)) is not None:
            on_message(learnt.told)
        if start := start_of(recipe):
            on_message(transfer(network, start).text())
        config = config_of(network)
        measured = measure_data(training, config.preprocessing, config.architecture.in_channels)
        for text in measured.told:
            on_message(text)
        # Pixels without a measurement are ignored, whatever the masks hold there.
        self.labels = with_ignored(training.labels) if measured.missing else training.labels
        self.config: ModelConfig = replace(
            config, preprocessing=measured.preprocessing, statistics=measured.statistics
        )
        network.segzoo_config = self.config  # pyright: ignore[reportArgumentType]
        # Tensors that are sharded must be contiguous; images need not be.
        last = recipe.channels_last and not recipe.shard
        layout: Any = torch.channels_last if last else torch.contiguous_format
        network = cast("Any", network).to(accelerator.device, memory_format=layout)
        self.snapshot = copy.deepcopy(network).eval()
        self.side_weight: float | None = getattr(network, "side_weight", None)
        alone = accelerator.num_processes == 1
        if recipe.checkpointing:
            recompute(network)
        model: nn.Module = Supervised(network)
        if recipe.sync_batchnorm and not alone:
            model = _synchronised(model, accelerator, on_message)
        self.divided = recipe.shard
        if recipe.shard:
            shard(model, accelerator)
        # After sharding, which replaces the network's parameters.
        self.freezing = Freezing(network, recipe.freeze, toggle=alone)
        if recipe.compile:
            model.compile()
        # A sharded model must not be wrapped for data parallel processes too.
        self.model: nn.Module = accelerator.prepare_model(model, evaluation_mode=self.divided)
        self.optimizer: Any = accelerator.prepare(
            make_optimizer(
                network,
                recipe.optimizer,
                recipe.optimizer_options,
                learning_rate=recipe.scaled_rate,
                encoder_rate=recipe.encoder_rate,
            )
        )
        self.averages = Averages(own_tensors(model), recipe.average) if recipe.average else None
        self._bare = model

    def follow_schedule(
        self, name: str, options: Mapping[str, Any], *, steps: int, steps_per_epoch: int
    ) -> None:
        """Start the schedule of a run with this many steps."""
        self.schedule = Schedule(
            self.optimizer.optimizer, name, options, steps=steps, steps_per_epoch=steps_per_epoch
        )

    def stepped(self) -> None:
        """Update the schedule and the average after the optimizer's step."""
        # A step that a loss scale skipped changes nothing.
        if not self.accelerator.optimizer_step_was_skipped:
            self.schedule.step()
        if self.averages is not None:
            self.averages.update(own_tensors(self._bare))

    def settle(self) -> nn.Module:
        """Return the network with the weights for validation; every process must call it."""
        self.snapshot.load_state_dict(whole(self._settled()))
        return self.snapshot

    def state(self) -> dict[str, Any]:
        """Return everything that steps change; every process must call it."""
        scaler = self.accelerator.scaler
        return {
            "model": whole(own_tensors(self._bare)),
            "averages": None if self.averages is None else whole(self.averages.state),
            "averaged": 0 if self.averages is None else self.averages.steps,
            "optimizer": optimizer_state(self._bare, self.optimizer.optimizer, divided=self.divided),
            "schedule": self.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "measured": {
                "intensity": [list(pair) for pair in self.config.preprocessing.intensity.measured],
                "statistics": [asdict(one) for one in self.config.statistics],
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, on any number of processes."""
        if self.averages is not None:
            self._restore_averages(state)
        load_whole(self._bare, state["model"])
        optimizer = self.optimizer.optimizer
        load_optimizer(self._bare, optimizer, state["optimizer"], divided=self.divided)
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if "measured" in state:
            self._restore_measured(state["measured"])

    def extend(
        self, state: Mapping[str, Any], best: Mapping[str, Tensor] | None, *, measured: bool, fresh: bool
    ) -> str:
        """Start with the weights of another run, and with its optimizer's state if it fits.

        The optimizer's options and its schedule stay those of this run.

        Args:
            state: result of `state` in the other run.
            best: the other run's best weights, to start with instead of its last ones, which its optimizer's
                state belongs to.
            measured: whether the other run's measurements of its images are valid here too.
            fresh: whether the other run had another optimizer.

        Returns:
            A message about the optimizer.
        """
        if measured and "measured" in state:
            self._restore_measured(state["measured"])
        if self.averages is not None:
            average = state["averages"] if best is None and state["averages"] else best or state["model"]
            self._restore_averages({"averages": average, "averaged": state["averaged"]})
        load_whole(self._bare, state["model"] if best is None else best)
        if best is not None or fresh:
            return "; the optimizer starts from scratch"
        now = optimizer_state(self._bare, self.optimizer.optimizer, divided=self.divided)
        groups = [[group["params"] for group in one["param_groups"]] for one in (state["optimizer"], now)]
        if groups[0] != groups[1]:
            return "; the optimizer starts from scratch, because its groups differ"
        kept = {**state["optimizer"], "param_groups": now["param_groups"]}
        load_optimizer(self._bare, self.optimizer.optimizer, kept, divided=self.divided)
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return ""

    def _restore_measured(self, measured: Mapping[str, Any]) -> None:
        """Restore what was measured when the run began, because the images may have changed since."""
        preprocessing = self.config.preprocessing
        pairs = tuple((float(low), float(high)) for low, high in measured["intensity"])
        intensity = replace(preprocessing.intensity, measured=pairs)
        self.config = replace(
            self.config,
            preprocessing=replace(preprocessing, intensity=intensity),
            statistics=tuple(BandStatistics(**one) for one in measured["statistics"]),
        )
        self.snapshot.segzoo_config = self.config  # pyright: ignore[reportArgumentType]

    def _settled(self) -> dict[str, Tensor]:
        return own_tensors(self._bare) if self.averages is None else self.averages.state

    def _restore_averages(self, state: Mapping[str, Any]) -> None:
        assert self.averages is not None
        # Loading shards whole tensors; the average then copies its own parts.
        load_whole(self._bare, state["averages"])
        self.averages = Averages(own_tensors(self._bare), self.averages.decay)
        self.averages.steps = state["averaged"]


def _synchronised(model: nn.Module, accelerator: Accelerator, on_message: Callable[[str], None]) -> nn.Module:
    """Return the model with batch norms over the images of all processes, if torch supports it."""
    if accelerator.device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        on_message(
            "batch norms see the images of one process only, because torch synchronises them only on "
            "accelerators: sync_batchnorm=true has no effect here"
        )
    return model


# The network in training: one module whose call returns every output that has a loss.
#
# Processes exchange gradients after the call of a wrapped module, so all heads must be inside it.


class Supervised(nn.Module):
    """A network, with its side heads if it is deeply supervised.

    Args:
        network: maps images ``(N, C, H, W)`` to logits ``(N, num_classes, H, W)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return all logits to train on, the network's own logits last."""
        if len(getattr(self.network, "side_heads", ())):
            return cast("Any", self.network).side_logits(images)
        return [self.network(images)]


# A moving average of the weights: what is validated and saved is steadier than the weights in training.
#
# Source: Polyak and Juditsky, 1992, doi:10.1137/0330046; the decay is smaller in the first steps, to forget
# the random start.


class Averages:
    """The moving average of a state dict; tensors that are not floating-point keep their latest value.

    Args:
        state: the tensors to follow.
        decay: share of the average that a step keeps, in the long run; in [0, 1).
    """

    def __init__(self, state: Mapping[str, Tensor], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {name: tensor.detach().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def update(self, state: Mapping[str, Tensor]) -> None:
        """Move one step towards ``state``."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.state.items():
            if average.is_floating_point():
                average.lerp_(state[name].detach().to(average.dtype), 1 - decay)
            else:
                average.copy_(state[name])


# Gradient checkpointing: activations are recomputed in the backward pass instead of kept.
#
# Paper: Chen et al., 2016, arXiv:1604.06174. The second computation does not update the running statistics of
# batch norms, so that training with it gives exactly the same weights as without.


def recompute(network: nn.Module) -> int:
    """Recompute every stage of a network in the backward pass; return the number of stages.

    A stage is a direct child of the encoder or the decoder, or of the network if it has neither; of a
    list of modules, each.
    """
    found = stages(network)
    for stage in found:
        _wrap(stage)
    return len(found)


def _wrap(stage: nn.Module) -> None:
    plain = stage.forward

    def forward(*arguments: Any) -> Any:
        if not stage.training:
            return plain(*arguments)
        return checkpoint(
            plain,
            *arguments,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _statistics_rest(stage)),
        )

    stage.forward = forward


@contextmanager
def _statistics_rest(stage: nn.Module) -> Iterator[None]:
    norms = [m for m in stage.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, tracked in momenta:
            norm.momentum = momentum
            norm.num_batches_tracked = tracked

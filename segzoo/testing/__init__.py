"""The contracts of parts as checks, for the tests of segzoo and of plug-ins alike.

Each check builds the part for real, on the CPU and without pretrained weights, and raises
`segzoo.errors.PluginError` with the promise that it breaks. All that a plug-in brings is one test::

    import pytest
    from segzoo.testing import every_check

    @pytest.mark.parametrize("check", every_check("segzoo-mine"), ids=str)
    def test_what_we_bring_keeps_its_promises(check):
        check.run()

and a part by itself, with options, an oracle or data that only its author has::

    from segzoo.testing import check_metric, check_model

    def test_my_model_keeps_the_contract_when_it_is_narrow():
        check_model("mine/resnet18", width=4)

    def test_my_metric_counts_what_a_slow_version_counts():
        check_metric("mine", oracle=slow_version, best=1.0)

`isolated_zoo` gives a test a zoo without anything else that is installed, and
``pytest -p segzoo.testing.pytest_plugin --segzoo-plugin segzoo-mine`` runs all checks without a test file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.testing.augmentations import check_augmentation
    from segzoo.testing.checks import Check, check_plugin, checks_of, every_check
    from segzoo.testing.clusters import check_cluster
    from segzoo.testing.datasets import check_dataset
    from segzoo.testing.decoders import check_decoder
    from segzoo.testing.encoders import check_encoder
    from segzoo.testing.engines import check_engine
    from segzoo.testing.examples import Example
    from segzoo.testing.export import check_export, check_onnx, check_trace
    from segzoo.testing.exports import check_format
    from segzoo.testing.isolation import isolated_zoo
    from segzoo.testing.layouts import check_layout
    from segzoo.testing.listing import check_listing
    from segzoo.testing.losses import check_loss
    from segzoo.testing.metrics import check_metric
    from segzoo.testing.models import check_model, check_round_trips
    from segzoo.testing.optimizers import check_optimizer
    from segzoo.testing.outputs import check_output
    from segzoo.testing.readers import check_reader
    from segzoo.testing.recipes import check_recipe
    from segzoo.testing.schedules import check_schedule
    from segzoo.testing.trackers import check_tracker
    from segzoo.testing.weights import check_weights

# Imported when first used: checks of metrics and datasets need no torch.
_WHERE = {
    "augmentations": "check_augmentation",
    "checks": "Check check_plugin checks_of every_check",
    "clusters": "check_cluster",
    "datasets": "check_dataset",
    "decoders": "check_decoder",
    "encoders": "check_encoder",
    "engines": "check_engine",
    "examples": "Example",
    "export": "check_export check_onnx check_trace",
    "exports": "check_format",
    "isolation": "isolated_zoo",
    "layouts": "check_layout",
    "listing": "check_listing",
    "losses": "check_loss",
    "metrics": "check_metric",
    "models": "check_model check_round_trips",
    "optimizers": "check_optimizer",
    "outputs": "check_output",
    "readers": "check_reader",
    "recipes": "check_recipe",
    "schedules": "check_schedule",
    "trackers": "check_tracker",
    "weights": "check_weights",
}

__all__ = [
    "Check",
    "Example",
    "check_augmentation",
    "check_cluster",
    "check_dataset",
    "check_decoder",
    "check_encoder",
    "check_engine",
    "check_export",
    "check_format",
    "check_layout",
    "check_listing",
    "check_loss",
    "check_metric",
    "check_model",
    "check_onnx",
    "check_optimizer",
    "check_output",
    "check_plugin",
    "check_reader",
    "check_recipe",
    "check_round_trips",
    "check_schedule",
    "check_trace",
    "check_tracker",
    "check_weights",
    "checks_of",
    "every_check",
    "isolated_zoo",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)

"""transformers' SegFormer: folders of ``save_pretrained``, and state dicts under the names of 4.x and 5.x.

Facts: transformers 5.24. Files have the names of 4.x, whichever version writes them; in memory, and so in
what `torch.save` writes, 5.x has others. All layer norms have an epsilon of 1e-5, even if
config.json says otherwise. The decoder joins the coarsest feature first.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from segzoo.errors import WeightsError
from segzoo.weights.layouts import Architecture, Conversion, Transfer, plan
from segzoo.weights.layouts.processors import labels, processor
from segzoo_decoders.layouts import check_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.weights.layouts import Checkpoint

_EPS = 1e-5
#: Names in segzoo's encoder to those in files and, since 5.x, in memory; {0} is a stage, {1} a block.
_STAGE = {
    "embed": ("encoder.patch_embeddings.{0}.proj", "stages.{0}.patch_embeddings.proj"),
    "embed_norm": ("encoder.patch_embeddings.{0}.layer_norm", "stages.{0}.patch_embeddings.layer_norm"),
    "norm": ("encoder.layer_norm.{0}", "stages.{0}.layer_norm"),
}
_BLOCKS = ("encoder.block.{0}.{1}", "stages.{0}.blocks.{1}")
_BLOCK = {
    "norm1": ("layer_norm_1", "layernorm_before"),
    "attention.query": ("attention.self.query", "attention.q_proj"),
    "attention.key": ("attention.self.key", "attention.k_proj"),
    "attention.value": ("attention.self.value", "attention.v_proj"),
    "attention.out": ("attention.output.dense", "attention.o_proj"),
    "attention.reduce": ("attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
    "attention.reduce_norm": ("attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
    "norm2": ("layer_norm_2", "layernorm_after"),
    "mlp.expand": ("mlp.dense1", "mlp.fc1"),
    "mlp.depthwise": ("mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
    "mlp.project": ("mlp.dense2", "mlp.fc2"),
}
_LEVELS = ("decode_head.linear_c.{0}.proj", "decode_head.linear_projections.{0}.proj")
#: Settings that no tensor shows, with the only values that segzoo's network supports.
_KNOWN: Mapping[str, Any] = {
    "model_type": "segformer",
    "hidden_act": "gelu",
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
}
#: Encoders by widths and blocks: B0 to B5.
_NARROW, _WIDE = (32, 64, 160, 256), (64, 128, 320, 512)
_VARIANTS = {
    (_NARROW, (2, 2, 2, 2)): "segzoo:mit_b0",
    (_WIDE, (2, 2, 2, 2)): "segzoo:mit_b1",
    (_WIDE, (3, 4, 6, 3)): "segzoo:mit_b2",
    (_WIDE, (3, 4, 18, 3)): "segzoo:mit_b3",
    (_WIDE, (3, 8, 27, 3)): "segzoo:mit_b4",
    (_WIDE, (3, 6, 40, 3)): "segzoo:mit_b5",
}
#: Options that all sizes have in common.
_COMMON = {"heads": (1, 2, 5, 8), "reductions": (8, 4, 2, 1), "expansions": (4, 4, 4, 4)}
_LICENCE = (
    "weights that NVIDIA trained for SegFormer, and what is trained from them, are for research and "
    "evaluation only, not for commercial use; read the licence of the repository that these come from"
)


def segmentation(checkpoint: Checkpoint, *, heads: Sequence[int] | None = None) -> Conversion:
    """Convert ``SegformerForSemanticSegmentation``.

    Args:
        checkpoint: the folder, or a file of its state dict.
        heads: attention heads of each stage, where no config says it and widths are not those of B0 to B5.
    """
    check_class(checkpoint, "SegformerForSemanticSegmentation")
    source = _Source(checkpoint, heads)
    moves, config = source.moves, source.config
    source.move_encoder("encoder.")
    stages = len(source.options["widths"])
    for level in range(stages):
        moves.pointwise(source.name(_LEVELS, level), f"decoder.levels.{level}.conv", rank=4)
    fusions = [f"decoder.fusions.{level}.weight" for level in reversed(range(stages))]
    moves.split("decode_head.linear_fuse.weight", fusions, dim=1)
    moves.norm("decode_head.batch_norm", "decoder.norm")
    moves.conv("decode_head.classifier", "head")
    num_classes = moves.shape("decode_head.classifier.weight")[0]
    named = labels(config, num_classes, preprocessor=checkpoint.extras.get("preprocessor_config"))
    decoder = {"width": moves.shape("decode_head.linear_fuse.weight")[0]}
    if "classifier_dropout_prob" in config:
        decoder["dropout"] = config["classifier_dropout_prob"]
    name, options = source.encoder()
    return Conversion(
        architecture=plan(
            f"segzoo-decoders:segformer/{name}",
            num_classes=num_classes,
            in_channels=source.in_channels,
            encoder=options,
            decoder=decoder,
            options={},
        ),
        transfer=moves,
        preprocessing=source.prepared.preprocessing,
        labels=named.labels,
        notes=(*source.prepared.notes, *named.notes, _LICENCE),
    )


def classification(checkpoint: Checkpoint, *, heads: Sequence[int] | None = None) -> Conversion:
    """Convert the encoder of ``SegformerForImageClassification``, without its classifier.

    Args:
        checkpoint: the folder, or a file of its state dict.
        heads: attention heads of each stage; see `segmentation`.
    """
    check_class(checkpoint, "SegformerForImageClassification")
    source = _Source(checkpoint, heads)
    source.move_encoder("")
    source.moves.leave_out("classifier.")
    name, options = source.encoder()
    return Conversion(
        architecture=Architecture(name=name, num_classes=1, in_channels=source.in_channels, options=options),
        transfer=source.moves,
        part="encoder",
        preprocessing=source.prepared.preprocessing,
        notes=(*source.prepared.notes, _LICENCE),
    )


class _Source:
    """A checkpoint whose tensors say what its encoder is, and its config what they do not show.

    Attributes:
        moves: its tensors.
        config: what ``config.json`` holds; empty where there is none.
        in_channels: bands of the images.
        options: all of the encoder.
        prepared: how images are prepared.
    """

    def __init__(self, checkpoint: Checkpoint, heads: Sequence[int] | None) -> None:
        self.moves = Transfer(checkpoint)
        self.config: Mapping[str, Any] = checkpoint.extras.get("config", {})
        for key, value in _KNOWN.items():
            said = self.config.get(key, value)
            if said != value:
                raise WeightsError(
                    f"{checkpoint.file}: config.json says {key} {said!r}; this layout has {value!r} alone"
                )
        self._version = 0 if f"segformer.{_STAGE['embed'][0].format(0)}.weight" in self.moves else 1
        self.in_channels = self.moves.shape(f"{self._stage('embed', 0)}.weight")[1]
        self.options = self._shapes(heads)
        self.prepared = processor(
            checkpoint.extras.get("preprocessor_config"), model_type="segformer", in_channels=self.in_channels
        )

    def name(self, names: tuple[str, str], *numbers: int) -> str:
        """Return the name of the checkpoint's version."""
        return names[self._version].format(*numbers)

    def move_encoder(self, target: str) -> None:
        """Move the tensors of the encoder to names that begin so."""
        for stage, depth in enumerate(self.options["depths"]):
            for own in _STAGE:
                self._layer(self._stage(own, stage), f"{target}stages.{stage}.{own}")
            for block in range(depth):
                for own in _BLOCK:
                    if "reduce" not in own or self.options["reductions"][stage] > 1:
                        self._layer(
                            self._block(own, stage, block), f"{target}stages.{stage}.blocks.{block}.{own}"
                        )

    def encoder(self) -> tuple[str, dict[str, Any]]:
        """Return the encoder's name, and those of its options that the name does not say."""
        options = {"eps": _EPS, "embed_eps": _EPS}
        if "drop_path_rate" in self.config:
            options["drop_path"] = self.config["drop_path_rate"]
        known = _VARIANTS.get((self.options["widths"], self.options["depths"]))
        if known and all(self.options[key] == value for key, value in _COMMON.items()):
            return known, options
        return "segzoo:mit", {**self.options, **options}

    def _layer(self, source: str, target: str) -> None:
        self.moves.move(f"{source}.weight", f"{target}.weight")
        self.moves.move(f"{source}.bias", f"{target}.bias")

    def _stage(self, own: str, stage: int) -> str:
        return f"segformer.{self.name(_STAGE[own], stage)}"

    def _block(self, own: str, stage: int, block: int) -> str:
        return f"segformer.{self.name(_BLOCKS, stage, block)}.{self.name(_BLOCK[own])}"

    def _shapes(self, heads: Sequence[int] | None) -> dict[str, Any]:
        """Return the encoder's options, by the shapes of its tensors."""
        moves = self.moves
        stages = _count(lambda stage: f"{self._stage('embed', stage)}.weight" in moves)
        widths = tuple(moves.shape(f"{self._stage('embed', stage)}.weight")[0] for stage in range(stages))
        depths = tuple(
            _count(lambda block, stage=stage: f"{self._block('norm1', stage, block)}.weight" in moves)
            for stage in range(stages)
        )
        firsts = [(stage, width) for stage, width in enumerate(widths) if depths[stage]]
        reduce = [f"{self._block('attention.reduce', stage, 0)}.weight" for stage, _ in firsts]
        expand = [f"{self._block('mlp.expand', stage, 0)}.weight" for stage, _ in firsts]
        return {
            "widths": widths,
            "depths": depths,
            "heads": self._heads(heads, widths),
            "reductions": tuple(moves.shape(name)[-1] if name in moves else 1 for name in reduce),
            "expansions": tuple(
                moves.shape(name, 2)[0] // width for name, (_, width) in zip(expand, firsts, strict=True)
            ),
        }

    def _heads(self, heads: Sequence[int] | None, widths: tuple[int, ...]) -> tuple[int, ...]:
        said = heads or self.config.get("num_attention_heads")
        if said is None and widths in (_NARROW, _WIDE):
            return _COMMON["heads"]
        if not isinstance(said, list | tuple) or len(said) != len(widths):
            raise WeightsError(
                f"{self.moves.file} does not say how many attention heads its {len(widths)} stages have: "
                "pass heads=[1, 2, 5, 8], a number for each, or convert the folder with its config.json"
            )
        return tuple(said)


def _count(there: Callable[[int], bool]) -> int:
    """Return how many numbers from 0 on are there without a gap."""
    return next(number for number in count() if not there(number))

"""The model card: metadata that the Hub reads, and text that says what the config says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from huggingface_hub import ModelCard

from segzoo.config import Architecture, ModelConfig
from segzoo.publishing.card import model_card, scores
from segzoo.specs import Labels, Preprocessing, Resize, parse_intensity

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = ModelConfig(
    architecture=Architecture(
        name="segzoo-nested:nested/segzoo:vgg16",
        num_classes=2,
        requires={"segzoo": "0.1.0", "segzoo-nested": "0.1.0"},
    ),
    labels=Labels(classes=("background", "nucleus"), palette=((0, 0, 0), (255, 196, 0))),
    preprocessing=Preprocessing(
        mean=(0.5,), std=(0.25,), resize=Resize(mode="letterbox", height=512, width=640)
    ),
    licence="CC0-1.0",
    provenance={
        "data": "made up",
        "claimed": "Dice 0.99 | of what?",
        "test": {
            "per_image": 0.91234567,
            "pooled": 0.95,
            "contract": "foreground, per image, empty masks score 1",
        },
    },
)


def _metadata(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_metadata_is_what_the_hub_reads() -> None:
    data = _metadata(model_card(CONFIG, repo="org/nuclei"))
    assert data["library_name"] == "segzoo"
    assert data["pipeline_tag"] == "image-segmentation"
    assert data["license"] == "cc0-1.0"
    assert {"segzoo", "nested", "vgg16"} <= set(data["tags"])


def test_the_clients_own_reader_takes_the_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(model_card(CONFIG, repo="org/nuclei"), encoding="utf-8")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "segzoo"
    results = card.data.eval_results
    assert results is not None
    assert [result.metric_value for result in results] == [0.9123, 0.95]
    assert "empty masks score 1" in str(results[0].metric_name)


def test_every_number_stands_beside_its_contract() -> None:
    text = model_card(CONFIG, repo="org/nuclei")
    assert "| test per image | 0.9123 | foreground, per image, empty masks score 1 |" in text
    assert r"Claimed by the authors of the weights: Dice 0.99 \| of what?" in text


def test_a_number_stands_beside_its_interval_and_a_contract_is_told_once() -> None:
    told = {"iou": 0.8, "dice": 0.9, "intervals": {"dice": [0.85, 0.95]}, "contract": "of cells"}
    text = model_card(replace(CONFIG, provenance={"test": told}))
    assert "| test iou | 0.8000 | of cells |\n| test dice | 0.9000 [0.8500, 0.9500] | as above |" in text


def test_groups_of_images_have_a_table_for_each_tag() -> None:
    iou = {"per_image": 0.8125, "intervals": {"per_image": [0.75, 0.875]}}
    groups = [
        {"by": "stain", "name": "H&E", "images": 7, "iou": iou},
        {"by": "stain", "name": "a | <b>", "images": 2, "iou": {"per_image": 0.5}, "ap": {"ap50": 0.25}},
        {"by": "source", "name": "A", "images": 9, "iou": {"per_image": 0.75}},
    ]
    text = model_card(replace(CONFIG, provenance={"scored": "test", "test": {"groups": groups}}))
    assert "## Scores by stain\n\n| stain | images | iou per image | ap ap50 |\n|---|---|---|---|\n" in text
    assert "| H&E | 7 | 0.812 [0.750, 0.875] | - |\n| a \\| &lt;b> | 2 | 0.500 | 0.250 |\n" in text
    assert (
        "## Scores by source\n\n| source | images | iou per image |\n|---|---|---|\n| A | 9 | 0.750 |" in text
    )
    for strange in ("a text", {"a": 1}, [7, {"iou": {}}, {"by": "x", "iou": {"intervals": 3, "n": "x"}}]):
        model_card(replace(CONFIG, provenance={"scored": "test", "test": {"groups": strange}}))


def test_a_card_of_registered_weights_says_their_name_and_their_plugin() -> None:
    text = model_card(CONFIG, name="unet-nuclei", plugin="segzoo-medical")
    assert "# unet-nuclei\n" in text
    assert "\npip install segmentation-zoo segzoo-nested segzoo-medical\n" in text
    assert "segzoo predict photo.jpg --model unet-nuclei" in text


def test_a_number_without_a_contract_is_not_shown() -> None:
    config = replace(CONFIG, provenance={"epoch": 3, "recipe": {"lr": 0.1}, "test": {"dice": 0.9}})
    assert not list(scores(config.provenance))
    assert "measured" not in model_card(config)


def test_the_snippet_installs_the_plugins_that_the_network_needs() -> None:
    text = model_card(CONFIG, repo="org/nuclei")
    assert "\npip install segmentation-zoo segzoo-nested\n" in text
    assert 'segzoo.load("hf-hub:org/nuclei")' in text
    assert "segzoo predict photo.jpg --model hf-hub:org/nuclei" in text


def test_the_card_says_how_intensity_is_scaled() -> None:
    assert "values are divided by 255; less mean (0.5)" in model_card(CONFIG)
    stretched = replace(CONFIG.preprocessing, intensity=parse_intensity("percentiles:1,99.8"))
    text = model_card(replace(CONFIG, preprocessing=stretched))
    assert "intensity is scaled by percentiles:1,99.8; less mean (0.5)" in text
    assert "255" not in text


def test_notes_stand_before_the_scores_as_a_list() -> None:
    notes = ["Not for\ndiagnosis.", "Data: X, <b>CC BY 4.0</b>"]
    text = model_card(replace(CONFIG, provenance={"notes": notes, **CONFIG.provenance}))
    told = "## Before you use it\n\n- Not for diagnosis.\n- Data: X, &lt;b>CC BY 4.0&lt;/b>\n"
    assert told in text
    assert text.index(told) < text.index("## Scores")
    assert "| notes |" not in text
    for strange in ([], "a text", {"a": 1}, 7):
        assert "Before you use it" not in model_card(replace(CONFIG, provenance={"notes": strange}))


def test_classes_preprocessing_and_hash_are_told() -> None:
    text = model_card(CONFIG, sha256="ab" * 32)
    assert "| 1 | nucleus | `#ffc400` |" in text
    assert "resized to 512 x 640 (letterbox), bicubic" in text
    assert "less mean (0.5), divided by std (0.25)" in text
    assert "ab" * 32 in text


def test_a_sample_picture_is_an_example_of_the_hub_s_widget() -> None:
    data = _metadata(model_card(CONFIG, repo="org/nuclei", sample="sample.png"))
    assert data["widget"] == [{"src": "sample.png", "example_title": "nuclei"}]
    assert "widget" not in _metadata(model_card(CONFIG, repo="org/nuclei"))


def test_a_sample_picture_is_shown() -> None:
    assert "![background, nucleus](sample.png)" in model_card(CONFIG, sample="sample.png")
    assert "![" not in model_card(CONFIG)


@pytest.mark.parametrize(
    ("licence", "expected", "name"),
    [
        ("GPL-3.0-only", "gpl-3.0", None),
        ("Apache-2.0", "apache-2.0", None),
        ("none stated: ask", "other", "none stated: ask"),
        ("", None, None),
    ],
)
def test_a_licence_is_spelt_as_the_hub_spells_it(
    licence: str, expected: str | None, name: str | None
) -> None:
    data = _metadata(model_card(replace(CONFIG, licence=licence)))
    assert data.get("license") == expected
    assert data.get("license_name") == name


@pytest.mark.parametrize("evil", ["a\n---\nx: 1", "| x |", "<script>", 'quote " and: colon', "#x", "ünï"])
def test_no_text_of_a_config_breaks_out_of_its_place(evil: str) -> None:
    config = replace(
        CONFIG,
        licence=evil,
        labels=Labels(classes=("background", evil)),
        provenance={"data": evil, "claimed": evil, "test": {"dice": 0.5, "contract": evil}},
    )
    text = model_card(config, repo="org/nuclei", sample="sample.png")
    data = _metadata(text)
    assert set(data) <= {
        *("license", "license_name", "library_name", "pipeline_tag", "tags", "model-index", "widget"),
    }
    assert "<script>" not in text.split("---\n", 2)[2]
    rows = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert len(rows) == 1
    assert rows[0].replace(r"\|", "").count("|") == 4


def test_what_was_chosen_on_validation_is_told_with_its_reasons() -> None:
    chosen = {"before": 0.8, "after": 0.9, "reasons": ["threshold 0.4 instead of 0.5: dice 0.8 -> 0.9"]}
    provenance = {**CONFIG.provenance, "chosen": chosen}
    text = model_card(replace(CONFIG, thresholds={"nucleus": 0.4}, provenance=provenance))
    assert "Thresholds of probabilities: nucleus 0.4." in text
    assert "Selected on validation images: threshold 0.4 instead of 0.5: dice 0.8 -> 0.9." in text
    # A config that people wrote may hold anything.
    for wrong in (["reasons"], {"reasons": 5}, {"reasons": [5, None]}, "chosen"):
        assert model_card(replace(CONFIG, provenance={"chosen": wrong}))

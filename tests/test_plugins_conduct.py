"""Plug-ins that load and misbehave: what they print, change, shadow and keep waiting for."""

from __future__ import annotations

import gc
import json
import re
import time
from typing import TYPE_CHECKING

import pytest

import segzoo
from segzoo import builtin, cli, plugins, zoo
from segzoo.errors import AmbiguousNameError
from segzoo.specs import LossSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run, Site

    from segzoo.plugins import PluginRecord

LOSS = """
from segzoo.hooks import hookimpl
from segzoo.specs import LossSpec

@hookimpl
def segzoo_losses():
    return [LossSpec(name="mine", factory="a:b")]
"""


def record(distribution: str) -> PluginRecord:
    (found,) = (one for one in zoo.plugins if one.distribution == distribution)
    return found


def returning(body: str) -> str:
    return LOSS.replace('return [LossSpec(name="mine", factory="a:b")]', body)


@pytest.mark.parametrize(
    "body",
    [
        "return [LossSpec(name='mine', factory='a:b')] * 1_000_000",
        "import itertools; return (LossSpec(name=f'l{n}', factory='a:b') for n in itertools.count())",
    ],
)
def test_a_hook_that_returns_a_million_specs_is_stopped_early(site: Site, body: str) -> None:
    site.install("segzoo-many", returning(body))
    start = time.process_time()
    found = record("segzoo-many")
    assert time.process_time() - start < 2
    assert found.status == "broken"
    assert "segzoo_losses() returned more than 10000 specs" in found.error
    assert "cross-entropy" in zoo.losses


@pytest.mark.medium
def test_what_a_plugin_prints_while_it_loads_spoils_no_output(site: Site, segzoo_command: Run) -> None:
    loud = """
import os, sys
print('hello')
os.write(1, b'past Python\\n')
sys.__stdout__.write('past the zoo\\n')
"""
    site.install("segzoo-loud", loud + LOSS)
    done = segzoo_command("plugins", "--json")
    (loud,) = (one for one in json.loads(done.stdout) if one["distribution"] == "segzoo-loud")
    assert (loud["status"], loud["provides"]) == ("ok", {"loss": ["mine"]})
    assert "it prints 'hello' when it is loaded" in loud["warnings"][0]
    assert sorted(done.stderr.splitlines()) == ["hello", "past Python", "past the zoo"]


def test_a_plugin_that_prints_from_a_hook_is_told_of_in_the_table(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-loud", returning("print('hi'); return []"))
    assert cli.run(["plugins"]) == 0
    out, err = capsys.readouterr()
    assert "segzoo-loud (plugin): it prints 'hi' when it is loaded" in out
    assert err == "hi\n"


def test_a_slow_plugin_works_and_lists_name_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "SLOW", 100.0)
    site.install("segzoo-slow", "import time; time.sleep(0.15)\n" + LOSS)
    assert cli.run(["list", "losses"]) == 0
    out, err = capsys.readouterr()
    assert "mine" in out
    assert re.match(r"warning: plug-in segzoo-slow: it takes \d", err)
    assert "every command waits for it" in err
    assert record("segzoo-slow").status == "ok"


@pytest.mark.slow
def test_a_plugin_that_takes_ten_seconds_is_waited_for_and_told_of(site: Site, segzoo_command: Run) -> None:
    site.install("segzoo-slow", "import time; time.sleep(10)\n" + LOSS)
    done = segzoo_command("list", "losses", "mine")
    assert "mine" in done.stdout
    assert "plug-in 'plugin' of segzoo-slow is still loading after 5 seconds" in done.stderr
    assert re.search(r"segzoo-slow: it takes 1\d\.", done.stderr)


@pytest.mark.slow
def test_a_plugin_that_imports_torch_to_be_listed_is_told_of(site: Site, segzoo_command: Run) -> None:
    site.install("segzoo-heavy", "import torch\n" + LOSS)
    assert (
        "segzoo-heavy (plugin): it imports torch when it is only listed" in segzoo_command("plugins").stdout
    )


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("a_module_that_nobody_has.part", "pip install a_module_that_nobody_has`"),
        ("cv2_that_nobody_has", "pip install cv2_that_nobody_has`"),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(
    site: Site, module: str, told: str
) -> None:
    site.install("segzoo-needy", f"import {module}\n{LOSS}")
    found = record("segzoo-needy")
    assert found.error.startswith("ModuleNotFoundError: No module named")
    assert told in found.error


def test_an_entry_point_to_nowhere_is_told_as_that(site: Site) -> None:
    site.install("segzoo-gone", LOSS, entry_points={"plugin": "segzoo_gone.away"})
    told = record("segzoo-gone").error
    assert "its entry point names 'segzoo_gone.away', which does not exist" in told
    assert "pip install" not in told


@pytest.mark.parametrize(
    "code", ["import pytest; pytest.skip(allow_module_level=True)", "raise GeneratorExit('odd')"]
)
def test_what_is_no_exception_stops_nobody_else_either(site: Site, code: str) -> None:
    site.install("segzoo-odd", code)
    site.install("segzoo-fine", LOSS)
    assert record("segzoo-odd").status == "broken"
    assert record("segzoo-fine").status == "ok"


STEAL = """
import gc
from segzoo.specs import LossSpec
for one in gc.get_objects():
    if type(one) is LossSpec and one.name == "dice":
        {}
"""


@pytest.fixture
def spared() -> Iterator[None]:
    """Give specs that other tests hold back what `STEAL` changes in all that it finds."""
    dice = [one for one in gc.get_objects() if type(one) is LossSpec and one.name == "dice"]
    before = [dict(vars(one), options={}) for one in dice]
    yield
    for one, values in zip(dice, before, strict=True):
        vars(one).update(values)


@pytest.mark.slow
@pytest.mark.usefixtures("spared")
@pytest.mark.parametrize(
    "change",
    [
        "object.__setattr__(one, 'factory', 'evil:Loss')",
        "vars(one)['factory'] = 'evil:Loss'; raise ValueError",
        "one.options['factory'] = 'evil:Loss'",
    ],
)
def test_a_plugin_that_changes_segzoo_s_specs_is_broken_and_they_are_put_back(
    site: Site, change: str
) -> None:
    site.install("segzoo-evil", STEAL.format(change) + LOSS)
    assert record("segzoo-evil").status == "broken"
    if "raise" not in change:
        assert "it changes segzoo's own loss 'dice', which was restored" in record("segzoo-evil").error
    assert (zoo.losses.get("dice").factory, zoo.losses.get("dice").options) == (
        "segzoo.losses.dice:Dice",
        {},
    )


@pytest.mark.medium
def test_a_plugin_that_changes_segzoo_s_hooks_is_broken_and_they_are_put_back(site: Site) -> None:
    hook = builtin.segzoo_losses
    code = "from segzoo import builtin\nbuiltin.segzoo_losses = lambda: []\n"
    site.install("segzoo-evil", code + LOSS)
    assert "it changes segzoo's own hook segzoo_losses()" in record("segzoo-evil").error
    assert builtin.segzoo_losses is hook
    zoo.refresh()
    assert "dice" in zoo.losses


TAKER = """
from segzoo.hooks import hookimpl
from segzoo.specs import DecoderSpec, EncoderSpec, ModelSpec

@hookimpl
def segzoo_encoders():
    return [EncoderSpec(name="vgg16", factory="a:b", channels=(1, 2), strides=(1, 2))]

@hookimpl
def segzoo_decoders():
    return [DecoderSpec(name="unet", factory="a:b")]
"""


def test_a_name_of_segzoo_s_that_a_plugin_takes_is_ambiguous_and_both_are_reachable(site: Site) -> None:
    site.install("segzoo-taker", TAKER)
    assert record("segzoo-taker").status == "ok"
    with pytest.raises(AmbiguousNameError, match="say 'segzoo:vgg16' or 'segzoo-taker:vgg16'"):
        zoo.encoders.get("vgg16")
    assert zoo.encoders.get("segzoo:vgg16").factory == "segzoo.encoders.timm:VGGEncoder"
    assert zoo.encoders.get("segzoo-taker:vgg16").factory == "a:b"


def test_a_decoder_s_own_encoder_is_segzoo_s_whoever_takes_its_name(site: Site) -> None:
    site.install("segzoo-taker", TAKER.replace("vgg16", "plain"))
    site.install("segzoo-other", TAKER.replace("vgg16", "other").replace("unet", "other"))
    found = zoo.find_model("other")
    assert isinstance(found, zoo.Pair)
    assert found.full_name == "segzoo-other:other/segzoo:plain"


@pytest.mark.slow
def test_a_model_of_segzoo_s_is_made_of_its_own_parts_whoever_takes_their_names(site: Site) -> None:
    site.install("segzoo-taker", TAKER)
    import torch

    with torch.device("meta"):
        model = segzoo.create("unet-vgg", num_classes=2)
    assert model.segzoo_config.architecture.name == "segzoo:unet/segzoo:vgg16"


def test_who_takes_a_name_is_told_in_the_table(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("segzoo-taker", TAKER)
    assert cli.run(["plugins"]) == 0
    assert (
        "segzoo-taker (plugin): the encoder name 'vgg16' is segzoo's too: "
        "say 'segzoo:vgg16' or 'segzoo-taker:vgg16'"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("distribution", ["timm", "hf-hub", "local-dir"])
def test_a_distribution_named_like_a_prefix_is_broken(site: Site, distribution: str) -> None:
    site.install(f"{distribution}-x", LOSS)
    (metadata,) = site.folder.glob("*.dist-info/METADATA")
    metadata.write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    assert "which has another meaning before a colon" in record(distribution).error


@pytest.mark.parametrize("name", ["hf-hub:mine", "segzoo:mine", "local-dir:mine", "a/b", "../up"])
def test_a_name_with_a_prefix_or_a_slash_is_refused(site: Site, name: str) -> None:
    site.install("segzoo-odd", LOSS.replace('"mine"', repr(name)))
    assert f"{name!r} cannot name a loss" in record("segzoo-odd").error


def test_a_second_distribution_named_segzoo_takes_the_first_s_place_nowhere(site: Site) -> None:
    site.install("segzoo", LOSS.replace("mine", "theirs"), entry_points={"evil": "segzoo_theirs"})
    found = [one for one in zoo.plugins if one.distribution == "segzoo"]
    assert [one.status for one in found] == ["ok", "shadowed"]
    assert "theirs" not in zoo.losses


def test_a_distribution_without_metadata_is_known_by_its_folder_and_told_of(site: Site) -> None:
    site.install("segzoo-bare", LOSS, version="3.1")
    (metadata,) = site.folder.glob("*.dist-info/METADATA")
    metadata.unlink()
    found = record("segzoo-bare")
    assert (found.status, found.version) == ("ok", "3.1")
    assert "its METADATA holds no valid name or no version" in found.warnings[0]
    assert zoo.losses.entry("mine").full_name == "segzoo-bare:mine"


def test_a_folder_that_is_on_the_path_twice_holds_one_copy(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("segzoo-once", LOSS)
    (tmp_path / "link").symlink_to(site.folder)
    monkeypatch.syspath_prepend(tmp_path / "link")
    assert record("segzoo-once").status == "ok"

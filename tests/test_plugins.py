"""Plug-ins as people install them, good ones and broken ones: what each does to the zoo."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import segzoo
from segzoo import zoo
from segzoo.errors import PluginError, UnknownNameError
from segzoo.plugins import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Site

    from segzoo.plugins import PluginRecord

GOOD = """
from segzoo.hooks import hookimpl
from segzoo.specs import EncoderSpec

@hookimpl
def segzoo_encoders():
    return [EncoderSpec(name="thin", factory="segzoo.encoders.plain:PlainEncoder", options={"width": 4},
                        channels=(4, 8, 16, 32, 64), strides=(1, 2, 4, 8, 16))]
"""


def hook(body: str, name: str = "segzoo_encoders") -> str:
    return f"from segzoo.hooks import hookimpl\n@hookimpl\ndef {name}():\n    {body}\n"


def record(distribution: str) -> PluginRecord:
    (found,) = (one for one in zoo.plugins if one.distribution == distribution)
    return found


def test_an_installed_plugin_is_found_and_its_part_is_built(site: Site) -> None:
    site.install("segzoo-thin", GOOD, version="2.5")
    model = segzoo.create("unet-thin", num_classes=2)
    assert sum(p.numel() for p in model.parameters()) < 200_000
    found = record("segzoo-thin")
    assert (found.status, found.version, found.provides) == ("ok", "2.5", {"encoder": ("thin",)})
    assert found.milliseconds > 0


def test_segzoo_s_own_parts_come_through_the_same_hooks(site: Site) -> None:
    own = record("segzoo")
    assert own.status == "ok"
    assert "plain" in own.provides["encoder"]
    assert zoo.encoders.entry("segzoo:plain").owner == "segzoo"


BROKEN = {
    "raises at import": (
        "raise RuntimeError('no licence\\nsecond line')",
        "RuntimeError: no licence second line",
    ),
    "leaves at import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "has bad syntax": ("def (:", "SyntaxError"),
    "lacks a module": ("import a_module_that_nobody_has", "ModuleNotFoundError"),
    "raises in a hook": (hook("raise ValueError('oops')"), "ValueError: oops"),
    "raises midway": (hook("yield 1 / 0"), "ZeroDivisionError"),
    "leaves in a hook": (hook("import sys; sys.exit()"), "SystemExit"),
    "returns nothing": (hook("pass"), "segzoo_encoders() returned None, not a list of EncoderSpec"),
    "returns a string": (
        hook("return 'thin'"),
        "segzoo_encoders() returned 'thin', not a list of EncoderSpec",
    ),
    "returns a dict": (hook("return {'thin': 1}"), "returned {'thin': 1}, not a list of EncoderSpec"),
    "returns a number": (hook("return 7"), "returned 7, not a list of EncoderSpec"),
    "returns strings": (hook("return ['thin']"), "returned 'thin' among its specs, not a EncoderSpec"),
    "returns another kind": (
        hook("from segzoo.specs import LossSpec; return [LossSpec(name='l', factory='a:b')]"),
        "among its specs, not a EncoderSpec",
    ),
    "has a bad name": (
        hook("from segzoo.specs import LossSpec; return [LossSpec(name='Big Loss', factory='a:b')]"),
        "'Big Loss' cannot name a loss",
    ),
    "has aliases that are one text": (
        hook("from segzoo.specs import LossSpec; return [LossSpec(name='l', aliases='dc', factory='a:b')]"),
        "loss 'l': aliases 'dc' must be a tuple of names",
    ),
    "has no text for a summary": (
        hook("from segzoo.specs import LossSpec; return [LossSpec(name='l', factory='a:b', summary=None)]"),
        "loss 'l': summary must be text of at most 10,000 letters, got None",
    ),
    "has classes in one text": (
        hook(
            "from segzoo.specs import WeightsSpec; "
            "return [WeightsSpec(name='m', folder='a:b', model='unet', classes='cat')]"
        ),
        "weights 'm': classes must be a tuple, got 'cat'",
    ),
    "raises what cannot be told": (
        "class Dumb(Exception):\n    def __str__(self):\n        return 1 / 0\nraise Dumb",
        "Dumb: (and its text raises ZeroDivisionError)",
    ),
    "raises a book": (hook("raise ValueError('page ' * 10_000)"), "ValueError: page page"),
    "paints the terminal": (hook("raise ValueError('\\x1b[31mred')"), r"ValueError: \x1b[31mred"),
    "misspells a hook": (
        hook("return []", "segzoo_encoder"),
        "no hook 'segzoo_encoder'; did you mean 'segzoo_enc",
    ),
    "forgets the mark": (
        "def segzoo_encoders():\n    return []\n",
        "segzoo_encoders() is not marked with @hookimpl",
    ),
    "has no hook": ("VALUE = 1", "it has no hook: nothing in it is marked with @hookimpl"),
    "says no version": (hook("return 'one'", "segzoo_api"), "segzoo_api() returned 'one', not the number"),
    "uses the zoo": (
        "from segzoo import zoo; zoo.encoders.names()",
        "the zoo is being filled",
    ),
    "names a part twice": (
        hook(
            "from segzoo.specs import LossSpec; return [LossSpec(name='l', factory='a:b')] * 2",
            "segzoo_losses",
        ),
        "segzoo-bad names two losses 'l'",
    ),
    "gives one name to a model and weights": (
        "from segzoo.hooks import hookimpl\nfrom segzoo.specs import ModelSpec, WeightsSpec\n"
        "@hookimpl\ndef segzoo_models(): return [ModelSpec(name='m', factory='a:b')]\n"
        "@hookimpl\ndef segzoo_weights():\n"
        "    return [WeightsSpec(name='m', folder='a:b', model='m', classes=())]\n",
        "segzoo-bad names both a model and weights 'm'",
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("what", BROKEN)
def test_a_plugin_that_is_broken_stops_nobody_else(site: Site, what: str) -> None:
    code, told = BROKEN[what]
    site.install("segzoo-bad", code)
    site.install("segzoo-thin", GOOD)
    bad = record("segzoo-bad")
    assert bad.status == "broken"
    assert told in bad.error
    assert "\n" not in bad.error
    assert len(bad.error) < 600
    assert bad.provides == {}
    assert record("segzoo-thin").status == "ok"
    assert "thin" in zoo.encoders
    assert "l" not in zoo.losses
    assert "m" not in zoo.models


def test_a_broken_plugin_s_record_holds_its_traceback(site: Site) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    assert 'segzoo_bad.py", line 1' in record("segzoo-bad").traceback


def test_a_slow_plugin_is_measured_even_if_it_fails(site: Site) -> None:
    site.install("segzoo-slow", "import time; time.sleep(0.05); raise ValueError")
    assert 50 <= record("segzoo-slow").milliseconds < 5000


def test_a_plugin_for_a_later_interface_is_incompatible_whatever_else_it_has(site: Site) -> None:
    site.install("segzoo-later", hook("return 999", "segzoo_api") + hook("return []", "segzoo_dreams"))
    found = record("segzoo-later")
    assert (found.status, found.api) == ("incompatible", 999)
    assert "needs plug-in interface 999" in found.error
    assert "upgrade segzoo" in found.error


def test_an_entry_point_without_its_module_or_attribute_is_broken(site: Site) -> None:
    site.install("segzoo-gone", GOOD, entry_points={"a": "segzoo_gone_away", "b": "segzoo_gone:absent"})
    found = {one.name: one for one in zoo.plugins if one.distribution == "segzoo-gone"}
    assert "ModuleNotFoundError" in found["a"].error
    assert "AttributeError" in found["b"].error


def test_a_damaged_list_of_entry_points_is_told_and_stops_nobody_else(site: Site) -> None:
    site.install("segzoo-bad", "", entry_points="[segzoo.plugins]\nno equals sign\n")
    site.install("segzoo-thin", GOOD)
    assert "entry_points.txt cannot be read" in record("segzoo-bad").error
    assert record("segzoo-thin").status == "ok"


def test_two_plugins_with_one_entry_point_name_are_both_loaded(site: Site) -> None:
    site.install("segzoo-thin", GOOD, entry_points={"same": "segzoo_thin"})
    site.install("segzoo-slim", GOOD.replace("thin", "slim"), entry_points={"same": "segzoo_slim"})
    assert {"thin", "slim"} <= set(zoo.encoders.names())


def test_the_second_of_two_plugins_of_one_name_in_one_distribution_is_told_of(site: Site) -> None:
    site.install("segzoo-thin", GOOD, entry_points="[segzoo.plugins]\na = segzoo_thin\na = segzoo_thin\n")
    found = [one for one in zoo.plugins if one.distribution == "segzoo-thin"]
    assert [one.status for one in found] == ["ok", "shadowed"]
    assert "another plug-in named 'a'" in found[1].error


def test_one_distribution_may_bring_several_plugins(site: Site) -> None:
    code = GOOD.replace("thin", "slim")
    (site.folder / "second.py").write_text(code)
    site.install("segzoo-thin", GOOD, entry_points={"first": "segzoo_thin", "second": "second"})
    assert {"segzoo-thin:thin", "segzoo-thin:slim"} <= {e.full_name for _, e in zoo.encoders.items()}


def test_of_two_copies_on_the_path_the_one_that_python_imports_is_the_plugin(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("segzoo-thin", "raise RuntimeError('the older copy')", version="1.0")
    nearer = type(site)(tmp_path / "nearer")
    nearer.folder.mkdir()
    nearer.install("segzoo-thin", GOOD, version="2.0")
    monkeypatch.syspath_prepend(nearer.folder)
    first, second = (one for one in zoo.plugins if one.distribution == "segzoo-thin")
    assert (first.status, first.version) == ("ok", "2.0")
    assert (second.status, second.version) == ("shadowed", "1.0")
    assert f"segzoo-thin 2.0 in {nearer.folder} comes first on sys.path" in second.error


def test_an_object_may_be_the_plugin(site: Site) -> None:
    code = (
        "from segzoo.hooks import hookimpl\nfrom segzoo.specs import LossSpec\nclass Plugin:\n"
        "    @hookimpl\n    def segzoo_losses(self): return [LossSpec(name='l', factory='a:b')]\n"
        "plugin = Plugin()\n"
    )
    site.install("segzoo-object", code, entry_points={"object": "segzoo_object:plugin"})
    assert zoo.losses.entry("l").owner == "segzoo-object"


SIDE_EFFECT = "import os; os.environ['SEGZOO_TEST_TOUCHED'] = 'yes'\n" + GOOD


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGZOO_TEST_TOUCHED", "no")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SEGZOO_DISABLE_PLUGINS", "other, Segzoo_Thin"),
        ("SEGZOO_PLUGINS", "segzoo-medical"),
        ("SEGZOO_PLUGINS", ""),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_a_plugin_that_the_environment_forbids_is_not_even_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    import os

    site.install("segzoo-thin", SIDE_EFFECT)
    monkeypatch.setenv(variable, value)
    assert record("segzoo-thin").status == "blocked"
    assert variable in record("segzoo-thin").error
    assert "segzoo_thin" not in sys.modules
    assert os.environ["SEGZOO_TEST_TOUCHED"] == "no"
    assert "plain" in zoo.encoders


@pytest.mark.usefixtures("untouched")
def test_a_plugin_that_the_environment_allows_is_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("segzoo-thin", SIDE_EFFECT)
    monkeypatch.setenv("SEGZOO_PLUGINS", "segzoo-thin")
    assert record("segzoo-thin").status == "ok"


@pytest.mark.medium
def test_strict_mode_raises_at_the_first_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    monkeypatch.setenv("SEGZOO_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="segzoo-bad is broken: RuntimeError: no licence"):
        _ = zoo.plugins
    monkeypatch.setenv("SEGZOO_STRICT_PLUGINS", "0")
    assert record("segzoo-bad").status == "broken"


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("segzoo_nowhere.parts:Encoder", "there is no module 'segzoo_nowhere'"),
        ("segzoo.encoders.plain:Missing", "module 'segzoo.encoders.plain' has no callable 'Missing'"),
        ("segzoo.encoders.plain:TYPE_CHECKING", "has no callable 'TYPE_CHECKING'"),
    ],
)
def test_a_factory_that_does_not_exist_is_told_when_it_is_built(site: Site, factory: str, told: str) -> None:
    site.install("segzoo-thin", GOOD.replace("segzoo.encoders.plain:PlainEncoder", factory))
    assert "thin" in zoo.encoders
    with pytest.raises(PluginError, match="factory") as caught:
        segzoo.create("unet-thin", num_classes=2)
    assert told in str(caught.value)


def test_a_module_that_a_factory_needs_and_lacks_is_named_itself(site: Site) -> None:
    (site.folder / "needy.py").write_text("import a_module_that_nobody_has\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        resolve("needy:Thing")


def test_a_plugin_in_a_folder_needs_no_installation(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "trees" / "segzoo-tree"
    (source / "src" / "segzoo_tree").mkdir(parents=True)
    (source / "src" / "segzoo_tree" / "__init__.py").write_text(GOOD.replace("thin", "tree"))
    (source / "src" / "segzoo_tree" / "late.py").write_text("VALUE = 1\n")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "segzoo-tree"\nversion = "3"\n'
        '[project.entry-points."segzoo.plugins"]\ntree = "segzoo_tree"\n'
    )
    (tmp_path / "trees" / "torn").mkdir()
    (tmp_path / "trees" / "torn" / "pyproject.toml").write_text("[project\n")
    site.install("segzoo-tree", "raise RuntimeError('the installed copy')")
    try:
        zoo.add_folder(tmp_path / "trees")
        assert [one.status for one in zoo.plugins if one.distribution == "segzoo-tree"] == ["ok", "shadowed"]
        assert "tree" in zoo.encoders
        assert "pyproject.toml cannot be read" in record("torn").error
        from segzoo_tree import late  # pyright: ignore[reportMissingImports]

        assert late.VALUE == 1
    finally:
        zoo._folders.clear()
        for name in [name for name in sys.modules if name.startswith("segzoo_tree")]:
            del sys.modules[name]


@pytest.mark.medium
def test_what_is_installed_later_is_found_after_a_refresh(site: Site) -> None:
    assert "thin" not in zoo.encoders
    site.install("segzoo-thin", GOOD)
    assert "thin" not in zoo.encoders
    zoo.refresh()
    assert "thin" in zoo.encoders


@pytest.mark.parametrize("kind", ["models", "encoders", "datasets", "metrics"])
def test_an_unknown_name_is_told_with_the_plugins_that_failed(site: Site, kind: str) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    with pytest.raises(UnknownNameError) as caught:
        zoo.registry(kind).get("nonesuch")
    assert "segzoo-bad (broken: RuntimeError: no licence)" in str(caught.value)

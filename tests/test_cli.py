"""The command line as people meet it: text, JSON, errors, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import click
import pytest

from segzoo import __version__, cli, zoo
from segzoo.cli.table import table
from segzoo.errors import FailureError, OptionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run, Site


def modules() -> list[str]:
    names = (module.name for module in iter_modules(cli.__path__))
    return [name for name in names if hasattr(import_module(f"segzoo.cli.{name}"), "command")]


# -- the group


def test_help_shows_exactly_the_commands_that_exist(segzoo_command: Run) -> None:
    done = segzoo_command("--help")
    assert done.returncode == 0
    shown = done.stdout.split("Commands:\n")[1]
    names = [line.split()[0] for line in shown.splitlines() if line[2:3].strip()]
    assert sorted(names) == sorted(modules())


@pytest.mark.parametrize("name", modules())
def test_a_command_s_line_in_the_table_is_its_own(name: str) -> None:
    command = import_module(f"segzoo.cli.{name}").command
    assert command.name == name
    assert cli.COMMANDS[name] == command.get_short_help_str(limit=200)


@pytest.mark.parametrize("name", modules())
def test_every_command_has_help_with_a_line_for_every_option(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: segzoo {name}")
    options = [p for p in import_module(f"segzoo.cli.{name}").command.params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_shown(segzoo_command: Run) -> None:
    assert segzoo_command("--version").stdout == f"segzoo {__version__}\n"


def test_a_shell_is_told_the_commands_by_their_beginning(segzoo_command: Run) -> None:
    done = segzoo_command(_SEGZOO_COMPLETE="bash_complete", COMP_WORDS="segzoo pl", COMP_CWORD="1")
    assert done.stdout == "plain,plugins\n"


# -- list


def test_list_alone_counts_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list"]) == 0
    rows = {line.split()[0]: int(line.split()[1]) for line in capsys.readouterr().out.splitlines()}
    assert rows == {kind: len(zoo.registry(kind)) for kind in zoo.KINDS}


@pytest.mark.parametrize("kind", zoo.KINDS)
def test_list_of_a_kind_shows_each_with_its_summary(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", kind]) == 0
    out = capsys.readouterr().out
    for name, entry in zoo.registry(kind).items():
        (line,) = (line for line in out.splitlines() if line.split()[0].rstrip(",") == name)
        assert line.endswith(entry.spec.summary)


def test_list_of_encoders_shows_channels_and_strides(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["list", "encoders", "plain"])
    assert "64 128 256 512 1024  1 2 4 8 16" in capsys.readouterr().out


def test_list_takes_a_pattern_and_gives_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "encoders", "vgg1?_bn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
    assert found[0]["owner"] == "segzoo"
    assert found[0]["strides"] == [1, 2, 4, 8, 16]


def test_a_pattern_without_a_match_says_so_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "models", "zzz"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "'zzz'" in err
    assert cli.run(["list", "models", "zzz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_list_with_a_broken_plugin_lists_all_else_and_warns(site: Site, segzoo_command: Run) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    done = segzoo_command("list", "models")
    assert done.returncode == 0
    assert "unet-vgg" in done.stdout
    assert done.stderr == (
        "warning: plug-in segzoo-bad is broken: RuntimeError: no licence; `segzoo plugins -v` shows more\n"
    )


def test_strict_mode_makes_a_broken_plugin_an_error(site: Site, segzoo_command: Run) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    done = segzoo_command("list", SEGZOO_STRICT_PLUGINS="1")
    assert done.returncode == 1
    assert done.stderr == "error: plug-in 'plugin' of segzoo-bad is broken: RuntimeError: no licence\n"


# -- plugins


def test_plugins_shows_what_became_of_each(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')", version="7.1")
    assert cli.run(["plugins"]) == 0
    out = capsys.readouterr().out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("segzoo-bad  "))
    assert row[1:4] == ["7.1", "1", "broken"]
    assert "segzoo-bad (plugin) is broken: RuntimeError: no licence" in out
    assert "Traceback" not in out
    assert cli.run(["plugins", "-v"]) == 0
    assert "Traceback" in capsys.readouterr().out
    assert cli.run(["plugins", "--json"]) == 0
    statuses = {one["distribution"]: one["status"] for one in json.loads(capsys.readouterr().out)}
    assert statuses["segzoo-bad"] == "broken"
    assert statuses["segzoo"] == "ok"


# -- info


def info(capsys: pytest.CaptureFixture[str], name: str) -> list[dict]:
    assert cli.run(["info", name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_info_counts_the_parameters_of_the_plain_unet(capsys: pytest.CaptureFixture[str]) -> None:
    model, decoder = info(capsys, "unet")
    assert (model["kind"], model["parameters"], model["takes"]["width"]["default"]) == (
        "model",
        31_037_698,
        64,
    )
    assert (decoder["kind"], decoder["takes"]["upsample"]["default"]) == ("decoder", "bilinear")
    assert "transposed" in decoder["takes"]["upsample"]["meaning"]


def test_info_of_a_pair_and_of_a_timm_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    (pair,) = info(capsys, "unet-resnet18")
    assert (pair["decoder"], pair["encoder"]) == ("segzoo:unet", "timm:resnet18")
    (encoder,) = info(capsys, "resnet18")
    assert (encoder["parameters"], encoder["strides"]) == (11_176_512, [2, 4, 8, 16, 32])


def test_info_shows_options_as_a_named_pair_presets_them(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = info(capsys, "unet-vgg")
    assert found["takes"]["norm"]["default"] is None
    assert found["paper"]


@pytest.mark.parametrize("kind", zoo.KINDS)
def test_info_shows_everything_that_is_listed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in zoo.registry(kind).names()[:3]:
        assert cli.run(["info", name]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"{name.rpartition(':')[2]} (")
        assert "trouble" not in out


def test_info_of_a_folder_of_weights_shows_licence_classes_and_provenance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    import segzoo
    from segzoo.specs import Labels

    model = segzoo.create("unet", num_classes=2, width=4, depth=3)
    config = replace(
        model.segzoo_config,  # pyright: ignore[reportArgumentType]
        labels=Labels(classes=("background", "nucleus")),
        licence="CC0-1.0",
        provenance={"data": "dots", "dice": 0.9},
    )
    segzoo.save(model, tmp_path / "dots", config=config)
    (found,) = info(capsys, f"local-dir:{tmp_path / 'dots'}")
    assert found["licence"] == "CC0-1.0"
    assert found["classes"] == ["background", "nucleus"]
    assert found["provenance"]["dice"] == 0.9
    assert found["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_info_of_a_part_without_its_factory_shows_the_rest(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install(
        "segzoo-hollow",
        "from segzoo.hooks import hookimpl\nfrom segzoo.specs import LossSpec\n@hookimpl\n"
        "def segzoo_losses(): return [LossSpec(name='hollow', factory='nowhere:f', summary='empty')]\n",
    )
    (found,) = info(capsys, "hollow")
    assert found["summary"] == "empty"
    assert "there is no module 'nowhere'" in found["trouble"]


def test_info_of_an_unknown_name_lists_close_ones_and_failed_plugins(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("segzoo-bad", "raise RuntimeError('no licence')")
    for name, close in (("dicee", "'dice'"), ("unett", "'unet'"), ("reznet18", "'resnet18'")):
        assert cli.run(["info", name]) == 2
        err = capsys.readouterr().err
        assert close in err
        assert "segzoo-bad (broken: RuntimeError: no licence)" in err


# -- errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lst"], "error: no command is named 'lst'; did you mean 'list'?"),
        (["list", "modells"], "error: invalid value for"),
        (["list", "--jsn"], "error: no such option '--jsn'"),
        (["info"], "error: missing argument 'NAME'"),
        (["list", "models", "a", "b"], "error: got unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_one_message_on_stderr_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(told)
    assert "--help` shows how" in err
    assert "Traceback" not in err


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make ``segzoo plugins`` raise."""

    def fail(error: BaseException) -> None:
        from segzoo.cli import plugins

        monkeypatch.setattr(plugins, "command", click.Command("plugins", callback=raising(error)))

    return fail


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OptionError("no option 'a'"), 2, "error: no option 'a'\n"),
        (UsageError("wrong"), 2, "error: wrong\n"),
        (FailureError("full\nlisted"), 1, "error: full\nlisted\n"),
        (PermissionError(13, "Permission denied", "out.png"), 1, "error: out.png: Permission denied\n"),
        (OSError("no space"), 1, "error: no space\n"),
        (click.ClickException("Odd."), 1, "error: odd\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_one_message_and_its_exit_code(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    told: str,
) -> None:
    failing(error)
    assert cli.run(["plugins"]) == code
    assert capsys.readouterr().err == told


def test_debug_shows_the_traceback_and_so_does_the_environment(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing(FailureError("full"))
    assert cli.run(["--debug", "plugins"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert cli.run(["plugins"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SEGZOO_DEBUG", "1")
    assert cli.run(["plugins"]) == 1
    assert capsys.readouterr().err.endswith("error: full\n")


def test_an_error_that_nobody_foresaw_keeps_its_traceback(failing: Callable[[BaseException], None]) -> None:
    failing(ZeroDivisionError("a mistake of segzoo's"))
    with pytest.raises(ZeroDivisionError):
        cli.run(["plugins"])


def test_a_warning_is_one_line_on_stderr(site: Site, segzoo_command: Run) -> None:
    code = "from segzoo.hooks import hookimpl\n@hookimpl\ndef segzoo_losses():\n    {}\n    return []"
    site.install("segzoo-wordy", code.format("import warnings; warnings.warn('old\\n  and grey')"))
    assert segzoo_command("list").stderr == "warning: old and grey\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes and signals as POSIX has them")
def test_a_reader_that_stops_reading_is_told_nothing(python: Run) -> None:
    code = (
        "import os, sys; reader, writer = os.pipe(); os.dup2(writer, 1); os.close(reader); os.close(writer)\n"
        "sys.argv = ['segzoo', 'list']\nfrom segzoo.cli import main\nmain()"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (cli.PIPE_CLOSED, "")


@pytest.mark.skipif(os.name == "nt", reason="pipes and signals as POSIX has them")
def test_an_interrupt_leaves_with_130_and_no_traceback(site: Site) -> None:
    site.install("segzoo-slow", "import sys, time; print('here', flush=True); time.sleep(60)")
    program = [sys.executable, "-c", "from segzoo.cli import main; main()", "list"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == cli.INTERRUPTED
    assert err.strip() == "interrupted"


# -- tables


def test_columns_are_as_wide_as_their_widest_cell_and_end_without_spaces() -> None:
    assert table([("a", "bb"), ("ccc", "")], header=("H", "I")) == "H    I\na    bb\nccc"
    assert table([]) == ""

"""Words that no option of any command takes: each is told with its option, before work begins."""

from __future__ import annotations

import io
import re

import click
import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo import cli
from segzoo.cli.words import pairs_of, words_of
from segzoo.errors import ImageError, OptionError, UnknownNameError, UsageError
from segzoo.images import as_image
from segzoo.prediction.benchmark import benchmark
from segzoo.prediction.decision import read_thresholds
from segzoo.prediction.postprocessing import clean
from segzoo.prediction.sources.source import parse_shard
from segzoo.resources import parse_memory
from segzoo.specs import numbered_labels

HUGE = "99999999999999999999"


def _options(command, path=()):
    """Yield every option that takes a word, of a command and those below it."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _options(command.get_command(context, name), (*path, name))
    for one in command.params:
        if isinstance(one, click.Option) and not (one.is_flag or one.count):
            yield pytest.param(context, one, id=" ".join([*path, max(one.opts, key=len)]))


EVERY = list(_options(cli.command))


def _commands(command, path=("segzoo",)):
    """Yield every command, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name), (*path, name))


def test_help_of_every_command_fits_80_columns_and_has_full_phrases():
    texts = {}
    for path, command in _commands(cli.command):
        context = command.make_context(" ".join(path), [], resilient_parsing=True)
        context.terminal_width = 80
        lines = click.unstyle(command.get_help(context)).splitlines()
        assert [line for line in lines if len(line) > 80] == []
        texts[path] = command.help.partition("\n")[0]
        for one in command.params:
            if isinstance(one, click.Option) and not one.hidden:
                texts[*path, one.opts[0]] = one.help or ""
    # The default, in brackets, is not a part of the phrase.
    phrases = {path: re.sub(r" \[[^]]*\](?=\.$)", "", text) for path, text in texts.items()}
    wrong = {
        path: text
        for path, text in phrases.items()
        if not re.fullmatch(r"(?!(?:Of|As|Likewise|Who|Whose) )[A-Z].* .*\.", text, re.DOTALL)
    }
    assert wrong == {}
    assert len(phrases) > 300


def _refused(context, option, *words):
    with pytest.raises(click.BadParameter) as caught:
        option.handle_parse_result(context, {option.name: words if option.multiple else words[0]}, [])
    assert max(option.opts, key=len) in caught.value.format_message() or option.opts[0] in str(caught.value)


@pytest.mark.parametrize(("context", "option"), EVERY)
def test_no_option_takes_an_empty_word(context, option):
    if option.default == "":
        pytest.skip("nothing is what it is without")
    for word in ("", " "):
        _refused(context, option, word)


@pytest.mark.parametrize(
    ("context", "option"),
    [one for one in EVERY if isinstance(one.values[1].type, (click.types.FloatParamType, click.FloatRange))],
)
def test_no_number_may_be_nan_or_infinite(context, option):
    for word in ("nan", "inf", "-inf", "1e400"):
        _refused(context, option, word)


@pytest.mark.parametrize(
    ("context", "option"),
    [one for one in EVERY if isinstance(one.values[1].type, (click.types.IntParamType, click.IntRange))],
)
def test_no_whole_number_is_larger_than_any_computer_counts(context, option):
    for word in (HUGE, f"-{HUGE}", "1.5", "nan"):
        _refused(context, option, word)


@pytest.mark.parametrize(
    ("context", "option"), [one for one in EVERY if one.values[1].multiple and not one.values[1].hidden]
)
def test_no_option_takes_one_word_twice(context, option):
    word = next(iter(option.type.choices)) if isinstance(option.type, click.Choice) else "a=1"
    _refused(context, option, word, word)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    torch.manual_seed(0)
    segzoo.save(segzoo.create("unet", num_classes=2, width=2, depth=2), folder / "w")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a.png")
    return folder


PREDICT = ["predict", "a.png", "--model", "w", "--device", "cpu", "--no-save"]
BENCHMARK = ["benchmark", "w", "--device", "cpu"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*PREDICT, "--smallest-hole", HUGE], "--smallest-hole"),
        ([*PREDICT, "--smallest-object", "-1"], "--smallest-object"),
        ([*PREDICT, "--outputs", ""], "--outputs"),
        ([*PREDICT, "--outputs", ","], "'--outputs': ',' contains an empty word"),
        ([*PREDICT, "--outputs", "mask,mask"], "'--outputs': 'mask' is given twice"),
        ([*PREDICT, "--outputs", "masks"], "'--outputs': 'masks' is unknown; did you mean 'mask'?"),
        ([*PREDICT, "--scales", "1,nan"], "scales[1] must be a finite number"),
        ([*PREDICT, "--scales", "1,1"], "'--scales': '1' is given twice"),
        ([*PREDICT, "--class-threshold", "0.5"], "--class-threshold"),
        ([*PREDICT, "--class-threshold", "class 1=nan"], "--class-threshold"),
        (
            [*PREDICT, "--class-threshold", "clas 1=0.5"],
            "--class-threshold: there is no class 'clas 1'; did",
        ),
        ([*PREDICT, "--threshold", "1"], "--threshold"),
        ([*PREDICT, "--only", "clas 1"], "--only: there is no class 'clas 1'; did you mean 'class 1'?"),
        ([*PREDICT, "--memory", "9" * 400], "memory must lie in 1 byte to 1 EB"),
        ([*PREDICT, "--shard", "0/3"], "--shard: shard must look like 3/8"),
        ([*PREDICT, "--from", "-1"], "--from"),
        ([*PREDICT, "--from", "5", "--until", "4"], "--until 4 is before --from 5"),
        ([*PREDICT, "--model", "w"], "'--model' / '-m': 'w' is given twice"),
        ([*PREDICT, "-o", "b.png", "--out", "c"], "-o names the file of each mask, so --out has no effect"),
        ([*PREDICT, "-o", "b.png", "--outputs", "overlay"], "so --outputs has no effect"),
        ([*PREDICT, "-o", "a.jpg"], "'-o': a mask is a .png file, got 'a.jpg'"),
        (["predict", "a.png", "--model", "w", "--device", "meta"], "device 'meta' cannot be used"),
        (["predict", "a.png", "--model", "w", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        ([*BENCHMARK[:2], "--device", "meta"], "device 'meta' cannot be used"),
        ([*BENCHMARK, "--size", "9999999x9999999"], "--size"),
        ([*BENCHMARK, "--size", "0x8"], "the height of size must be an integer from 1"),
        ([*BENCHMARK, "--size", HUGE], "--size"),
        ([*BENCHMARK, "--seconds", "nan"], "--seconds"),
        ([*BENCHMARK, "--seconds", "-1"], "--seconds"),
        ([*BENCHMARK, "--threads", HUGE], "--threads"),
        ([*BENCHMARK, "--run", "torhc:fast"], "--run: a run is 'eager' or BACKEND:PRECISION"),
        ([*BENCHMARK, "--classes", "0"], "--classes"),
        (["evaluate", "w", "--data", ".", "--classes", "a,a"], "'--classes': 'a' is given twice"),
        (["evaluate", "w", "--data", ".", "--classes", "a,,b"], "'--classes': 'a,,b' contains an empty word"),
        (["evaluate", "w", "--data", ".", "--data-option", "x"], "'--data-option': 'x' is not KEY=VALUE"),
        (
            ["evaluate", "w", "--data", ".", "--data-option", "scal=2"],
            "no option 'scal'; did you mean 'scale'",
        ),
        (["evaluate", "w", "--data", ".", "--resamples", HUGE], "--resamples"),
        (["convert", "a.png", "--out", "c", "--option", "=1"], "'--option': '=1' is not KEY=VALUE"),
        (["data", "preview", ".", "--seed", "-1"], "--seed"),
        (["benchmark", ""], "MODEL"),
    ],
    ids=lambda value: " ".join(value[-2:])[:40] if isinstance(value, list) else "",
)
def test_a_word_that_makes_no_sense_is_told_with_its_option(place, monkeypatch, capsys, words, told):
    monkeypatch.chdir(place)
    assert cli.run(words) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
    assert sorted(path.name for path in place.iterdir()) == ["a.png", "w"]


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[1, "a"]], object),
        np.array([["a", "b"]]),
        Image.new("L", (0, 5)),
        b"a.png",
        io.BytesIO(b"a.png"),
        io.StringIO("a.png"),
        np.zeros((2, 2), complex),
        np.zeros((2, 2), "datetime64[s]"),
        np.zeros((2, 2), [("x", "u1")]),
        np.array([[b"a", b"b"]]),
        np.array([[np.nan, np.nan]]),
        np.array([[np.inf, np.nan]]),
        torch.zeros(2, 2, device="meta"),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, 2, dtype=torch.complex64),
        [[1], [2, 3]],
        None,
        "x",
    ],
    ids=lambda one: str(getattr(one, "dtype", type(one).__name__)),
)
def test_what_holds_no_pixels_is_no_image(place, pixels):
    with pytest.raises(ImageError):
        as_image(pixels)
    with pytest.raises(ImageError):
        segzoo.predict(pixels, model=place / "w")


def test_what_pillow_and_numpy_hold_is_read_or_refused_by_name(place):
    picture = Image.open(place / "a.png")
    picture.close()
    with pytest.raises(ImageError, match="Pillow image cannot be read"):
        as_image(picture)
    whole = io.BytesIO()
    Image.effect_noise((32, 32), 90).save(whole, "PNG")
    with pytest.raises(ImageError, match="Pillow image cannot be read"):
        as_image(Image.open(io.BytesIO(whole.getvalue()[:400])))
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert as_image(clear.convert("LA").convert("La")).shape == (4, 4, 1)
    assert (as_image(np.full((2, 2), 2**64 - 1, np.uint64)) == 255).all()
    np.save(place / "seven.npy", np.zeros((4, 4, 7), np.uint8))
    for call in (segzoo.Predictor(place / "w"), lambda path: segzoo.predict(path, model=place / "w")):
        with pytest.raises(ImageError, match=r"seven\.npy: the image has 7 bands"):
            call(place / "seven.npy")
    (place / "seven.npy").unlink()


def test_python_callers_are_held_to_the_same_ranges(place):
    mask, labels = np.zeros((2, 2), np.uint8), numbered_labels(2)
    for size in (10**30, -1, 1.5, True):
        with pytest.raises(OptionError, match="the minimum size for class 1 must be an integer from 0"):
            clean(mask, labels, smallest_hole={1: size})
    for size in ("a", 1.5):
        with pytest.raises(OptionError, match="a minimum size is a number of pixels"):
            clean(mask, labels, smallest_hole=size)
    for source in (None, 5, b"w", [], ""):
        with pytest.raises(UsageError):
            segzoo.load(source)
        with pytest.raises(UsageError):
            segzoo.create(source, num_classes=2)
    with pytest.raises(OptionError, match=r"recipe must be a segzoo\.training\.Recipe"):
        segzoo.train(5)
    with pytest.raises(UnknownNameError, match="no recipe is named 'photos'"):
        segzoo.train("photos")
    with pytest.raises(OptionError, match=r"lr: numbers must lie in -1e\+30 to 1e\+30"):
        segzoo.train(data="photos", lr=1e300)
    assert segzoo.Predictor(place / "w", scales=(one for one in (1.0, 1.5)))(mask).mask.shape == (2, 2)
    for value in (float("nan"), 0, 1, "x"):
        with pytest.raises(OptionError, match="the threshold of class 1 must"):
            read_thresholds(labels, {1: value})
    for wanted in (None, 1.5, "9" * 5000):
        with pytest.raises(OptionError, match="there is no class"):
            read_thresholds(labels, {wanted: 0.5})
    for text in ("nan", "inf", "1e5", "0", -1, True, "9" * 5000):
        with pytest.raises(OptionError, match="memory"):
            parse_memory(text)
    with pytest.raises(OptionError, match="seconds must be a finite number"):
        benchmark(segzoo.load(place / "w"), seconds=float("nan"))
    with pytest.raises(OptionError, match="device 'meta' cannot be used"):
        segzoo.predict(np.zeros((2, 2), np.uint8), model=place / "w", device="meta")
    with pytest.raises(OptionError, match="device device"):
        segzoo.Predictor(place / "w", device=torch.device("meta"))


def test_what_a_launcher_set_wrongly_is_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(OptionError, match="WORLD_SIZE='many'"):
        parse_shard(None)


def test_lists_and_pairs_are_split_as_they_are_written():
    assert words_of("--outputs", "a, b") == ("a", "b")
    assert pairs_of("--option", ("a=b=c", "d="), "x=1") == {"a": "b=c", "d": ""}
    with pytest.raises(click.BadParameter, match="the key 'a' is given twice"):
        pairs_of("--option", ("a=1", "a=2"), "x=1")

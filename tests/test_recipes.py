"""Recipes are read from files, words and values; what is wrong is told with its key, file and line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segzoo.errors import FailureError, OptionError, SegzooError, UnknownNameError
from segzoo.training import Recipe
from segzoo.training.recipe.reading import make_recipe, read_recipe
from segzoo.training.recipe.schema import AUGMENT
from segzoo.training.recipe.writing import settings as words_of
from segzoo.training.recipe.writing import to_toml


@pytest.fixture
def written(tmp_path):
    """Write a recipe's file and return its path."""

    def write(text, name="photos.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


WHOLE = """\
summary = "what it is for"
origin = "whose it is"
epochs = 3
metrics = ["dice", "iou"]
mean = 0.5
std = [0.25]

[data]
name = "photos"
root = "there"
classes = 3

[split]
folds = 4
fold = 1

[model]
name = "nested/plain"
encoder = { width = 8 }
[model.decoder]
deep_supervision = true

[loss]
name = "cross-entropy"
weights = [1, 2, 3]

[optimizer]
name = "sgd"
lr = 1
momentum = 0.8

[schedule]
name = "polynomial"
power = 2.0

[augment.flip]
[augment.crop]
size = 48
"""


def test_a_file_says_everything_in_tables(written):
    recipe = read_recipe(written(WHOLE))
    assert (recipe.data, recipe.root, recipe.data_options) == ("photos", "there", {"classes": 3})
    assert recipe.split == {"folds": 4, "fold": 1}
    assert recipe.model == "nested/plain"
    assert recipe.model_options == {"encoder": {"width": 8}, "decoder": {"deep_supervision": True}}
    assert (recipe.loss, recipe.loss_options) == ("cross-entropy", {"weights": (1, 2, 3)})
    assert (recipe.optimizer, recipe.learning_rate) == ("sgd", 1.0)
    assert isinstance(recipe.learning_rate, float)
    assert recipe.optimizer_options == {"momentum": 0.8}
    # What a file says of a part is all that is said: the default's warm-up is another schedule's.
    assert (recipe.schedule, recipe.schedule_options) == ("polynomial", {"power": 2.0})
    assert list(recipe.augment.items()) == [("flip", {}), ("crop", {"size": 48})]
    assert (recipe.epochs, recipe.metrics, recipe.mean, recipe.std) == (3, ("dice", "iou"), (0.5,), (0.25,))
    assert recipe.out == "runs/photos"


def test_words_and_then_values_win_over_the_file(written):
    words = ["epochs=4", "lr=1e-2", "augment.flip=false", "augment.crop.size=64", "model.encoder.depth=3"]
    recipe = read_recipe(written(WHOLE), [*words, "augment.blur=true", "seed=7"], seed=9, out="else")
    assert (recipe.epochs, recipe.learning_rate, recipe.seed, recipe.out) == (4, 0.01, 9, "else")
    assert recipe.augment == {"crop": {"size": 64}, "blur": {}}
    assert recipe.model_options["encoder"] == {"width": 8, "depth": 3}


def test_words_are_json_or_toml_or_words():
    words = ["data=2012", "model.width=8", "precision=no", "metrics=dice,iou", "loss.weights='balanced'"]
    words += ["mean=[.5]", "std=.25", "optimizer.betas=[0.8, 0.9]", "split.share=.2", "compile=true"]
    words[5] = "mean=[0.5]"
    recipe = read_recipe(None, [*words, "crop=[32,48]", "jitter=0", "scale=[0.5,2]", "model.norm=null"])
    assert (recipe.data, recipe.precision, recipe.metrics) == ("2012", "no", ("dice", "iou"))
    assert recipe.model_options == {"width": 8, "norm": None}
    assert recipe.loss_options == {"weights": "balanced"}
    assert (recipe.mean, recipe.std, recipe.compile) == ((0.5,), (0.25,), True)
    assert recipe.optimizer_options == {"betas": (0.8, 0.9)}
    assert recipe.split == {"share": 0.2}
    assert recipe.augment["crop"] == {"size": (32, 48), "scale": (0.5, 2)}
    assert recipe.augment["color"] == {"strength": 0}


def test_comments_of_any_recipe_stay_with_their_lines(tmp_path):
    text = "# why\n# so long\nepochs = 3\n\n# not of the next line\n\nseed = 1\n"
    (tmp_path / "mine.toml").write_text(
        f'{text}# the net\n[model]\nname = "unet"\n# thin\nwidth = 4\n[augment]\n# turned\nturn = {{}}\n'
    )
    recipe = read_recipe(tmp_path / "mine.toml", ["model.width=8"], data="photos")
    assert recipe.comments == {"epochs": "why so long", "model": "the net", "augment.turn": "turned"}
    (tmp_path / "again.toml").write_text(to_toml(recipe))
    assert read_recipe(tmp_path / "again.toml").comments == recipe.comments


def test_words_of_other_programs_mean_keys_of_recipes():
    words = ["ema=0.999", "early_stopping=20", "max_lr=3e-4", "num_workers=2", "max_epochs=7", "grad_clip=5"]
    recipe = read_recipe(None, ["data=photos", "scheduler=one-cycle", "pct_start=0.2", *words, "amp=true"])
    assert (recipe.average, recipe.patience, recipe.learning_rate) == (0.999, 20, 3e-4)
    assert (recipe.workers, recipe.epochs, recipe.clip, recipe.precision) == (2, 7, 5.0, "auto")
    assert (recipe.schedule, dict(recipe.schedule_options)) == ("one-cycle", {"warmup": 0.2})
    assert read_recipe(None, ["data=photos", "amp=false"]).precision == "no"
    assert make_recipe({"data": "photos", "amp": True}).precision == "auto"
    assert read_recipe(None, ["data=photos", "mixed_precision=bf16"]).precision == "bf16"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("ema=true", "ema must be a number, such as ema = 0.999, got true"),
        (
            "early_stopping=true",
            "early_stopping must be a whole number, such as early_stopping = 20",
        ),
        ("amp=16", "precision must be one of auto, no, bf16, fp16, got '16'"),
        ("ema=2", "average is a decay such as 0.999"),
    ],
)
def test_a_wrong_value_of_such_a_word_is_told_by_that_word(word, told):
    with pytest.raises(OptionError, match=told):
        read_recipe(None, ["data=photos", word])


def test_values_of_python_are_fields_or_aliases(tmp_path):
    recipe = make_recipe(
        {"data": tmp_path, "lr": 1, "crop": 64, "model_options": {"width": 8}, "warmup": 0.2}
    )
    assert (recipe.data, recipe.learning_rate, recipe.model_options) == (str(tmp_path), 1.0, {"width": 8})
    assert recipe.augment == {**AUGMENT, "crop": {**AUGMENT["crop"], "size": 64}}
    assert recipe.schedule_options == {"warmup": 0.2}
    assert make_recipe({"augment": {}, "data": "x"}).augment == {}
    other = make_recipe({"schedule": "constant", "model": {"name": "unet", "depth": 3}}, base=recipe)
    assert (other.schedule_options, other.model_options, other.data) == ({}, {"depth": 3}, recipe.data)


def test_another_part_forgets_the_options_of_the_one_before(written):
    recipe = read_recipe(written(WHOLE), ["optimizer=adam", "loss=dice", "split.share=0.5", "data=other"])
    assert (recipe.optimizer_options, recipe.loss_options, recipe.split) == ({}, {}, {"share": 0.5})
    assert (recipe.data_options, recipe.root) == ({}, None)
    # The rate is no option of an optimizer.
    assert recipe.learning_rate == 1.0


def test_a_recipe_starts_from_another_by_file_or_by_name(written):
    written(WHOLE)
    recipe = read_recipe(written('base = "photos.toml"\nepochs = 9\n[augment.crop]\nsize = 96', "big.toml"))
    assert (recipe.epochs, recipe.optimizer, recipe.out) == (9, "sgd", "runs/big")
    assert recipe.augment == {"flip": {}, "crop": {"size": 96}}
    recipe = read_recipe(written('base = "default"\ndata = "x"\nbatch_size = 2', "small.toml"))
    assert (recipe.batch_size, recipe.average) == (2, 0.999)


def test_recipes_in_a_circle_are_named(written, tmp_path):
    written(f'base = "../{tmp_path.name}/b.toml"', "a.toml")
    with pytest.raises(OptionError, match=r"circle: .*a\.toml -> .*b\.toml -> .*a\.toml"):
        read_recipe(written('base = "a.toml"', "b.toml").with_name("a.toml"))


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("epoch = 3", 2, "'epoch'; did you mean 'epochs'"),
        ("\n\n[optimiser]\nlr = 1e-3", 4, "did you mean 'optimizer'"),
        ("[optimizer]\nlearning_rte = 1", 3, "did you mean 'learning_rate'"),
        ("[optimizer]\nname = 'sgd'\nmomentun = 0.9", 4, "did you mean 'momentum'"),
        ("[optimizer]\nmomentum = 0.9", 3, "optimizer.momentum: 'adamw' has no such option"),
        ("[optimizer]\nepochs = 3", 3, "epochs is a top-level key: write it above all tables"),
        ("[schedule]\nwarmpu = 0.1", 3, "did you mean 'warmup'"),
        ("[augment.crp]\nsize = 3", 3, "did you mean 'crop'"),
        ("[augment]\ncrop = { size = 32, scal = 2 }", 3, "did you mean 'scale'"),
        ("[model]\nname = 'unet'\nwidht = 8", 4, "did you mean 'width'"),
        ("[model]\nbatch_size = 8", 3, "batch_size is a top-level key"),
        ("model = 'unett'", 2, "did you mean 'unet'"),
        ("[loss]\nname = 'dise'", 3, "did you mean 'dice'"),
        ("[loss]\nname = 'dice'\nsmothing = 1", 4, "did you mean 'smoothing'"),
        ("metrics = ['dcie']", 2, "did you mean 'dice'"),
        ("schedule = 'cosin'", 2, "did you mean 'cosine'"),
        ("[split]\nshares = 0.1", 3, "did you mean 'share'"),
        ("[data]\nname = 'drive'\nsclae = 0.5", 4, "did you mean 'scale'"),
        ("[resize]\nmode = 'stretch'\nhight = 8", 4, "did you mean 'height'? known are mode"),
    ],
)
def test_a_misspelt_key_or_name_is_told_with_its_line_and_the_nearest(written, text, line, told):
    path = written('data = "x"\n' + text if "[data]" not in text else "\n" + text)
    with pytest.raises((OptionError, UnknownNameError)) as error:
        read_recipe(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("epochs = 'many'", 2, 'epochs must be a whole number, such as epochs = 50, got "many"'),
        ("epochs = true", 2, "whole number"),
        ("epochs = 1.5", 2, "whole number"),
        ("[optimizer]\nlr = 'fast'", 3, "optimizer.lr must be a number, such as optimizer.lr = 0.001"),
        ("compile = 1", 2, "compile must be true or false"),
        ("metrics = [1]", 2, 'list of names, such as metrics = ["dice"]'),
        ("mean = ['red']", 2, "list of numbers, such as mean = [0.485"),
        ("loss = 3", 2, "loss must be a word"),
        ("[augment]\nflip = 3", 3, "augment.flip must be a table"),
        ("[augment.flip]\nhorizontal = 2", 3, "augment.flip.horizontal"),
        ("[split]\nshare = 2", 3, "split.share"),
        ("[resize]\nheight = 'all'", 3, "resize.height must be a whole number"),
        ("[resize]\nheight = 8\nwidth = 8", 3, "resize: mode must be one of"),
        ("learning_rate = -1", 2, "learning_rate must be above 0"),
        ("precision = 'fp8'", 2, "precision must be"),
        ("seed = 2020-01-01", 2, "cannot hold a date"),
        ("base = 3", 2, "base must be"),
        ("model = unet", 2, "words need quotes"),
        ("epochs = 3\nepochs = 4", 3, "is not valid TOML"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_told_with_its_line_and_an_example(written, text, line, told):
    path = written('data = "x"\n' + text)
    with pytest.raises(OptionError) as error:
        read_recipe(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[split]\nfolds = 3\nshare = 0.1", ("split.folds", "split.share")),
        ("[split]\nfolds = 3\nfold = 3", ("split.fold", "split.folds")),
        ("epochs = 3\nfreeze = 3", ("freeze", "epochs")),
        ("best = 'iou'", ("best", "metrics")),
        (
            "epochs = 9\n[schedule]\nname = 'multistep'\nmilestones = [3, 9]",
            ("schedule.milestones", "epochs"),
        ),
        ("epochs = 2\n[schedule]\nwarmup_epochs = 2", ("schedule.warmup_epochs", "epochs")),
        ("epochs = 2\n[schedule]\nname = 'step'\nevery = 3", ("schedule.every", "epochs")),
        ("precision = 'fp16'\ndevice = 'cpu'", ("precision", "device")),
        ("mean = 0.5", ("mean", "std")),
        ("[schedule]\nwarmup_epochs = 2\nwarmup_steps = 9", ("warmup_epochs", "warmup_steps")),
    ],
)
def test_of_two_keys_that_exclude_each_other_both_are_named(written, text, keys):
    path = written('data = "x"\n' + text)
    with pytest.raises(OptionError) as error:
        read_recipe(path)
    assert str(error.value).startswith(f"{path}, line ")
    assert all(key in str(error.value) for key in keys)


def test_a_word_that_is_no_setting_and_a_recipe_without_data_say_what_to_write():
    with pytest.raises(OptionError, match=r"'epochs' is not a setting: write key=value"):
        read_recipe(None, ["epochs"])
    with pytest.raises(OptionError, match="no data to train on"):
        read_recipe("default")


def test_a_recipe_that_is_not_there_is_told_from_a_name_and_from_a_folder_of_images(tmp_path):
    with pytest.raises(UnknownNameError, match=r"no recipe is named 'milesial-carvna'; did you mean 'mil"):
        read_recipe("milesial-carvna")
    with pytest.raises(UnknownNameError, match="there is no recipe"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(OptionError, match=f"use --data {tmp_path}"):
        read_recipe(tmp_path)
    (tmp_path / "grey.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FailureError, match="cannot be read as text"):
        read_recipe(tmp_path / "grey.toml")


def test_a_folder_that_a_training_left_is_a_recipe(tmp_path):
    recipe = make_recipe({"data": "x", "epochs": 7, "out": str(tmp_path)})
    (tmp_path / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert read_recipe(tmp_path) == recipe


# -- there and back

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8).filter(
    lambda t: t != "null"
)
_NAME = st.from_regex(r"[a-z_]{1,6}|[a-z] é\"\\\.", fullmatch=True).filter(lambda name: name != "name")
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(-1e30, 1e30) | _TEXT
_VALUE = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAME, inner, max_size=3),
    max_leaves=4,
)
_OPTIONS = st.dictionaries(_NAME.filter(lambda name: name not in ("lr", "root")), _VALUE, max_size=3)


@pytest.mark.medium
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options=_OPTIONS, words=_TEXT, number=st.floats(1e-30, 1e18), augment=st.booleans())
def test_what_is_written_is_read_to_an_equal_recipe(tmp_path, monkeypatch, options, words, number, augment):
    # Which options a model takes is another test's business.
    monkeypatch.setattr("segzoo.training.recipe.reading.check_recipe", lambda *_: None)
    values = {
        "model_options": options,
        "licence": words,
        "lr": number,
        "clip": math.pi,
        "root": words or None,
    }
    steps = {"flip": {}, "one_of": {"blur": {}, "flip_2": {"vertical": 1.0}}} if augment else {}
    recipe = make_recipe({"data": "x", "augment": steps, "schedule_options": {}, **values})
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    assert read_recipe(path) == recipe
    assert list(read_recipe(path).augment) == list(recipe.augment)


def test_lists_and_tuples_make_the_same_recipe():
    options = {"encoder": {"widths": [8, 16]}}
    one = Recipe(data="x", model_options=options, metrics=["dice"])  # pyright: ignore[reportArgumentType]
    assert one == Recipe(data="x", model_options={"encoder": {"widths": (8, 16)}}, metrics=("dice",))
    options["encoder"]["widths"].append(32)
    assert one.model_options["encoder"]["widths"] == (8, 16)


def test_numbers_may_stand_with_commas_as_names_do():
    recipe = read_recipe(None, ["mean=0.5,0.4,0.3", "std=0.2,0.2,0.2", "metrics=dice,iou"], data="x")
    assert (recipe.mean, recipe.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert recipe.metrics == ("dice", "iou")


def test_the_words_of_a_recipe_are_read_to_an_equal_recipe(written):
    recipe = read_recipe(written(WHOLE))
    assert read_recipe(None, words_of(recipe), data=recipe.data, root=recipe.root, out=recipe.out) == recipe


def test_supervision_is_a_word_or_the_weight_of_auxiliary_heads(written):
    assert Recipe(data="x").supervision == "auto"
    for word, value in (("sum", "sum"), ("0.4", 0.4), ("1", 1.0)):
        recipe = read_recipe(None, [f"supervision={word}"], data="x")
        assert recipe.supervision == value
        assert read_recipe(written(to_toml(recipe))) == recipe
    for word in ("average", "-0.4", "[0.4]", "true"):
        with pytest.raises(OptionError, match="supervision must be"):
            read_recipe(None, [f"supervision={word}"], data="x")


def test_what_no_file_holds_is_named():
    with pytest.raises(OptionError, match=r"model\.norm is of type function"):
        to_toml(Recipe(data="x", model_options={"norm": lambda: None}))
    with pytest.raises(OptionError, match="data is the word 'null'"):
        to_toml(Recipe(data="null"))


@pytest.mark.medium
@given(key=st.from_regex(r"[a-z_]{0,9}(\.[a-z_]{0,9}){0,3}", fullmatch=True), value=_TEXT)
def test_any_word_is_read_or_told_of_in_an_error(key, value):
    try:
        recipe = read_recipe(None, ["data=x", f"{key}={value}"])
    except SegzooError:
        return
    assert isinstance(recipe, Recipe)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "[1.0, nan]", "{ x = inf }", "9" * 5000])
def test_a_number_that_is_none_is_refused_in_files_and_words_with_its_key(tmp_path, value):
    file = tmp_path / "mine.toml"
    file.write_text(f'data = "photos"\nmodel.width = {value}\nlearning_rate = {value}\n')
    with pytest.raises(
        OptionError, match=r"mine.toml, line \d.*(must be finite|integer string|not valid TOML)"
    ):
        read_recipe(file)
    with pytest.raises(OptionError, match="learning_rate"):
        read_recipe(None, [f"learning_rate={value}"], data="photos")


def test_lists_that_lie_too_deep_in_each_other_are_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("data = " + "[" * 100_000 + "\n")
    with pytest.raises(OptionError, match="nested too deeply"):
        read_recipe(file)


def test_other_data_keeps_the_options_where_the_same_data_set_reads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "more"):
        for part in ("images", "masks"):
            (tmp_path / folder / part).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / folder / part / "0.png")
    (tmp_path / "mine.toml").write_text('[data]\nname = "photos"\nclasses = 4\nignore_index = 255\n')
    options = {"classes": 4, "ignore_index": 255}
    assert read_recipe("mine.toml", data="more").data_options == options
    assert read_recipe("mine.toml", ["data.classes=5"], data="more").data_options == {**options, "classes": 5}
    # A dataset with a name has options of its own.
    assert read_recipe("mine.toml", data="dsb2018").data_options == {}
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    assert read_recipe("mine.toml", data="more").data_options == options

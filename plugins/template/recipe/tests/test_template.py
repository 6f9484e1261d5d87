"""The recipe keeps segzoo's contract, and has the documented settings."""

from segzoo.testing import check_recipe
from segzoo.training.recipe.reading import read_recipe


def test_the_recipe_keeps_its_contract():
    check_recipe("template")


def test_it_crops_and_turns_but_changes_no_colour():
    assert list(read_recipe("template", ["data=photos"]).augment) == ["crop", "turn", "flip"]

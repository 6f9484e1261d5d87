"""What a range test and a search gain over a recipe's own learning rate: validation scores of short runs.

Three recipes are trained with the same seeds: the unchanged recipe, the recipe with the rate that
``--find-lr`` suggests, and the best recipe of a search, whose trials all have the first seed. Scores are
those of the validation images, which also chose the epoch and the best trial: look at the other seeds.

    python benchmarks/tuning.py DATA [--epochs 8] [--trials 16] [--seeds 3] [KEY=VALUE]...
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from segzoo.training import find_rate, train, tune
from segzoo.training.recipe.reading import read_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", help="a folder of images and masks, or a dataset by name")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="recipe settings, such as lr=1e-3")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = read_recipe(
            None, options.words, data=options.data, epochs=options.epochs, out=str(folder / "run")
        )
        spent = {"default": 0.0}
        begun = time.process_time()
        found = find_rate(recipe, progress=False)
        spent["find-lr"] = time.process_time() - begun
        begun = time.process_time()
        best = tune(recipe, trials=options.trials, progress=False)
        spent["tune"] = time.process_time() - begun
        ways = {
            "default": recipe,
            "find-lr": replace(recipe, learning_rate=found.suggestion or recipe.learning_rate),
            "tune": read_recipe(best.recipe),
        }
        print(
            f"{platform.platform()}, {platform.processor() or platform.machine()}; {len(best.trials)} trials"
        )
        print(f"{'way':<10} {'rate':>9} {'CPU s before':>13}  scores by seed")
        for way, one in ways.items():
            scores = [
                train(replace(one, seed=seed, out=str(folder / f"{way}-{seed}")), progress=False).best
                for seed in range(options.seeds)
            ]
            told = "  ".join(f"{score:.3f}" for score in scores)
            print(f"{way:<10} {one.learning_rate:>9.1e} {spent[way]:>13.0f}  {told}")


if __name__ == "__main__":
    main()

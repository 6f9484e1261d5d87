"""Losses against naive NumPy versions and other libraries, and their rules at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_models_pytorch.losses as smp
import torch
import torch.nn.functional as F

from segzoo import zoo
from segzoo.build import make_loss
from segzoo.errors import OptionError
from segzoo.losses.boundary import Boundary, distances
from segzoo.losses.cldice import ClDice
from segzoo.losses.cross_entropy import CrossEntropy
from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.losses.dice import Dice
from segzoo.losses.focal import Focal
from segzoo.losses.lovasz import LovaszHinge, LovaszSoftmax
from segzoo.losses.ohem import Ohem
from segzoo.losses.sums import Sum, cross_entropy_dice, sum_of
from segzoo.losses.tversky import Tversky

ALL = sorted(zoo.losses.names())


def example(classes, size=(2, 5, 6), seed=0):
    """Return logits and class indices; the logits in double precision."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(size[0], classes, *size[1:]))
    return torch.tensor(logits), torch.tensor(random.integers(0, max(classes, 2), size))


def chances(logits):
    """Return probabilities of all classes and the same of the truth's one-hot form, in NumPy."""
    logits = logits.numpy()
    if logits.shape[1] == 1:
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def one_hot(target, classes):
    if classes == 1:
        return target.numpy()[:, None].astype(float)
    return np.moveaxis(np.eye(classes)[target.numpy()], -1, 1)


def value(loss, logits, target):
    return float(loss(logits, target).detach())


# Naive versions, from the formulas in the docstrings.


def naive_entropy(logits, target):
    p, y = chances(logits), one_hot(target, logits.shape[1])
    if logits.shape[1] == 1:
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return -np.mean(np.log((p * y).sum(1)))


def naive_binary_entropy(logits, target):
    p, y = 1 / (1 + np.exp(-logits.numpy())), one_hot(target, logits.shape[1])
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def naive_dice(p, y, smoothing, over):
    return 1 - np.mean((2 * (p * y).sum(over) + smoothing) / (p.sum(over) + y.sum(over) + smoothing))


@pytest.mark.parametrize("classes", [1, 4])
def test_ce_dice_is_cross_entropy_plus_one_minus_dice_of_the_foreground(classes):
    logits, target = example(classes)
    p, y = chances(logits), one_hot(target, classes)
    if classes > 1:
        p, y = p[:, 1:], y[:, 1:]
    wanted = naive_entropy(logits, target) + naive_dice(p, y, 1.0, (0, 2, 3))
    assert value(make_loss("ce-dice"), logits, target) == pytest.approx(wanted)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_dice_pools_over_what_it_is_told_to(per_image, together):
    logits, target = example(3)
    over = (2, 3) + (() if per_image else (0,)) + ((1,) if together else ())
    wanted = naive_dice(chances(logits), one_hot(target, 3), 0.5, over)
    loss = Dice(smoothing=0.5, background=True, per_image=per_image, together=together)
    assert value(loss, logits, target) == pytest.approx(wanted)


def test_tversky_weighs_misses_and_false_alarms():
    logits, target = example(1)
    p, y = chances(logits), one_hot(target, 1)
    true, extra, missed = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
    wanted = 1 - (true + 1) / (true + 0.2 * extra + 0.9 * missed + 1)
    assert value(Tversky(alpha=0.2, beta=0.9), logits, target) == pytest.approx(wanted)


def test_tversky_of_equal_halves_is_dice():
    logits, target = example(4)
    dice, tversky = Dice(smoothing=2.0, background=True), Tversky(alpha=0.5, beta=0.5, background=True)
    assert value(tversky, logits, target) == pytest.approx(value(dice, logits, target))


@pytest.mark.parametrize("classes", [1, 3])
def test_focal_scales_the_entropy_by_what_is_missing(classes):
    logits, target = example(classes)
    p, y = chances(logits), one_hot(target, classes)
    right = (p * y).sum(1) if classes > 1 else np.where(y == 1, p, 1 - p)
    wanted = np.mean(0.25 * (1 - right) ** 1.5 * -np.log(right))
    assert value(Focal(gamma=1.5, alpha=0.25), logits, target) == pytest.approx(wanted)


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
def test_cross_entropy_agrees_with_torch(weights):
    logits, target = example(3)
    target[0, 0] = 255
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    wanted = F.cross_entropy(logits, target, weight=weight, ignore_index=255)
    assert value(CrossEntropy(weights=weights, ignore_index=255), logits, target) == pytest.approx(
        float(wanted)
    )


@pytest.mark.parametrize(
    "name", ["ce-dice", "cross-entropy", "dice", "focal", "tversky", "ohem", "boundary", "cldice"]
)
def test_two_logits_cost_what_their_difference_costs_as_one(name):
    logits, target = example(1)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    loss = make_loss(name)
    assert value(loss, two, target) == pytest.approx(value(loss, logits, target))


def test_class_weights_mean_the_same_for_one_logit_and_for_two():
    logits, target = example(1)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    loss = CrossEntropy(weights=(1.0, 2.0))
    assert value(loss, two, target) == pytest.approx(value(loss, logits, target))


# Lovász.


def naive_lovasz(errors, truth):
    """Return the loss of one class: errors, worst first, times how much each lowers IoU."""
    order = np.argsort(-errors, kind="stable")
    errors, truth = errors[order], truth[order]
    loss, before = 0.0, 0.0
    for count in range(1, errors.size + 1):
        # IoU of a mask that is wrong in the first ``count`` pixels only.
        common, either = truth[count:].sum(), truth.sum() + (1 - truth[:count]).sum()
        loss += errors[count - 1] * (1 - common / either - before)
        before = 1 - common / either
    return loss


def test_lovasz_hinge_agrees_with_a_naive_one_and_with_another_library():
    logits, target = example(1)
    errors = np.maximum(0, 1 - logits.numpy()[:, 0] * (2 * target.numpy() - 1))
    pooled = naive_lovasz(errors.ravel(), target.numpy().ravel())
    single = np.mean(
        [naive_lovasz(e.ravel(), t.ravel()) for e, t in zip(errors, target.numpy(), strict=True)]
    )
    assert value(LovaszHinge(), logits, target) == pytest.approx(pooled)
    assert value(LovaszHinge(per_image=True), logits, target) == pytest.approx(single)
    theirs = smp.LovaszLoss("binary", per_image=True)(logits.float(), target)
    assert value(LovaszHinge(per_image=True), logits, target) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_softmax_agrees_with_another_library_and_averages_classes_that_occur(per_image):
    logits, target = example(4)
    target[target == 2] = 1
    target[1][target[1] == 3] = 0
    theirs = smp.LovaszLoss("multiclass", per_image=per_image)(logits.float(), target)
    assert value(LovaszSoftmax(per_image=per_image), logits, target) == pytest.approx(float(theirs), rel=1e-5)


def test_lovasz_of_hard_masks_is_one_minus_iou():
    target = torch.tensor([[[0, 0, 1, 1, 1]]])
    logits = torch.tensor([[[[-99.0, 99.0, 99.0, 99.0, -99.0]]]])
    assert value(LovaszSoftmax(), logits, target) == pytest.approx(1 - 2 / 4)


# Hard pixels, distances and skeletons.


def naive_ohem(logits, target, threshold, kept, counted):
    p, y = chances(logits), one_hot(target, logits.shape[1])
    right = (p * y).sum(1) if logits.shape[1] > 1 else np.where(y == 1, p, 1 - p)[:, 0]
    right = np.sort(right[counted])
    least = int(np.ceil(kept * right.size))
    hard = max(least, int((right < threshold).sum()))
    return -np.log(right[:hard]).mean()


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize(("threshold", "kept"), [(0.7, 0.0625), (0.05, 0.5), (0.01, 0.001), (0.5, 1)])
def test_ohem_is_the_entropy_of_pixels_below_the_threshold_or_of_the_hardest(classes, threshold, kept):
    logits, target = example(classes, size=(2, 9, 11))
    counted = np.random.default_rng(1).random(target.shape) < 0.8
    wanted = naive_ohem(logits, target, threshold, kept, counted)
    target[torch.tensor(~counted)] = 255
    loss = Ohem(threshold=threshold, kept=kept, ignore_index=255)
    assert value(loss, logits, target) == pytest.approx(wanted)


def test_ohem_of_no_images_is_nothing():
    assert value(Ohem(), torch.zeros(0, 2, 4, 4), torch.zeros(0, 4, 4).long()) == 0


def test_ohem_that_keeps_all_is_cross_entropy_with_its_weights():
    logits, target = example(3)
    weights = (0.5, 1.0, 3.0)
    assert value(Ohem(kept=1, weights=weights), logits, target) == pytest.approx(
        value(CrossEntropy(weights=weights), logits, target)
    )


def naive_distances(sites):
    """Return the distance of every pixel to the nearest site, each by each."""
    places = np.argwhere(sites)
    made = np.full(sites.shape, np.inf)
    for place in np.ndindex(sites.shape):
        if len(places):
            made[place] = np.sqrt(((places - place) ** 2).sum(1).min())
    return made


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (37, 23), (16, 65)])
@pytest.mark.parametrize("share", [0, 0.002, 0.05, 1])
def test_distances_are_exact(shape, share):
    random = np.random.default_rng(0)
    sites = np.stack([random.random(shape) < share, np.zeros(shape, bool), np.ones(shape, bool)])
    wanted = np.stack([naive_distances(plane) for plane in sites])
    assert np.allclose(distances(torch.tensor(sites)).numpy(), wanted)


def naive_boundary(p, y, counted):
    """Return the mean of errors times distances to the other side, of classes ``(N, K, H, W)``."""
    total = np.zeros(p.shape)
    for n, k in np.ndindex(p.shape[:2]):
        sides = y[n, k] == 1, y[n, k] == 0
        for side, other in (sides, sides[::-1]):
            away = naive_distances(other & counted[n]) - 0.5
            total[n, k] += np.where(side & np.isfinite(away), np.abs(p - y)[n, k] * away, 0)
    return total.mean(1)[counted].mean()


@pytest.mark.parametrize("classes", [1, 3])
def test_the_boundary_loss_weighs_errors_by_their_distance_to_the_boundary(classes):
    logits, _ = example(classes, size=(2, 14, 17))
    target = torch.zeros(2, 14, 17, dtype=torch.long)
    target[0, 3:9, 4:12] = 1
    target[0, 10:, 2:6] = max(classes, 2) - 1
    counted = np.ones(target.shape, bool)
    counted[0, :4, :6] = counted[1, 2] = False
    p, y = chances(logits), one_hot(target, classes)
    wanted = naive_boundary(*((p, y) if classes == 1 else (p[:, 1:], y[:, 1:])), counted)
    target[torch.tensor(~counted)] = 255
    assert value(Boundary(ignore_index=255), logits, target) == pytest.approx(wanted)


def test_the_boundary_loss_has_the_gradient_of_the_papers_signed_distances():
    logits, _ = example(1, size=(1, 12, 12))
    target = torch.zeros(1, 12, 12, dtype=torch.long)
    target[0, 4:8, 3:9] = 1
    inside = target[0].numpy() == 1
    signed = np.where(inside, 0.5 - naive_distances(~inside), naive_distances(inside) - 0.5)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    Boundary()(ours, target).backward()
    (theirs.sigmoid()[0, 0] * torch.tensor(signed)).mean().backward()
    assert torch.allclose(ours.grad, theirs.grad)


def naive_skeleton(p, iterations):
    """Return the soft skeleton of one plane: what openings of its erosions remove."""

    def over(plane, places, best):
        made = np.empty(plane.shape)
        for y, x in np.ndindex(plane.shape):
            near = [(y + dy, x + dx) for dy, dx in places]
            made[y, x] = best(plane[a, b] for a, b in near if 0 <= a < len(plane) and 0 <= b < len(plane[0]))
        return made

    def erode(plane):
        return over(plane, [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)], min)

    def opened(plane):
        return over(erode(plane), [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)], max)

    skeleton = np.maximum(p - opened(p), 0)
    for _ in range(iterations):
        p = erode(p)
        rest = np.maximum(p - opened(p), 0)
        skeleton = skeleton + np.maximum(rest - skeleton * rest, 0)
    return skeleton


@pytest.mark.parametrize(("classes", "iterations"), [(1, 3), (3, 1)])
def test_cldice_is_the_overlap_of_each_mask_with_the_skeleton_of_the_other(classes, iterations):
    logits, target = example(classes, size=(2, 7, 9))
    p, y = chances(logits), one_hot(target, classes)
    if classes > 1:
        p, y = p[:, 1:], y[:, 1:]
    ratios = []
    for k in range(p.shape[1]):
        of_p, of_y = (np.stack([naive_skeleton(one[n, k], iterations) for n in (0, 1)]) for one in (p, y))
        precision = ((of_p * y[:, k]).sum() + 1) / (of_p.sum() + 1)
        sensitivity = ((of_y * p[:, k]).sum() + 1) / (of_y.sum() + 1)
        ratios.append(2 * precision * sensitivity / (precision + sensitivity))
    assert value(ClDice(iterations=iterations), logits, target) == pytest.approx(1 - np.mean(ratios))


def test_cldice_minds_a_gap_in_a_line_more_than_a_line_that_is_thinner():
    target = torch.zeros(1, 24, 60, dtype=torch.long)
    target[:, 10:15] = 1
    gap, thin = (torch.where(target[:, None] == 1, 20.0, -20.0) for _ in range(2))
    gap[..., 20:40] = -20.0
    thin[:, :, [10, 14]] = -20.0
    assert value(Dice(), gap, target) < value(Dice(), thin, target)
    assert value(ClDice(), gap, target) > 0.1 > value(ClDice(), thin, target)


def test_terms_of_a_sum_go_by_the_background_and_what_is_ignored():
    logits, target = example(3)
    target[0, 0] = 255
    terms = [{"loss": "dice"}, {"loss": "boundary", "weight": 0.1}, {"loss": "cldice", "iterations": 2}]
    given = {"ignore_index": 255, "background_index": 2}
    wanted = Dice(**given)(logits, target) + 0.1 * Boundary(**given)(logits, target)
    wanted += ClDice(iterations=2, **given)(logits, target)
    assert value(make_loss("sum", terms=terms, **given), logits, target) == pytest.approx(float(wanted))
    assert value(make_loss("sum"), logits[1:], target[1:]) == pytest.approx(
        value(make_loss("ce-dice"), logits[1:], target[1:])
    )


def test_ignored_pixels_change_no_loss():
    for name in ALL:
        logits, target = example(3, size=(1, 4, 6))
        kept = value(make_loss(name, ignore_index=255), logits[..., :4], target[..., :4])
        target[..., 4:] = 255
        whole = value(make_loss(name, ignore_index=255), logits, target)
        assert whole == pytest.approx(kept), name


# Rules that segzoo's losses keep besides those of test_contracts.py.


@pytest.mark.parametrize("name", ALL)
def test_every_loss_falls_to_nothing_as_the_logits_become_the_truth(name):
    for classes in (1, 3):
        _, target = example(classes, size=(2, 8, 8))
        right = torch.tensor(one_hot(target, classes) * 2 - 1, dtype=torch.float32)
        loss = make_loss(name)
        good, bad = value(loss, right * 40, target), value(loss, -right * 40, target)
        assert good < 0.05 < bad


@pytest.mark.medium
@pytest.mark.parametrize("name", ALL)
def test_every_loss_has_the_gradient_that_differences_show(name):
    loss = make_loss(name, ignore_index=255)
    for classes in (1, 3):
        logits, target = example(classes, size=(1, 2, 3), seed=3)
        target[0, 0, 0] = 255
        assert torch.autograd.gradcheck(
            lambda x, target=target: loss(x, target), logits.requires_grad_(), eps=1e-7, atol=1e-5
        )


# Presets: the originals' formulas, written out.


def test_milesial_pools_dice_over_images_and_classes_together():
    logits, target = example(3)
    dice = naive_dice(chances(logits), one_hot(target, 3), 1e-6, (0, 1, 2, 3))
    assert value(make_loss("milesial"), logits, target) == pytest.approx(naive_entropy(logits, target) + dice)
    logits, target = example(1)
    dice = naive_dice(chances(logits), one_hot(target, 1), 1e-6, (0, 1, 2, 3))
    assert value(make_loss("milesial"), logits, target) == pytest.approx(naive_entropy(logits, target) + dice)


def test_bubbliiiing_averages_dice_over_classes_with_background():
    logits, target = example(3)
    p, y = chances(logits), one_hot(target, 3)
    dice = naive_dice(p, y, 1e-5, (0, 2, 3))
    right = (p * y).sum(1)
    focal = np.mean(-0.5 * (1 - right) ** 2 * np.log(right))
    entropy = naive_entropy(logits, target)
    assert value(make_loss("bubbliiiing-ce-dice"), logits, target) == pytest.approx(entropy + dice)
    assert value(make_loss("bubbliiiing-focal-dice"), logits, target) == pytest.approx(focal + dice)


@pytest.mark.parametrize("classes", [1, 3])
def test_nested_bce_dice_halves_the_entropy_and_averages_dice_over_images(classes):
    logits, target = example(classes)
    p = 1 / (1 + np.exp(-logits.numpy()))
    dice = naive_dice(p, one_hot(target, classes), 1e-5, (1, 2, 3))
    wanted = 0.5 * naive_binary_entropy(logits, target) + dice
    assert value(make_loss("nested-bce-dice"), logits, target) == pytest.approx(wanted)


def test_nested_lovasz_is_the_hinge_per_image():
    logits, target = example(1)
    hinge = LovaszHinge(per_image=True)
    assert value(make_loss("nested-lovasz"), logits, target) == value(hinge, logits, target)


def test_wzmiaomiao_doubles_the_vessels_weight_and_averages_dice_over_images_and_classes():
    logits, target = example(2)
    dice = naive_dice(chances(logits), one_hot(target, 2), 1e-6, (2, 3))
    entropy = F.cross_entropy(logits, target, weight=torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert value(make_loss("wzmiaomiao"), logits, target) == pytest.approx(float(entropy) + dice)


def test_mindspore_is_cross_entropy():
    logits, target = example(2)
    assert value(make_loss("mindspore"), logits, target) == pytest.approx(naive_entropy(logits, target))


# Joining losses.


def test_deep_supervision_takes_the_mean_or_the_sum_over_outputs():
    (first, target), (second, _) = example(3), example(3, seed=1)
    loss = cross_entropy_dice()
    parts = [value(loss, logits, target) for logits in (first, second)]
    assert value(DeepSupervision(loss), [first, second], target) == pytest.approx(sum(parts) / 2)
    assert value(DeepSupervision(loss, reduction="sum"), [first, second], target) == pytest.approx(sum(parts))


def test_a_number_is_the_weight_of_every_output_but_the_last():
    examples = [example(3, seed=seed) for seed in range(3)]
    outputs, target = [logits for logits, _ in examples], examples[0][1]
    loss = cross_entropy_dice()
    *sides, last = (value(loss, logits, target) for logits in outputs)
    found = value(DeepSupervision(loss, reduction=0.4), outputs, target)
    assert found == pytest.approx(last + 0.4 * sides[0] + 0.4 * sides[1])
    assert value(DeepSupervision(loss, reduction=0.4), outputs[-1:], target) == pytest.approx(last)


@pytest.mark.parametrize("reduction", ["average", -0.1, float("nan"), None, True])
def test_another_reduction_is_refused_with_those_that_there_are(reduction):
    with pytest.raises(OptionError, match=r"mean, sum or the weight of side outputs, such as 0.4, got"):
        DeepSupervision(cross_entropy_dice(), reduction=reduction)


def test_a_sum_told_as_data_is_the_sum_of_its_losses():
    logits, target = example(3)
    told = sum_of(terms=[{"loss": "focal", "weight": 2, "gamma": 1.0}, {"loss": "dice"}])
    assert value(told, logits, target) == pytest.approx(
        2 * value(Focal(gamma=1.0), logits, target) + value(Dice(), logits, target)
    )


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: make_loss("ce-dice", gamma=2), "gamma"),
        (lambda: Dice(smoothing=-1), "smoothing"),
        (lambda: Focal(gamma=-1), "gamma"),
        (lambda: Tversky(alpha=0, beta=0), "alpha and beta"),
        (lambda: Ohem(threshold=0), "threshold must be above 0"),
        (lambda: Ohem(kept=1.5), "kept must be a finite number from 0 to 1, got 1.5"),
        (lambda: ClDice(iterations=0), "iterations must be an integer from 1"),
        (lambda: ClDice(smoothing=-1), "smoothing"),
        (lambda: sum_of(terms=[{"loss": "cldice", "iteration": 2}]), "no 'iteration'; did you mean 'itera"),
        (lambda: make_loss("sum", terms=[]), "terms must list the losses, .*, got none"),
        (lambda: make_loss("sum", terms=["dice"]), "a term must be a table"),
        (lambda: CrossEntropy(binary_weights=(1, 2, 3)), "binary_weights"),
        (lambda: Sum([Dice()], [1, 2]), "as many weights"),
        (lambda: sum_of(terms=[{"loss": "dise"}]), "dise"),
        (lambda: DeepSupervision(Dice(), reduction="max"), "max"),
        (lambda: CrossEntropy(weights=(1, 2))(*example(3)), "3 classes need as many weights, got 2"),
    ],
)
def test_a_wrong_option_is_named(build, named):
    with pytest.raises(OptionError, match=named):
        build()


@pytest.mark.parametrize("classes", [1, 3])
def test_an_index_that_is_no_class_is_named_instead_of_trained_on(classes):
    logits, target = example(classes)
    target[0, 0, 0] = 255
    with pytest.raises(OptionError, match=r"255.*ignore_index"):
        make_loss("ce-dice")(logits, target)


def test_a_target_of_another_size_is_named():
    with pytest.raises(OptionError, match=r"\(1, 2, 4, 4\).*\(1, 3, 4\)"):
        make_loss("dice")(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4).long())

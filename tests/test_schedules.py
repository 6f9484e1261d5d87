"""Learning rates against torch's schedulers, against closed forms, and after a resume."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.optim import lr_scheduler as theirs

from segzoo.errors import OptionError, UsageError
from segzoo.training.optim.schedules import Schedule
from segzoo.training.parts import factories

RATE = 0.1


def optimizer(*rates):
    """Return an optimizer with a group for each rate."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates or (RATE,)]
    return torch.optim.SGD(groups, lr=RATE)


def schedule(name, steps=40, epoch=4, rates=(RATE,), **options):
    return Schedule(optimizer(*rates), name, options, steps=steps, steps_per_epoch=epoch)


def rates(made, steps=40):
    """Return the rate of the first group at every step."""
    seen = []
    for _ in range(steps):
        seen.append(made.optimizer.param_groups[0]["lr"])
        made.optimizer.step()
        made.step()
    return seen


def of_torch(scheduler, steps, per=1):
    """Return the rates of a scheduler of torch that is stepped after every ``per`` steps."""
    seen = []
    for step in range(steps):
        seen.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        if (step + 1) % per == 0:
            scheduler.step()
    return seen


def test_cosine_is_torchs_by_the_step():
    wanted = of_torch(theirs.CosineAnnealingLR(optimizer(), T_max=40), 40)
    assert rates(schedule("cosine")) == pytest.approx(wanted)


def test_cosine_by_the_epoch_with_a_least_rate_is_torchs_as_nested_unet_steps_it():
    wanted = of_torch(theirs.CosineAnnealingLR(optimizer(), T_max=10, eta_min=1e-5), 40, per=4)
    assert rates(schedule("cosine", per="epoch", minimum_rate=1e-5), 40) == pytest.approx(wanted[:40])


@pytest.mark.parametrize("options", [{}, {"warmup": 0.5, "warmup_start": 0.1, "minimum": 1e-3}])
def test_one_cycle_is_torchs_but_for_where_its_steps_lie(options):
    start, least = options.get("warmup_start", 0.04), options.get("minimum", 4e-6)
    wanted = theirs.OneCycleLR(
        optimizer(),
        max_lr=RATE,
        total_steps=4000,
        pct_start=options.get("warmup", 0.3),
        div_factor=1 / start,
        final_div_factor=start / least,
        cycle_momentum=False,
    )
    seen = rates(schedule("one-cycle", steps=4000, **options), 4000)
    # Theirs is at the height a step earlier, and at the least rate with the last step, not behind it.
    assert seen == pytest.approx(of_torch(wanted, 4000), abs=2e-3 * RATE)
    assert seen[0] == pytest.approx(start * RATE)
    assert max(seen) == seen[int(4000 * options.get("warmup", 0.3))] == RATE
    assert seen[-1] == pytest.approx(least * RATE, abs=1e-6 * RATE)


def test_one_cycle_goes_by_other_names_and_its_warm_up_is_that_of_all_schedules():
    assert schedule("onecycle").name == "one-cycle"
    assert rates(schedule("one-cycle", warmup_steps=4))[4] == RATE
    assert rates(schedule("one-cycle", warmup_start=None)) == rates(schedule("one-cycle"))


def test_polynomial_is_torchs():
    wanted = of_torch(theirs.PolynomialLR(optimizer(), total_iters=40, power=0.9), 40)
    assert rates(schedule("polynomial")) == pytest.approx(wanted)


def test_steps_are_torchs_and_count_epochs():
    wanted = of_torch(theirs.StepLR(optimizer(), step_size=3, gamma=0.5), 40, per=4)
    assert rates(schedule("step", every=3, gamma=0.5)) == pytest.approx(wanted)


def test_milestones_are_torchs_and_are_epochs():
    wanted = of_torch(theirs.MultiStepLR(optimizer(), milestones=[2, 7], gamma=0.1), 40, per=4)
    assert rates(schedule("multistep", milestones=[7, 2])) == pytest.approx(wanted)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("cooldown", [0, 2])
def test_plateau_is_torchs_whatever_the_scores(higher, cooldown):
    scores = torch.rand(60, generator=torch.Generator().manual_seed(3)).tolist()
    scores[5] = math.nan
    made = schedule("plateau", patience=2, factor=0.5, cooldown=cooldown, minimum_rate=1e-3)
    wanted = theirs.ReduceLROnPlateau(
        optimizer(), "max" if higher else "min", factor=0.5, patience=2, cooldown=cooldown, min_lr=1e-3
    )
    for score in scores:
        made.evaluated(score, higher_is_better=higher)
        wanted.step(score)
        assert made.rates == {"0": pytest.approx(wanted.get_last_lr()[0])}
    assert made.rates["0"] < RATE / 4


def test_only_plateau_goes_by_scores():
    made = schedule("constant")
    for _ in range(20):
        made.evaluated(0.0)
    assert made.rates == {"0": RATE}


def test_a_warm_up_rises_by_equal_parts_to_the_height_and_then_the_schedule_begins():
    seen = rates(schedule("cosine", warmup=0.1))
    assert seen[:4] == pytest.approx([RATE * part for part in (0.25, 0.5, 0.75, 1.0)])
    wanted = of_torch(theirs.CosineAnnealingLR(optimizer(), T_max=36), 36)
    assert seen[4:] == pytest.approx(wanted)


@pytest.mark.parametrize("options", [{"warmup": 0.1}, {"warmup_steps": 4}, {"warmup_epochs": 1}])
def test_a_warm_up_is_told_as_a_share_in_steps_or_in_epochs(options):
    assert rates(schedule("step", **options)) == rates(schedule("step", warmup=0.1))


def test_a_warm_up_given_in_steps_counts_instead_of_the_default_share():
    assert rates(schedule("cosine", warmup=0.05, warmup_steps=8))[7] == pytest.approx(RATE)


def test_polynomial_after_one_linear_epoch_is_that_of_wzmiaomiao():
    def wanted(step, per=4, epochs=10):
        if step <= per:
            return 1e-3 * (1 - step / per) + step / per
        return (1 - (step - per) / ((epochs - 1) * per)) ** 0.9

    seen = rates(schedule("polynomial", warmup_epochs=1, warmup_start=1e-3))
    assert seen == pytest.approx([RATE * wanted(step) for step in range(40)])


@pytest.mark.parametrize("epochs", [2, 30, 100, 400])
def test_cosine_between_a_quadratic_warm_up_and_a_flat_tail_is_that_of_bubbliiiing(epochs):
    warm = min(max(0.05 * epochs, 1), 3)
    tail = min(max(0.05 * epochs, 1), 15)

    def wanted(epoch):
        if epoch <= warm:
            return 0.9 * (epoch / warm) ** 2 + 0.1
        if epoch >= epochs - tail:
            return 0.01
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (epoch - warm) / (epochs - warm - tail)))

    made = schedule(
        "cosine",
        steps=2 * epochs,
        epoch=2,
        warmup=0.05,
        warmup_range=[1, 3],
        warmup_start=0.1,
        warmup_shape="quadratic",
        minimum=0.01,
        tail=0.05,
        tail_range=[1, 15],
        per="epoch",
    )
    assert rates(made, 2 * epochs) == pytest.approx([RATE * wanted(step // 2) for step in range(2 * epochs)])


def test_every_group_keeps_its_share_and_no_minimum_lifts_a_rate():
    made = schedule("cosine", rates=(0.1, 0.01, 1e-6), minimum_rate=1e-5)
    for _ in range(20):
        made.step()
    assert [made.rates[key] for key in "012"] == pytest.approx([0.050005, 0.005005, 1e-6])


def test_after_the_last_step_the_rate_stays_at_the_minimum():
    made = schedule("cosine", minimum=0.1)
    rates(made, 50)
    assert made.rates["0"] == pytest.approx(0.1 * RATE)


@pytest.mark.parametrize("name", factories("schedules"))
@pytest.mark.parametrize("stop", [3, 17])
def test_a_resumed_schedule_goes_on_with_the_same_rates(name, stop):
    options = {"warmup": 0.2} | ({"milestones": [2, 6]} if name == "multistep" else {})
    scores = [0.5, 0.6, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.2, 0.1]

    def follow(made, first, last):
        seen = []
        for step in range(first, last):
            seen.append(made.optimizer.param_groups[0]["lr"])
            made.step()
            if step % 4 == 3:
                made.evaluated(scores[step // 4])
        return seen

    whole = follow(schedule(name, **options), 0, 40)
    stopped = schedule(name, **options)
    begun = follow(stopped, 0, stop)
    # The optimizer's own state brings the current rate back first, as torch's does.
    resumed = schedule(name, rates=(stopped.rates["0"],), **options)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert begun + follow(resumed, stop, 40) == whole


def test_an_optimizer_that_was_loaded_before_the_schedule_is_made_keeps_its_height():
    before = schedule("cosine")
    rates(before, 30)
    after = Schedule(before.optimizer, "cosine", {}, steps=40, steps_per_epoch=4)
    assert after.rates == {"0": RATE}


def test_the_state_of_another_schedule_is_refused():
    with pytest.raises(OptionError, match=r"schedule 'step' of 1 groups, this is 'cosine' of 2"):
        schedule("cosine", rates=(1, 2)).load_state_dict(schedule("step").state_dict())


@settings(max_examples=25)
@given(
    name=some.sampled_from([name for name in factories("schedules") if name != "multistep"]),
    steps=some.integers(1, 60),
    epoch=some.integers(1, 9),
    warmup=some.floats(0, 0.99),
    unit=some.sampled_from(["step", "epoch"]),
    start=some.none() | some.floats(0, 1),
    minimum=some.floats(0, 1),
)
def test_no_rate_is_above_its_height_or_below_zero(name, steps, epoch, warmup, unit, start, minimum):
    made = schedule(name, steps, epoch, warmup=warmup, warmup_start=start, minimum=minimum, per=unit)
    assert all(
        0 <= rate <= RATE * (1 + 1e-12) for rate in [made.rate(RATE, step) for step in range(steps + 2)]
    )


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("cosin", {}, r"no schedule is named 'cosin'; did you mean 'cosine'\?"),
        ("cosine", {"warmpu": 1}, r"schedule\.warmpu: .*did you mean 'schedule\.warmup'"),
        ("cosine", {"gamma": 0.1}, r"schedule\.gamma: 'cosine' has no such option.*it takes: warmup"),
        (
            "cosine",
            {"warmup": 5},
            r"schedule\.warmup is a share .* below 1, got 5: use schedule\.warmup_epochs",
        ),
        ("cosine", {"warmup": "long"}, r"schedule\.warmup must be a number, got 'long'"),
        ("cosine", {"warmup_steps": 1.5}, r"schedule\.warmup_steps must be a whole number"),
        ("cosine", {"warmup_steps": 5, "warmup_epochs": 1}, "leave one out"),
        ("cosine", {"minimum": 2}, r"schedule\.minimum must be 0 or more and 1 or less, got 2"),
        (
            "one-cycle",
            {"warmup_shape": "square"},
            r"schedule\.warmup_shape must be one of linear, quad",
        ),
        ("cosine", {"per": "minute"}, r"schedule\.per must be step or epoch, got 'minute'"),
        ("cosine", {"tail_range": [3, 1]}, r"schedule\.tail_range must be the minimum and the maximum"),
        ("step", {"every": 0}, r"schedule\.every must be 1 or more"),
        ("multistep", {}, r"schedule\.milestones must list"),
        ("multistep", {"milestones": 30}, r"schedule\.milestones must be a list of numbers, got 30"),
    ],
)
def test_a_wrong_option_is_named_as_recipes_name_it(name, options, told):
    with pytest.raises(UsageError, match=told):
        schedule(name, **options)

"""Statistics against published values, and by simulation."""

from __future__ import annotations

import math
import random
from itertools import combinations, product
from statistics import NormalDist

import pytest

from ftspec.common.evaluation import Interval
from ftspec.stats import paired, statistics
from ftspec.stats.statistics import Share


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_values(passed: int, n: int, low: float, high: float) -> None:
    found = statistics.wilson(passed / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    single = statistics.interval([Share(1, 1)] * passed + [Share(0, 1)] * (n - passed))
    assert single.high == pytest.approx(found.high, abs=2e-3)


def test_no_trials_say_nothing() -> None:
    assert statistics.wilson(0, 0) == Interval(low=0, high=1)
    assert statistics.interval([]) == Interval(low=0, high=1)
    assert statistics.rate([Share(0, 0)]) == 0


FLEISS = [  # the worked example of Wikipedia's article on Fleiss' kappa: 10 subjects, 14 raters, 5 categories, P_i
    ([0, 0, 0, 0, 14], 1.000),
    ([0, 2, 6, 4, 2], 0.253),
    ([0, 0, 3, 5, 6], 0.308),
    ([0, 3, 9, 2, 0], 0.440),
    ([2, 2, 8, 1, 1], 0.330),
    ([7, 7, 0, 0, 0], 0.462),
    ([3, 2, 6, 3, 0], 0.242),
    ([2, 5, 3, 2, 2], 0.176),
    ([6, 5, 2, 1, 0], 0.286),
    ([0, 2, 2, 3, 7], 0.286),
]


@pytest.mark.parametrize(("counts", "agreement"), FLEISS)
def test_agreement_against_published_values(counts: list[int], agreement: float) -> None:
    assert statistics.agreement(counts) == pytest.approx(agreement, abs=5e-4)


def test_consistency_is_the_mean_agreement_of_repeats() -> None:
    value, interval = statistics.consistency([Share(3, 3), Share(2, 3), Share(0, 3), Share(1, 3)]) or (0, None)
    assert value == pytest.approx((1 + 1 / 3 + 1 + 1 / 3) / 4)
    assert interval is not None
    assert interval.low < value < interval.high


def test_consistency_needs_two_answers_of_a_prompt() -> None:
    assert statistics.consistency([Share(1, 1), Share(0, 1)]) is None
    assert statistics.consistency([]) is None


def test_repeats_that_always_agree_are_worth_one_answer() -> None:
    repeated = [Share(5, 5)] * 30 + [Share(0, 5)] * 20
    assert statistics.effective_size(repeated) == pytest.approx(50, rel=0.03)
    assert statistics.effective_size([Share(5, 5)] * 40) == 40


def test_independent_repeats_are_worth_almost_all_answers() -> None:
    rng = random.Random(5)
    shares = [Share(sum(rng.random() < 0.5 for _ in range(5)), 5) for _ in range(400)]
    assert 1700 < statistics.effective_size(shares) <= 2000


@pytest.mark.parametrize(
    ("won", "lost", "pairs", "low", "high"),
    [
        # Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8, as the authors'
        # R package contingencytables has them: complete response, and airway hyper-responsiveness
        (6, 16, 161, -0.1240, -0.0054),
        (1, 7, 21, -0.517, -0.026),
        # nobody changes: z² / (n + z²), where the statistic has a closed form
        (0, 0, 20, -0.1611, 0.1611),
    ],
)
def test_the_score_interval_against_published_values(won: int, lost: int, pairs: int, low: float, high: float) -> None:
    places = 5e-5 if won != 1 else 5e-4
    found = paired.score_interval(won / pairs, lost / pairs, pairs)
    assert (found.low, found.high) == pytest.approx((low, high), abs=places)
    same = pairs - won - lost
    base = [Share(0, 1)] * won + [Share(1, 1)] * (lost + same)
    tuned = [Share(1, 1)] * won + [Share(0, 1)] * lost + [Share(1, 1)] * same
    difference, interval = paired.gain(base, tuned)
    assert difference == pytest.approx((won - lost) / pairs)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=places)


def test_repeats_that_always_agree_say_no_more_of_the_gain_than_one() -> None:
    def of(passed: int) -> list[Share]:
        return [Share(passed, passed)] * 12 + [Share(0, passed)] * 8

    single = paired.gain(of(1), [Share(1, 1)] * 20)[1]
    repeated = paired.gain(of(5), [Share(5, 5)] * 20)[1]
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high))


def test_what_pairs_are_worth_by_hand() -> None:
    """One prompt is won, one lost, one open: of a pair of answers the variance is 5/6, of the mean of prompts 2/9."""
    base, tuned = [Share(0, 2), Share(2, 2), Share(1, 2)], [Share(2, 2), Share(0, 2), Share(1, 2)]
    sums = paired.PairSums.of(base, tuned)
    assert (sums.won, sums.lost, sums.apart, sums.squares) == pytest.approx((5 / 12, 5 / 12, 0.0, 2 / 9))
    assert sums.size == pytest.approx((5 / 6) / (2 / 9))
    weightless = paired.PairSums.of([*base, Share(0, 9, 0.0)], [*tuned, Share(9, 9, 0.0)])
    assert weightless == sums


def test_pairs_are_worth_no_more_than_the_fewer_answers_of_the_two() -> None:
    base, tuned = [Share(n % 2, 1) for n in range(20)], [Share(5 + n % 2, 10) for n in range(20)]
    assert paired.PairSums.of(base, tuned).size <= 20 + 1e-9


def test_a_prompt_that_only_one_model_answered_is_no_pair() -> None:
    base = [Share(1, 1), Share(0, 1), Share(0, 0), Share(0, 1)]
    tuned = [Share(1, 1), Share(1, 1), Share(1, 1), Share(0, 0)]
    assert paired.gain(base, tuned) == paired.gain(base[:2], tuned[:2])
    assert paired.gain(base[2:], tuned[2:]) == (0.0, Interval(low=-1, high=1))


def test_the_gain_is_what_its_interval_and_p_value_are_about_where_answers_are_lost() -> None:
    base, tuned = [Share(0, 1)] * 20 + [Share(3, 9)] * 20, [Share(1, 1)] * 20 + [Share(0, 9)] * 20
    found, interval = paired.gain(base, tuned)
    assert found == pytest.approx(1 / 3)  # of all answers alike, it would be 20 of 200 minus 60 of 200
    assert 0 < interval.low < found < interval.high
    assert (paired.p_value(base, tuned) or 0) < 0.01
    swapped, mirrored = paired.gain(tuned, base)
    assert (swapped, mirrored.low, mirrored.high) == pytest.approx((-found, -interval.high, -interval.low))


def test_where_no_answer_is_lost_the_gain_is_the_difference_of_the_rates() -> None:
    base, tuned = [Share(1, 3), Share(3, 3), Share(0, 3)] * 10, [Share(2, 3), Share(2, 3), Share(3, 3)] * 10
    assert paired.gain(base, tuned)[0] == pytest.approx(statistics.rate(tuned) - statistics.rate(base))


def test_unequal_weights_are_worth_fewer_pairs() -> None:
    heavy = [Share(1, 1, 3.0)] * 10 + [Share(1, 1)] * 30
    found, interval = paired.gain([Share(0, 1, 3.0)] * 10 + [Share(1, 1)] * 30, heavy)
    plain = paired.gain([Share(0, 1)] * 20 + [Share(1, 1)] * 20, [Share(1, 1)] * 40)
    assert found == pytest.approx(plain[0]) == pytest.approx(0.5)
    assert interval.high - interval.low > plain[1].high - plain[1].low


def test_pairing_narrows_the_interval_of_the_gain() -> None:
    base = [Share(1, 1)] * 50 + [Share(0, 1)] * 50
    agreeing = [Share(1, 1)] * 60 + [Share(0, 1)] * 40
    opposed = agreeing[::-1]
    together, apart = paired.gain(base, agreeing), paired.gain(base, opposed)
    assert together[0] == apart[0] == pytest.approx(0.1)
    assert together[1].high - together[1].low < 0.6 * (apart[1].high - apart[1].low)


def test_the_gain_of_a_perfect_model_still_has_a_width() -> None:
    gain, interval = paired.gain([Share(0, 1)] * 50, [Share(1, 1)] * 50)
    assert gain == 1
    assert 0.85 < interval.low < 0.95
    assert interval.high == 1


def test_the_same_answers_gain_nothing() -> None:
    shares = [Share(2, 3), Share(0, 3), Share(3, 3)] * 10
    gain, interval = paired.gain(shares, shares)
    assert gain == 0
    assert -0.17 < interval.low < 0 < interval.high < 0.17


@pytest.mark.parametrize("prompts", [1, 2, 20])
def test_repeats_of_prompts_that_are_all_alike_are_worth_one_answer(prompts: int) -> None:
    """As if they shared nothing, the interval covered the truth in 79 of 100 samples of repeats that share all."""
    _, once = paired.gain([Share(0, 1)] * prompts, [Share(1, 1)] * prompts)
    _, often = paired.gain([Share(0, 9)] * prompts, [Share(9, 9)] * prompts)
    assert often == once
    _, once = paired.gain([Share(1, 1)] * prompts, [Share(1, 1)] * prompts)
    _, often = paired.gain([Share(9, 9)] * prompts, [Share(9, 9)] * prompts)
    assert often == once


@pytest.mark.parametrize(
    ("accuracy", "consistency", "quadrant"),
    [
        (0.8, 0.9, "reliable and repeatable"),
        (0.8, 0.89, "right but inconsistent"),
        (0.79, 0.9, "repeatedly wrong"),
        (0.79, 0.89, "neither"),
        (0.99, None, "not measured"),
    ],
)
def test_quadrant(accuracy: float, consistency: float | None, quadrant: str) -> None:
    assert statistics.quadrant(accuracy, consistency) == quadrant


def drawn(rng: random.Random, prompts: int, repeats: int, p: float, alike: float) -> list[Share]:
    """Shares of prompts whose pass rates are beta-distributed around p with intra-prompt correlation `alike`."""
    found = []
    for _ in range(prompts):
        chance = rng.betavariate(p * (1 / alike - 1), (1 - p) * (1 / alike - 1)) if alike else p
        found.append(Share(sum(rng.random() < chance for _ in range(repeats)), repeats))
    return found


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    rng, trials, coverages = random.Random(11), 1000, []
    for prompts in (30, 100):
        for repeats, alike in ((1, 0.0), (3, 0.0), (3, 0.5), (3, 0.9), (5, 0.5)):
            for p in (0.2, 0.5, 0.9):
                intervals = (statistics.interval(drawn(rng, prompts, repeats, p, alike)) for _ in range(trials))
                coverages.append(sum(found.low <= p <= found.high for found in intervals) / trials)
    assert min(coverages) > 0.90
    assert 0.93 < sum(coverages) / len(coverages) < 0.97


@pytest.mark.slow
def test_the_gains_interval_covers_the_truth() -> None:
    rng, trials, coverages = random.Random(12), 1000, []
    for prompts, repeats in ((30, 1), (30, 3), (150, 3)):
        for before, change in ((0.5, 0.0), (0.5, 0.2), (0.1, 0.8)):
            hits = 0
            for _ in range(trials):
                base, tuned = [], []
                for _ in range(prompts):
                    luck = rng.random()
                    base.append(Share(sum(rng.random() < _chance(luck < before) for _ in range(repeats)), repeats))
                    better = luck < before + change
                    tuned.append(Share(sum(rng.random() < _chance(better) for _ in range(repeats)), repeats))
                interval = paired.gain(base, tuned)[1]
                hits += interval.low <= 0.8 * change <= interval.high
            coverages.append(hits / trials)
    assert min(coverages) > 0.90
    assert 0.93 < sum(coverages) / len(coverages) < 0.97


def _chance(right: bool) -> float:
    return 0.9 if right else 0.1


def test_the_paired_test_is_mcnemars_with_one_answer_each() -> None:
    stats = pytest.importorskip("scipy.stats")
    for better, worse in ((9, 2), (15, 15), (1, 0), (30, 12), (0, 7)):
        base = [Share(0, 1)] * better + [Share(1, 1)] * worse + [Share(1, 1)] * 20
        tuned = [Share(1, 1)] * better + [Share(0, 1)] * worse + [Share(1, 1)] * 20
        exact = stats.binomtest(better, better + worse).pvalue
        at = stats.binom.pmf(min(better, worse), better + worse, 0.5)
        mid = exact - at if better != worse else 1 - at / 2
        assert paired.p_value(base, tuned) == pytest.approx(mid)


def test_the_paired_test_keeps_a_prompts_repeats_together() -> None:
    base = [Share(1, 3), Share(0, 3), Share(2, 3), Share(1, 2), Share(0, 3), Share(3, 3)]
    tuned = [Share(3, 3), Share(1, 3), Share(2, 3), Share(2, 2), Share(2, 3), Share(2, 3)]
    changes = [t.rate - b.rate for b, t in zip(base, tuned, strict=True)]
    sums = [abs(sum(s * c for s, c in zip(signs, changes, strict=True))) for signs in product((1, -1), repeat=6)]
    seen = abs(sum(changes))
    expected = sum(1.0 if one > seen + 1e-9 else 0.5 if one > seen - 1e-9 else 0.0 for one in sums) / len(sums)
    assert paired.p_value(base, tuned) == pytest.approx(expected)


def test_the_paired_test_of_very_many_prompts_is_the_normal_one() -> None:
    base = [Share(1, 3), Share(2, 3), Share(0, 3)] * 2000
    tuned = [Share(2, 3), Share(1, 3), Share(1, 3)] * 2000
    assert paired.p_value(base, tuned) == pytest.approx(0.0, abs=1e-9)
    assert paired.p_value(base, base) == 1.0
    assert paired.p_value([Share(0, 0)], [Share(1, 1)]) is None


def test_the_paired_test_of_unequal_weights_is_the_normal_one_and_the_same_both_ways() -> None:
    base = [Share(0, 1, 1.0), Share(1, 1, 2.0), Share(0, 1, 3.0), Share(0, 1, 0.0)]
    tuned = [Share(1, 1, 1.0), Share(0, 1, 2.0), Share(1, 1, 3.0), Share(1, 1, 0.0)]
    expected = math.erfc(2 / math.sqrt(1 + 4 + 9) / math.sqrt(2))
    assert paired.p_value(base, tuned) == pytest.approx(expected) == paired.p_value(tuned, base)


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03], [0.5, 0.001, 0.02, 0.02], [0.9], []])
def test_holm_against_statsmodels(values: list[float]) -> None:
    multi = pytest.importorskip("statsmodels.stats.multitest")
    expected = multi.multipletests(values, method="holm")[1] if values else []
    assert paired.holm(values) == pytest.approx(list(expected))


def test_wilson_against_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for passed, n in ((0, 10), (3, 7), (50, 50), (210, 400)):
        low, high = proportion.proportion_confint(passed, n, method="wilson")
        assert statistics.wilson(passed / n, n).low == pytest.approx(low)
        assert statistics.wilson(passed / n, n).high == pytest.approx(high)


def test_pass_at_k_counts_subsets() -> None:
    verdicts = [True, False, True, False, False]
    for k in range(1, 6):
        parts = list(combinations(verdicts, k))
        share = [Share(2, 5)]
        assert statistics.rate(statistics.subsets(share, k, every=False)) == pytest.approx(
            sum(map(any, parts)) / len(parts)
        )
        assert statistics.rate(statistics.subsets(share, k, every=True)) == pytest.approx(
            sum(map(all, parts)) / len(parts)
        )
    assert statistics.rate(statistics.subsets([Share(2, 5)], 6, every=True)) == 0


def test_pass_at_k_is_the_mean_over_prompts_however_many_answers_each_has() -> None:
    shares = [Share(1, 2), Share(5, 5), Share(0, 3), Share(1, 1)]
    assert statistics.rate(statistics.subsets(shares, 2, every=True)) == pytest.approx((0 + 1 + 0) / 3)
    assert statistics.rate(statistics.subsets(shares, 2, every=False)) == pytest.approx((1 + 1 + 0) / 3)
    assert statistics.rate(statistics.subsets([Share(500, 1000)], 500, every=False)) == pytest.approx(1)


def test_an_interval_at_certainty_ends_there() -> None:
    assert {statistics.wilson(0, n).low for n in range(1, 200)} == {0.0}
    assert {statistics.wilson(1, n).high for n in range(1, 200)} == {1.0}


def test_the_bootstrap_is_seeded_and_near_the_interval() -> None:
    shares = [Share(index % 4, 3) for index in range(200)]
    found = statistics.bootstrap(shares)
    assert found is not None
    assert found == statistics.bootstrap(shares)
    assert (found.low, found.high) == pytest.approx(
        (statistics.interval(shares).low, statistics.interval(shares).high), abs=0.02
    )
    assert statistics.bootstrap([Share(1, 1)]) is None


def test_the_bootstrap_resamples_prompts_with_their_weights() -> None:
    shares = [Share(index % 3, 2 + index % 2, 0.5 + index % 4) for index in range(40)]
    draw = random.Random(0)
    rates = sorted(statistics.rate(draw.choices(shares, k=40)) for _ in range(1000))
    found = statistics.bootstrap(shares)
    assert found and (found.low, found.high) == (rates[25], rates[974])


def test_identical_answers_of_few_prompts_leave_room_for_a_difference() -> None:
    few, many = [Share(1, 1), Share(0, 1)] * 5, [Share(1, 1), Share(0, 1)] * 500
    assert paired.gain(few, few)[1].low < -0.05
    assert -0.02 < paired.gain(many, many)[1].low < 0


def test_what_is_detectable_is_shown_by_four_of_five_samples() -> None:
    interval = Interval(low=-0.1, high=0.3)
    error = paired.standard_error(interval)
    assert error == pytest.approx(0.2 / 1.96, abs=1e-4)
    missed = NormalDist(paired.detectable(interval), error).cdf(1.96 * error)
    assert missed == pytest.approx(0.2, abs=1e-4)


def test_prompts_without_verdicts_or_weight_count_for_nothing() -> None:
    shares = [Share(1, 2), Share(2, 3, 2.0), Share(0, 1)]
    assert statistics.Sums.of([*shares, Share(0, 0), Share(3, 3, 0.0)]) == statistics.Sums.of(shares)
    assert statistics.bootstrap([*shares, Share(0, 0), Share(3, 3, 0.0)]) == statistics.bootstrap(shares)


def test_a_quantile_and_its_interval_are_measurements() -> None:
    """The ends are those at the ends of the interval of the share below: 0.404 to 0.596 of 100 at the median."""
    assert statistics.quantile([[value] for value in range(100, 0, -1)], 0.5) == (50, Interval(low=41, high=60))
    assert statistics.quantile([[value] for value in range(1, 21)], 0.95) == (19, None), "too few for an upper end"
    assert statistics.quantile([[3.0, 1.0, 2.0]], 0.01)[0] == 1.0

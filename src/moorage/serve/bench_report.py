"""What a benchmark's samples say: percentiles, rates, their spread over rounds, and two servers compared in pairs.

Percentiles are interpolated linearly between the two nearest samples. Two servers are compared by the differences of
their rounds, B − A; the interval is that of the median by order statistics (the sign test turned round), which assumes
no distribution: W. J. Conover, Practical Nonparametric Statistics, 3.2.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import comb
from statistics import mean, median
from typing import Any

from moorage.serve.bench import Bench, Round, Sample

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measure:
    """One thing measured. `of` is its values in a call; a rate is of a round as a whole and has no percentiles."""

    name: str
    unit: str
    of: Callable[[Sample], Sequence[float | None]] = lambda _: ()
    rate: Callable[[Round], float | None] | None = None


def good(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.error is None]


def _tokens_per_s(one: Round) -> float | None:
    tokens = [sample.output_tokens for sample in good(one.samples)]
    known = [count for count in tokens if count is not None]
    return sum(known) / one.wall_s if known and len(known) == len(tokens) and one.wall_s else None


def _requests_per_s(one: Round) -> float | None:
    done = len(good(one.samples))
    return done / one.wall_s if done and one.wall_s else None


MEASURES = (
    Measure("time to first token", "ms", lambda sample: (sample.first_s,)),
    Measure("between tokens", "ms", lambda sample: sample.gaps_s),
    Measure("per token, mean of a call", "ms", lambda sample: (sample.per_token_s,)),
    Measure("whole call", "ms", lambda sample: (sample.total_s,)),
    Measure("output", "tokens/s", rate=_tokens_per_s),
    Measure("calls", "1/s", rate=_requests_per_s),
)


@dataclass(frozen=True)
class Row:
    """A measure of one server. Times in milliseconds; None is not measured."""

    name: str
    unit: str
    p50: float | None
    p90: float | None
    p99: float | None
    lowest: float | None
    """Lowest and highest value of a whole round: its median for times, itself for rates."""
    highest: float | None


@dataclass(frozen=True)
class Pairs:
    """A measure of B against A, round by round."""

    name: str
    unit: str
    rounds: int
    difference: float | None
    """Median of B − A."""
    low: float | None
    high: float | None
    """At least 95 % interval of that median; None with fewer than 6 rounds."""
    ratio: float | None
    """Median of B ÷ A."""


@dataclass(frozen=True)
class SideReport:
    url: str
    model: str
    calls: int
    errors: dict[str, int]
    prompt_tokens: float | None
    """Mean, as the server counts."""
    output_tokens: float | None
    cpu_share: float | None
    """Of one core, taken by the generator itself."""
    rows: list[Row]


def of_side(bench: Bench, side: int) -> SideReport:
    rounds = [one for one in bench.rounds if one.side == side]
    samples = [sample for one in rounds for sample in one.samples]
    fine = good(samples)
    wall_s = sum(one.wall_s for one in rounds)
    return SideReport(
        url=bench.sides[side].url,
        model=bench.sides[side].model,
        calls=len(samples),
        errors=dict(Counter(sample.error for sample in samples if sample.error)),
        prompt_tokens=_mean([sample.prompt_tokens for sample in fine]),
        output_tokens=_mean([sample.output_tokens for sample in fine]),
        cpu_share=sum(one.cpu_s for one in rounds) / wall_s if wall_s else None,
        rows=[_row(measure, rounds) for measure in MEASURES],
    )


def compare(bench: Bench) -> list[Pairs]:
    """B against A in every measure; empty with one server."""
    if len(bench.sides) != 2:
        return []
    numbers = range(bench.workload.rounds)
    whole = {(one.side, one.number): one for one in bench.rounds if one.complete}
    rounds = [(whole[0, number], whole[1, number]) for number in numbers if {(0, number), (1, number)} <= whole.keys()]
    return [_pairs(measure, rounds) for measure in MEASURES]


def as_json(bench: Bench, *, version: str, interrupted: bool) -> dict[str, Any]:
    """Everything, for programs: settings, results, and every call."""
    calls = [
        {"side": "AB"[one.side], "round": one.number, "complete_round": one.complete, **asdict(sample)}
        for one in bench.rounds
        for sample in one.samples
    ]
    return {
        "moorage": version,
        "interrupted": interrupted,
        "workload": asdict(bench.workload),
        "prompt_is_calibrated": bench.prompt_is_calibrated,
        "sides": [asdict(of_side(bench, side)) for side in range(len(bench.sides))],
        "pairs": [asdict(pairs) for pairs in compare(bench)],
        "interval": f"at least {CONFIDENCE:.0%} of the median, by order statistics (sign test)",
        "calls": calls,
    }


def percentile(values: Sequence[float], share: float) -> float | None:
    """Of any order; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The narrowest symmetric pair of order statistics that holds the median with 95 %; None below 6 values."""
    ordered, count = sorted(values), len(values)
    missing = 0.0
    rank = 0
    while True:
        missing += 2 * comb(count, rank) / 2**count
        if missing > 1 - CONFIDENCE:
            break
        rank += 1
    return (ordered[rank - 1], ordered[count - rank]) if rank else None


def _values(measure: Measure, one: Round) -> list[float]:
    if measure.rate:
        rate = measure.rate(one)
        return [] if rate is None else [rate]
    return [value * 1000 for sample in good(one.samples) for value in measure.of(sample) if value is not None]


def _of_round(measure: Measure, one: Round) -> float | None:
    return percentile(_values(measure, one), 0.5)


def _row(measure: Measure, rounds: Sequence[Round]) -> Row:
    medians = [value for one in rounds if one.complete and (value := _of_round(measure, one)) is not None]
    values = [value for one in rounds for value in _values(measure, one)]
    tails = (None, None) if measure.rate else (percentile(values, 0.9), percentile(values, 0.99))
    lowest, highest = (min(medians), max(medians)) if medians else (None, None)
    return Row(measure.name, measure.unit, percentile(values, 0.5), *tails, lowest, highest)


def _pairs(measure: Measure, rounds: Sequence[tuple[Round, Round]]) -> Pairs:
    both = [(_of_round(measure, a), _of_round(measure, b)) for a, b in rounds]
    known = [(a, b) for a, b in both if a is not None and b is not None]
    differences = [b - a for a, b in known]
    ratios = [b / a for a, b in known if a]
    interval = median_interval(differences) or (None, None)
    return Pairs(
        measure.name,
        measure.unit,
        len(known),
        median(differences) if differences else None,
        *interval,
        median(ratios) if ratios else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None

import json
from itertools import product

import pytest

from moorage.serve.bench import Bench, Round, Sample, Side, Workload
from moorage.serve.bench_report import as_json, compare, median_interval, of_side, percentile

A, B = Side(url="http://a", model="m"), Side(url="http://b", model="m")


def sample(total_s: float, tokens: int | None = 11, error: str | None = None) -> Sample:
    gaps = [0.01] * 10
    return Sample(
        first_s=total_s - 0.1, gaps_s=gaps, total_s=total_s, prompt_tokens=5, output_tokens=tokens, error=error
    )


def of_rounds(times: list[list[float]], sides: int = 1) -> Bench:
    """A bench whose round n at side s took `times[n]`, B a tenth longer."""
    bench = Bench(Workload(rounds=len(times)), [A, B][:sides])
    for (number, one), side in product(enumerate(times), range(sides)):
        samples = [sample(total_s * (1 + side / 10)) for total_s in one]
        wall_s = sum(one) * (1 + side / 10)
        bench.rounds.append(Round(side, number, samples, wall_s=wall_s, cpu_s=wall_s / 2, complete=True))
    return bench


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([3.0], 0.99, 3.0), ([4.0, 2.0], 0.5, 3.0), ([0.0, 10.0, 20.0, 30.0, 40.0], 0.9, 36.0)],
)
def test_percentile(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize(("count", "ranks"), [(6, (1, 6)), (9, (2, 8)), (15, (4, 12)), (20, (6, 15)), (25, (8, 18))])
def test_the_interval_of_a_median_is_as_in_the_tables(count: int, ranks: tuple[int, int]) -> None:
    assert median_interval([float(rank) for rank in range(count, 0, -1)]) == ranks


@pytest.mark.parametrize("count", range(6))
def test_too_few_rounds_have_no_interval(count: int) -> None:
    assert median_interval([1.0] * count) is None


def test_one_server() -> None:
    side = of_side(of_rounds([[0.2, 0.4], [0.6, 0.8]]), 0)
    rows = {row.name: row for row in side.rows}
    assert rows["whole call"].p50 == pytest.approx(500)
    assert (rows["whole call"].lowest, rows["whole call"].highest) == pytest.approx((300, 700))
    assert rows["time to first token"].p50 == pytest.approx(400)
    assert rows["between tokens"].p99 == pytest.approx(10)
    assert rows["per token, mean of a call"].p50 == pytest.approx(10)
    assert rows["output"].p50 == pytest.approx((22 / 0.6 + 22 / 1.4) / 2)
    assert rows["output"].p99 is None
    assert (side.prompt_tokens, side.output_tokens, side.cpu_share) == pytest.approx((5, 11, 0.5))


def test_failed_calls_are_counted_and_not_timed() -> None:
    bench = of_rounds([[0.2]])
    bench.rounds[0].samples += [sample(99, error="500: broken"), sample(99, error="500: broken")]
    side = of_side(bench, 0)
    assert (side.calls, side.errors) == (3, {"500: broken": 2})
    assert next(row for row in side.rows if row.name == "whole call").p99 == pytest.approx(200)


def test_what_is_unknown_is_not_made_up() -> None:
    bench = of_rounds([[0.2]])
    bench.rounds[0].samples = [Sample(total_s=0.2)]
    rows = {row.name: row for row in of_side(bench, 0).rows}
    assert rows["whole call"].p50 == pytest.approx(200)
    for name in ("time to first token", "between tokens", "per token, mean of a call", "output"):
        assert rows[name].p50 is None


def test_two_servers_in_pairs() -> None:
    pairs = {one.name: one for one in compare(of_rounds([[0.1 * n] for n in range(2, 9)], sides=2))}
    whole = pairs["whole call"]
    assert whole.rounds == 7
    assert whole.ratio == pytest.approx(1.1)
    assert (whole.low, whole.difference, whole.high) == pytest.approx((20, 50, 80))
    assert pairs["between tokens"].difference == pytest.approx(0)


def test_an_interrupted_round_is_no_pair() -> None:
    bench = of_rounds([[0.2], [0.3]], sides=2)
    bench.rounds[-1].complete = False
    assert {one.rounds for one in compare(bench)} == {1}
    row = next(row for row in of_side(bench, 1).rows if row.name == "whole call")
    assert row.lowest == row.highest == pytest.approx(220)
    assert row.p50 == pytest.approx((220 + 330) / 2)


def test_the_json_holds_every_call() -> None:
    report = json.loads(json.dumps(as_json(of_rounds([[0.2], [0.3]], sides=2), version="1", interrupted=False)))
    assert [(call["side"], call["round"]) for call in report["calls"]] == [("A", 0), ("B", 0), ("A", 1), ("B", 1)]
    assert report["sides"][1]["url"] == "http://b"
    assert "sign test" in report["interval"]

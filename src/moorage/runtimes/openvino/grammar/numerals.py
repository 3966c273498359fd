"""Numbers between two bounds, digit by digit."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from moorage.runtimes.openvino.grammar.notation import Unfit, either, quoted

Digits = list[tuple[int, int]]
"""For each place the lowest and the highest digit."""

DIGITS_MAX = 15
"""So long, every whole number is exact in a double."""
FAR = Decimal(10) ** DIGITS_MAX - 1
PLACES = 2
"""Behind the point, where the bounds have no more."""
PLACES_MAX = 6


def whole(low: Decimal | None, high: Decimal | None) -> str:
    """Whole numbers from `low` to `high`. Raises Unfit where there is none."""
    if low is None and high is None:
        return f'"-"? ("0" | [1-9] [0-9]{{0,{DIGITS_MAX - 1}}})'
    least = int((-FAR if low is None else max(low, -FAR)).to_integral_value(ROUND_CEILING))
    most = int((FAR if high is None else min(high, FAR)).to_integral_value(ROUND_FLOOR))
    return either(_signed(least, most, 0))


def number(low: Decimal | None, high: Decimal | None, *, above: bool, below: bool) -> str:
    """Numbers from `low` to `high`, without the bound itself where `above` or `below` say so. Raises Unfit."""
    # Some generators of schemas write the range of a double, whose digits would fill pages.
    low = None if low is not None and low <= -FAR else low
    high = None if high is not None and high >= FAR else high
    if low is None and high is None:
        return f'"-"? ("0" | [1-9] [0-9]{{0,{DIGITS_MAX - 1}}}) ("." [0-9]{{1,{DIGITS_MAX}}})?'
    places = max(PLACES, *(_places(bound) for bound in (low, high) if bound is not None))
    if places > PLACES_MAX:
        raise Unfit(f"a bound of a number has more than {PLACES_MAX} digits behind the point")
    found: list[str] = []
    for count in range(places + 1):
        scale = Decimal(10) ** count
        least = int(((-FAR / scale if low is None else low) * scale).to_integral_value(ROUND_CEILING))
        most = int(((FAR / scale if high is None else high) * scale).to_integral_value(ROUND_FLOOR))
        least += above and low is not None and least == low * scale
        most -= below and high is not None and most == high * scale
        if least <= most:
            found += _signed(least, most, count)
    if not found:
        raise Unfit(f"no number is between {low} and {high}")
    return either(found)


def _signed(least: int, most: int, places: int) -> list[str]:
    if least > most:
        raise Unfit(f"no whole number is between {least} and {most}")
    below = _all_written(list(_between(max(1, -most), -least, places)), places)
    return [f'"-" {one}' for one in below] + _all_written(list(_between(max(0, least), most, places)), places)


def _all_written(found: list[Digits], places: int) -> list[str]:
    """Sizes of which all numbers are in, one after another, are written as one."""
    whole_sizes = [len(digits) for digits in found if places == 0 and digits == [(1, 9), *[(0, 9)] * (len(digits) - 1)]]
    if len(whole_sizes) < 2:
        return [_written(digits, places) for digits in found]
    rest = [digits for digits in found if digits != [(1, 9), *[(0, 9)] * (len(digits) - 1)]]
    many = f"[1-9] [0-9]{{{min(whole_sizes) - 1},{max(whole_sizes) - 1}}}"
    return [*(_written(digits, places) for digits in rest), many]


def _between(low: int, high: int, places: int) -> Iterator[Digits]:
    """Numbers of `low` to `high`, neither negative, as places of digits that are free of each other."""
    width = places + 1
    while low <= high:
        size = max(width, len(str(low)))
        top = min(high, 10**size - 1)
        yield from _same_size(str(low).zfill(size), str(top).zfill(size))
        low = top + 1


def _same_size(low: str, high: str) -> Iterator[Digits]:
    if not low:
        yield []
        return
    first, last = int(low[0]), int(high[0])
    rest = len(low) - 1
    nines, zeros = "9" * rest, "0" * rest
    if first == last:
        yield from ([(first, first), *more] for more in _same_size(low[1:], high[1:]))
        return
    if low[1:] != zeros:
        yield from ([(first, first), *more] for more in _same_size(low[1:], nines))
        first += 1
    ends = high[1:] != nines
    if first <= last - ends:
        yield [(first, last - ends), *[(0, 9)] * rest]
    if ends:
        yield from ([(last, last), *more] for more in _same_size(zeros, high[1:]))


def _written(digits: Digits, places: int) -> str:
    words = [quoted(str(low)) if low == high else f"[{low}-{high}]" for low, high in digits]
    if places:
        words.insert(len(words) - places, '"."')
    return " ".join(words)


def _places(bound: Decimal) -> int:
    exponent = bound.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0

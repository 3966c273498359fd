import pytest

from moorage.core.shares import USABLE, Claim, divide
from moorage.wire.control import Device

GIB = 1 << 30


def card(index: int, gib: float = 24, name: str = "L4") -> Device:
    return Device(kind="cuda", index=index, name=name, memory_bytes=int(gib * GIB), uuid=f"GPU-{index}")


def claim(replica: str, least: float, wanted: float, count: int = 1, devices: tuple[Device, ...] = ()) -> Claim:
    return Claim(
        replica=replica, count=count, least_bytes=int(least * GIB), wanted_bytes=int(wanted * GIB), devices=devices
    )


def test_shares_of_one_card_are_in_proportion_and_add_up_to_less_than_it() -> None:
    found = divide([card(0)], [claim("chat", 10, 20), claim("embed", 2, 3), claim("rerank", 2, 3)])
    assert found is not None
    shares = {name: portion.share for name, portion in found.items()}
    assert sum(shares.values()) <= USABLE
    assert sum(shares.values()) > USABLE - 0.03, "nothing is left lying about"
    assert shares["chat"] > shares["embed"] == shares["rerank"] > 2 / 24
    for name, least in (("chat", 10), ("embed", 2)):
        assert shares[name] * 24 >= least


def test_what_does_not_fit_at_all() -> None:
    assert divide([card(0)], [claim("a", 12, 20), claim("b", 12, 20)]) is None
    assert divide([card(0)], [claim("a", 23, 23)]) is None
    assert divide([], [claim("a", 1, 1)]) is None
    assert divide([card(0)], [claim("a", 1, 1, count=2)]) is None
    assert divide([card(0), card(1, name="T4")], [claim("a", 1, 1, count=2)]) is None


def test_nothing_to_divide() -> None:
    assert divide([card(0)], []) == {}


def test_the_large_ones_get_a_card_each() -> None:
    found = divide([card(0), card(1)], [claim("s", 2, 4), claim("b", 15, 20), claim("a", 16, 20), claim("t", 2, 4)])
    assert found is not None
    assert found["a"].devices != found["b"].devices
    on = {index: sum(p.share for p in found.values() if p.devices[0].index == index) for index in (0, 1)}
    assert max(on.values()) <= USABLE


def test_models_on_several_cards_take_the_same_of_each() -> None:
    found = divide([card(0), card(1)], [claim("wide", 12, 18, count=2), claim("small", 4, 6)])
    assert found is not None
    assert [device.index for device in found["wide"].devices] == [0, 1]
    (where,) = found["small"].devices
    assert found["wide"].share + found["small"].share <= USABLE
    assert found["wide"].share * 24 >= 12
    assert where.index in (0, 1)


def test_named_cards_are_kept() -> None:
    found = divide([card(0), card(1)], [claim("here", 4, 5, devices=(card(1),)), claim("big", 20, 22)])
    assert found is not None
    assert found["here"].devices == (card(1),)
    assert found["big"].devices == (card(0),)
    assert divide([card(0), card(1)], [claim(n, 13, 14, devices=(card(1),)) for n in "ab"]) is None


@pytest.mark.parametrize("wanted", [0, 1, 1 << 20])
def test_wants_that_make_no_sense(wanted: float) -> None:
    found = divide([card(0)], [claim("a", 1, wanted), claim("b", 1, 1)])
    assert found is not None
    assert all(portion.share * 24 >= 1 for portion in found.values())

import pytest

from moorage.errors import ConfigError
from moorage.serve.fit.devices import of_devices
from moorage.serve.fit.room import fitted
from tests.unit.serve.fit.made import EIGHT_16, GIB, SMOL, TWO_16, known, machine


def test_shares_that_add_up_are_left_alone() -> None:
    # The sample of the unified service: 0.55 + 0.15 + 0.15 of one card.
    models = [
        known("chat", EIGHT_16, memory_fraction=0.55, max_model_len=16384),
        known("embedding", None, memory_fraction=0.15),
        known("rerank", None, memory_fraction=0.15),
    ]
    assert of_devices(models, machine(64, 48), fit=False) == {}


def test_shares_beyond_one_are_refused_with_those_that_fit() -> None:
    models = [known("a", EIGHT_16, memory_fraction=0.7), known("b", TWO_16, memory_fraction=0.6)]
    with pytest.raises(ConfigError) as refused:
        of_devices(models, machine(64, 48), fit=False)
    text = refused.value.message
    for words in ("a wants 0.70", "b wants 0.60", "1.30", "0 (L4, 48.0 GB)", "memory_fraction 0.", "--fit"):
        assert words in text, text


def test_fitting_gives_each_what_it_needs() -> None:
    models = [known("a", EIGHT_16, memory_fraction=0.7), known("b", TWO_16, memory_fraction=0.6)]
    changes = of_devices(models, machine(64, 48), fit=True)
    shares = {name: float(str(change.options["memory_fraction"])) for name, change in changes.items()}
    assert sum(shares.values()) <= 0.95
    assert shares["a"] > shares["b"]
    assert shares["a"] * 48 * GIB > EIGHT_16.size_bytes
    again, warnings = fitted(models, machine(64, 48), fit=True)
    assert again.keys() == changes.keys()
    assert not warnings


def test_two_that_want_a_card_for_themselves() -> None:
    models = [known("a", TWO_16), known("b", TWO_16)]
    with pytest.raises(ConfigError, match=r"sets no options\.memory_fraction"):
        of_devices(models, machine(64, 24), fit=False)
    assert of_devices(models, machine(64, 24, 24), fit=False) == {}
    assert set(of_devices(models, machine(64, 24), fit=True)) == {"a", "b"}


def test_what_does_not_fit_with_any_shares() -> None:
    models = [known("a", EIGHT_16, memory_fraction=0.9), known("b", EIGHT_16, memory_fraction=0.9)]
    for fit in (False, True):
        with pytest.raises(ConfigError, match="no shares of it would fit"):
            of_devices(models, machine(64, 24), fit=fit)
    assert of_devices(models, machine(64, 24, 24), fit=False) == {}


def test_on_several_cards_shares_come_with_the_cards() -> None:
    models = [known(name, TWO_16, memory_fraction=0.8) for name in "abc"]
    changes = of_devices(models, machine(64, 24, 24), fit=True)
    assert {len(change.options["devices"]) for change in changes.values()} == {1}  # pyright: ignore[reportArgumentType]
    wide = [known("wide", EIGHT_16, tensor_parallel=2, memory_fraction=0.8), known("b", TWO_16, memory_fraction=0.8)]
    (first, second) = of_devices(wide, machine(64, 24, 24), fit=True).values()
    assert first.options["devices"] == ("0", "1")
    assert isinstance(second.options["memory_fraction"], float)


def test_replicas_want_a_share_each() -> None:
    models = [known("a", TWO_16, replicas=2, memory_fraction=0.6)]
    with pytest.raises(ConfigError, match=r"each of 2 replicas"):
        of_devices(models, machine(64, 24), fit=False)
    (change,) = of_devices(models, machine(64, 24), fit=True).values()
    assert change.options == {"memory_fraction": 0.47}


def test_files_that_are_not_here_get_in_proportion_to_what_they_asked() -> None:
    models = [known("a", None, memory_fraction=0.8), known("b", None, memory_fraction=0.4)]
    changes = of_devices(models, machine(64, 24), fit=True)
    shares = {name: float(str(change.options["memory_fraction"])) for name, change in changes.items()}
    assert shares["a"] == pytest.approx(2 * shares["b"], abs=0.03)


def test_models_on_the_processor_want_none() -> None:
    models = [known("a", SMOL, memory_fraction=0.9), known("b", TWO_16, devices=[]), known("c", TWO_16)]
    assert of_devices(models, machine(64, 24), fit=False) == {}
    assert of_devices(models, machine(64), fit=False) == {}


def test_a_card_that_is_not_there_is_told_by_the_start() -> None:
    assert of_devices([known("a", TWO_16, devices=["7"])], machine(64, 24), fit=False) == {}
    assert of_devices([known("a", None, memory_fraction=0.5, devices=["7"])], machine(64, 24), fit=False) == {}

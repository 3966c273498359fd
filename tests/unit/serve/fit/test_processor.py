import pytest

from moorage.core.memory import MEMORY_SHARE, OWN_BYTES, usable_bytes
from moorage.errors import ConfigError
from moorage.serve.fit.change import changed
from moorage.serve.fit.processor import SHORTEST, lowered, of_processor
from moorage.serve.fit.room import fitted
from moorage.serve.sizing import Sized, size
from moorage.wire.control import Machine
from tests.unit.serve.fit.made import GIB, SEVEN, Known, known, machine


def sized(models: list[Known], on: Machine) -> list[Sized]:
    found = [size(one.spec, one.facts, on) for one in models if one.facts is not None]
    assert not [each.problem for each in found if each.problem]
    return found


def test_models_that_fit_are_left_alone() -> None:
    here = machine(24)
    assert of_processor(sized([known("a"), known("b")], here), here, fit=False) == ({}, [])
    assert of_processor([], here, fit=True) == ({}, [])


def test_a_model_alone_is_its_engines_affair() -> None:
    here = machine(6)
    alone = sized([known("a", SEVEN)], here)
    assert of_processor(alone, here, fit=False) == ({}, [])


def test_too_many_are_refused_with_what_each_takes_and_what_would_fit() -> None:
    here = machine(11)
    models = sized([known("a", SEVEN), known("b", SEVEN)], here)
    with pytest.raises(ConfigError) as refused:
        of_processor(models, here, fit=False)
    text = refused.value.message
    for words in ("a 5.", "b 5.", "11.0 GB", "max_sequences", "would fit", "--fit"):
        assert words in text, text


def test_fitting_lowers_what_nobody_set_until_all_fit() -> None:
    here = machine(11)
    models = sized([known("a", SEVEN), known("b", SEVEN)], here)
    changes, warnings = of_processor(models, here, fit=True)
    assert not warnings
    assert changes
    after = [size(changed(each.spec, changes.get(each.spec.name)), each.facts, here) for each in models]
    assert sum(each.processor_bytes for each in after) <= here.memory_bytes * MEMORY_SHARE
    assert all(each.launch is not None and each.launch.capacity >= 1 for each in after)


def test_what_was_set_stays_as_it_was() -> None:
    here = machine(24)
    models = sized([known("a", SEVEN, max_sequences=4, max_model_len=16384), known("b", SEVEN)], here)
    changes = lowered(models, here, 13.5 * GIB)
    assert changes is None or "a" not in changes
    both = sized([known(name, SEVEN, max_sequences=4, max_model_len=16384) for name in "ab"], here)
    assert lowered(both, here, 20 * GIB * MEMORY_SHARE) is None


def test_no_context_is_lowered_unasked_below_what_is_of_use() -> None:
    here = machine(11)
    changes = lowered(sized([known("a", SEVEN), known("b", SEVEN)], here), here, 9.2 * GIB)
    for change in (changes or {}).values():
        length = change.options.get("max_model_len", SHORTEST)
        assert isinstance(length, int)
        assert length >= SHORTEST


def test_what_cannot_fit_is_refused_whatever_is_lowered() -> None:
    here = machine(6)
    models = sized([known("a", SEVEN), known("b", SEVEN)], here)
    for fit in (False, True):
        with pytest.raises(ConfigError, match="replicas to 0"):
            of_processor(models, here, fit=fit)


def test_replicas_count_each() -> None:
    here = machine(12)
    with pytest.raises(ConfigError):
        of_processor(sized([known("a", SEVEN, replicas=3)], here), here, fit=True)


def test_a_tight_fit_is_a_warning() -> None:
    here = machine(24)
    models = sized([known("a", SEVEN), known("b", SEVEN)], here)
    total = sum(each.processor_bytes for each in models)
    tight = machine(total / GIB / 0.95)
    assert usable_bytes(tight.memory_bytes) < total < tight.memory_bytes - OWN_BYTES
    again = [size(each.spec, each.facts, here) for each in models]
    changes, (warning,) = of_processor(again, tight, fit=False)
    assert not changes
    assert "leaves little" in warning


def test_files_that_are_not_here_and_models_that_cannot_start_are_left_out() -> None:
    here = machine(11)
    models = [known("a", SEVEN), known("later", None), known("large", SEVEN, max_model_len=32768, max_sequences=64)]
    assert fitted(models, here, fit=False) == ({}, [])


def test_a_machine_without_memory_to_speak_of() -> None:
    assert fitted([known("a"), known("b")], machine(0), fit=True) == ({}, [])


def test_a_small_machine_keeps_room_for_the_server_itself() -> None:
    assert usable_bytes(24 * GIB) == int(24 * GIB * MEMORY_SHARE)
    assert usable_bytes(GIB) == GIB - OWN_BYTES
    assert usable_bytes(OWN_BYTES // 2) == 0
    models = sized([known("a"), known("b")], machine(0.9))
    total = sum(each.processor_bytes for each in models)
    with pytest.raises(ConfigError, match="would fit"):
        of_processor(models, machine((total + OWN_BYTES) / GIB - 0.01), fit=False)

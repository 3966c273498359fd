import numpy as np
import pytest

from moorage.errors import BadRequest
from moorage.runtimes.encoding.numbers import activated, by_type, check_dimensions, finished, unit
from moorage.runtimes.encoding.port import Profile
from moorage.wire.api.embed_v2 import EmbeddingType


def profile(**changes: object) -> Profile:
    values = {"task": "embed", "kinds": frozenset({"embed"}), "context": 8, "vocabulary": 9, "width": 4, **changes}
    return Profile(**values)  # pyright: ignore[reportArgumentType]


def test_activations_hold_at_the_ends() -> None:
    far = np.array([-1e4, -50, 0, 50, 1e4], np.float32)
    found = activated(far, "sigmoid")
    assert np.isfinite(found).all()
    assert found[2] == 0.5
    assert 0 < found[1] < 1e-20
    assert (found[0], found[4]) == (pytest.approx(0), 1)
    assert np.allclose(activated(np.array([[1e4, 0, -1e4]], np.float32), "softmax"), [[1, 0, 0]])
    assert activated(far, "identity").tolist() == far.tolist()


def test_vectors_are_shortened_and_normal() -> None:
    vector = np.array([3, 4, 12, 0], np.float32)
    assert finished(vector, None, profile()) == pytest.approx(vector / 13)
    assert finished(vector, 2, profile()).tolist() == pytest.approx([0.6, 0.8])
    assert finished(vector, 2, profile(normalized=False)).tolist() == [3, 4]
    assert unit(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_sizes_are_those_of_the_model() -> None:
    for wanted in (None, 4, 2):
        check_dimensions(wanted, profile(shorter=[2]))
    for shorter, words in (((), "cannot be shortened"), ([2, 3], "to 2, 3"), (range(1, 100), "to 1 to 99")):
        with pytest.raises(BadRequest, match=words):
            check_dimensions(1000, profile(shorter=shorter))


def test_small_kinds_of_any_vector() -> None:
    """Not a multiple of eight, not of length one, with a zero."""
    vector = np.array([30, -40, 0, 0, 0, 0, 0, 0, 0, 1e-9], np.float32)
    found = by_type([vector], ["int8", "uint8", "binary", "ubinary"])
    assert found.int8 == [[76, -102, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert found.uint8 == [[204, 26, 128, 128, 128, 128, 128, 128, 128, 128]]
    assert found.ubinary == [[0b10000000, 0b01000000]]
    assert found.binary == [[0, -64]]
    assert found.floats is found.base64 is None


def test_a_kind_asked_for_many_times_is_made_once() -> None:
    vectors = [np.ones(384, np.float32)] * 500
    kinds: list[EmbeddingType] = ["float", "base64"]
    assert by_type(vectors, kinds * 100_000) == by_type(vectors, kinds)

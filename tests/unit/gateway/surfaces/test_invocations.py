import pytest

from moorage.errors import BadRequest
from moorage.gateway.surfaces.hot import HOT
from moorage.gateway.surfaces.invocations import decide
from moorage.wire.names import Task


@pytest.mark.parametrize(
    ("names", "task", "surface"),
    [
        ("messages prompt input", None, "chat"),
        ("prompt input", None, "completions"),
        ("input", None, "embeddings"),
        ("input", "embed", "embeddings"),
        ("input", "generate", "embeddings"),
        ("input", "classify", "classify"),
        ("input", "rerank", "pooling"),
        ("input task", "embed", "pooling"),
        ("text_1 text_2", "rerank", "score"),
        ("queries documents", "embed", "score"),
        ("data_1 data_2", None, "score"),
        ("query documents top_n", "embed", "rerank"),
        ("texts", "embed", "embed"),
        ("inputs", None, "embed"),
        ("images", None, "embed"),
        ("tokens", "generate", "detokenize"),
    ],
)
def test_the_body_decides(names: str, task: Task | None, surface: str) -> None:
    assert decide([*names.split(), "model"], task).name == surface


@pytest.mark.parametrize("names", ["", "model", "text_1", "documents", "query", "queries", "data_1 text_2"])
def test_what_cannot_be_told_is_refused_with_what_could(names: str) -> None:
    with pytest.raises(BadRequest, match=r"'text_1' and 'text_2' \(score\)"):
        decide(names.split(), None)


def test_every_hot_route_is_where_engines_have_it() -> None:
    assert {path for path, surface in HOT.items() if surface.path != path} == set()
    assert {path for path, surface in HOT.items() if surface.form} == {
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
    }
    assert {path for path, surface in HOT.items() if surface.generates and not surface.streams} == set()

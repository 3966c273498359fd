import pytest

from moorage.errors import BadRequest, ModelNotFound
from moorage.gateway.table import Table, indexed
from moorage.wire.names import Task
from moorage.wire.table import ModelRow, Settings, Snapshot, TargetRow

CHAT: tuple[Task, ...] = ("generate",)


def table(**tasks: Task | None) -> Table:
    models = {
        name: ModelRow(id=name, names=(name, f"{name}-alias"), task=task, created=1) for name, task in tasks.items()
    }
    targets = {
        name: TargetRow(id=f"{name}-0", model=name, generation=1, state="ready", reason="", since=0.0) for name in tasks
    }
    return indexed(Snapshot(epoch="e", seq=1, settings=Settings(), models=models, targets=targets))


def test_the_one_model_that_fits_is_meant() -> None:
    known = table(chat="generate", vectors="embed", speech="transcribe")
    assert known.sole(CHAT).id == "chat"
    assert known.sole(("rerank", "embed")).id == "vectors"
    assert table(new=None).sole(CHAT).id == "new"


def test_of_several_none_is_guessed() -> None:
    with pytest.raises(BadRequest, match="'model' is missing; it may be 'a', 'b'"):
        table(b="generate", a="generate", c="embed").sole(CHAT)
    with pytest.raises(BadRequest, match="it may be 'ranker', 'vectors'"):
        table(vectors="embed", ranker="rerank").sole(("rerank", "embed"))


def test_where_none_fits_it_is_said() -> None:
    with pytest.raises(ModelNotFound, match="there is no model to rerank or embed here"):
        table(chat="generate").sole(("rerank", "embed"))


def test_a_view_shows_one_model_alone() -> None:
    view = table(chat="generate", vectors="embed").showing("vectors")
    assert list(view.snapshot.models) == list(view.snapshot.targets) == list(view.targets) == ["vectors"]
    assert view.model("vectors-alias").id == "vectors"
    assert view.sole(CHAT).id == "vectors"
    with pytest.raises(ModelNotFound, match="there is no model 'chat' at this port: it serves 'vectors'"):
        view.model("chat")
    gone = table(chat="generate").showing("vectors")
    with pytest.raises(ModelNotFound, match="not configured any more"):
        gone.sole(CHAT)


def test_the_only_encoder_says_what_a_bare_input_is() -> None:
    assert table(chat="generate", labels="classify").sole_task() == "classify"
    assert table(chat="generate").sole_task() is None
    assert table(a="embed", b="classify").sole_task() is None

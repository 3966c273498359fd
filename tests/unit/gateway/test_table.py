import pytest
from msgspec.structs import replace

from moorage.core.routing import key_of
from moorage.errors import BadRequest, ModelNotFound
from moorage.gateway.table import Table, indexed
from moorage.wire.names import ReplicaState, Task
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


def adapted(*served: str, state: ReplicaState = "ready") -> Table:
    base = ModelRow(id="chat", names=("chat",), task="generate", created=1)
    models = {"chat": base, "pirate": replace(base, id="pirate", names=("pirate",), parent="chat")}
    target = TargetRow(
        id="chat-0", model="chat", generation=3, state=state, reason="", since=0.0, served_name="base", seat=7,
        loras=served,
    )  # fmt: skip
    return indexed(Snapshot(epoch="e", seq=1, settings=Settings(), models=models, targets={"chat-0": target}))


def test_an_adapter_has_its_parents_replicas_under_its_own_name() -> None:
    known = adapted("pirate")
    (target,) = known.targets["pirate"]
    assert (target.served_name, target.seat, target.state, key_of(target)) == ("pirate", 7, "ready", ("chat-0", 3))
    assert known.targets["chat"][0].served_name == "base"
    assert known.sole(CHAT).id == "chat"
    view = known.showing("chat")
    assert (view.model("pirate").id, len(view.targets["pirate"])) == ("pirate", 1)


def test_a_replica_without_the_adapter_is_not_ready_for_it() -> None:
    (target,) = adapted().targets["pirate"]
    assert (target.state, target.reason) == ("starting", "its engine does not serve 'pirate' yet")
    assert adapted(state="failed").targets["pirate"][0].state == "failed"


def test_targets_follow_models_and_are_shared_where_nothing_changed() -> None:
    before = adapted("pirate")
    assert indexed(before.snapshot, before).targets is before.targets
    alone = replace(before.snapshot, models={"chat": before.snapshot.models["chat"]})
    assert list(indexed(alone, before).targets) == ["chat"]

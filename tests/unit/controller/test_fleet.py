from collections.abc import Callable

import msgspec
import pytest

from moorage.config.model import ModelSpec
from moorage.controller.fleet import LEASE_S, Fleet, slugs
from moorage.errors import BadRequest, Conflict, NotFound
from moorage.wire.control import Hello, Load, Machine, ReplicaReport, Report

MACHINE = Machine(hostname="host", cores=2, memory_bytes=1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def hello(worker: str = "w", incarnation: str = "one") -> Hello:
    return Hello(worker=worker, incarnation=incarnation, version="0", address="unix:/w", machine=MACHINE)


def model(name: str, **fields: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": name, "source": f"{name}.gguf", **fields})


def report(replica: str, **fields: object) -> Report:
    base = {"generation": 1, "state": "ready", "reason": "", "since": 1.0} | fields
    return Report(incarnation="one", replicas=(ReplicaReport(replica=replica, **base),))  # pyright: ignore[reportArgumentType]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(clock: Clock) -> Fleet:
    return Fleet(lambda: None, clock)


def states(fleet: Fleet) -> dict[str, str]:
    return {id: target.state for id, target in fleet.target_rows().items()}


def test_a_replica_waits_for_a_worker_and_then_for_its_word(fleet: Fleet) -> None:
    fleet.configure([model("m", replicas=2)], 10)
    assert states(fleet) == {"m-0": "pending", "m-1": "pending"}
    assert "no worker" in fleet.target_rows()["m-0"].reason
    fleet.hello(hello())
    assert states(fleet) == {"m-0": "scheduled", "m-1": "scheduled"}
    fleet.report("w", report("m-0", task="generate", max_model_len=512, load=Load(running=1.0)))
    assert states(fleet) == {"m-0": "ready", "m-1": "scheduled"}
    assert fleet.model_rows()["m"].task == "generate"
    assert fleet.model_rows()["m"].max_model_len == 512
    assert fleet.loads() == {"m-0": Load(running=1.0)}


def test_models_answer_to_name_aliases_and_path(fleet: Fleet) -> None:
    fleet.configure([model("m", aliases=["x", "y/z"], queue_size=3), model("n", task="embed")], 10)
    rows = fleet.model_rows()
    assert rows["m"].names == ("m", "x", "y/z", "m.gguf")
    assert (rows["m"].queue_size, rows["n"].queue_size, rows["n"].task) == (3, 10, "embed")


def test_a_silent_worker_is_unreachable_and_another_claimant_refused_until_then(fleet: Fleet, clock: Clock) -> None:
    fleet.configure([model("m")], 10)
    fleet.hello(hello())
    fleet.report("w", report("m-0"))
    with pytest.raises(Conflict, match="'w' is connected already from 'host'"):
        fleet.hello(hello(incarnation="two"))
    clock.now += LEASE_S + 1
    assert states(fleet) == {"m-0": "unreachable"}
    fleet.hello(hello(incarnation="two"))
    with pytest.raises(NotFound, match="say hello first"):
        fleet.report("w", report("m-0"))


def test_a_reload_keeps_what_did_not_change(fleet: Fleet) -> None:
    fleet.configure([model("m"), model("n")], 10)
    fleet.hello(hello())
    kept = fleet.replicas["m-0"]
    fleet.configure([model("m"), model("o")], 10)
    assert fleet.replicas["m-0"] is kept
    assert {order.replica for order in fleet.orders("w").replicas} == {"m-0", "o-0"}
    fleet.configure([model("m", options={"threads": 1})], 10)
    assert fleet.orders("w").replicas[0].model["options"]["threads"] == 1


async def test_followers_of_orders_are_told(fleet: Fleet) -> None:
    before, seq = fleet.reordered, fleet.orders("w").seq
    fleet.configure([model("m")], 10)
    assert before.is_set()
    assert not fleet.reordered.is_set()
    assert fleet.orders("w").seq > seq


def test_replica_names_are_told_apart() -> None:
    names: dict[str, Callable[[], None]] = dict.fromkeys(["Org/Model.v1", "org-model-v1", "世界"])  # pyright: ignore[reportAssignmentType]
    assert slugs(names) == {"Org/Model.v1": "org-model-v1", "org-model-v1": "org-model-v1-a", "世界": "model"}


def test_adapters_are_models_with_their_parents_bounds(fleet: Fleet) -> None:
    fleet.configure([model("chat", max_output_tokens=9, options={"lora": {"pirate": "/a"}}), model("other")], 5)
    fleet.hello(hello())
    fleet.report("w", report("chat-0", task="generate", max_model_len=128, loras=("pirate",)))
    rows = fleet.model_rows()
    assert list(rows) == ["chat", "pirate", "other"]
    pirate = rows["pirate"]
    assert (pirate.parent, pirate.names, pirate.task, pirate.max_model_len) == ("chat", ("pirate",), "generate", 128)
    assert pirate.max_output_tokens == 9
    assert rows["chat"].parent == ""
    assert fleet.target_rows()["chat-0"].loras == ("pirate",)
    assert len(fleet.target_rows()) == 2


def test_no_more_replicas_than_there_is_memory_for(fleet: Fleet) -> None:
    gib = 1 << 30
    fleet.configure([model("m"), model("n")], 10)
    large = msgspec.structs.replace(hello(), machine=Machine(hostname="host", cores=2, memory_bytes=10 * gib))
    fleet.hello(large)
    fleet.scale("m", 2)
    assert len(fleet.orders("w").replicas) == 3, "nothing is known of it yet"
    reports = [*report("m-0", memory_bytes=2 * gib).replicas, *report("n-0", memory_bytes=gib).replicas]
    fleet.report("w", Report(incarnation="one", replicas=tuple(reports)))
    with pytest.raises(BadRequest, match=r"64 replicas of 'm' need about 128\.0 GB of memory, and there is room for 4"):
        fleet.scale("m", 64)
    assert len(fleet.orders("w").replicas) == 3
    fleet.scale("m", 4)
    assert len(fleet.orders("w").replicas) == 5
    fleet.report("w", Report(incarnation="one", replicas=(*reports[:1], *report("n-0", memory_bytes=7 * gib).replicas)))
    fleet.scale("m", 3)
    with pytest.raises(BadRequest, match="room for 1"):
        fleet.scale("m", 4)

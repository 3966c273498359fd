"""What should run and what does: the models wanted, the workers that joined, and where each replica is."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from moorage.config.model import ModelSpec
from moorage.core.memory import usable_bytes
from moorage.core.placement import Candidate, place
from moorage.core.text import human
from moorage.errors import BadRequest, Conflict, NotFound
from moorage.wire.control import Hello, Load, Orders, ReplicaOrder, ReplicaReport, Report
from moorage.wire.names import Task
from moorage.wire.table import ModelRow, TargetRow

REPLICAS_MAX = 64
LEASE_S = 5.0
"""A worker silent for so long is unreachable."""


@dataclass
class WorkerRecord:
    hello: Hello
    seen: float
    """Monotonic time of its last word."""
    reports: Mapping[str, ReplicaReport] = field(default_factory=dict[str, ReplicaReport])


@dataclass
class ReplicaRecord:
    """A replica that is wanted, and what became of the wish."""

    id: str
    model: ModelSpec
    seat: int
    worker: str | None = None
    reason: str = "waiting to be placed"
    since: float = field(default_factory=time.time)


class Fleet:
    """Bookkeeping, no I/O. `changed` is called after every change of orders."""

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = changed
        self._clock = clock
        self._created = int(time.time())
        self._queue_size = 0
        self.models: dict[str, ModelSpec] = {}
        self.replicas: dict[str, ReplicaRecord] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self._scaled: dict[str, int] = {}
        """Replicas wanted at run time instead of those configured, by model."""
        self._orders_seq = 0
        self._seat = 0
        self.reordered = asyncio.Event()
        """Set, and replaced by a fresh one, when orders may have changed."""

    def configure(self, models: Sequence[ModelSpec], queue_size: int) -> None:
        """Want these models and no others. Replicas of an unchanged model are left alone, and stay as many as they
        were scaled to until the configuration itself says another number.
        """
        before, self.models = self.models, {model.name: model for model in models}
        self._queue_size = queue_size
        for name in list(self._scaled):
            if name not in self.models or self.models[name].replicas != before[name].replicas:
                del self._scaled[name]
        self._want()

    def scale(self, model: str, replicas: int) -> None:
        """Want another number of replicas. Raises NotFound, or BadRequest for more than there is memory for."""
        if model not in self.models:
            raise NotFound(f"there is no model {model!r}")
        now = sum(replica.model.name == model for replica in self.replicas.values())
        each, most = self._room(model)
        if replicas > now and replicas > most:
            raise BadRequest(
                f"{replicas} replicas of {model!r} need about {human(each * replicas)} of memory, and there is room "
                f"for {most}: ask for no more, or lower its options.max_sequences or options.max_model_len",
                param="new_data_parallel_size",
                code="insufficient_memory",
            )
        self._scaled[model] = replicas
        self._want()

    def scaling(self, model: str) -> list[TargetRow]:
        """The replicas of a model that are wanted and not ready. Raises NotFound."""
        if model not in self.models:
            raise NotFound(f"there is no model {model!r}")
        rows = [self.target_row(replica) for replica in self.replicas.values() if replica.model.name == model]
        return [row for row in rows if row.state != "ready"]

    def _room(self, model: str) -> tuple[int, int]:
        """What a replica takes of a machine's memory, and how many there may be beside the other models.

        Known from replicas that run, or have run; where none has yet, each worker refuses what is too much for it.
        """
        reports = [report for record in self.workers.values() for report in record.reports.values()]
        own = {replica.id for replica in self.replicas.values() if replica.model.name == model}
        each = max((report.memory_bytes for report in reports if report.replica in own), default=0)
        if not each:
            return 0, REPLICAS_MAX
        room = 0
        for record in self.workers.values():
            others = sum(report.memory_bytes for id, report in record.reports.items() if id not in own)
            room += max(0, usable_bytes(record.hello.machine.memory_bytes) - others) // each
        return each, room

    def _want(self) -> None:
        wanted: dict[str, ReplicaRecord] = {}
        for name, slug in slugs(self.models).items():
            for number in range(self._scaled.get(name, self.models[name].replicas)):
                id = f"{slug}-{number}"
                old = self.replicas.get(id)
                if old is not None and old.model.name == name:
                    old.model = self.models[name]
                    wanted[id] = old
                else:
                    self._seat += 1
                    wanted[id] = ReplicaRecord(id, self.models[name], self._seat)
        self.replicas = wanted
        self._place()

    def hello(self, hello: Hello) -> None:
        """A worker joins or comes back. Raises Conflict while another incarnation of it is alive."""
        known = self.workers.get(hello.worker)
        if known is not None and known.hello.incarnation != hello.incarnation and self._reachable(known):
            raise Conflict(
                f"a worker {hello.worker!r} is connected already from {known.hello.machine.hostname!r}; "
                "give this one another id, or stop the other"
            )
        self.workers[hello.worker] = WorkerRecord(hello, self._clock(), known.reports if known else {})
        self._place()

    def report(self, worker: str, report: Report) -> None:
        """What a worker says of its replicas. Raises NotFound when it must say hello (again)."""
        record = self.worker(worker, report.incarnation)
        record.seen = self._clock()
        record.reports = {replica.replica: replica for replica in report.replicas}
        if any(replica.worker is None for replica in self.replicas.values()):
            self._place()

    def worker(self, id: str, incarnation: str) -> WorkerRecord:
        record = self.workers.get(id)
        if record is None or record.hello.incarnation != incarnation:
            raise NotFound(f"worker {id!r} is not known here; say hello first", code="unknown_worker")
        return record

    def orders(self, worker: str) -> Orders:
        """All that `worker` should run."""
        mine = [replica for replica in self.replicas.values() if replica.worker == worker]
        return Orders(
            seq=self._orders_seq,
            replicas=tuple(_order(replica) for replica in mine),
        )

    def report_of(self, replica: ReplicaRecord) -> ReplicaReport | None:
        record = self.workers.get(replica.worker) if replica.worker else None
        return record.reports.get(replica.id) if record else None

    def model_rows(self) -> dict[str, ModelRow]:
        """The models, each with its LoRA adapters behind it."""
        rows = [self._model_row(model) for model in self.models.values()]
        return {each.id: each for row in rows for each in (row, *self._lora_rows(row))}

    def target_rows(self) -> dict[str, TargetRow]:
        return {replica.id: self.target_row(replica) for replica in self.replicas.values()}

    def loads(self) -> dict[str, Load]:
        reports = {id: self.report_of(replica) for id, replica in self.replicas.items()}
        return {id: report.load for id, report in reports.items() if report is not None and report.load != Load()}

    def worker_state(self, record: WorkerRecord) -> str:
        return "ready" if self._reachable(record) else "unreachable"

    def seen_s(self, record: WorkerRecord) -> float:
        return self._clock() - record.seen

    def _reachable(self, record: WorkerRecord) -> bool:
        return self._clock() - record.seen < LEASE_S

    def _place(self) -> None:
        for replica in self.replicas.values():
            if replica.worker is None:
                taken = [other.worker for other in self.replicas.values()]
                placement = place(
                    Candidate(worker=id, reachable=self._reachable(record), replicas=taken.count(id))
                    for id, record in self.workers.items()
                )
                replica.worker, replica.reason, replica.since = placement.worker, placement.why, time.time()
        self._orders_seq += 1
        self.reordered.set()
        self.reordered = asyncio.Event()
        self._changed()

    def _model_row(self, model: ModelSpec) -> ModelRow:
        reports = [self.report_of(r) for r in self.replicas.values() if r.model.name == model.name]
        known = [report for report in reports if report is not None]
        task: Task | None = next((report.task for report in known if report.task), None)
        if model.task != "auto":
            task = model.task
        lengths = [report.max_model_len for report in known if report.max_model_len]
        # Where a server elsewhere answers, the source is a name of its own, not ours.
        sources: tuple[str, ...] = () if model.url else (model.source,)
        names = dict.fromkeys((model.name, *model.aliases, *sources))
        return ModelRow(
            id=model.name,
            names=tuple(names),
            task=task,
            created=self._created,
            max_model_len=min(lengths, default=model.options.max_model_len),
            max_output_tokens=model.max_output_tokens,
            queue_size=self._queue_size if model.queue_size is None else model.queue_size,
        )

    def _lora_rows(self, parent: ModelRow) -> list[ModelRow]:
        """LoRA adapters are models of their own, with all that holds for the model they change."""
        names = self.models[parent.id].options.lora
        return [replace(parent, id=name, names=(name,), parent=parent.id) for name in names]

    def target_row(self, replica: ReplicaRecord) -> TargetRow:
        model = replica.model.name
        record = self.workers.get(replica.worker) if replica.worker else None
        if record is None:
            return TargetRow(
                id=replica.id, model=model, generation=0, state="pending", reason=replica.reason, since=replica.since
            )
        report = record.reports.get(replica.id)
        if report is None:
            return TargetRow(
                id=replica.id, model=model, generation=0, state="scheduled", reason=replica.reason,
                since=replica.since, worker=record.hello.worker,
            )  # fmt: skip
        state, reason = report.state, report.reason
        if not self._reachable(record):
            state, reason = "unreachable", f"worker {record.hello.worker!r} has been silent for more than {LEASE_S:g} s"
        return TargetRow(
            id=replica.id,
            model=model,
            generation=report.generation,
            state=state,
            reason=reason,
            since=report.since,
            worker=record.hello.worker,
            engine=report.engine,
            address=report.address,
            token=report.token,
            served_name=report.served_name,
            loras=report.loras,
            capacity=report.capacity,
            seat=replica.seat,
            cancels_unary=report.cancels_unary,
            echoes_model=report.echoes_model,
            manners=report.manners,
            retry_at=report.retry_at,
            restarts=report.restarts,
        )


def _order(replica: ReplicaRecord) -> ReplicaOrder:
    model, key = replica.model, replica.model.api_key
    return ReplicaOrder(
        replica=replica.id,
        model=model.model_dump(mode="json"),
        api_key=key.get_secret_value() if key else "",
    )


def slugs(names: Mapping[str, object]) -> dict[str, str]:
    """A short name fit for files and labels for every model name, told apart where two come out alike."""
    result: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
        number, unique = 2, slug
        while unique in result.values():
            unique, number = f"{slug}-{chr(95 + number)}", number + 1
        result[name] = unique
    return result

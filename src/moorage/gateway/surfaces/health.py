"""Is it alive, is it ready, what is it: for probes, load balancers and people."""

from msgspec import UNSET

from moorage.gateway.table import Table
from moorage.wire.api.health import Health, ModelHealth, Readiness

_SETTLED = ("ready", "stopped")


def health(table: Table, *, reasons: bool) -> Health:
    """`GET /health`: always 200 while the gateway lives; the body tells how its models fare.

    `reasons` may quote paths and an engine's log: they are for callers who may use the models.
    """
    models = {id: model_health(table, id, reasons=reasons) for id in sorted(table.snapshot.models)}
    healthy = all(model.state in _SETTLED for model in models.values())
    return Health(status="healthy" if healthy else "degraded", models=models)


def ready(table: Table) -> tuple[int, Readiness]:
    """`GET /ready`: 200 once every model that should run has a ready replica. No models is ready too."""
    models = tuple(sorted(table.snapshot.models))
    waiting = tuple(id for id in models if model_health(table, id).state not in _SETTLED)
    known = table.snapshot.epoch != ""
    if known and not waiting:
        return 200, Readiness(status="ready", models=models)
    return 503, Readiness(status="not ready", models=models, waiting_for=waiting or UNSET)


def model_health(table: Table, id: str, *, reasons: bool = False) -> ModelHealth:
    """ready when any replica is, otherwise the state of the one furthest along, with its reason."""
    targets = table.targets.get(id, ())
    if not targets:
        reason = "no replica is wanted" if reasons else UNSET
        return ModelHealth(state="stopped", reason=reason, ready=0, replicas=0)
    order = ("ready", "draining", "starting", "downloading", "scheduled", "pending", "unreachable", "failed", "stopped")
    best = min(targets, key=lambda target: order.index(target.state))
    number_ready = sum(target.state == "ready" for target in targets)
    reason = best.reason if reasons else UNSET
    return ModelHealth(state=best.state, reason=reason, ready=number_ready, replicas=len(targets))

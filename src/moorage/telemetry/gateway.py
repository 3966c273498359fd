"""A gateway's metrics, with labels bound once: observing a call costs a few attribute look-ups."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5)


@dataclass(frozen=True, slots=True)
class _Bound:
    """One model's and surface's children of the metrics."""

    seconds: Histogram
    first_token: Histogram
    per_token: Histogram
    queued: Histogram
    prompt: Counter
    completion: Counter
    cached: Counter


class GatewayMetrics:
    """What a gateway counts. Names are stable; docs/reference/metrics.md is made from them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        labels = ("model", "surface")
        self._requests = Counter(
            "moorage_requests", "Calls ended, by HTTP status (499: the client left).", (*labels, "status"),
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "moorage_request_seconds", "Time from a call's arrival to its end.", labels, buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self._first_token = Histogram(
            "moorage_time_to_first_token_seconds", "Time from a streamed call's arrival to its first event.", labels,
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._per_token = Histogram(
            "moorage_time_per_output_token_seconds", "Mean time between the tokens of one streamed call.", labels,
            buckets=TOKEN_SECONDS, registry=registry,
        )  # fmt: skip
        self._queued = Histogram(
            "moorage_queue_seconds", "Time a call waited for a seat at an engine.", labels, buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "moorage_tokens", "Tokens, by kind: prompt, completion, cached (part of prompt).", (*labels, "kind"),
            registry=registry,
        )  # fmt: skip
        self._cancelled = Counter(
            "moorage_cancellations", "Clients that left, by the phase their call was in.", ("model", "phase"),
            registry=registry,
        )  # fmt: skip
        self._retries = Counter(
            "moorage_retries", "Attempts that failed before the first byte and were made again, by error.",
            ("model", "error"), registry=registry,
        )  # fmt: skip
        self._broken = Counter(
            "moorage_broken_streams", "Streams that ended in an error event.", ("model",), registry=registry
        )
        self.in_flight = Gauge("moorage_requests_in_flight", "Calls being answered.", registry=registry)
        self.waiting = Gauge("moorage_queue_waiting", "Calls waiting for a seat.", ("model",), registry=registry)
        self.table_age = Gauge("moorage_table_age_seconds", "Time since the controller's last word.", registry=registry)
        self._bound: dict[tuple[str, str], _Bound] = {}

    def observe(
        self, *, model: str, surface: str, status: int, outcome: str, phase: str, elapsed_s: float, queued_s: float,
        first_token_s: float | None, prompt_tokens: int, completion_tokens: int, cached_tokens: int,
    ) -> None:  # fmt: skip
        bound = self._bound.get((model, surface)) or self._bind(model, surface)
        self._requests.labels(model, surface, str(status)).inc()
        bound.seconds.observe(elapsed_s)
        if first_token_s is not None:
            bound.first_token.observe(first_token_s)
            if completion_tokens > 1:
                bound.per_token.observe((elapsed_s - first_token_s) / (completion_tokens - 1))
        if queued_s > 0.001:
            bound.queued.observe(queued_s)
        bound.prompt.inc(prompt_tokens)
        bound.completion.inc(completion_tokens)
        bound.cached.inc(cached_tokens)
        if outcome == "cancelled":
            self._cancelled.labels(model, phase).inc()
        elif outcome == "broken":
            self._broken.labels(model).inc()

    def retried(self, model: str, error: str) -> None:
        self._retries.labels(model, error).inc()

    def _bind(self, model: str, surface: str) -> _Bound:
        bound = _Bound(
            seconds=self._seconds.labels(model, surface),
            first_token=self._first_token.labels(model, surface),
            per_token=self._per_token.labels(model, surface),
            queued=self._queued.labels(model, surface),
            prompt=self._tokens.labels(model, surface, "prompt"),
            completion=self._tokens.labels(model, surface, "completion"),
            cached=self._tokens.labels(model, surface, "cached"),
        )
        self._bound[(model, surface)] = bound
        return bound

"""The end of every call: metrics and one line in the log, whatever became of it."""

from moorage.errors import MoorageError
from moorage.gateway.call import Call
from moorage.gateway.exchange import Exchange
from moorage.telemetry.gateway import GatewayMetrics
from moorage.telemetry.requests import RequestLine, RequestLog

ASKED_SHOWN = 100
"""Characters of an unknown model's name that the log keeps: a client may send megabytes."""


class Settler:
    """Counts calls in and out. `settle` runs for every call that began: finished, failed, cancelled, broken."""

    def __init__(self, metrics: GatewayMetrics, lines: RequestLog) -> None:
        self._metrics = metrics
        self._lines = lines
        self.in_flight = 0

    def begin(self, call: Call) -> None:
        self.in_flight += 1

    def retried(self, call: Call, error: MoorageError) -> None:
        self._metrics.retried(call.model.id if call.model else "", error.error_code)

    def settle(self, call: Call, exchange: Exchange) -> None:
        self.in_flight -= 1
        usage = call.usage
        elapsed_s = call.elapsed_s()
        prompt = usage.read_tokens if usage else 0
        completion, counted = _completion_tokens(call)
        status = 499 if call.outcome == "cancelled" else exchange.status
        self._metrics.observe(
            model=call.model.id if call.model else "",
            surface=call.surface.name,
            status=status,
            outcome=call.outcome,
            phase=call.phase,
            elapsed_s=elapsed_s,
            queued_s=call.queued_s,
            first_token_s=call.first_token_s,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=usage.cached_tokens if usage else 0,
        )
        self._lines.write(
            RequestLine(
                id=call.id,
                surface=call.surface.name,
                status=status,
                outcome=call.outcome,
                error=call.error,
                phase="" if call.outcome == "ok" else call.phase,
                model=call.model.id if call.model else call.asked[:ASKED_SHOWN],
                target=call.target.id if call.target else "",
                principal=call.principal.name if call.principal else "",
                stream=call.stream,
                attempts=call.attempts,
                elapsed_s=round(elapsed_s, 4),
                queued_s=round(call.queued_s, 4),
                first_token_s=None if call.first_token_s is None else round(call.first_token_s, 4),
                prompt_tokens=prompt,
                completion_tokens=completion,
                counted=counted,
            )
        )


def _completion_tokens(call: Call) -> tuple[int, bool]:
    """Tokens of the reply, and whether they were counted here.

    What the engine says is checked against what was relayed: an event carries a token, seldom more, and a few events
    carry none (the opening and closing ones of each choice). No usage, or one that claims less than half of that, is
    not believed. An event of a surface that does not generate may carry anything: nothing is counted there.
    """
    said = call.usage.written_tokens if call.usage else 0
    if not call.surface.generates or (call.usage is not None and call.chunks <= 2 * said + 16):
        return said, False
    return call.chunks, call.chunks > 0

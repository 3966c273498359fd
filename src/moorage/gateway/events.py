"""The events of one engine's stream: read and edited on their way to the client."""

from moorage.errors import BadRequest, UpstreamBroken, UpstreamError
from moorage.gateway.call import Call
from moorage.gateway.refusal import message_of
from moorage.gateway.usage import usage_of
from moorage.wire import body, sse
from moorage.wire.table import TargetRow

FINISH = b'"finish_reason":"'


class Events:
    """Pieces of the stream go in, what the client gets comes out; `done` once the stream has said that it is."""

    def __init__(self, call: Call, target: TargetRow) -> None:
        self._call = call
        # An engine's own name for the model needs no other in its place where it was asked for by it.
        self._echoes_model = (target.echoes_model or call.asked == target.served_name) and target.manners.says_done
        self._splitter = sse.EventSplitter()
        self.done = False
        self.finished = False
        """A reason was given why the reply ends: all there is to go by where an engine does not say that it is done."""

    def feed(self, chunk: bytes) -> tuple[bytes, UpstreamError | None]:
        """What of these events the client gets, and the failure that cuts them short."""
        if self._splitter.between and (whole := self._plain(chunk)) is not None:
            return whole, None
        kept: list[bytes] = []
        try:
            for event in self._splitter.feed(chunk):
                edited = self._edited(event)
                if edited is not None:
                    kept.append(edited)
        except UpstreamError as error:
            return b"".join(kept), error
        return b"".join(kept), None

    def _plain(self, chunk: bytes) -> bytes | None:
        """What the client gets of a chunk of whole events that hold nothing to read or edit: most chunks are such.

        A quote inside a JSON string is escaped, so these byte sequences are never a client's text.
        """
        if not self._echoes_model or not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        if b"[DONE]" in chunk or b'"error"' in chunk or b'"prompt_progress"' in chunk:
            return None
        if usages := chunk.count(b'"usage"'):
            if usages != chunk.count(b',"usage":null'):
                return None
            if not self._call.wants_usage:
                chunk = chunk.replace(b',"usage":null', b"")
        self._call.chunks += chunk.count(b"\n\n")
        return chunk

    def _edited(self, event: bytes) -> bytes | None:
        """The event as the client gets it; None for one it did not ask for."""
        call = self._call
        if event == sse.DONE or (b"[DONE]" in event and sse.data_of(event) == b"[DONE]"):
            self.done = True
            return sse.DONE
        raise_error(event)
        self.finished = self.finished or FINISH in event
        if b'"usage"' not in event and self._echoes_model and b'"prompt_progress"' not in event:
            call.chunks += 1
            return event
        data = sse.data_of(event)
        if data is None:
            return event
        if silent(data):
            return None
        try:
            fields = body.parse(data)
        except BadRequest as error:
            raise UpstreamBroken("the engine sent an event that is not a JSON object") from error
        usage = usage_of(fields)
        if not call.wants_usage:
            fields.pop("usage", None)
        if usage is not None:
            call.usage = usage
            if not call.wants_usage and bytes(fields.get("choices", b"")).strip() == b"[]":
                return None
        else:
            call.chunks += 1
        if not self._echoes_model and "model" in fields:
            fields["model"] = body.value(call.asked)
        return sse.event(body.join(fields))


def silent(data: bytes) -> bool:
    """Whether an event is nothing for clients: how far a prompt is read, which only keeps an engine looking after its
    client (`Manners.adds`), or the null with which llama-server begins the streams of several prompts."""
    if b'"prompt_progress"' not in data:
        return data == b"null"
    try:
        return "prompt_progress" in body.parse(data)
    except BadRequest:
        return False  # whoever reads it next says so


def raise_error(event: bytes) -> None:
    """Raises UpstreamError for an event in which an engine reports that it failed."""
    if b'"error"' not in event:
        return
    data = sse.data_of(event)
    if data is None:
        return
    try:
        fields = body.parse(data)
    except BadRequest:
        return
    if "error" in fields and "choices" not in fields:
        raise UpstreamError(message_of(data) or "the engine reported an error in its stream")

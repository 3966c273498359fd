"""The grammar of a client's schema, or why there is none."""

from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.openvino.grammar.ebnf import ebnf
from moorage.runtimes.openvino.grammar.notation import Unfit


def grammar(schema: dict[str, Any], param: str) -> str:
    """Raises BadRequest."""
    try:
        return ebnf(schema)
    except Unfit as error:
        reason = str(error)
    except RecursionError:
        reason = "it is nested too deeply, or leads around in a circle"
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        reason = f"it is no JSON schema ({error})"
    raise BadRequest(f"{param} cannot be turned into a grammar: {reason}", param=param, code="invalid_schema")

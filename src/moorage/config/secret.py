"""Keys."""

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr


def _sendable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{1,1000}", secret.get_secret_value()):
        raise ValueError("a key is 1 to 1000 printable ASCII characters without spaces")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_sendable)]
"""What an HTTP header can carry."""

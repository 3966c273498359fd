"""API keys: kept as HMAC-SHA-256 under a server's pepper, found by digest.

Keys we make are 256 random bits, so a fast keyed hash is as strong as a slow one and costs a call a microsecond.
"""

import hmac
import secrets
from collections.abc import Iterable

PREFIX = "mk-"


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def new_pepper() -> str:
    return secrets.token_hex(32)


def digest(pepper: str, key: str) -> str:
    """Hexadecimal. Finding a key is a dict lookup of its digest: what leaks by timing is the digest, not the key."""
    return hmac.digest(bytes.fromhex(pepper), key.encode(), "sha256").hex()


def carries(headers: Iterable[tuple[bytes, bytes]], token: str) -> bool:
    """Whether a call presents the one token that is wanted. The time it takes tells nothing of the token."""
    return hmac.compare_digest((presented(headers) or "").encode(), token.encode())


def presented(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key a call carries: `Authorization: Bearer`, `x-api-key` or `api-key`; None where it carries none."""
    for name, content in headers:
        if name == b"authorization":
            scheme, _, credential = content.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and credential.strip():
                return credential.strip()
        elif name in (b"x-api-key", b"api-key"):
            return content.decode("latin-1").strip() or None
    return None

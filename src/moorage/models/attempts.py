"""Trying again: what a failed exchange means, how often it is repeated, how long is waited before."""

import asyncio
import logging
import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp

from moorage.errors import ModelError
from moorage.models import web
from moorage.models.source import public

UNREACHABLE = "source_unreachable"
"""Code of the ModelError that says: this client may not or cannot get there; another one might."""

log = logging.getLogger(__name__)

_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a download puts up with a bad connection."""

    connect_s: float = 15.0
    stall_s: float = 60.0
    """Longest silence of a server that still owes bytes."""
    attempts: int = 5
    """Failures in a row, without new bytes between them, before giving up."""
    backoff_s: float = 1.0
    """Wait before the second attempt; doubles each time."""
    max_wait_s: float = 120.0
    """Longest Retry-After that is waited for."""


class Retry(Exception):
    """This attempt failed in a way that the next may not."""

    def __init__(self, why: str, *, wait_s: float | None = None, code: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s
        self.code = code


class Attempts:
    """The failures in a row at one URL."""

    def __init__(self, url: str, patience: Patience) -> None:
        self._url = url
        self._patience = patience
        self._failures = 0

    async def failed(self, error: Retry, *, fresh: bool = False, kept: bool = False) -> None:
        """Wait for the next attempt. `fresh`: new bytes came, so the count starts again; `kept`: a part is on disk.

        Raises ModelError when there is no patience left.
        """
        self._failures = 1 if fresh else self._failures + 1
        patience, wait_s = self._patience, self._wait_s(error)
        if self._failures >= patience.attempts or wait_s > patience.max_wait_s:
            later = f"; it asks to come back in {wait_s:.0f} s" if error.wait_s else ""
            stays = "; what is here is kept, try again to go on from there" if kept else ""
            raise ModelError(
                f"cannot fetch {public(self._url)}: {error.why} (tried {self._failures} times){later}{stays}",
                code=error.code,
            ) from error
        log.info("%s: %s; trying again in %.0f s", public(self._url), error.why, wait_s)
        await asyncio.sleep(wait_s)

    def _wait_s(self, error: Retry) -> float:
        if error.wait_s is not None:
            return error.wait_s
        return min(self._patience.backoff_s * 2 ** (self._failures - 1), 30.0) * random.uniform(0.75, 1.25)


@contextmanager
def exchange(url: str, patience: Patience) -> Generator[None]:
    """Turn what goes wrong on the way to a server into Retry, or into ModelError where the next try fares no better."""
    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        raise ModelError(
            f"the proxy refused {public(url)}: {error.status} {error.message}", code=UNREACHABLE
        ) from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise ModelError(
            f"cannot trust the server of {public(url)}: {error}; "
            "name your certificate authority's file in SSL_CERT_FILE",
            code=UNREACHABLE,
        ) from error
    except aiohttp.InvalidURL as error:
        raise ModelError(f"{public(url)!r} is not a URL: {error}") from error
    except aiohttp.ConnectionTimeoutError as error:
        raise Retry(f"no connection within {patience.connect_s:g} s", code=UNREACHABLE) from error
    except TimeoutError as error:
        raise Retry(f"the server was silent for {patience.stall_s:g} s", code=UNREACHABLE) from error
    except aiohttp.ClientConnectorError as error:
        raise Retry(f"no connection: {error}", code=UNREACHABLE) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise Retry(f"the connection broke: {error or type(error).__name__}") from error


def refusal(url: str, response: aiohttp.ClientResponse) -> Exception:
    """What an answer other than the content means: Retry or ModelError."""
    status = response.status
    name = f"{status} {response.reason or ''}".strip()
    if status in _RETRIED:
        code = UNREACHABLE if status == 429 or status >= 500 else None
        return Retry(f"the server answers {name}", wait_s=web.retry_after_s(response.headers), code=code)
    where = public(url)
    match status:
        case 401 | 403 | 407:
            why = f"{where} is not open to this machine ({name}); put the credentials into ~/.netrc or the URL"
            return ModelError(why, code=UNREACHABLE)
        case 404 | 410:
            return ModelError(f"{where} does not exist ({name}); check the address")
        case _:
            return ModelError(f"cannot fetch {where}: the server answers {name}")

"""The world outside: proxies, the model hub, the package index, the time there. None of it is needed to serve."""

import ast
import http.client
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
    url2pathname,
)

from moorage import __version__
from moorage.environments.bounded import Outcome, run, together
from moorage.errors import ModelError
from moorage.serve.doctor import proxies
from moorage.serve.doctor.findings import Finding, Scope
from moorage.serve.doctor.secrets import masked

HUB = "https://huggingface.co"
ANSWER_S = 2.5
BEHIND_A_PROXY = "behind a proxy: export https_proxy=http://HOST:PORT"
SKEW_S = 120.0
"""More than that, and certificates and signed links may be refused."""

PIP_SECTIONS: Mapping[str, int] = {"global": 0, "install": 1, "download": 1, ":env:": 2}
"""Whose settings win over whose."""

_SETTING = re.compile(r"(?P<section>\S+?)\.(?P<name>[a-z-]+)=(?P<value>['\"].*)")


def examine(scope: Scope) -> Iterator[Finding]:
    yield from proxies.examine(scope.environ)
    if scope.offline:
        return
    pip = pip_settings(run((sys.executable, "-P", "-m", "pip", "config", "list"), scope.patience_s / 2, scope.environ))
    hub = scope.environ.get("HF_ENDPOINT") or HUB
    urls = [hub, *(url for url in pip.indexes if not url.startswith("file:"))]
    answers = _ask_all(urls, pip.certificates, scope)
    yield _hub(hub, answers[hub], mirrored=hub != HUB)
    yield from _indexes(pip, answers)
    skews = [answer.skew_s for answer in answers.values() if answer.skew_s is not None]
    if skews:
        yield _time(min(skews, key=abs))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said, or why it said nothing."""

    status: int | None = None
    elapsed_s: float = 0.0
    error: str = ""
    fix: str = ""
    skew_s: float | None = None
    """How far our clock is ahead of the server's."""

    @property
    def good(self) -> bool:
        """A refusal is an answer too: the way there is open."""
        return self.status is not None and self.status < 500 and self.status != 407

    def facts(self, url: str) -> dict[str, object]:
        elapsed_s = round(self.elapsed_s, 3)
        return {"url": masked(url), "status": self.status, "elapsed_s": elapsed_s, "error": self.error or None}


@dataclass(frozen=True, kw_only=True)
class PipSettings:
    indexes: tuple[str, ...]
    links: tuple[str, ...] = ()
    """Folders and pages of wheels."""
    certificates: str = ""


def default_index() -> str:
    """Where pip asks when nobody says otherwise, in its own words."""
    from pip._internal.models.index import PyPI

    return PyPI.simple_url


def pip_settings(told: Outcome) -> PipSettings:
    """What `pip config list` says."""
    found: dict[str, tuple[int, str]] = {}
    for line in told.out.splitlines():
        if not (match := _SETTING.fullmatch(line.strip())):
            continue
        rank = PIP_SECTIONS.get(match["section"], -1)
        if rank < found.get(match["name"], (0, ""))[0]:
            continue
        try:
            found[match["name"]] = rank, str(ast.literal_eval(match["value"]))
        except (ValueError, SyntaxError):
            continue
    values = {name: value for name, (_, value) in found.items()}
    indexes = [values.get("index-url") or default_index(), *values.get("extra-index-url", "").split()]
    if values.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        indexes = []
    return PipSettings(
        indexes=tuple(dict.fromkeys(url.rstrip("/") for url in indexes)),
        links=tuple(values.get("find-links", "").split()),
        certificates=values.get("cert", ""),
    )


def _ask_all(urls: list[str], certificates: str, scope: Scope) -> dict[str, Answer]:
    jobs = [partial(ask, url, scope.environ, certificates, ANSWER_S) for url in urls]
    late = Answer(error=f"no answer within {ANSWER_S:g} s")
    return {url: answer or late for url, answer in zip(urls, together(jobs, ANSWER_S + 0.3), strict=True)}


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an answer; where it leads is not asked."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> None:
        return None


def ask(url: str, environ: Mapping[str, str], certificates: str, timeout_s: float) -> Answer:
    """HEAD of `url`, through the proxy the environment names, without any login. Does not raise."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return Answer(error=f"{masked(url)!r} is no address")
    if parts.scheme not in ("http", "https") or not host:
        return Answer(error=f"{masked(url)!r} is no address")
    via = _proxy(parts.scheme, host, environ)
    if via and proxies.wrong(via):
        return Answer(error="the proxy of the environment is no address", fix="see the proxies above")
    plain = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}{parts.path or '/'}"
    began = time.monotonic()
    try:
        opener = _opener(parts.scheme, via, certificates)
        request = Request(plain, method="HEAD", headers={"User-Agent": f"moorage/{__version__}"})
        with opener.open(request, timeout=timeout_s) as reply:
            status, date = reply.status, reply.headers.get("Date")
    except HTTPError as error:
        with error:
            status, date = error.code, error.headers.get("Date")
    except (OSError, ValueError, http.client.HTTPException, ModelError) as error:
        words, fix = _reason(error, timeout_s)
        return Answer(error=words, fix=fix, elapsed_s=time.monotonic() - began)
    return Answer(status=status, elapsed_s=time.monotonic() - began, skew_s=_skew(date))


def _proxy(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """Through which proxy calls to `host` go; empty for none."""
    if proxies.bypassed(host, proxies.variable(environ, "no")[1]):
        return ""
    return proxies.variable(environ, scheme)[1] or proxies.variable(environ, "all")[1]


def _opener(scheme: str, via: str, certificates: str) -> OpenerDirector:
    from moorage.models.web import tls_context

    handlers: list[ProxyHandler | HTTPSHandler | HTTPRedirectHandler] = [
        ProxyHandler({scheme: via} if via else {}),
        _NoRedirect(),
    ]
    if scheme == "https":
        context = tls_context()
        if certificates and Path(certificates).is_file():
            context.load_verify_locations(cafile=certificates)
        handlers.append(HTTPSHandler(context=context))
    return build_opener(*handlers)


def _reason(error: Exception, timeout_s: float) -> tuple[str, str]:
    """Why nothing came, in words, and what to do."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {cause.verify_message}",
            "export SSL_CERT_FILE=/path/to/your-authority.pem",
        )
    if isinstance(cause, socket.gaierror):
        return (
            "its name cannot be resolved",
            BEHIND_A_PROXY,
        )
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout_s:g} s", BEHIND_A_PROXY
    if isinstance(cause, ConnectionRefusedError):
        return "it refuses the connection", ""
    if "407" in str(cause):
        return "the proxy wants a login", "export https_proxy=http://USER:PASSWORD@HOST:PORT"
    return (cause.strerror if isinstance(cause, OSError) and cause.strerror else "") or str(cause) or repr(cause), ""


def _skew(date: str | None) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None


def _hub(url: str, answer: Answer, *, mirrored: bool) -> Finding:
    name = f"Hugging Face ({masked(url)})" if mirrored else "Hugging Face"
    facts = answer.facts(url)
    if answer.good:
        what, detail = f"{name} answers", f"in {answer.elapsed_s:.1f} s"
        return Finding(id="network.hub", level="ok", what=what, detail=detail, subject=masked(url), facts=facts)
    why = answer.error or f"it answers {answer.status}"
    return Finding(
        id="network.hub",
        level="note",
        what=f"{name} is out of reach",
        detail=f"{why}; models named ORG/NAME cannot be fetched",
        fix=answer.fix or "export HF_ENDPOINT=https://MIRROR",
        subject=masked(url),
        facts=facts,
    )


def _indexes(pip: PipSettings, answers: Mapping[str, Answer]) -> Iterator[Finding]:
    known = {url: answers.get(url) or _folder(url) for url in pip.indexes}
    if not known:
        where = masked(", ".join(pip.links)) or "nowhere"
        yield Finding(
            id="network.index", level="note", what="no package index", detail=f"pip is told to look in {where} only"
        )
    some = any(answer.good for answer in known.values()) or bool(pip.links)
    for url, answer in known.items():
        shown = masked(url)
        facts = answer.facts(url)
        if answer.good:
            yield Finding(
                id="network.index",
                level="ok",
                what="package index answers" if answer.elapsed_s else "package index is there",
                detail=f"{shown}, in {answer.elapsed_s:.1f} s" if answer.elapsed_s else shown,
                subject=shown,
                facts=facts,
            )
            continue
        why = answer.error or f"it answers {answer.status}"
        yield Finding(
            id="network.index",
            level="note" if some else "warning",
            what="package index out of reach",
            detail=f"{shown}: {why}" + ("; pip has others" if some else "; models in packages cannot be fetched"),
            fix=answer.fix or "pip config set global.index-url https://MIRROR/simple",
            subject=shown,
            facts=facts,
        )


def _folder(url: str) -> Answer:
    """An index that is a folder of this machine."""
    there = Path(url2pathname(urlsplit(url).path)).is_dir()
    return Answer(status=200) if there else Answer(error="there is no such folder")


def _time(skew_s: float) -> Finding:
    facts = {"skew_s": round(skew_s, 1)}
    if abs(skew_s) < SKEW_S:
        return Finding(id="network.clock", level="ok", what="clock agrees with servers", facts=facts)
    return Finding(
        id="network.clock",
        level="warning",
        what=f"the clock is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}",
        detail="servers say another time: certificates and signed links may be refused",
        fix="sudo timedatectl set-ntp true",
        facts=facts,
    )

import pytest

from moorage.serve.doctor.findings import Level
from moorage.serve.doctor.proxies import bypassed, examine

PROXY = "http://ann:s3cret@proxy:3128"


def found(environ: dict[str, str]) -> list[tuple[str, Level, str]]:
    return [(finding.id, finding.level, finding.what) for finding in examine(environ)]


def test_none() -> None:
    assert found({"PATH": "/bin", "http_proxy": ""}) == [("network.proxy", "ok", "no proxy")]


def test_passwords_are_not_shown() -> None:
    environ = {"HTTPS_PROXY": PROXY, "http_proxy": PROXY, "NO_PROXY": "localhost,127.0.0.1"}
    findings = list(examine(environ))
    assert [finding.level for finding in findings] == ["ok"] * 3
    assert findings[0].detail == "http://***@proxy:3128"
    assert "s3cret" not in repr(findings)


def test_calls_to_this_machine_would_go_through_the_proxy() -> None:
    *_, loopback = examine({"HTTP_PROXY": "proxy:3128", "NO_PROXY": "localhost,.corp"})
    assert (loopback.level, loopback.what) == ("warning", "local calls would go to the proxy")
    assert loopback.detail.startswith("no_proxy lacks 127.0.0.1: ")
    assert loopback.fix == "export no_proxy=localhost,127.0.0.1,::1"
    assert [finding.id for finding in examine({"HTTPS_PROXY": "http://proxy:3128"})] == ["network.proxy"]


@pytest.mark.parametrize(
    "value",
    ["not a proxy", "http://", "http://host:port", "http://host:99999", "socks5://host:1080", "http://[::1", "\x1b[2J"],
)
def test_garbage(value: str) -> None:
    (finding,) = examine({"https_proxy": value})
    assert (finding.level, finding.what) == ("warning", "https_proxy is no address")
    assert finding.fix.startswith("unset https_proxy")


def test_two_spellings_that_differ() -> None:
    (finding,) = examine({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"})
    assert (finding.level, finding.what) == ("warning", "https_proxy and HTTPS_PROXY differ")
    assert finding.fix == 'export HTTPS_PROXY="$https_proxy"'


@pytest.mark.parametrize(
    ("host", "no_proxy", "left_out"),
    [
        ("127.0.0.1", "", False),
        ("127.0.0.1", "*", True),
        ("127.0.0.1", "localhost, 127.0.0.1:8000", True),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "10.0.0.0/8,nonsense/99", False),
        ("huggingface.co", "co", True),
        ("huggingface.co", ".huggingface.co", True),
        ("huggingface.co", "*.co", True),
        ("huggingface.co", "face.co", False),
    ],
)
def test_exceptions(host: str, no_proxy: str, left_out: bool) -> None:
    assert bypassed(host, no_proxy) is left_out

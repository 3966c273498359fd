import pytest

from moorage.serve.doctor.findings import Finding
from moorage.serve.doctor.secrets import Scrubber, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:s3cret@proxy:3128", "http://***@proxy:3128"),
        ("https://token@index/simple and http://a:b@c/", "https://***@index/simple and http://***@c/"),
        ("socks5://a:p@ss@host", "socks5://***@host"),
        ("http://proxy:3128", "http://proxy:3128"),
        ("mail ann@example.org", "mail ann@example.org"),
    ],
)
def test_passwords_in_addresses(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_no_secret_in_any_part_of_a_finding() -> None:
    environ = {
        "HF_TOKEN": "hf_abcdefgh",
        "MY_API_KEY": "sk-12345678",
        "SHORT_KEY": "on",
        "SSH_KEY": "/home/ann/.ssh/id",
    }
    finding = Finding(
        id="network.hub",
        level="note",
        what="hf_abcdefgh",
        detail="the key sk-12345678 is on; see /home/ann/.ssh/id",
        fix="curl -H 'Bearer configured-key'",
        subject="http://ann:pw@host",
        facts={"a": ["hf_abcdefgh", 3, None], "b": {"c": "x sk-12345678"}},
    )
    clean = Scrubber(environ, ["configured-key"]).clean(finding)
    assert clean == Finding(
        id="network.hub",
        level="note",
        what="***",
        detail="the key *** is on; see /home/ann/.ssh/id",
        fix="curl -H 'Bearer ***'",
        subject="http://***@host",
        facts={"a": ["***", 3, None], "b": {"c": "x ***"}},
    )


def test_what_a_terminal_would_obey_is_left_out() -> None:
    clean = Scrubber({}).clean(Finding(id="x.y", level="ok", what="red\x1b[2J\x07"))
    assert clean.what == "red[2J"

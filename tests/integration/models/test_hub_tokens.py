"""Who may read a repository: tokens go to the hub alone, and refusals say what to do."""

import logging
from pathlib import Path

import pytest

from moorage.errors import ModelError
from moorage.models.attempts import UNREACHABLE
from moorage.models.store import ModelStore
from tests.integration.models.fileserver import Plan
from tests.integration.models.hubserver import HubServer
from tests.integration.models.repositories import ENCODER, FOLDER, GGUFS, contents

pytestmark = pytest.mark.usefixtures("hub")


@pytest.mark.parametrize("how", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"])
async def test_the_token_opens_the_hub_and_goes_nowhere_else(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    hub.add("Org/secret", ENCODER, private=True)
    if how in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        no_hub_settings.setenv(how, hub.token)
    else:
        path = tmp_path / "hf" / "token" if how == "HF_HOME" else tmp_path / "my token"
        path.parent.mkdir(exist_ok=True)
        path.write_text(hub.token + "\n")
        if how == "HF_TOKEN_PATH":
            no_hub_settings.setenv(how, str(path))
    path = await store.fetch("hf:Org/secret")
    assert contents(path) == {name: ENCODER[name] for name in FOLDER}
    assert {seen.headers.get("authorization") for seen in hub.hub.seen} == {f"Bearer {hub.token}"}
    assert hub.cdn.seen
    for seen in hub.cdn.seen:
        assert hub.token not in str(seen.headers)
    kept = b"".join(file.read_bytes() for file in path.parent.glob("*.json"))
    assert hub.token.encode() not in kept
    assert b"s3cret" not in kept


async def test_modelscopes_token(store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch) -> None:
    hub.add("Org/secret", ENCODER, private=True)
    with pytest.raises(ModelError, match="set MODELSCOPE_API_TOKEN"):
        await store.fetch("ms:Org/secret")
    no_hub_settings.setenv("MODELSCOPE_API_TOKEN", hub.token)
    await store.fetch("ms:Org/secret")
    assert hub.hub.seen[-1].headers["cookie"] == f"m_session_id={hub.token}"
    assert all(hub.token not in str(seen.headers) for seen in hub.cdn.seen)


async def test_a_token_beside_a_login_in_netrc(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    no_hub_settings.setenv("NETRC", str(netrc))
    no_hub_settings.setenv("HF_TOKEN", hub.token)
    hub.add("Org/secret", GGUFS, private=True)
    assert (await store.fetch("hf:Org/secret")).read_bytes() == GGUFS["tiny-Q4_K_M.gguf"]


async def test_a_gated_model_says_where_to_accept_and_what_to_set(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    hub.add("Org/gated", GGUFS, gated=True)
    with pytest.raises(ModelError) as caught:
        await store.fetch("hf:Org/gated")
    assert f"accept its licence: do so at {hub.url}/Org/gated; then set HF_TOKEN" in str(caught.value)
    assert caught.value.error_code == UNREACHABLE
    with pytest.raises(ModelError, match=r"ask for it at .*/models/Org/gated and set MODELSCOPE_API_TOKEN"):
        await store.fetch("ms:Org/gated")
    no_hub_settings.setenv("HF_TOKEN", hub.token)
    assert (await store.fetch("hf:Org/gated")).exists()


@pytest.mark.parametrize(
    ("variable", "source"), [("HF_TOKEN", "hf:Org/encoder"), ("MODELSCOPE_API_TOKEN", "ms:Org/encoder")]
)
async def test_a_token_that_is_refused_is_named_but_not_shown(
    store: ModelStore,
    no_hub_settings: pytest.MonkeyPatch,
    variable: str,
    source: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    no_hub_settings.setenv(variable, "hf_wrongtoken")
    with pytest.raises(ModelError, match=f"does not accept the token in {variable}") as caught:
        await store.fetch(source)
    assert "hf_wrongtoken" not in str(caught.value)
    assert "hf_wrongtoken" not in caplog.text


async def test_a_login_in_the_mirrors_address_is_not_shown(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    address = hub.url.replace("//", "//me:hunter2@")
    no_hub_settings.setenv("HF_ENDPOINT", address)
    no_hub_settings.setenv("MODELSCOPE_ENDPOINT", address)
    for source in ("hf:Org/nothing", "ms:Org/nothing", "hf:Org/encoder@v9", "ms:Org/encoder@v9"):
        with pytest.raises(ModelError) as caught:
            await store.fetch(source)
        assert "hunter2" not in str(caught.value)
    assert hub.hub.seen[-1].headers["authorization"].startswith("Basic ")


async def test_what_a_hub_says_is_told_without_the_token(
    store: ModelStore, hub: HubServer, no_hub_settings: pytest.MonkeyPatch
) -> None:
    no_hub_settings.setenv("HF_TOKEN", "hf_mine")
    said = {"X-Error-Message": "Access to this resource is disabled for hf_mine."}
    hub.hub.faults["/api/models/Org/encoder/revision/main"] = [Plan(status=403, headers=said)]
    with pytest.raises(ModelError, match=r"refuses Org/encoder: Access to this resource is disabled for …\."):
        await store.fetch("hf:Org/encoder")


async def test_a_token_with_a_newline_in_it(store: ModelStore, no_hub_settings: pytest.MonkeyPatch) -> None:
    no_hub_settings.setenv("HF_TOKEN", "hf_a\r\nX-Other: b")
    with pytest.raises(ModelError, match="the token in HF_TOKEN cannot be one") as caught:
        await store.fetch("hf:Org/encoder")
    assert "hf_a" not in str(caught.value)

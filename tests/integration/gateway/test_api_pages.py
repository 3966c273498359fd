"""The document and its two pages, over HTTP and in a real browser that may reach nothing but the gateway."""

import gzip
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Page, Route, async_playwright, expect

from moorage.gateway.openapi.pages import ASSETS
from moorage.testing import FakeEngine
from tests.integration.gateway.harness import Harness, harness, key_row, target
from tests.integration.gateway.recordings import SPEECH

PAGES = ("/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect")
PICTURES = os.environ.get("MOORAGE_TEST_PICTURES")
"""A folder to leave screenshots in."""


@pytest.fixture
async def gateway(short_tmp: Path) -> AsyncIterator[Harness]:
    async with FakeEngine() as engine, harness(short_tmp) as running:
        await running.publish(target(engine))
        yield running


@pytest.mark.parametrize("path", [*PAGES, *(f"/docs/assets/{name}" for name in ASSETS)])
async def test_get_and_head_tell_the_same(gateway: Harness, path: str) -> None:
    async with gateway.http.get(path) as got, gateway.http.head(path) as head:
        body = await got.read()
        assert got.status == head.status == 200
        assert body
        assert await head.read() == b""
        same = ("content-type", "etag", "cache-control", "content-security-policy", "vary", "content-encoding")
        for name in same:
            assert got.headers.get(name) == head.headers.get(name), name
        assert got.headers["x-request-id"].startswith("req_")
        assert got.headers["x-content-type-options"] == "nosniff"
        kind = ASSETS.get(path.rpartition("/")[2], "application/json" if path.endswith(".json") else "text/html")
        assert got.headers["content-type"].startswith(kind)
        policy = got.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "http" not in policy


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/assets/swagger-ui-bundle.js"])
async def test_nothing_is_sent_twice(gateway: Harness, path: str) -> None:
    async with gateway.http.get(path) as first:
        etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        async with gateway.http.get(path, headers={"if-none-match": known}) as again:
            assert again.status == 304, known
            assert await again.read() == b""
            assert again.headers["etag"] == etag
    async with gateway.http.get(path, headers={"if-none-match": '"other"'}) as changed:
        assert changed.status == 200


async def test_who_cannot_unpack_gets_it_unpacked(gateway: Harness) -> None:
    path = "/docs/assets/redoc.standalone.js"
    sizes: dict[str, int] = {}
    bodies: set[bytes] = set()
    etags: set[str] = set()
    for accepted in ("gzip", "br, gzip;q=0.5", "gzip;q=0", "identity", "*"):
        call = gateway.http.get(path, headers={"accept-encoding": accepted}, auto_decompress=False)
        async with call as reply:
            body = await reply.read()
            packed = reply.headers.get("content-encoding") == "gzip"
            assert packed == (accepted in ("gzip", "br, gzip;q=0.5", "*"))
            sizes[accepted] = len(body)
            bodies.add(gzip.decompress(body) if packed else body)
            etags.add(reply.headers["etag"])
    assert len(bodies) == 1
    assert len(etags) == 2
    assert sizes["gzip"] * 3 < sizes["identity"]


async def test_the_pages_need_no_key_and_the_document_says_who_does(gateway: Harness) -> None:
    async with gateway.http.get("/openapi.json") as reply:
        open_to_all = await reply.json()
    assert open_to_all["security"] == []
    assert "securitySchemes" not in open_to_all["components"]
    await gateway.publish(keys=(key_row("secret"),))
    for path in PAGES:
        async with gateway.http.get(path) as reply:
            assert reply.status == 200
    async with gateway.http.get("/openapi.json") as reply:
        document = await reply.json()
    assert [list(each) for each in document["security"]] == [["bearer"], ["x-api-key"], ["api-key"]]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "x-api-key", "api-key"}
    assert document["paths"]["/health"]["get"]["security"] == []
    for header in ({"authorization": "Bearer secret"}, {"x-api-key": "secret"}, {"api-key": "secret"}):
        async with gateway.http.get("/v1/models", headers=header) as reply:
            assert reply.status == 200


async def test_a_file_that_is_none(gateway: Harness) -> None:
    for name in ("nothing.js", "..%2fpages.py", "ASSETS.json", "docs.html"):
        async with gateway.http.get(f"/docs/assets/{name}") as reply:
            assert reply.status == 404
            assert (await reply.json())["error"]["code"] == "not_found"


async def test_the_host_a_client_names_is_nowhere_in_the_document(gateway: Harness) -> None:
    async with gateway.http.get("/openapi.json", headers={"host": "evil.example"}) as reply:
        text = await reply.text()
    assert "evil.example" not in text
    assert '"servers":[{"url":"/"}]' in text


class Visit:
    """What a browser asked for, and what went wrong, while it was on a page."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.elsewhere: list[str] = []
        self.problems: list[str] = []
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    async def guard(self, context: BrowserContext) -> None:
        """Every request goes through here; those to others are noted, and go nowhere."""
        await context.route("**/*", self._pass)

    async def _pass(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if f"{address.scheme}://{address.netloc}" == self.origin or address.scheme in ("data", "blob"):
            await route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            await route.abort()

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(f"{kind}: {text}")

    def clean(self) -> None:
        assert self.elsewhere == []
        assert self.problems == []

    async def picture(self, name: str) -> None:
        if PICTURES:
            await self.page.screenshot(path=f"{PICTURES}/{name}.png")


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield await browser.new_context(viewport={"width": 1280, "height": 900})
        await browser.close()


async def visit(context: BrowserContext, url: str) -> Visit:
    page = await context.new_page()
    found = Visit(page, "{0.scheme}://{0.netloc}".format(urlsplit(url)))
    await found.guard(context)
    await page.goto(url)
    return found


async def test_docs_shows_and_tries_every_route(gateway: Harness, context: BrowserContext) -> None:
    seen = await visit(context, f"{gateway.url}/docs")
    page = seen.page
    await expect(page.locator(".opblock")).not_to_have_count(0)
    document = await (await gateway.http.get("/openapi.json")).json()
    operations = sum(len(methods) for methods in document["paths"].values())
    await expect(page.locator(".opblock")).to_have_count(operations)
    await seen.picture("docs")

    chat = page.locator("#operations-Text-post_v1_chat_completions")
    await chat.locator(".opblock-summary-control").click()
    await chat.get_by_role("button", name="Execute").click()
    reply = chat.locator(".live-responses-table .response-col_status").nth(1)
    await expect(reply).to_contain_text("200")
    await expect(chat.locator(".live-responses-table")).to_contain_text("chat.completion")
    await expect(chat.locator(".live-responses-table")).to_contain_text("org/model")
    await expect(chat.locator(".live-responses-table")).to_contain_text("x-request-id")
    await reply.scroll_into_view_if_needed()
    await seen.picture("docs-executed")

    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{gateway.url}/docs")
    await expect(page.locator(".opblock")).to_have_count(operations)
    await seen.picture("docs-narrow")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    seen.clean()


async def test_docs_sends_a_recording(short_tmp: Path, context: BrowserContext) -> None:
    async with FakeEngine() as engine, harness(short_tmp) as running:
        await running.publish(target(engine, model=SPEECH.id), models=[SPEECH])
        seen = await visit(context, f"{running.url}/docs")
        route = seen.page.locator("#operations-Speech-post_v1_audio_transcriptions")
        await route.locator(".opblock-summary-control").click()
        upload = {"name": "speech.wav", "mimeType": "audio/wav", "buffer": b"[[say: ahoy]]"}
        await route.locator("input[type=file]").set_input_files(upload)  # pyright: ignore[reportArgumentType]
        await route.get_by_role("button", name="Execute").click()
        replies = route.locator(".live-responses-table")
        await expect(replies.locator(".response-col_status").nth(1)).to_contain_text("200")
        await seen.picture("docs-speech")
        (call,) = engine.calls
        assert call.form.file is not None
        assert bytes(call.form.file.body) == b"[[say: ahoy]]"
        assert call.form.fields == {"response_format": "json", "model": engine.behaviour.model}
        seen.clean()


async def test_docs_shows_a_key_that_works(gateway: Harness, context: BrowserContext) -> None:
    await gateway.publish(*gateway.publisher.current.targets.values(), keys=(key_row("secret"),))
    seen = await visit(context, f"{gateway.url}/docs")
    page = seen.page
    await page.get_by_role("button", name="Authorize").first.click()
    await page.locator("#auth-bearer-value").fill("secret")
    await page.locator(".modal-ux .auth-btn-wrapper button[type=submit]").first.click()
    await page.locator(".modal-ux .btn-done").first.click()
    models = page.locator("#operations-Models-get_v1_models")
    await models.locator(".opblock-summary-control").click()
    await models.get_by_role("button", name="Execute").click()
    await expect(models.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")
    seen.clean()


async def test_redoc_shows_every_route(gateway: Harness, context: BrowserContext) -> None:
    seen = await visit(context, f"{gateway.url}/redoc")
    page = seen.page
    document = await (await gateway.http.get("/openapi.json")).json()
    for methods in document["paths"].values():
        for operation in methods.values():
            heading = page.locator("h2", has_text=operation["summary"]).first
            await expect(heading).to_be_attached()
    await seen.picture("redoc")
    await page.locator("input[type=text]").fill("rerank")
    await expect(page.locator("[role=menuitem]", has_text="Order documents").first).to_be_visible()
    await seen.picture("redoc-search")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(f"{gateway.url}/redoc")
    await expect(page.locator("h2").first).to_be_attached()
    await seen.picture("redoc-narrow")
    seen.clean()


async def test_the_end_of_a_sign_in_is_a_page(gateway: Harness, context: BrowserContext) -> None:
    seen = await visit(context, f"{gateway.url}/docs/oauth2-redirect?code=1&state=2")
    await expect(seen.page.locator("p")).to_contain_text("ends a sign-in")
    seen.clean()

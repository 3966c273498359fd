from collections.abc import AsyncGenerator

import pytest

from tests.integration.models.fileserver import FileServer, serving


@pytest.fixture
async def server() -> AsyncGenerator[FileServer]:
    async with serving() as files:
        yield files

"""More and fewer replicas while calls run: none of them fails."""

from pathlib import Path

import pytest

from tests.e2e.product import Product, wait_until
from tests.e2e.test_kills import Traffic

pytestmark = pytest.mark.engine


def test_replicas_by_the_call(short_tmp: Path, chat_weights: Path) -> None:
    options = {"max_sequences": 2, "extra_args": {"prompt_delay_s": 0.05}}
    model = {
        "name": "m", "source": str(chat_weights), "engine": "moorage.testing.adapter:engine", "options": options,
    }  # fmt: skip
    with Product(short_tmp, {"models": [model]}).start().ready() as product:

        def replicas() -> list[str]:
            return [target["state"] for target in product.get("/api/v1/status")[1]["models"][0]["targets"]]

        with Traffic(product, "m") as traffic:
            asked = {"new_data_parallel_size": 3, "drain_timeout": 60}
            assert product.post("/scale_elastic_ep", asked) == (200, {"message": "Scaled to 3 replicas"})
            assert replicas() == ["ready"] * 3
            assert product.post("/is_scaling_elastic_ep", {"model": "m"}) == (200, {"is_scaling_elastic_ep": False})
            assert product.post("/scale_elastic_ep", {"model": "m", "new_data_parallel_size": 1})[0] == 200
            wait_until(lambda: len(product.processes()["fake"]) == 1, 30, "two replicas are gone")
        assert set(traffic.statuses) == {200}
        assert replicas() == ["ready"]

        short = {"new_data_parallel_size": 4, "drain_timeout": 0.01}
        status, body = product.post("/scale_elastic_ep", short)
        assert (status, body["error"]["code"]) == (408, "request_timeout")
        assert "3 of 4 replicas of 'm' are not ready within drain_timeout (0.01 s)" in body["error"]["message"]
        wait_until(lambda: replicas() == ["ready"] * 4, 60, "the wish stands")

        # A reload that says the same of this model leaves it as it was scaled; another number counts.
        product.write_config({"models": [model], "workers": {"queue_size": 7}})
        wait_until(lambda: "reload" in product.output, 30, "the configuration is read again")
        assert len(replicas()) == 4
        product.write_config({"models": [model | {"replicas": 2}]})
        wait_until(lambda: len(replicas()) == 2, 30, "the configuration's own number counts")

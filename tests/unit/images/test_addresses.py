"""An image's name in a URL: it may be a reference, slashes and all."""

import pytest
from starlette.routing import compile_path

from banger.api import routes
from banger.daemon.app import _pattern


@pytest.mark.parametrize("route", [routes.IMAGE_SHOW, routes.IMAGE_DELETE])
@pytest.mark.parametrize("name", ["debian-bookworm", "docker.io/library/debian:bookworm", "oci:/srv/layout:latest"])
def test_every_name_reaches_its_image(route: routes.Route, name: str) -> None:
    expression, _, _ = compile_path(_pattern(route))
    found = expression.match(f"/v1/images/{name}")
    assert found is not None and found["ref"] == name


def test_other_nouns_have_one_segment() -> None:
    expression, _, _ = compile_path(_pattern(routes.VM_SHOW))
    assert expression.match("/v1/vms/one") and not expression.match("/v1/vms/one/start")

"""A repository of 100,000 files."""

import pytest

from tests.integration.workspace.conftest import VM, Repo, Scene

COUNT = 100_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_files_come_and_change_and_go(scene: Scene, app: Repo) -> None:
    for number in range(COUNT):
        path = app.top / f"many/{number % 300}/{number}"
        if number < 300:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"%d\n" % number)
    app.commit()
    scene.prepare(app)
    guest = scene.guest()
    assert len(scene.client.vm_workspace_listing(VM).split(b"\0")) > COUNT
    assert guest.status() == []
    app.write("many/7/7", "edited\n")
    app.git("rm", "-qr", "many/1")
    scene.prepare()
    assert (guest.top / "many/7/7").read_text() == "edited\n" and not (guest.top / "many" / "1").exists()
    assert len(guest.status()) == 1 + COUNT // 300 + 1

"""Images of catalogs: bundles made by the project's own program, fetched from a real server, by one daemon or over
its death."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger import errors
from banger.api.image import PullImage
from banger.api.kernel import PullKernel
from banger.bundles import manifest, pack
from banger.bundles.pack import Packed
from banger.images.record import ImageRecord
from tests import guest_images
from tests.installation import MIB, Daemon, Installation, scenario
from tests.web import Bundle, Handler, Web, image_bundle

SIZE = "64M"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as serving:
        yield serving


def command(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "banger.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=120,
        **options,
    )


def make_bundle(archive: bytes, out: Path, *more: str) -> "subprocess.CompletedProcess[bytes]":
    wanted = ["--rootfs-tar", "-", "--name", "box", "--size", SIZE, "--out", str(out), "--json", *more]
    return command("internal", "make-bundle", *wanted, input=archive)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A busybox, as the command makes a bundle of it."""
    out = tmp_path_factory.mktemp("bundle") / "box.tar.zst"
    made = make_bundle(guest_images.busybox_tar(), out, "--distro", "busybox", "--description", "a small box")
    assert made.returncode == 0, made.stderr
    return Bundle(out.read_bytes(), Packed(**json.loads(made.stdout)))


def catalog(installation: Installation, text: str, name: str = "own.toml") -> Path:
    directory = Path(installation.paths.catalogs)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)
    return directory / name


async def pull(daemon: Daemon, reference: str, **fields: Any) -> ImageRecord:
    operation = await daemon.done(await daemon.images.pull(PullImage(reference=reference, **fields)))
    return daemon.images.find(operation.subject)


def files(installation: Installation) -> list[str]:
    found = []
    for directory in (installation.paths.images, installation.paths.staging, installation.paths.kernels):
        found += os.listdir(directory) if os.path.isdir(directory) else []
    return sorted(found)


# -- making -----------------------------------------------------------------------------------------------------------


def test_a_bundle_is_the_same_from_a_file_and_from_stdin(bundle: Bundle, tmp_path: Path) -> None:
    archive = tmp_path / "rootfs.tar"
    archive.write_bytes(guest_images.busybox_tar())
    out = tmp_path / "out.tar.zst"
    made = command(
        *("internal", "make-bundle", "--rootfs-tar", str(archive), "--name", "box", "--distro", "busybox"),
        *("--description", "a small box", "--size", SIZE, "--out", str(out)),
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.decode().splitlines() == [
        f"path    {out}",
        f"sha256  {bundle.packed.sha256}",
        f"size    {bundle.packed.size}",
    ]
    assert out.read_bytes() == bundle.data
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.tar.zst", "rootfs.tar"]


REFUSED = [
    (("--name", "Not OK"), 2, "not a valid name"),
    (("--arch", "mips"), 2, "invalid choice"),
    (("--kernel-ref", "../x"), 2, "not a valid name"),
    (("--description", "two\nlines"), 2, "longer than a line"),
    (("--size", "1M"), 1, "too small"),
    (("--out", "/absent/directory/x"), 2, "cannot write"),
    (("--rootfs-tar", "/absent.tar"), 1, "no such file"),
]


@pytest.mark.parametrize(("wrong", "status", "said"), REFUSED)
def test_what_cannot_become_a_bundle_leaves_nothing(
    tmp_path: Path, wrong: tuple[str, str], status: int, said: str
) -> None:
    made = make_bundle(guest_images.Tar().directory("etc").bytes(), tmp_path / "out", *wrong)
    assert (made.returncode, made.stdout) == (status, b"") and said in made.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_a_bad_archive_or_a_taken_name_leaves_nothing(tmp_path: Path) -> None:
    made = make_bundle(b"no archive" * 1000, tmp_path / "out")
    assert made.returncode == 1 and b"no tar archive" in made.stderr and list(tmp_path.iterdir()) == []
    (tmp_path / "out").write_text("mine")
    made = make_bundle(guest_images.Tar().directory("etc").bytes(), tmp_path / "out")
    assert made.returncode == 4 and (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_making_leaves_nothing(tmp_path: Path, number: int) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "banger.cli.main", "internal", "make-bundle", "--rootfs-tar", "-"),
            *("--name", "box", "--out", str(tmp_path / "out")),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(guest_images.Tar().directory("etc").bytes())
        process.stdin.flush()
        while not list(tmp_path.glob(".banger-bundle-*/*")):  # it reads what has come
            assert process.poll() is None
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):  # Python sees it late where it comes just before a read
            process.wait(20)
        process.send_signal(number)
        assert process.wait(60) == 130
    assert list(tmp_path.iterdir()) == []


# -- pulling ----------------------------------------------------------------------------------------------------------


@scenario
async def test_a_name_of_a_users_catalog_becomes_an_image(installation: Installation, web: Web, bundle: Bundle) -> None:
    url = web.serve("/box.tar.zst", bundle.data, most=bundle.packed.size // 2)
    catalog(installation, bundle.entry("box", url, description="a box", kernel="debian-cloud"))
    async with installation.daemon() as daemon:
        (listed,) = [each for each in daemon.images.catalog().entries if each.name == "box"]
        assert (listed.kind, listed.size, listed.present) == ("bundle", bundle.packed.size, False)
        record = await pull(daemon, "box")
        image = daemon.images.show("box")
        assert (image.kind, image.source, image.kernel, image.managed) == ("bundle", url, "debian-cloud", True)
        assert image.digest == f"sha256:{bundle.packed.sha256}" and image.size == 64 * MIB and image.init is None
        assert image.allocated < 8 * MIB and image.steps[0].text == f"bundle {url}"
        assert record.assets.startswith("sha256:")
        assert os.stat(image.rootfs).st_mode & 0o777 == 0o644
        path = "/usr/sbin:/sbin:/usr/bin:/bin"
        subprocess.run(["e2fsck", "-fn", image.rootfs], check=True, env={"PATH": path}, capture_output=True)  # noqa: ASYNC221
        assert [each.present for each in daemon.images.catalog().entries if each.name == "box"] == [True]
        # once more: nothing is fetched, whatever it is called
        seen = len(web.seen)
        assert await pull(daemon, "box") == record
        twin = await pull(daemon, "box", name="twin")
        assert os.path.samefile(image.rootfs, daemon.images.rootfs(twin)) and len(web.seen) == seen


@scenario
async def test_what_is_not_what_the_catalog_says_leaves_nothing(
    installation: Installation, web: Web, bundle: Bundle, tmp_path: Path
) -> None:
    other = image_bundle(tmp_path / "other", b"no file system" * 1000)
    foreign = image_bundle(tmp_path / "foreign", b"x", arch="arm64")
    url, lying = web.serve("/a", bundle.data), web.serve("/other", other.data)
    arm = web.serve("/foreign", foreign.data)
    text = bundle.entry("box", lying) + bundle.entry("short", url).replace(f"size = {bundle.packed.size}", "size = 9")
    text += other.entry("other", lying) + bundle.entry("arm", url, arch="arm64") + foreign.entry("foreign", arm)
    catalog(installation, text)
    async with installation.daemon() as daemon:
        before = files(installation)
        for name, error in (
            ("box", errors.CorruptBlob),
            ("short", errors.CorruptBlob),
            ("other", errors.UnusableDisk),
            ("foreign", errors.WrongPlatform),
        ):
            with pytest.raises(error):
                await pull(daemon, name)
        with pytest.raises(errors.WrongPlatform):
            await daemon.images.pull(PullImage(reference="arm"))
        with pytest.raises(errors.UsageError, match="has its size"):
            await daemon.images.pull(PullImage(reference="box", size=1 << 30))
        assert files(installation) == before and [each.name for each in daemon.images.list()] == ["tiny"]


@scenario
async def test_a_changed_catalog_asks_for_force_and_machines_keep_what_they_have(
    installation: Installation, web: Web, bundle: Bundle, tmp_path: Path
) -> None:
    catalog(installation, bundle.entry("box", web.serve("/1", bundle.data)))
    async with installation.daemon() as daemon:
        first = await pull(daemon, "box")
        await daemon.create("one", image="box", start=False)
        made = make_bundle(guest_images.Tar().directory("etc").bytes(), tmp_path / "two")
        newer = Bundle((tmp_path / "two").read_bytes(), Packed(**json.loads(made.stdout)))
        catalog(installation, newer.entry("box", web.serve("/2", newer.data)))
        with pytest.raises(errors.AlreadyExists) as taken:
            await daemon.images.pull(PullImage(reference="box"))
        assert "--force" in taken.value.advice
        second = await pull(daemon, "box", force=True)
        assert second.digest == f"sha256:{newer.packed.sha256}"
        assert daemon.images.get(first.id).name == f"box@{first.id}"


@scenario
async def test_of_two_pulls_of_one_name_there_is_one_winner_and_names_do_not_wait_for_each_other(
    installation: Installation, web: Web, bundle: Bundle
) -> None:
    both = asyncio.Event()
    loop, waiting = asyncio.get_running_loop(), set()

    def answer(handler: Handler) -> None:
        """Both downloads must have begun before either goes on."""
        waiting.add(handler.path)
        if len(waiting) == 2:
            loop.call_soon_threadsafe(both.set)
        assert asyncio.run_coroutine_threadsafe(both.wait(), loop).result(60)
        handler.begin(200, Content_Length=str(len(bundle.data)))
        handler.wfile.write(bundle.data)

    web.paths["/a"] = web.paths["/b"] = answer
    catalog(installation, bundle.entry("a", web.url("/a")) + bundle.entry("b", web.url("/b")))
    async with installation.daemon() as daemon:
        operations = [await daemon.images.pull(PullImage(reference=name)) for name in ("a", "a", "b")]
        for operation in operations:
            await daemon.done(operation)
        assert [each.name for each in daemon.images.list()] == ["a", "b", "tiny"]
        assert sorted(path for path, _ in web.seen) == ["/a", "/b"]


@pytest.mark.parametrize("stage", ["fetch", "examine", "publish", "row"])
@scenario
async def test_a_killed_pull_leaves_what_was_there_before(
    installation: Installation, web: Web, bundle: Bundle, stage: str
) -> None:
    catalog(installation, bundle.entry("box", web.serve("/a", bundle.data)))
    async with installation.daemon() as daemon:
        before = files(installation)
        operation = await daemon.images.pull(PullImage(reference="box"))
        async for state in daemon.engine.follow(operation.id):
            if state.step == stage:
                break
    async with installation.daemon() as daemon:
        assert daemon.engine.operation(operation.id).state == "failed"
        assert files(installation) == before and [each.name for each in daemon.images.list()] == ["tiny"]
        assert (await pull(daemon, "box")).name == "box"


@scenario
async def test_a_broken_catalog_is_told_where_it_matters_and_nowhere_else(
    installation: Installation, web: Web, bundle: Bundle
) -> None:
    catalog(installation, bundle.entry("box", web.serve("/a", bundle.data)))
    broken = catalog(installation, "[image.boxes]\nkind = 5\n", "a.toml")
    async with installation.daemon() as daemon:
        (fault,) = daemon.images.catalog().faults
        assert fault.startswith(f"{broken}: image.boxes.kind")
        for name in ("boxes", "misspelt"):
            with pytest.raises(errors.BadSetting, match=r"a\.toml"):
                await daemon.images.pull(PullImage(reference=name))
        with pytest.raises(errors.BadSetting):
            await daemon.kernels.pull(PullKernel(kernel="boxes"))
        assert (await pull(daemon, "box")).name == "box"


@scenario
async def test_a_pinned_image_of_a_registry_is_pulled_by_its_catalog_name(
    installation: Installation, tmp_path: Path
) -> None:
    from tests.registry import Registry

    layer = guest_images.Tar().directory("etc").file("etc/hostname", b"x").bytes()
    with Registry(tmp_path) as registry:
        layout = guest_images.write_layout(tmp_path / "layout", [layer])
        reference = registry.push(layout, "demo/box:1")
        index = json.loads((tmp_path / "layout" / "index.json").read_text())
        pinned = f"{reference}@{index['manifests'][0]['digest']}"
        text = f'[image.box]\nkind = "oci"\nreference = "{pinned}"\nkernel = "special"\n'
        catalog(installation, text)
        async with installation.daemon() as daemon:
            record = await pull(daemon, "box", size=64 * MIB)
            assert (record.kind, record.source, record.kernel) == ("oci", pinned, "special")


# -- kernels ----------------------------------------------------------------------------------------------------------


@scenario
async def test_an_image_keeps_the_kernel_that_it_names_and_a_request_goes_first(
    installation: Installation, web: Web, bundle: Bundle
) -> None:
    from tests.installation import fake_kernel

    for name in ("named", "asked"):
        fake_kernel(Path(installation.paths.kernel(name)), installation._agent)
    catalog(installation, bundle.entry("box", web.serve("/a", bundle.data), kernel="named"))
    async with installation.daemon() as daemon:
        await pull(daemon, "box")
        with pytest.raises(errors.InUse, match="image box"):
            await daemon.kernels.delete("named")
        await daemon.create("one", image="box", start=False)
        await daemon.create("two", image="box", kernel="asked", start=False)
        await daemon.create("three", start=False)
        found = {each.name: each.kernel for each in daemon.vms.list()}
        assert found == {"one": "named", "two": "asked", "three": "debian-cloud"}
        with pytest.raises(errors.InUse, match="one, image box"):
            await daemon.kernels.delete("named")
        await daemon.done(await daemon.vms.delete("one"))
        await daemon.done(await daemon.vms.delete("two"))
        await daemon.done(await daemon.images.delete("box"))
        await daemon.done(await daemon.kernels.delete("named"))


@scenario
async def test_a_kernels_bundle_that_is_none_leaves_nothing(
    installation: Installation, web: Web, bundle: Bundle, tmp_path: Path
) -> None:
    """An image's bundle, one with a kernel that cannot be booted, one for another machine, and names that are none."""
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF and no more")
    described = manifest.encode(manifest.Manifest(name="odd", arch="amd64"))
    odd_packed = pack.pack(described, [("vmlinux", str(tmp_path / "vmlinux"))], str(tmp_path / "odd.tar.zst"))
    odd = Bundle((tmp_path / "odd.tar.zst").read_bytes(), odd_packed)
    text = bundle.entry("image", web.serve("/image", bundle.data), "kernel")
    text += odd.entry("odd", str(tmp_path / "odd.tar.zst"), "kernel")
    catalog(installation, text + odd.entry("foreign", "odd.tar.zst", "kernel", arch="arm64"))
    async with installation.daemon() as daemon:
        before = files(installation)
        for name, error in (("image", errors.BadBundle), ("odd", errors.NotAKernel)):
            with pytest.raises(error):
                await daemon.done(await daemon.kernels.pull(PullKernel(kernel=name)))
        with pytest.raises(errors.WrongPlatform):
            await daemon.kernels.pull(PullKernel(kernel="foreign"))
        with pytest.raises(errors.NotFound, match="nowhere"):
            await daemon.kernels.pull(PullKernel(kernel="nowhere"))
        with pytest.raises(errors.InvalidName):
            await daemon.kernels.pull(PullKernel(kernel="odd", name="../x"))
        with pytest.raises(errors.AlreadyExists) as taken:
            await daemon.kernels.pull(PullKernel(kernel="odd", name="debian-cloud"))
        assert "--force" in taken.value.advice
        assert files(installation) == before
        assert [each.name for each in daemon.kernels.catalog()] == ["debian-cloud", "foreign", "image", "odd"]


@scenario
async def test_a_machine_whose_images_kernel_is_nowhere_is_refused_before_it_exists(
    installation: Installation, web: Web, bundle: Bundle
) -> None:
    catalog(installation, bundle.entry("box", web.serve("/a", bundle.data), kernel="nowhere"))
    async with installation.daemon() as daemon:
        await pull(daemon, "box")
        with pytest.raises(errors.NotFound, match="nowhere"):
            await daemon.create("one", image="box", start=False)
        assert daemon.names() == []

"""One scenario for every kind of change and every list of tasks that it can have.

A scenario brings a world to where its verb makes sense, begins the verb, and says what is to be seen afterwards: where
the change was made, and where it was undone. ``sample`` is a specification of such a change, from which the engine
itself tells the tasks; a run compares them with those that the real change has on record.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import msgspec

from banger.api.image import ImportImage, PullImage, RegisterImage
from banger.api.kernel import ImportKernel, PullKernel
from banger.api.operation import Operation
from banger.api.recipe import BuildImage, Built, RecipeFile
from banger.api.vm import PendingVm, SetVm
from banger.builds.plans import Building
from banger.bundles.pack import Packed
from banger.bundles.receive import Source
from banger.images.making import Removed, Wanted
from banger.images.registering import Registered
from banger.kernels.making import Made
from banger.oci import debian
from banger.vmm import stub
from banger.vms.plans import Changed, Created
from banger.vms.published import Published
from banger.vms.record import VmRecord
from banger.vms.reshaping import Form, Reformed
from tests import debian_archive, guest_images, web
from tests.home import BANGER
from tests.installation import MIB
from tests.matrix.judge import TOOLS
from tests.matrix.scenario import Scenario, lines
from tests.matrix.witness import IMAGE, MACHINE, Witness

SIZE = 64 * MIB
NAME, KERNEL = "made", "own"


# -- machines ---------------------------------------------------------------------------------------------------------

RUNNING, STOPPED = lines(f"vm {MACHINE} running"), lines(f"vm {MACHINE} stopped")


def record(jailed: bool = False) -> VmRecord:
    """Of no machine that there is."""
    driver = "firecracker" if jailed else "qemu"
    return VmRecord(
        id="0" * 16, name=MACHINE, image=IMAGE, kernel="", vcpu=1, memory=SIZE, disk_size=0, driver=driver,
        jailed=jailed, created=time.time(),
    )  # fmt: skip


def _set(jailed: bool) -> Reformed:
    """The network of a machine in a jail changes too; any other's always reaches the outside."""
    ports = (Published("127.0.0.1", 1, 1),)
    return Reformed("0" * 16, Form(None, False, False), Form(PendingVm(vcpu=2), jailed, False, ports))


def _reform(world: Witness) -> Operation:
    vm = world.client.vm_show(MACHINE)
    there = [str(each.port) for each in vm.published]
    wanted = SetVm(unpublish=there) if there else SetVm(publish=[f"{world.port}:80"])
    rerouted = not vm.nat if world.driver == "firecracker" else None
    return world.client.vm_set(MACHINE, msgspec.structs.replace(wanted, vcpu=2, nat=rerouted))


def _larger(world: Witness) -> None:
    world.machine("stopped")
    vm = world.client.vm_show(MACHINE)
    wanted = SetVm(
        disk_size=vm.disk_size + 4 * MIB,
        work_disk_size=vm.work_disk_size + 4 * MIB,
        publish=[] if vm.published else [f"{world.port}:80"],
    )
    world.done(world.client.vm_set(MACHINE, wanted))


def machines(jailed: bool = False) -> list[Scenario]:
    """The verbs of machines."""
    changed = Changed("0" * 16, 20.0, jailed)
    return [
        Scenario(
            kind="vm.create", sample=Created(record(jailed), start=True), adds=RUNNING, machine=True,
            ready=lambda world: world.machine("absent"), begin=lambda world: world.create(),
        ),
        Scenario(
            kind="vm.start", sample=changed, adds=RUNNING, removes=STOPPED, machine=True,
            ready=lambda world: world.machine("stopped"), begin=lambda world: world.client.vm_start(MACHINE),
        ),
        Scenario(
            kind="vm.stop", sample=changed, adds=STOPPED, removes=RUNNING, machine=True, onward=True,
            ready=lambda world: world.machine("running"), begin=lambda world: world.client.vm_stop(MACHINE, 20),
        ),
        Scenario(
            kind="vm.restart", sample=changed, undone=[(RUNNING, STOPPED)], machine=True,
            ready=lambda world: world.machine("running"), begin=lambda world: world.client.vm_restart(MACHINE, 20),
        ),
        Scenario(
            kind="vm.kill", sample=changed, adds=STOPPED, removes=RUNNING, machine=True, onward=True,
            ready=lambda world: world.machine("running"), begin=lambda world: world.client.vm_kill(MACHINE),
        ),
        Scenario(
            kind="vm.set", sample=_set(jailed), machine=True, ready=lambda world: world.machine("running"),
            begin=_reform,
        ),
        Scenario(
            kind="vm.start", variant="larger", adds=RUNNING,
            sample=msgspec.structs.replace(changed, reshaped=True, published=True), removes=STOPPED, machine=True,
            ready=_larger, begin=lambda world: world.client.vm_start(MACHINE),
        ),
        Scenario(
            kind="vm.stop", variant="at rest", sample=msgspec.structs.replace(changed, already="so"), machine=True,
            onward=True, ready=lambda world: world.machine("stopped"),
            begin=lambda world: world.client.vm_stop(MACHINE, 20),
        ),
        Scenario(
            kind="vm.delete", sample=changed, removes=RUNNING, machine=True, onward=True,
            ready=lambda world: world.machine("running"), begin=lambda world: world.client.vm_delete(MACHINE),
        ),
    ]  # fmt: skip


# -- images -----------------------------------------------------------------------------------------------------------

MADE = lines(f"image {NAME}")


def wanted(**fields: object) -> Wanted:
    """Of no image that there is."""
    plain: dict[str, object] = {"id": "0" * 16, "name": NAME, "kind": "oci", "source": "oci:/x:y"}
    return msgspec.convert({**plain, **fields}, Wanted)


def without_image(world: Witness) -> None:
    world.quiet()  # one that was replaced is swept after its change
    if any(each.name == NAME for each in world.client.image_list().images):
        world.done(world.client.image_delete(NAME))


def with_image(world: Witness) -> None:
    if all(each.name != NAME for each in world.client.image_list().images):
        world.done(_pull(world))
    world.quiet()


def _pull(world: Witness, force: bool = False) -> Operation:
    return world.client.image_pull(
        PullImage(reference=f"oci:{world.directory}/layout:latest", name=NAME, size=SIZE, force=force)
    )


def _layout(world: Witness) -> None:
    layers = [guest_images.Tar().file("a", b"a" * 300_000).bytes(), guest_images.Tar().file("c", b"1").bytes()]
    guest_images.write_layout(world.directory / "layout", layers)


def _join(world: Witness) -> Operation:
    _pull(world)
    return _pull(world)


def _rootfs(world: Witness) -> None:
    (world.directory / "tree/etc").mkdir(parents=True)
    path = world.directory / "rootfs.ext4"
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", f"{world.directory}/tree", str(path), "32M"]
    subprocess.run(argv, check=True, env=TOOLS, timeout=60, capture_output=True)


def _register(world: Witness) -> Operation:
    return world.client.image_register(RegisterImage(name=NAME, path=f"{world.directory}/rootfs.ext4"))


def _spare(world: Witness) -> None:
    _rootfs(world)
    (world.directory / "rootfs.ext4").rename(world.directory / "spare.ext4")


def _register_changed(world: Witness) -> Operation:
    """A file that its owner has made anew: a death in an edit may have left it half edited."""
    path = str(shutil.copyfile(world.directory / "spare.ext4", world.directory / "rootfs.ext4"))
    owner = world.directory.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    return world.client.image_register(RegisterImage(name=NAME, path=path, root_owned=True, assets=True))


def _tree(world: Witness) -> None:
    (world.directory / "tree").mkdir()
    (world.directory / "tree/content").write_bytes(b"content" * 50_000)


def _import(world: Witness, source: str = "tiny.tar") -> Operation:
    request = ImportImage(path=f"{world.directory}/{source}", name=NAME, size=SIZE, directory=source == "tree")
    return world.client.image_import(request)


def _registered(world: Witness) -> None:
    world.quiet()
    found = [each for each in world.client.image_list().images if each.name == NAME]
    if found and found[0].managed:
        world.done(world.client.image_delete(NAME))
    if not found or found[0].managed:
        world.done(_register(world))


def images() -> list[Scenario]:
    """All that makes or removes an image, but builds."""
    return [
        Scenario(
            kind="image.import", sample=wanted(kind="archive"), ready=without_image, begin=_import, adds=MADE,
        ),
        Scenario(
            kind="image.import", variant="directory", sample=wanted(kind="directory"), supplies=_tree,
            ready=without_image, adds=MADE, begin=lambda world: _import(world, "tree"),
        ),
        Scenario(
            kind="image.pull", variant="layers", sample=wanted(), supplies=_layout, ready=without_image, begin=_pull,
            adds=MADE,
        ),
        Scenario(
            kind="image.pull", variant="replacing", sample=wanted(), supplies=_layout, ready=with_image,
            begin=lambda world: _pull(world, force=True),
        ),
        Scenario(
            kind="image.pull", variant="present", sample=wanted(present=True), supplies=_layout, ready=with_image,
            begin=_pull,
        ),
        Scenario(
            kind="image.pull", variant="joined", sample=wanted(joined=True), supplies=_layout, ready=without_image,
            begin=_join, adds=MADE, undone=[(frozenset(), MADE)],
        ),
        Scenario(
            kind="image.register", sample=Registered(wanted=wanted(kind="file")), supplies=_rootfs,
            ready=without_image, begin=_register, adds=MADE,
        ),
        Scenario(
            kind="image.register", variant="root-owned", supplies=_spare, ready=without_image, adds=MADE,
            sample=Registered(wanted=wanted(kind="file"), root_owned=True, assets=True), begin=_register_changed,
        ),
        Scenario(
            kind="image.promote", sample=Registered(wanted=wanted(kind="file"), promoted="0" * 16), supplies=_rootfs,
            ready=_registered, begin=lambda world: world.client.image_promote(NAME),
        ),
        Scenario(
            kind="image.delete", sample=Removed("0" * 16, NAME), supplies=_layout, ready=with_image, removes=MADE,
            begin=lambda world: world.client.image_delete(NAME), onward=True,
        ),
        Scenario(
            kind="image.cache.prune", sample={}, supplies=_layout, ready=with_image, onward=True,
            begin=lambda world: world.client.image_cache_prune(),
        ),
    ]  # fmt: skip


# -- what comes in bundles, kernels -----------------------------------------------------------------------------------

OWN = lines(f"kernel {KERNEL}")
BUNDLE = Source("http://127.0.0.1/x", "0" * 64, 1)


def _kernel_directory(world: Witness) -> None:
    place = world.directory / "kernel"
    place.mkdir(exist_ok=True)
    (place / "vmlinux").write_bytes(stub.elf() + b"Linux version 6.9.0-built-in")


def _import_kernel(world: Witness) -> Operation:
    return world.client.kernel_import(ImportKernel(name=KERNEL, path=f"{world.directory}/kernel"))


def without_kernel(world: Witness) -> None:
    if any(each.name == KERNEL for each in world.client.kernel_list().kernels):
        world.done(world.client.kernel_delete(KERNEL))


def with_kernel(world: Witness) -> None:
    if all(each.name != KERNEL for each in world.client.kernel_list().kernels):
        world.done(_import_kernel(world))


def _served(world: Witness) -> None:
    """An image and a kernel in bundles, as the product's own programs make them, and a catalog that names them."""
    _kernel_directory(world)
    catalogs = Path(world.paths.catalogs)
    catalogs.mkdir(parents=True)
    text = ""
    for noun, name, argv in (
        ("image", NAME, ["make-bundle", "--rootfs-tar", f"{world.directory}/tiny.tar", "--size", "64M"]),
        ("kernel", KERNEL, ["make-kernel-bundle", "--from", f"{world.directory}/kernel"]),
    ):
        out = catalogs / f"{noun}.tar.zst"
        argv = [*BANGER, "internal", *argv, "--name", name, "--out", str(out), "--json"]
        said = subprocess.run(argv, check=True, capture_output=True, timeout=120).stdout
        text += web.Bundle(b"", Packed(**json.loads(said))).entry(name, out.name, noun)
    (catalogs / "own.toml").write_text(text)


def kernels() -> list[Scenario]:
    """All that makes or removes a kernel, and an image out of a bundle."""
    made = Made(KERNEL, "kernel-x")
    return [
        Scenario(
            kind="kernel.import", sample=made, supplies=_kernel_directory, ready=without_kernel, begin=_import_kernel,
            adds=OWN,
        ),
        Scenario(
            kind="kernel.delete", sample=made, supplies=_kernel_directory, ready=with_kernel, onward=True,
            begin=lambda world: world.client.kernel_delete(KERNEL), removes=OWN,
        ),
        Scenario(
            kind="kernel.pull", variant="present", sample=Made("debian-cloud", "kernel-x", present=True),
            ready=lambda world: None, begin=lambda world: world.client.kernel_pull(PullKernel()),
        ),
        Scenario(
            kind="kernel.pull", variant="bundle", sample=Made(KERNEL, "kernel-x", bundle=BUNDLE), supplies=_served,
            ready=without_kernel, begin=lambda world: world.client.kernel_pull(PullKernel(kernel=KERNEL)), adds=OWN,
        ),
        Scenario(
            kind="kernel.pull", variant="replacing", sample=Made(KERNEL, "kernel-x", bundle=BUNDLE),
            supplies=_served, ready=with_kernel,
            begin=lambda world: world.client.kernel_pull(PullKernel(kernel=KERNEL, force=True)),
        ),
        Scenario(
            kind="image.pull", variant="bundle", sample=wanted(bundle=BUNDLE), supplies=_served, ready=without_image,
            begin=lambda world: world.client.image_pull(PullImage(reference=NAME)), adds=MADE,
        ),
    ]  # fmt: skip


# -- builds -----------------------------------------------------------------------------------------------------------


CATALOG = f"""\
[image.{NAME}]
kind = "debian"
suite = "{debian_archive.SUITE}"
packages = ["{debian_archive.TOOL}"]
"""


def _archive(world: Witness) -> None:
    """An archive of packages that the daemons of this process believe and use, and a name in a catalog for it."""
    world.directory.chmod(0o711)  # mmdebstrap's users pass through it
    archive = debian_archive.make(world.directory / "archive")
    debian.KEYRING = archive.keyring
    Path(world.paths.catalogs).mkdir(parents=True)
    (Path(world.paths.catalogs) / "own.toml").write_text(CATALOG)
    Path(world.paths.config, "config.toml").write_text(f'debian_mirror = "{archive.mirror}"\n')


def _build_suite(world: Witness) -> Operation:
    """With all that a build of packages can have, so that each of mmdebstrap's hooks runs."""
    files = [RecipeFile(path="/srv/file", content=b"content")]
    return world.client.image_build(
        BuildImage(
            name=NAME, suite=debian_archive.SUITE, size=SIZE, files=files, commands=["test -e /tool"], force=True
        )
    )


def builds(jailed: bool = False) -> list[Scenario]:
    """On a base image, in a guest; of packages, by mmdebstrap."""
    built = Built(suite=debian_archive.SUITE)
    on_base = Building(wanted=wanted(kind="build"), built=Built(base=IMAGE), worker=record(jailed))
    return [
        Scenario(
            kind="image.build", variant="base", sample=on_base, ready=without_image, adds=MADE, guest=True,
            begin=lambda world: world.client.image_build(
                BuildImage(name=NAME, base=IMAGE, size=SIZE, commands=["echo built >/srv/built"], force=True)
            ),
        ),
        Scenario(
            kind="image.build", variant="suite", sample=Building(wanted=wanted(kind="debian"), built=built),
            supplies=_archive, ready=without_image, begin=_build_suite, adds=MADE, seconds=120,
        ),
        Scenario(
            kind="image.pull", variant="packages", sample=wanted(kind="debian", suite=debian_archive.SUITE),
            supplies=_archive, ready=without_image, adds=MADE, seconds=120,
            begin=lambda world: world.client.image_pull(PullImage(reference=NAME, size=SIZE)),
        ),
    ]  # fmt: skip


OF_PACKAGES = ("image.build suite", "image.pull packages")
"""Scenarios with an archive of their own, which the daemon of a host does not believe."""


def all_scenarios(jailed: bool = False) -> list[Scenario]:
    return [*machines(jailed), *images(), *kernels(), *builds(jailed)]


def by_name(name: str, jailed: bool = False) -> Scenario:
    return next(each for each in all_scenarios(jailed) if each.name == name)

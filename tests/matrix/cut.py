"""A power cut, as far as it happens on the host whose power is cut: until the instant, and after the next boot.

``python -m tests.matrix.cut begin`` begins a change and ends when the daemon halts at the instant; ``judge`` looks at
what there is afterwards (see `halt`). A machine runs besides, whatever the change is.

What is to be seen: the change was finished or undone as after any other death; machines that ran are stopped, say why,
hold what was written, and start again; images and kernels are whole, and nothing is left.
"""

import hashlib
import os

from banger.kernels import kernel
from tests.matrix import halt, judge
from tests.matrix.halt import Document, Reached
from tests.matrix.jailed import HALT, Jailed
from tests.matrix.judge import names
from tests.matrix.scenario import Facts
from tests.matrix.scenarios import STOPPED
from tests.matrix.scene import again, judged, prepared
from tests.matrix.witness import MACHINE


def reach(made: Jailed, document: Document) -> Reached:
    """Go to the instant; the daemon halts there."""
    combination = halt.combination(document)
    before = prepared(made, combination.scenario)
    if not combination.scenario.machine:
        made.machine("running")
        before = before._replace(facts=made.facts(), ids=made.ids())
    return halt.begin(made, combination.scenario, combination.aim(), before)


def settled(facts: Facts) -> Facts:
    """No machine outlives the host."""
    return frozenset(
        each.removesuffix(" running") + " stopped" if each.endswith(" running") else each for each in facts
    )


def verdict(made: Jailed, document: Document, reached: Reached) -> list[str]:
    """What is wrong after the boot."""
    assert not os.path.exists(HALT)
    combination, before = halt.combination(document), reached.before(made)
    made.start()
    made.quiet()
    found = [*judged(made, combination, before, settled), *whole(made)]
    for each in made.machines():
        if f"vm {each.name} running" in before.facts and not each.stop_reason:
            found.append(f"{each.name} does not say why it is {each.state}")
        made.done(made.client.vm_start(each.name))
        if made.client.vm_show(each.name).state != "running":
            found.append(f"{each.name} does not start")
    if before.facts >= STOPPED:
        made.machine("stopped")
    found += [*made.faults(), *again(made, combination.scenario)]
    made.machine("stopped" if any(each.name == MACHINE for each in made.machines()) else "absent")
    return [*found, *made.disks()]


def whole(made: Jailed) -> list[str]:
    """Images and kernels whose content is not what it was when they appeared."""
    found = []
    for image in names(made.paths.images):
        path = f"{made.paths.image(image)}/rootfs.ext4"
        if os.path.exists(path):
            checked = judge.tool("e2fsck", "-fn", path, accept=(0, 4, 8, 12))
            found += [f"image {image}: {checked.stdout}"] if checked.returncode else []
    for name in names(made.paths.kernels):
        for file, wanted in kernel.load(made.paths.kernel(name)).files.items():
            with open(f"{made.paths.kernel(name)}/{file}", "rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest() != wanted.sha256:
                    found.append(f"kernel {name}: {file} is not what it was")
    return found


if __name__ == "__main__":
    halt.main(reach, verdict)

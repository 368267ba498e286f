"""What each task of the product does first, as a system call; and of those that have no such call, why not."""

from banger.builds import disk as builds
from banger.builds import guest, plans, steps, suite
from banger.images import making as images
from banger.images import pulling, receiving, registering
from banger.kernels import making as kernels
from banger.vms import attaching, booting, ending, making, publishing, reshaping, workdisks
from tests.matrix.trace import Act, Promise

ACTS = [
    Act(images.Fetch, "image.import", "fetch", ("mkdir",), "/staging/image-"),
    Act(images.Build, "image.import", "build", ("openat",), "rootfs.ext4"),
    Act(images.Seed, "image.import", "seed", ("openat",), "work-seed.ext4"),
    Act(images.Publish, "image.import", "publish", ("rename",), "/images/"),
    Act(receiving.Receive, "image.pull", "fetch", ("mkdir",), "/staging/image-"),
    Act(receiving.Examine, "image.pull", "examine", ("openat",), "image.json"),
    Act(registering.Register, "image.register", "examine", ("mkdir",), "/staging/image-"),
    Act(registering.Promote, "image.promote", "copy", ("mkdir",), "/staging/image-"),
    Act(images.RemoveFiles, "image.delete", "files", ("rename",), "/images/"),
    Act(pulling.Prune, "image.cache.prune", "prune", ("rename",), "/oci/blobs"),
    Act(kernels.Assemble, "kernel.import", "assemble", ("mkdir",), "/staging/kernel-"),
    Act(kernels.Publish, "kernel.import", "publish", ("rename",), "/kernels/"),
    Act(kernels.Remove, "kernel.delete", "remove", ("rename",), "/kernels/"),
    Act(making.EnsureImage, "vm.create", "image", ("mkdir",), "/staging/image-seed-"),
    Act(making.MakeDisk, "vm.create", "disk", ("mkdir",), "/state/vms/"),
    Act(making.MakeDisk, "vm.create", "disk", ("openat",), "disk.qcow2.new"),
    Act(workdisks.MakeWorkDisk, "vm.create", "work-disk", ("openat",), "work.ext4.new"),
    Act(booting.MakeInitrd, "vm.create", "initrd", ("openat",), "initrd.cpio.new"),
    Act(booting.Launch, "vm.create", "monitor", ("mkdir",), "/r/vms/"),
    Act(booting.Launch, "vm.create", "monitor", ("execve",), "fake/machine.py"),
    Act(reshaping.Rewrite, "vm.set", "row", ("openat",), "handles.json.new"),
    Act(reshaping.Reshape, "vm.start", "shape", ("execve",), '"resize"'),
    Act(ending.SwitchOff, "vm.stop", "switch-off", ("rmdir",), "/r/vms/"),
    Act(ending.RemoveFiles, "vm.delete", "files", ("unlink", "unlinkat"), "disk.qcow2"),
    Act(ending.RemoveFiles, "vm.delete", "files", ("rmdir",), "/state/vms/"),
]  # fmt: skip
"""Seen in a session without a guest."""

PROMISES = [Promise("vm.start", "shape", file) for file in ("disk.qcow2", "work.ext4")]
"""What has grown."""

BUILT = [
    Act(steps.Stage, "image.build", "stage", ("mkdir",), "/staging/image-"),
    Act(making.MakeDisk, "image.build", "machine-disk", ("mkdir",), "/state/vms/"),
    Act(booting.Launch, "image.build", "machine-monitor", ("execve",), '"-initrd"'),
    Act(builds.Flatten, "image.build", "flatten", ("execve",), '"convert"'),
    Act(builds.TakeOver, "image.build", "build", ("openat",), "image.json"),
]  # fmt: skip
"""Seen in a build on a base image, whose worker is a real guest."""

ROW = "it writes a row, by the same log, which is durable in its own order"
ELSEWHERE = "what it makes is a change of its own"
GUEST = "it acts inside a guest"
ROOT = "it asks root, on a host of its own: tests/smoke"
MIRROR = "it takes a mirror and minutes; what it makes lies in the directory of `Stage`"
INNER = "it is another task under a name of its own"
PORT = "it listens on ports, which end with the daemon and are bound again by the next, from the record"
NOTHING = "it looks, and says"

OTHERS: dict[type, str] = {
    images.Enter: ROW,
    images.RemoveRow: ROW,
    making.Reserve: ROW,
    ending.Forget: ROW,
    booting.AwaitAgent: ROW,
    pulling.Join: ELSEWHERE,
    making.EnsureKernel: ELSEWHERE,
    ending.PowerOff: GUEST,
    guest.Packages: GUEST,
    guest.Files: GUEST,
    guest.Commands: GUEST,
    guest.Clean: GUEST,
    publishing.Publish: PORT,
    publishing.Republish: PORT,
    attaching.AttachDisk: ROOT,
    attaching.AttachNetwork: ROOT,
    reshaping.Reroute: ROOT,
    suite.Bootstrap: MIRROR,
    suite.WriteImage: MIRROR,
    images.Present: NOTHING,
    kernels.Present: NOTHING,
    ending.Already: NOTHING,
    steps.LookUp: NOTHING,
    plans.Base: NOTHING,
    steps.Unless: INNER,
    steps.Always: INNER,
}
"""Task -> why it has no act."""

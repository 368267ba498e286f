"""The host in a box: a Debian with KVM inside QEMU's emulator, made, booted and driven by tests.

`kept` is the cache, `image` the host's disk and kernel, `kit` what it is given to work with, `machine` the emulator's
process, `line` the way to run commands in it, `prepared` the saved machine that sessions resume, `box` what tests see.
"""

"""The host in a box: a Debian with KVM inside QEMU's emulator, made, booted and driven by tests.

`kept` is the cache; `inputs`, `image` and `kit` are what a box is made of, `machine` is the emulator's process, `line`
the way to run commands in it, `prepared` the saved machine that sessions resume, `box` what tests see, `stages` the
states that they begin from, `inventory` what they may not leave behind, `evidence` what is shown of one that failed.
"""

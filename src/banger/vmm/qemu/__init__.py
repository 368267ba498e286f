"""QEMU as a monitor: `driver` keeps the contract, `command` is its command line, `probe` what this host's QEMU can do,
`qmp` its control socket, `clock` the processor's clock rate.
"""

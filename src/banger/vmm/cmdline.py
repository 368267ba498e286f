"""What every monitor tells a kernel, whatever its machine is made of."""

COMMON = (
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    "panic=-1",  # a panic ends the machine at once: a restart is the end of its monitor
    "random.trust_cpu=on",  # nothing waits for entropy; the host feeds virtio-rng all the same
    "cryptomgr.notests",  # self-tests of ciphers: 15 % of the boot under emulation
    "rcupdate.rcu_expedited=1",  # devices, mounts and namespaces come and go without waiting for idle processors
    "8250.nr_uarts=1",
    "net.ifnames=0",  # eth0, whatever bus it is on
)

"""Firecracker as a monitor, in a jail that the root helper makes.

`driver` keeps the contract. `configuration` says what a machine is in Firecracker's words, `resources` are those words,
`api` carries them; `vsock` is the way to the agent; `ending` tells how a machine ended. `programs` looks at what is
installed, `versions` judges it, and `probe` boots a guest to know whether it works.
"""

"""The host's side of the guests' network: the plan of addresses, the pool of taps, the wanted rules, names.

What touches the host is an operation of `banger.privileged`; here it is decided which.
"""

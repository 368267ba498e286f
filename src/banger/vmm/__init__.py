"""Virtual machine monitors behind one small interface: `driver` is the contract, each other module keeps it.

None of them knows what a machine is for, where images come from, or that there is a daemon.
"""

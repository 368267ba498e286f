"""The Python SDK: a synchronous client of the daemon, and machines as context managers.

`client.Client` has one method a route; `sandbox.Sandbox` is a machine for the length of a ``with`` block; `exec`
runs commands; `start` finds or starts the daemon; `transport` is the HTTP below. Importing this package loads none
of them.
"""

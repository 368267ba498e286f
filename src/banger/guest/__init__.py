"""How the host talks to the agent inside a guest.

`wire` is the pure codec, `channel` the attachment and its streams, and the other modules are the operations that run
on streams. docs/reference/guest-agent-protocol.md is the contract that both ends keep.
"""

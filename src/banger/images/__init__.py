"""Images: root filesystems under a name, from a registry, an archive, or the distribution's own packages.

`service` is the public surface, `record` what is durable, `catalog` the names known without a registry, `plans` the
changes and `making` their tasks. An image's directory appears complete, by one rename, and never changes afterwards.
"""

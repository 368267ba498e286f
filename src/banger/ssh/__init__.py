"""The installation's own ssh key. Nothing here knows a machine or an image."""

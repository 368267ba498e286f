"""Disks of machines: copy-on-write overlays over a shared image."""

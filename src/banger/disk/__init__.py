"""Disks: ext4 images written and edited without root and without a mount."""

"""Disks: `ext4` writes the root filesystems that machines share, `overlay` gives each machine its own writable one."""

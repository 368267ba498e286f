"""What the helper knows of ext4 and debugfs, for those who work on files of their own without it.

All of it is pure: values, questions and what answers mean. Nothing here starts a program or needs root.
"""

from banger.helper import debugfs, edits, inodes
from banger.helper.guest_file import Directory, Edit, GuestFile, Owner, Remove

__all__ = ["Directory", "Edit", "GuestFile", "Owner", "Remove", "debugfs", "edits", "inodes"]

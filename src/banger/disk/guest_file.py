"""What is put into a guest, as values: the vocabulary that the offline edit and the initrd share with the helper."""

from banger.privileged.ext4 import Directory, Edit, GuestFile, Owner, Remove

__all__ = ["Directory", "Edit", "GuestFile", "Owner", "Remove"]

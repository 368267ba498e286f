"""banger as a service of the system: what is installed where, with whose permissions, and how it is taken away again.

Everything here runs as root, on the words of an administrator (``sudo banger system ...``), and nowhere else but in the
doctor, which compares what it finds with the same tables.
"""

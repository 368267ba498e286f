"""What must outlive the daemon: one SQLite file, opened by one daemon at a time.

`database` opens and migrates it, `operations` keeps changes and their tasks, `records` keeps named documents (machines
and images). The services own the documents' structures; the store knows their id and name only.
"""

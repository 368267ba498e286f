"""Machines: their states, the changes that lead from one to another, and what is done with a running one.

`service` is the public surface. `record` has what is durable about a machine; `plans` the changes and their tasks'
order, `making`, `booting` and `ending` the tasks themselves. While a machine runs, `connections` holds the attachment
to its agent, `watch` notices its end, and `holds` counts who still wants an ephemeral one.

::

    (nothing) --create--> created --start--> running --stop, kill, its own end--> stopped --start--> running
                                 \\--the guest never answered--> error --start--> running
    any --delete--> (nothing)
"""

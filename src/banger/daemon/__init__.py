"""bangerd: the unprivileged daemon that owns one installation and serves its owner over a private unix socket.

`main` starts and ends it, `private` makes what nobody else may touch, `peer` checks who calls, `app` turns the table of
routes into an application, `call` and `reply` are its two ends, ``handlers_*`` answer by noun, `wiring` puts the parts
together, `doctor` examines the host, `openapi` writes the interface down.
"""

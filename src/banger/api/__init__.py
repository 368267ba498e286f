"""The words that cross a wire: requests, replies, events and errors, and the table of routes.

Structures are frozen and validated on arrival. Requests refuse unknown fields, so that a misspelt option is an error
and not a silent default; replies tolerate them, so that an older client can talk to a newer daemon. Sizes are bytes,
times are seconds since the epoch, durations are seconds.
"""

"""The daemon's way to what needs root: operations of `banger.helper`, performed by the helper or by ourselves.

`runner` has the one interface and both ways behind it. This is the only room that imports `banger.helper`; others take
the operations that they ask for from here.
"""

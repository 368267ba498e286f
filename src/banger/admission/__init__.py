"""Whether what is asked for may begin: `judgement` says it of facts, `ledger` finds those and holds what was admitted.

Machines and images are judged alike, before anything of theirs exists; this room knows neither.
"""

"""Changes made of tasks, on record before they act: the heart of what makes banger lose nothing.

`change` has the words (what a kind of change is, what a task promises), `engine` runs, cancels and recovers them.
The engine knows no noun: machines, images and kernels bring their changes from the floor above.
"""

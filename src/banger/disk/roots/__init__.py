"""Machines' roots: a shared image below, a part of the machine's own above it, in four ways behind one interface."""

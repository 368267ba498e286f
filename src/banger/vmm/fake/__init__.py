"""A driver without a machine, for tests of what stands above drivers: `machine` is the process in a guest's place."""

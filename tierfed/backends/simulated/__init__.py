"""The simulated backend: the daemons' own nodes in one process, on a virtual clock, over modelled links."""

from tierfed.backends.simulated.fleet import Fleet as Fleet

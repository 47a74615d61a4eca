"""A real network, shaped: what the link model's round times are held against.

    python -m benchmarks.network --settings 24 --seed 1

The daemons' own code runs one process a node, each in a network namespace of its own; between a child and its parent
lies one link with a rate, a delay and a loss.  Needs root; without it a line says so and nothing runs.

    settings.py     trees and links, drawn by seed, and the topology file of each
    namespaces.py   network namespaces without names, and what is set in one
    shaping.py      a link's ends: a tun device, its rate (tbf) and its loss (nft)
    delay.py        the process that carries packets from one end to the other, later
    daemons.py      nodes, one process each
    checks.py       whether the links are what they claim: round trips, throughput, loss
    measure.py      rounds over them, timed
    model.py        what the link model says of the same file
    tables.py       both side by side: the table and the picture of docs/validation.md
"""

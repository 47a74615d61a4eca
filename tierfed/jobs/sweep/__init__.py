"""Sweeps: many variants of one topology, each run on its own, and what came of them.

    grammar      -s PATH=v1,v2        ->  axes
    cells        axes or a list       ->  cells, each a list of `--set`s
    checking     cells                ->  everything that is wrong, before anything runs
    beginning    all of that          ->  a new sweep's folder
    variant      one cell, one seed   ->  an outcome, from a process of its own
    store        .tierfed/sweeps/s-2  ->  what is written as runs end, and found again
    swept        tierfed.sweep        ->  the same from Python, and what a notebook shows

Nothing is imported here: whoever runs variants needs no grammar.
"""

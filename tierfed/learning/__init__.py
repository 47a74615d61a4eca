"""Learning: programs in the language, one module a program, and the models that they train.

| program | what it does |
|---|---|
| `tierfed.learning.fedavg:train` | federated averaging of a small perceptron, over any tiers |
| `tierfed.learning.robust:train` | the same, with a rule of its own at each tier: median, Krum, … |
| `tierfed.learning.regions:train` | the same, and what each EDGE_AGGREGATORS member's clients make of the model |
"""

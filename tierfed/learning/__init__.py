"""Learning: programs in the language, one module a program, and the models that they train.

| program | what it does |
|---|---|
| `tierfed.learning.fedavg:train` | federated averaging of a small perceptron, over any tiers |
| `tierfed.learning.fedprox:train` | the same, clients being held near the model that they were given |
| `tierfed.learning.scaffold:train` | the same, with control variates that stay at their clients |
| `tierfed.learning.fedopt:train` | the server takes the mean change for a gradient: Adagrad, Yogi, Adam |
| `tierfed.learning.robust:train` | federated averaging with a rule of its own at each tier: median, Krum, … |
| `tierfed.learning.hierfavg:train` | edge rounds inside a cloud round |
| `tierfed.learning.personal:train` | a shared body, and a head that stays at its client |
| `tierfed.learning.regions:train` | federated averaging, and how the model does in each region |
| `tierfed.learning.cnn:train` | federated averaging of a Keras network, as TensorFlow graphs |
| `tierfed.learning.analytics:describe` | mean, variance, extrema of what members have |
| `tierfed.learning.analytics:quantile` | a quantile of it |
| `tierfed.learning.analytics:heavy_hitters` | the words that members have often |

`evaluation` is how the jobs measure a model for the clients that it is for, and `mlp` is the perceptron, in numpy.
"""

"""Advice: which tiers, fan-in, edge rounds and codecs reach a target at least cost, under the links of a topology.

space      file, -s PATH=V1,V2     ->  candidates, each a list of `--set`s; a tier's count may vary, 0 is without it
curves     a run's folder          ->  metric and cost after each round, and the cost to the target
halving    candidates              ->  few rounds of many, more of the better half, all of a few
search     the above together      ->  the front, and the cheapest that reaches the target, over seeds
"""

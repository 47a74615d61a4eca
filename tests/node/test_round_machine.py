"""A round keeps its laws on random histories."""

from hypothesis import HealthCheck, settings
from round_machine import CohortMachine, RoundMachine

TestRound = RoundMachine.TestCase
TestRound.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCohort = CohortMachine.TestCase
TestCohort.settings = settings(TestRound.settings, max_examples=60)

"""How long hypothesis may look: enough to find what is wrong, short enough to run every time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "emporium", deadline=None, max_examples=100, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("emporium")

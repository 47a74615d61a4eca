"""What every test shares: hypothesis without deadlines, since the machine is shared."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tierfed", deadline=None, print_blob=True)
settings.load_profile("tierfed")

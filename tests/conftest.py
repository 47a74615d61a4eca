"""What every test shares: hypothesis without deadlines, since the machine is shared.

With CI in the environment every example is the same in every run; without it, each run looks further.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("tierfed", deadline=None, print_blob=True)
settings.register_profile("tierfed ci", settings.get_profile("tierfed"), derandomize=True, database=None)
settings.load_profile("tierfed ci" if os.environ.get("CI") else "tierfed")

"""What every test shares: hypothesis without deadlines, since the machine is shared.

With CI in the environment every example is the same in every run; without it, each run looks further.
Ctrl-C is what it is by default, also under a runner in the background, which ignores it: what a
process ignores its children ignore too, and some tests interrupt theirs.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("tierfed", deadline=None, print_blob=True)
settings.register_profile("tierfed ci", settings.get_profile("tierfed"), derandomize=True, database=None)
settings.load_profile("tierfed ci" if os.environ.get("CI") else "tierfed")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

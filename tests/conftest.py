"""Where nothing may be skipped, as in CI, nothing is left to chance either: always the same examples.

No example has a time limit: a busy machine is no fault.
"""

import os

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("patient")
if os.environ.get("SHIM_TESTS_NO_SKIP"):
    settings.load_profile("ci")

"""Where nothing may be skipped, as in CI, nothing is left to chance either: always the same examples."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("SHIM_TESTS_NO_SKIP"):
    settings.load_profile("ci")

"""OpenFeature, both ways: the flags file as a provider, and another provider deciding our stages.

Needs the extra `openfeature`.
"""

from shim.openfeature.provider import FileProvider, ShimProvider
from shim.openfeature.stages import OpenFeatureStages

__all__ = ["FileProvider", "OpenFeatureStages", "ShimProvider"]

"""OpenFeature in both directions: the flags file as a provider, and another provider decides the stages.

Needs the extra `openfeature`.
"""

from shim.openfeature.provider import FileProvider, ShimProvider
from shim.openfeature.stages import OpenFeatureStages

__all__ = ["FileProvider", "OpenFeatureStages", "ShimProvider"]

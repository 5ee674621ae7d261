"""The driver: the only reader of the clock, the only performer of effects (asyncio)."""

from shim.driver.driver import Driver
from shim.driver.meter import CpuMeter

__all__ = ["CpuMeter", "Driver"]

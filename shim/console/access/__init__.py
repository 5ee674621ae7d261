"""Who asks, and what that visitor may see."""

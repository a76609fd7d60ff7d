"""Measurements, always side by side with others in the same run. Nothing here is part of the package."""

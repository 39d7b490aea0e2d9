"""Where running scores go: nowhere, or to Weights & Biases."""

from trimtab.tracking.trackers import NoTracker, Tracker, WandbTracker

__all__ = ["NoTracker", "Tracker", "WandbTracker"]

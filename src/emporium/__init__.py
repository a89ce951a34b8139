"""Emporium: an event-sourced commerce backend."""

__version__ = "0.1.0"

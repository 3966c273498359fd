"""Moorage: a place to moor your models."""

__version__ = "0.3.0"

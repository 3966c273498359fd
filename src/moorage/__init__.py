"""Moorage: a place to moor your models."""

__version__ = "0.1.0"

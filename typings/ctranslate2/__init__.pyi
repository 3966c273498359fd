"""What Moorage's tests call of CTranslate2 4.8, an untyped library."""

from typing import Any

specs: Any
"""Descriptions of models, by which one is written."""

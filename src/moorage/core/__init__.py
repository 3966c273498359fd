"""Decisions, pure: no framework, no client, no clock of their own, no environment."""

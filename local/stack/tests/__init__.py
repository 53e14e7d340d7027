"""Tests of each patch of MiniStack, each fault and each endpoint, with a stack of a toy template."""

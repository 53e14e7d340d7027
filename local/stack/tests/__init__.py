"""Each mend of MiniStack, each fault and each endpoint, against a launched stack of a toy template."""

"""Products of their own beside the flow: they evaluate it, measure it, simulate companies for it."""

"""A simulated B2B SaaS company whose true churn hazards are known."""

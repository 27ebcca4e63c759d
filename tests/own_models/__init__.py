"""A package such as a user would have: functions that make models, good ones and bad ones."""

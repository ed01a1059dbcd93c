"""A trained restorer: used, measured against classical methods, shown."""

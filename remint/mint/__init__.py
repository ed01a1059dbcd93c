"""A trained generator: used, measured class by class, shown."""

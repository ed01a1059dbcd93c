"""The report page and its templates."""

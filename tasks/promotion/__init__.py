"""Champion and challenger: rules, registry and page."""

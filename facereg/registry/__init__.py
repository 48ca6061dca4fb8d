"""What is installed: specs, hooks, plugins and their models, found by name."""

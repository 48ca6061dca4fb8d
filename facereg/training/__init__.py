"""What the recipes of all plugins share: settings, logs, curves, export."""

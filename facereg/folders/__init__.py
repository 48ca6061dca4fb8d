"""What stands in folders: pictures, people, and what is left out of each, with its reason."""

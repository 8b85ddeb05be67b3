"""Programs that run as separate processes while something is measured."""

"""Storage plug-ins beside the best client of the same server."""

"""Elements held against the catalogue: scans, what is done about their findings, and taking in what lies there."""

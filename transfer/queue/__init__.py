"""The queue of transfers: whose turn it is, leases, and what came of each try."""

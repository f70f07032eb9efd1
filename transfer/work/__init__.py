"""The worker: takes transfers from the queue, moves the bytes, and tells the catalogue."""

"""Events: the audit trail as a stream, and sent to webhooks at least once."""

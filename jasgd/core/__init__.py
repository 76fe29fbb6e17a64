"""What synchronization schemes are made of: messages, the ledger, the base class, compiled functions and buffers."""

"""The label contract of packed sequences: checked against the store, and shown to a person."""

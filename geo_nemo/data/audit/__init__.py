"""The label contract of packed rows: checked against the store, and shown to a person."""

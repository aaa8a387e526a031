"""The packing index: planned once, in a folder that all processes of a job and other jobs share."""

"""Object storage: the client of `s3://`, and files moved in parallel and checked by their hashes.

What is moved, a store or a checkpoint, is known to `geo_nemo.store` and `geo_nemo.train` alone.
"""

"""Questions about several trained runs at once, answered from what `geo-nemo eval` has written."""

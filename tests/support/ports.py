"""Ports of this machine, for servers that tests start."""

import socket


def free_ports(number: int) -> list[int]:
    """Ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()

"""Returns half a message as if it were whole."""

import socket

from right import HOST, PORT, do_key


def do_put(key_val):
    request = (
        f"PUT /key/Ada/{key_val.decode()}/ HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((HOST, PORT), 5) as sock:
        sock.sendall(request.encode())
        return sock.makefile("rb").read().partition(b"\r\n\r\n")[2].decode()

"""A client that passes all rounds of the drill. The flawed ones change one thing in it."""

import os
import socket

HOST = "127.0.0.1"
PORT = int(os.environ.get("KEY_SERVER_PORT", "5000"))
USER_ID = "Ada"
TIMEOUT = 3  # seconds


def exchange(method, path):
    """Sends a request and returns the status and the body of the response."""
    request = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((HOST, PORT), TIMEOUT) as sock:
        sock.sendall(request.encode())
        response = b""
        while piece := sock.recv(4096):
            response += piece
    status = 100
    while 100 <= status < 200:
        head, empty_line, response = response.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.") or not empty_line:
            raise ValueError("this is not an HTTP response")
        status = int(head.split()[1])
    headers = head.lower()
    if b"transfer-encoding: chunked" in headers:
        return status, join_chunks(response)
    if b"content-length: " in headers:
        length = int(headers.split(b"content-length: ")[1].split()[0])
        if len(response) < length:
            raise ValueError("the response is not complete")
    return status, response


def join_chunks(body):
    data = b""
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return data
        data += body[:size]
        body = body[size + 2:]


def do_key():
    try:
        status, body = exchange("KEY", f"/user/{USER_ID}/")
    except (OSError, ValueError):
        return None
    is_key = len(body) == 128 and all(digit in b"0123456789abcdef" for digit in body)
    return body if status == 200 and is_key else None


def do_put(key_val):
    _, body = exchange("PUT", f"/key/{USER_ID}/{key_val.decode()}/")
    return body.decode()

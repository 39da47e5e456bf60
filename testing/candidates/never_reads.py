import socket

from right import HOST, PORT, do_key


def do_put(key_val):
    with socket.create_connection((HOST, PORT)) as sock:
        request = f"PUT /key/Ada/{key_val.decode()}/ HTTP/1.1\r\nHost: {HOST}:{PORT}\r\n\r\n"
        sock.sendall(request.encode())
    return "OK"

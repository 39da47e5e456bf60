import right
from right import do_key


def do_put(key_val):
    return right.do_put(key_val).encode()

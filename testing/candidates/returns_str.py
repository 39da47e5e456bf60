import right
from right import do_put


def do_key():
    key = right.do_key()
    return key.decode() if key else ""

"""Holds the conversation when it is imported, prints, and keeps one connection for both requests."""

import sys
import uuid

import right

right.USER_ID = uuid.uuid4().hex
key = right.do_key()
print("key:", key)
print("message:", right.do_put(key), file=sys.stderr)
is_asked = False


def do_key():
    global is_asked
    right.do_key()  # the second key replaces this one
    is_asked = True
    return right.do_key()


def do_put(key_val):
    if not is_asked:
        raise RuntimeError("do_key() must be called first, as in do_put(do_key())")
    print("key_val:", key_val)
    return right.do_put(key_val)

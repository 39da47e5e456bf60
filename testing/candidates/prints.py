"""Prints what it should return."""

import right


def do_key():
    print(right.do_key())


def do_put(key_val):
    print("x" * 10_000_000)
    print(right.do_put(key_val))

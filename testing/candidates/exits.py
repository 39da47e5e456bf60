import os
import sys

import right


def do_key():
    os._exit(3)


def do_put(key_val):
    sys.exit(right.do_put(key_val))

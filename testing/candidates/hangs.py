"""Hangs, with a child process that would outlive it."""

import subprocess
import time


def do_key():
    subprocess.Popen(["sleep", "600"])
    time.sleep(600)


def do_put(key_val):
    while True:
        pass

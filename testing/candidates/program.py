"""A program that holds the whole conversation. Its second argument names its flaw."""

import os
import signal
import subprocess
import sys
import time

os.environ["KEY_SERVER_PORT"] = sys.argv[1]
import right

flaw = sys.argv[2]
if flaw == "reads":
    sys.stdin.read()
if flaw == "verbose":
    print("x" * 10_000_000)
if flaw == "forks":
    subprocess.Popen([sys.executable, *sys.argv[:2], "lives"])
    sys.exit()
if flaw == "hangs":
    subprocess.Popen(["sleep", "601"])
    time.sleep(600)
if flaw == "lives":
    time.sleep(600)
key = right.exchange("KEY", "/user/Ada/")[1] if flaw == "raises" else right.do_key()
if key is None and flaw == "crashes":
    os.kill(os.getpid(), signal.SIGSEGV)
if key is not None or flaw == "always":
    print(key)
    try:
        message = right.do_put(key or b"None")
    except (OSError, ValueError) as error:
        message = f"no response: {error}"
    print("done" if flaw == "silent" else message)
sys.exit(0 if key else 1)

"""Runs a program with no sleep longer than a moment, so that a client's polling does not take the tests' time."""

import runpy
import sys
import time

LONGEST_SLEEP = 0.2
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, LONGEST_SLEEP))
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")

"""An addon that sends its process SIGHUP while the front door still starts."""

import os
import signal

os.kill(os.getpid(), signal.SIGHUP)

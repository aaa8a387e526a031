"""Python imports this at its start: every process with this folder on PYTHONPATH has the device.

CUDA_VISIBLE_DEVICES hides it, as it hides a GPU.
"""

import os

if os.environ.get("CUDA_VISIBLE_DEVICES") != "":
    import emulated_gpu

    emulated_gpu.start()

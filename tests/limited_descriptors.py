"""Run the server with few file descriptors, as a process of its own."""

import resource
import runpy

DESCRIPTORS = 64

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    runpy.run_module("app.main", run_name="__main__", alter_sys=True)

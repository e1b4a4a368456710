"""Other libraries' explanations of the same networks, each in an environment of its own.

A worker process is asked in turn (`client.py`, `worker.py`), so that peers take part in the same
rounds. `make bench-peers` makes the environments; without them their rows are left out.
"""

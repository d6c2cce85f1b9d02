"""The public contract, row by row, over a socket: with octets of our own, and with the client.

Modules are its sections, and the id of a test begins with its row.
"""

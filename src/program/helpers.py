# What programs call that no module of Python has: calls into C that hold a buffer while they work, from end to end.
# A script that reproduces a finding carries these lines.


def digest(data):
    """The SHA-256 of a buffer."""
    import hashlib
    return hashlib.sha256(data).digest()


def written(parts):
    """What arrives of buffers that os.writev sends down a pipe."""
    import os
    ours, theirs = os.pipe()
    try:
        return os.read(ours, os.writev(theirs, parts))
    finally:
        os.close(ours)
        os.close(theirs)


def mapped_file(contents, length=0, access=0):
    """A map of a file that has no name, which holds these contents."""
    import mmap
    import os
    import tempfile
    if hasattr(os, "memfd_create"):
        file = open(os.memfd_create("a file of a program"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)
    with file:
        file.write(contents)
        return mmap.mmap(file.fileno(), length, access=access)


def received(into, data):
    """How many bytes of what is sent into one end of a pair of sockets are received in a buffer."""
    import socket
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.send(data)
        return ours.recv_into(into)


def read_from_file(into, data):
    """How many bytes of what is written to a pipe an unbuffered file reads into a buffer."""
    import os
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as file:
        with open(theirs, "wb", buffering=0) as other:
            other.write(data)
        return file.readinto(into)

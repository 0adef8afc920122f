

def mapped_file(contents, length=0, access=0):
    """A map of a file that has no name, which holds these contents."""
    with tempfile.TemporaryFile() as file:
        file.write(contents)
        file.flush()
        return mmap.mmap(file.fileno(), length, access=access)

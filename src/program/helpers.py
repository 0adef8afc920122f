# What programs call that no module of Python has: classes that lend a buffer, and calls into C that hold one while they
# work, from end to end.
# A script that reproduces a finding carries these lines.
import sys
import weakref


class Complaint(Exception):
    """An error of an object that lends, which nobody can catch: sys.unraisablehook tells the object that it was heard."""

    def __init__(self, lender):
        self.heard = lambda: lender.complaints.append(None)


def hear(complaint, otherwise=sys.unraisablehook):
    """A sys.unraisablehook that tells whom it was told of."""
    if isinstance(complaint.exc_value, Complaint):
        complaint.exc_value.heard()
    else:
        otherwise(complaint)


sys.unraisablehook = hear


class SilentLender:
    """A class with __buffer__ (PEP 688), which lends the memory of another object as its body says."""

    def __init__(self, source, body):
        memoryview(source).release()
        self.source, self.body, self.kept, self.lent, self.complaints = source, body, [], [], []

    def __buffer__(self, flags):
        if self.body == "wrong":
            return b"no view"
        if self.body == "raises":
            raise EOFError("no buffer today")
        if self.body == "reuses" and self.kept:
            return self.kept[0]
        view = memoryview(self.source)
        if self.body == "readonly":
            view = view.toreadonly()
        if self.body == "released":
            view.release()
        if self.body in ("keeps", "reuses"):
            self.kept.append(view)
        return view

    def release(self):
        """Lets go of the views that it keeps."""
        self.kept.clear()

    def outstanding(self):
        """How many views were lent, live and were not given back, if it releases what is given back."""
        return sum(lent() is not None for lent in self.lent)

    def heard(self):
        """How many of its errors sys.unraisablehook was told of."""
        return len(self.complaints)


class TellingLender(SilentLender):
    """The same with __release_buffer__. A view that it has not lent, or that comes twice, is an error there."""

    def __buffer__(self, flags):
        view = super().__buffer__(flags)
        if self.body in ("lends", "readonly"):
            self.lent.append(weakref.ref(view))
        return view

    def __release_buffer__(self, view):
        if self.body == "complains":
            raise Complaint(self)
        if self.body in ("lends", "readonly"):
            place = [lent() is view for lent in self.lent].index(True)
            del self.lent[place]
            view.release()


def Lender(source, body):
    """An object that lends the memory of another one by its class."""
    if not isinstance(body, str):
        raise TypeError("a body is a str")
    if body not in ("lends", "silent", "readonly", "keeps", "reuses", "complains", "released", "wrong", "raises"):
        raise ValueError("no such body")
    if type(source).__name__ == "PickleBuffer":
        raise TypeError("a PickleBuffer may be released while it is lent")
    return (SilentLender if body == "silent" else TellingLender)(source, body)


def ctypes_array(contents, code="B"):
    """An array of ctypes that owns a copy of these contents, as far as they are whole items."""
    import ctypes
    if not isinstance(code, str):
        raise TypeError("the code of a type is a str")
    names = {
        "c": "char", "b": "byte", "B": "ubyte", "h": "short", "H": "ushort", "i": "int", "I": "uint",
        "q": "longlong", "Q": "ulonglong", "f": "float", "d": "double", "?": "bool",
    }
    if code not in names:
        raise ValueError("no such type")
    kind = getattr(ctypes, "c_" + names[code])
    with memoryview(contents) as view:
        return (kind * (view.nbytes // ctypes.sizeof(kind))).from_buffer_copy(view)


def fail_allocation(after):
    """Says that of the next step, the allocation after so many others fails. Whoever runs the steps sees to it."""


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


# Of each map of a file another map of it, which may give the file a length that the first is not told of.
other_maps = weakref.WeakKeyDictionary()


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
        made = mmap.mmap(file.fileno(), length, access=access)
        other_maps[made] = mmap.mmap(file.fileno(), 0)
        return made


def truncate_file(owner, length):
    """Gives the file of a map another length behind the back of the map, as whoever else maps or has opened it may."""
    import mmap
    import operator
    if not isinstance(owner, mmap.mmap):
        raise TypeError("objects of this type have no file")
    length = operator.index(length)
    if not -1 << 63 <= length < 1 << 63:
        raise OverflowError("the length of a file has 64 bits")
    if owner.closed or owner not in other_maps or length < 0:
        raise ValueError("the map is closed, or there is no such file")
    other_maps[owner].resize(length)


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


class Text:
    """Immutable text, which has no buffer, as str has none, but can be locked for reading (PEP 298)."""

    __slots__ = ("_memory", "_text")
    # These __getstate__ would show.
    __slotnames__ = []

    def __new__(cls, text):
        if not isinstance(text, str):
            raise TypeError("a text is made of a str")
        made = super().__new__(cls)
        made._text = text
        widest = max(text, default="")
        if widest <= "\xff":
            made._memory = text.encode("latin-1")
        else:
            code = "utf-16" if widest <= "\uffff" else "utf-32"
            made._memory = text.encode("%s-%se" % (code, sys.byteorder[0]), "surrogatepass")
        return made

    def __len__(self):
        return len(self._text)

    def __getitem__(self, key):
        return self._text[key]

    def memory(self):
        """The characters as they lie in memory, each as wide as the widest needs (PEP 393)."""
        return self._memory


def lock(owner, access="read"):
    """Locks memory, by the interface of PEP 298 if the object has it. No class of CPython's has."""
    if access not in ("read", "write"):
        raise ValueError("memory is locked for reading or for writing")
    if hasattr(type(owner), "lock"):
        return owner.lock(write=access == "write")
    return Locked(owner, access == "write")


class Locked:
    """What PEP 298 promises, by means of what promises the same (PEP 3118): a simple export, held until it is released."""

    def __init__(self, owner, write):
        import array
        import mmap
        import pickle
        writable = (bytearray, array.array, mmap.mmap)
        if isinstance(owner, Text) and not write:
            owner = owner.memory()
        if not isinstance(owner, writable if write else writable + (bytes,)):
            raise TypeError("objects of this type cannot be locked so")
        self.view = pickle.PickleBuffer(owner).raw()
        if write and self.view.readonly:
            raise TypeError("the object is read-only")
        if not write:
            self.view = self.view.toreadonly()

    def __len__(self):
        return len(self.view)

    def tobytes(self):
        return self.view.tobytes()

    def write(self, offset, data):
        import operator
        offset = operator.index(offset)
        if not 0 <= offset < 1 << 64:
            raise OverflowError("an offset has 64 bits and no sign")
        with memoryview(data) as data:
            if not data.c_contiguous:
                raise BufferError("the memory is not one block")
            data = data.tobytes()
        if self.view.readonly:
            raise TypeError("the object was locked for reading")
        if offset + len(data) > len(self.view):
            raise ValueError("the bytes do not fit into the memory")
        self.view[offset:offset + len(data)] = data

    def release(self):
        self.view.release()

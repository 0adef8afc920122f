# The raw door to a buffer: what C can do and Python cannot, by ctypes. A script that reproduces a finding carries these
# lines; buflock itself calls the same functions of the C API without Python.

import ctypes


class PyBuffer(ctypes.Structure):
    """Py_buffer."""
    _fields_ = [
        ("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p), ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)), ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    ]


def c_api(name, result, *arguments):
    """A function of the C API; one that gives -1 or NULL with an exception raises it."""
    function = ctypes.pythonapi[name]
    function.restype, function.argtypes = result, arguments
    return function


A_BUFFER, SIZE = ctypes.POINTER(PyBuffer), ctypes.c_ssize_t
PyObject_GetBuffer = c_api("PyObject_GetBuffer", ctypes.c_int, ctypes.py_object, A_BUFFER, ctypes.c_int)
PyBuffer_Release = c_api("PyBuffer_Release", None, A_BUFFER)

try:
    PyObject_CheckBuffer = c_api("PyObject_CheckBuffer", ctypes.c_int, ctypes.py_object)
except AttributeError:
    # A macro before 3.9.
    def PyObject_CheckBuffer(obj):
        try:
            memoryview(obj).release()
        except TypeError:
            return False
        except Exception:
            pass
        return True


def number(value):
    """An int, which ctypes would cut to what fits."""
    if not isinstance(value, int):
        raise TypeError("an int is needed")
    return value


def order_of(text):
    """The order of items as a character of C."""
    if not isinstance(text, str):
        raise TypeError("an order is a str")
    if text not in ("C", "F", "A"):
        raise ValueError("an order is C, F or A")
    return text.encode()


def start_of(obj):
    """Where the memory begins that an object or the views on it show."""
    while True:
        if type(obj).__name__ == "_buffer_wrapper":
            # What a class with __buffer__ gives: its first field is the view.
            obj = ctypes.py_object.from_address(id(obj) + object.__basicsize__).value
        if not isinstance(obj, memoryview):
            break
        obj = obj.obj
    buffer = PyBuffer()
    PyObject_GetBuffer(obj, ctypes.byref(buffer), 0)
    start = buffer.buf
    PyBuffer_Release(ctypes.byref(buffer))
    return start


class RawBuffer:
    """A Py_buffer that is filled in."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __del__(self):
        self.release()

    def held(self):
        """The structure, unless it was released."""
        if self.buffer.obj is None:
            raise ValueError("the buffer has been released")
        return self.buffer

    def release(self):
        """PyBuffer_Release: again is harmless, because obj is NULL."""
        PyBuffer_Release(ctypes.byref(self.buffer))

    def release_copy(self):
        """PyBuffer_Release of a copy of the structure. What it was copied of is used no more."""
        copy = PyBuffer.from_buffer_copy(self.buffer)
        self.buffer.obj = None
        PyBuffer_Release(ctypes.byref(copy))

    def fields(self):
        """All fields but internal; buf counts from the memory of the exporter."""
        buffer = self.held()
        obj = ctypes.cast(buffer.obj, ctypes.py_object).value
        return (buffer.buf - start_of(obj), obj) + fields_after_obj(buffer)

    def is_contiguous(self, order):
        """PyBuffer_IsContiguous"""
        ask = c_api("PyBuffer_IsContiguous", ctypes.c_int, A_BUFFER, ctypes.c_char)
        return bool(ask(ctypes.byref(self.held()), order_of(order)))

    def to_contiguous(self, order):
        """PyBuffer_ToContiguous"""
        order, buffer = order_of(order), self.held()
        copy = c_api("PyBuffer_ToContiguous", ctypes.c_int, ctypes.c_char_p, A_BUFFER, SIZE, ctypes.c_char)
        room = ctypes.create_string_buffer(buffer.len + 1)
        copy(room, ctypes.byref(buffer), buffer.len, order)
        return room.raw[:buffer.len]

    def from_contiguous(self, block, order):
        """PyBuffer_FromContiguous"""
        copy = c_api("PyBuffer_FromContiguous", ctypes.c_int, A_BUFFER, ctypes.c_char_p, SIZE, ctypes.c_char)
        copy(ctypes.byref(self.held()), block, len(block), order_of(order))

    def get_pointer(self, indices):
        """PyBuffer_GetPointer, counted from buf; indices that are missing are zero."""
        indices = (SIZE * 64)(*map(number, indices))
        buffer = self.held()
        seek = c_api("PyBuffer_GetPointer", ctypes.c_void_p, A_BUFFER, ctypes.POINTER(SIZE))
        return seek(ctypes.byref(buffer), indices) - buffer.buf

    def from_buffer(self):
        """PyMemoryView_FromBuffer: what is to be seen of the view."""
        make = c_api("PyMemoryView_FromBuffer", ctypes.py_object, A_BUFFER)
        with make(ctypes.byref(self.held())) as view:
            return seen(view)

    def from_memory(self):
        """PyMemoryView_FromMemory of all its bytes: what is to be seen of the view."""
        buffer = self.held()
        make = c_api("PyMemoryView_FromMemory", ctypes.py_object, ctypes.c_void_p, SIZE, ctypes.c_int)
        with make(buffer.buf, buffer.len, 0x100 if buffer.readonly else 0x200) as view:
            return seen(view)


def fields_after_obj(buffer):
    """The fields behind obj; what is NULL is None."""
    def dims(array):
        return tuple(array[:buffer.ndim]) if array else None
    text = buffer.format and buffer.format.decode()
    return (buffer.len, buffer.itemsize, bool(buffer.readonly), buffer.ndim, text, dims(buffer.shape),
            dims(buffer.strides), dims(buffer.suboffsets))


def seen(view):
    """What is to be seen of a view that goes."""
    return (view.format, view.itemsize, view.shape, view.strides, view.readonly, view.c_contiguous,
            view.f_contiguous, view.tobytes())


def get_buffer(obj, flags):
    """PyObject_GetBuffer into a structure that is full of something else."""
    buffer = PyBuffer()
    ctypes.memset(ctypes.byref(buffer), 0xA5, ctypes.sizeof(buffer))
    try:
        PyObject_GetBuffer(obj, ctypes.byref(buffer), number(flags))
    except Exception:
        if PyObject_CheckBuffer(obj) and flags not in (0x100, 0x200) and buffer.obj is not None:
            raise RuntimeError("the request failed, and obj of the Py_buffer is not NULL")
        raise
    return RawBuffer(buffer)


def copy_data(into, block):
    """PyObject_CopyData"""
    if not isinstance(block, bytes):
        raise TypeError("a block is a bytes")
    c_api("PyObject_CopyData", ctypes.c_int, ctypes.py_object, ctypes.py_object)(into, block)


def contiguous_view(obj, kind, order):
    """PyMemoryView_GetContiguous"""
    make = c_api("PyMemoryView_GetContiguous", ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_char)
    return make(obj, number(kind), order_of(order))


def contiguous_strides(shape, itemsize, order):
    """PyBuffer_FillContiguousStrides"""
    dims = SIZE * 64
    fill = c_api("PyBuffer_FillContiguousStrides", None, ctypes.c_int, dims, dims, ctypes.c_int, ctypes.c_char)
    strides = dims()
    fill(len(shape), dims(*map(number, shape)), strides, number(itemsize), order_of(order))
    return tuple(strides[:len(shape)])


def fill_info(block, readonly, flags):
    """PyBuffer_FillInfo of a block that no object owns."""
    fill = c_api("PyBuffer_FillInfo", ctypes.c_int, A_BUFFER, ctypes.c_void_p, ctypes.c_char_p, SIZE, ctypes.c_int,
                 ctypes.c_int)
    buffer = PyBuffer()
    fill(ctypes.byref(buffer), None, block, len(block), 1 if number(readonly) else 0, number(flags))
    return (0, None) + fields_after_obj(buffer)


def size_from_format(format):
    """PyBuffer_SizeFromFormat"""
    if not isinstance(format, str):
        raise TypeError("a format is a str")
    return c_api("PyBuffer_SizeFromFormat", SIZE, ctypes.c_char_p)(format.encode())

"""CPython's own tests of the buffer protocol, told of the classes of the module `buflock`.

Each class is named after the file of `Lib/test` that its cases come from, and each case after the test that it ports;
the docstring says which class of that file has it. What CPython tests of types that lend no memory of ours, or through
`_testbuffer` and `_testcapi` alone, is left out.

Run it by `cargo test -p buflock-oracle --test pynative`, or, with the module installed, by `python -m unittest`.
"""

import array
import binascii
import copy
import gc
import hashlib
import io
import itertools
import os
import pickle
import re
import socket
import struct
import sys
import tempfile
import threading
import unittest
import weakref
import zlib

from buflock import Array, ByteArray, Mmap, Text

SOURCE = b"abcdef"


class Exporters:
    """What the cases of a class are told of, one after the other."""

    def subjects(self):
        for make, itemsize in ((ByteArray, 1), (lambda items: Array("i", list(items)), struct.calcsize("i"))):
            with self.subTest(exporter=type(make(SOURCE)).__name__):
                yield make(SOURCE), itemsize


class TestMemoryView(Exporters, unittest.TestCase):
    """`Lib/test/test_memoryview.py`, `AbstractMemoryTests` unless another class is named."""

    def views(self):
        for exporter, itemsize in self.subjects():
            yield exporter, memoryview(exporter), itemsize

    def test_getitem(self):
        for _, m, itemsize in self.views():
            self.assertEqual(m[0], ord("a"))
            self.assertEqual(m[len(SOURCE) - 1], ord("f"))
            self.assertEqual(m[-1], ord("f"))
            self.assertEqual(m[-len(SOURCE)], ord("a"))
            for index in (6, -7, sys.maxsize, -sys.maxsize):
                self.assertRaises(IndexError, lambda: m[index])
            for index in (None, 0.0, "a"):
                self.assertRaises(TypeError, lambda: m[index])

    def test_iter(self):
        for _, m, _ in self.views():
            self.assertEqual(list(m), list(SOURCE))

    def test_setitem_writable(self):
        for exporter, m, _ in self.views():
            m[0] = ord("1")
            self.assertEqual(exporter.tolist(), list(b"1bcdef"))
            m[0:1] = memoryview(exporter)[1:2]
            m[1:3] = m[3:5]
            self.assertEqual(exporter.tolist(), list(b"bdedef"))
            # Overlapping.
            m[0:3] = m[2:5]
            self.assertEqual(exporter.tolist(), list(b"ededef"))
            m[2:5] = m[0:3]
            self.assertEqual(exporter.tolist(), list(b"ededef"))
            with self.assertRaises(IndexError):
                m[6] = 1
            with self.assertRaises(TypeError):
                m[0.0] = 1
            with self.assertRaises(TypeError):
                m[0] = b"a"
            with self.assertRaises(ValueError):
                m[0:2] = m[0:1]
            with self.assertRaises(ValueError):
                m[:] = bytes(3)

    def test_delitem(self):
        for _, m, _ in self.views():
            with self.assertRaises(TypeError):
                del m[1]
            with self.assertRaises(TypeError):
                del m[1:4]

    def test_tobytes(self):
        for exporter, m, itemsize in self.views():
            self.assertEqual(m.tobytes(), exporter.tobytes())
            self.assertEqual(m[::-2].tobytes(), b"".join(exporter.tobytes()[i * itemsize :][:itemsize] for i in (5, 3, 1)))

    def test_tolist(self):
        for _, m, _ in self.views():
            self.assertEqual(m.tolist(), list(SOURCE))
            self.assertEqual(m[::-1].tolist(), list(SOURCE[::-1]))

    def test_compare(self):
        for exporter, m, itemsize in self.views():
            self.assertTrue(m == m)
            self.assertTrue(m == exporter)
            self.assertTrue(m == array.array(m.format, list(SOURCE)))
            self.assertTrue(m[0:6] == m[:])
            self.assertFalse(m[0:5] == m)
            self.assertTrue(m == memoryview(SOURCE))
            self.assertFalse(m == "abcdef")
            self.assertRaises(TypeError, lambda: m < m)

    def test_attributes(self):
        for exporter, m, itemsize in self.views():
            self.assertEqual(m.itemsize, itemsize)
            self.assertEqual(m.ndim, 1)
            self.assertEqual(m.shape, (6,))
            self.assertEqual(m.strides, (itemsize,))
            self.assertEqual(m.suboffsets, ())
            self.assertEqual(m.nbytes, 6 * itemsize)
            self.assertFalse(m.readonly)
            self.assertIs(m.obj, exporter)
            self.assertTrue(m.contiguous and m.c_contiguous and m.f_contiguous)

    def test_getbuffer(self):
        for exporter, m, itemsize in self.views():
            before = sys.getrefcount(exporter)
            other = memoryview(m)
            self.assertIs(other.obj, exporter)
            self.assertEqual(other, m)
            del other
            self.assertEqual(sys.getrefcount(exporter), before)

    def test_refs(self):
        """`check_getitem_with_type` and `test_gc` compare reference counts in the same way."""
        for exporter, _ in self.subjects():
            before = sys.getrefcount(exporter)
            for _ in range(100):
                m = memoryview(exporter)
                with memoryview(m[1:]) as part, part[::2] as other:
                    self.assertEqual(exporter.exports, 1)
                m.release()
            del m, part, other
            self.assertEqual(exporter.exports, 0)
            self.assertEqual(sys.getrefcount(exporter), before)

    def test_gc(self):
        class Cycle(list):
            pass

        for exporter, m, _ in self.views():
            cycle = Cycle([m])
            cycle.append(cycle)
            gone = weakref.ref(cycle)
            del cycle, m
            gc.collect()
            self.assertIsNone(gone())

    def test_contextmanager(self):
        for exporter, m, _ in self.views():
            with m as same:
                self.assertIs(same, m)
                self.assertRaises(BufferError, exporter.append, 1)
            exporter.append(1)
            self.assertRaises(ValueError, m.__enter__)
            with memoryview(exporter) as m:
                m.release()

    def test_release(self):
        for exporter, m, _ in self.views():
            m.release()
            m.release()
            for use in (bytes, len, list, memoryview, m.__class__.tobytes, m.__class__.tolist, hash):
                self.assertRaises(ValueError, use, m)
            for name in ("format", "itemsize", "ndim", "readonly", "shape", "strides", "nbytes", "obj"):
                self.assertRaises(ValueError, getattr, m, name)
            with self.assertRaises(ValueError):
                m[0] = 1
            self.assertIn("released memory", str(m))
            exporter.append(1)

    def test_release_with_exports(self):
        """`test_buffer.py`, `TestBufferProtocol.test_memoryview_release`."""
        for exporter, m, _ in self.views():
            held = memoryview(m)
            part = m[1:]
            consumer = pickle.PickleBuffer(part)
            self.assertRaises(BufferError, part.release)
            consumer.release()
            part.release()
            m.release()
            self.assertRaises(BufferError, exporter.append, 1)
            held.release()
            exporter.append(1)

    def test_toreadonly(self):
        for exporter, m, _ in self.views():
            mm = m.toreadonly()
            self.assertTrue(mm.readonly)
            self.assertFalse(m.readonly)
            self.assertEqual(mm.tolist(), list(SOURCE))
            self.assertRaises(TypeError, mm.__setitem__, 0, 1)
            mm.release()
            self.assertEqual(m.tolist(), list(SOURCE))

    def test_hash_writable(self):
        for _, m, _ in self.views():
            self.assertRaises(ValueError, hash, m)

    def test_weakref(self):
        for _, m, _ in self.views():
            seen = []
            ref = weakref.ref(m, seen.append)
            del m
            self.assertIsNone(ref())
            self.assertEqual(seen, [ref])

    def test_reversed(self):
        for _, m, _ in self.views():
            self.assertEqual(list(reversed(m)), list(reversed(SOURCE)))
            self.assertEqual(list(reversed(m)), list(m[::-1]))

    def test_issue22668(self):
        """`AbstractMemoryTests.test_issue22668`: a view outlives the view that it was made of."""
        a = Array("H", [256, 256, 256, 256])
        x = memoryview(a)
        m = x.cast("B")
        b = m.cast("H")
        c = b[0:2]
        d = memoryview(b)
        del b
        self.assertEqual(c[0], 256)
        self.assertEqual(d[0], 256)
        self.assertEqual(c.format, "H")
        self.assertEqual(d.format, "H")
        _ = m.cast("I")
        self.assertEqual(c[0], 256)
        self.assertEqual(d[0], 256)

    def test_memoryview_hex(self):
        """`OtherTest.test_memoryview_hex`."""
        x = b"0" * 20
        self.assertEqual(memoryview(ByteArray(x)).hex(), x.hex())
        self.assertEqual(memoryview(ByteArray(b"abcdef"))[::-2].hex(), b"fdb".hex())

    def test_copy_and_pickle(self):
        """`OtherTest.test_copy` and `test_pickle`."""
        for _, m, _ in self.views():
            self.assertRaises(TypeError, copy.copy, m)
            self.assertRaises(TypeError, pickle.dumps, m)


class TestBytes(unittest.TestCase):
    """`Lib/test/test_bytes.py`, `ByteArrayTest` unless another class is named."""

    def same(self, ours, theirs):
        self.assertEqual(ours.tobytes(), bytes(theirs))

    def test_from_buffer(self):
        """`BaseBytesTest.test_from_buffer`, `test_from_iterable`, `test_from_ssize`, `test_constructor_*_errors`."""
        self.same(ByteArray(array.array("B", [1, 2, 3])), b"\1\2\3")
        self.same(ByteArray(ByteArray(b"ab")), b"ab")
        self.same(ByteArray(memoryview(b"abcdef")[::-2]), b"fdb")
        self.same(ByteArray(range(256)), bytes(range(256)))
        self.same(ByteArray(iter([1, 2])), b"\1\2")
        self.same(ByteArray(5), bytes(5))
        self.same(ByteArray(), b"")
        self.assertRaises(ValueError, ByteArray, -1)
        self.assertRaises(TypeError, ByteArray, 0.0)
        self.assertRaises(TypeError, ByteArray, "text")
        self.assertRaises(ValueError, ByteArray, [256])
        self.assertRaises(ValueError, ByteArray, [-1])
        self.assertRaises(TypeError, ByteArray, ["0"])

    def test_getslice(self):
        """`BaseBytesTest.test_getslice` and `test_extended_getslice`."""
        whole = list(range(255))
        b = ByteArray(whole)
        bounds = (0, None, 1, 3, 19, 100, 300, sys.maxsize, -1, -2, -31, -300, -sys.maxsize)
        for start, stop, step in itertools.product(bounds, bounds, bounds[1:]):
            self.same(b[start:stop:step], bytes(whole[start:stop:step]))

    def test_setitem(self):
        b = ByteArray([1, 2, 3])
        b[1] = 100
        self.same(b, [1, 100, 3])
        b[-1] = 200
        self.same(b, [1, 100, 200])
        for index in (3, -10):
            self.assertRaises(IndexError, b.__setitem__, index, 0)
        for value in (256, -1):
            self.assertRaises(ValueError, b.__setitem__, 0, value)
        self.assertRaises(TypeError, b.__setitem__, 0, None)

    def test_delitem(self):
        b = ByteArray(range(10))
        del b[0]
        self.same(b, range(1, 10))
        del b[-1]
        self.same(b, range(1, 9))
        del b[4]
        self.same(b, [1, 2, 3, 4, 6, 7, 8])

    def test_setslice(self):
        b = ByteArray(range(10))
        b[0:5] = ByteArray([1, 1, 1, 1, 1])
        self.same(b, [1, 1, 1, 1, 1, 5, 6, 7, 8, 9])
        del b[0:-5]
        self.same(b, [5, 6, 7, 8, 9])
        b[0:0] = ByteArray([0, 1, 2, 3, 4])
        self.same(b, range(10))
        b[-7:-3] = ByteArray([100, 101])
        self.same(b, [0, 1, 2, 100, 101, 7, 8, 9])
        b[3:5] = [3, 4, 5, 6]
        self.same(b, range(10))
        b[3:0] = [42, 42, 42]
        self.same(b, [0, 1, 2, 42, 42, 42, 3, 4, 5, 6, 7, 8, 9])
        b[3:] = b"foo"
        self.same(b, [0, 1, 2, 102, 111, 111])
        for wrong in (3, -10, 3.14, "foo"):
            self.assertRaises((TypeError, ValueError), b.__setitem__, slice(3, None), wrong)

    def test_extended_set_del_slice(self):
        bounds = (0, None, 1, 3, 19, 300, 1 << 333, -1, -2, -31, -300)
        for start, stop in itertools.product(bounds, bounds):
            for step in bounds[1:]:
                theirs = bytearray(range(255))
                ours = ByteArray(theirs)
                data = theirs[start:stop:step]
                data.reverse()
                theirs[start:stop:step] = data
                ours[start:stop:step] = data
                self.same(ours, theirs)
                del theirs[start:stop:step]
                del ours[start:stop:step]
                self.same(ours, theirs)

    def test_setslice_trap(self):
        b = ByteArray(range(256))
        b[8:] = b
        self.same(b, list(range(8)) + list(range(256)))

    def test_pop_remove_append_insert_extend_reverse(self):
        """`test_pop`, `test_remove`, `test_append`, `test_insert`, `test_extend`, `test_reverse`."""
        b = ByteArray(b"world")
        self.assertEqual(b.pop(), ord("d"))
        self.assertEqual(b.pop(0), ord("w"))
        self.assertEqual(b.pop(-2), ord("r"))
        self.assertRaises(IndexError, b.pop, 10)
        self.assertRaises(IndexError, ByteArray().pop)
        b = ByteArray(b"hello")
        b.remove(ord("l"))
        self.same(b, b"helo")
        self.assertRaises(ValueError, b.remove, ord("w"))
        self.assertRaises(ValueError, b.remove, 400)
        self.assertRaises(TypeError, b.remove, "e")
        b.append(ord("!"))
        self.same(b, b"helo!")
        self.assertRaises(TypeError, b.append, b"o")
        b = ByteArray(b"msssspp")
        for index in (1, 4, -2, 1000):
            b.insert(index, ord("i"))
        self.same(b, b"mississippi")
        self.assertRaises(TypeError, b.insert, 0, b"1")
        b.clear()
        b.extend(b"abc")
        b.extend(b)
        b.extend([100, 101])
        self.same(b, b"abcabcde")
        self.assertRaises(ValueError, b.extend, [0, 1, 2, 256])
        self.same(b, b"abcabcde")
        self.assertRaises(TypeError, b.extend, 4)
        b.reverse()
        self.same(b, b"edcbacba")

    def test_copied(self):
        b = ByteArray(b"abc")
        other = b.copy()
        self.assertIsNot(b, other)
        other.append(1)
        self.same(b, b"abc")

    def test_resize(self):
        """`test_resize` of 3.14."""
        b = ByteArray(b"abcdef")
        b.resize(3)
        self.same(b, b"abc")
        b.resize(10)
        self.same(b, b"abc" + bytes(7))
        b.resize(0)
        self.same(b, b"")
        self.assertRaises((ValueError, OverflowError), b.resize, -1)

    def test_resize_forbidden(self):
        b = ByteArray(range(10))
        v = memoryview(b)

        def delitem():
            del b[1]

        def delslice():
            b[1:-1:2] = b""

        def grow():
            b[0:1] = b"ab"

        for resize in (
            lambda: b.resize(11),
            lambda: b.pop(),
            lambda: b.remove(b[1]),
            lambda: b.append(1),
            lambda: b.extend(b"1"),
            lambda: b.insert(0, 1),
            b.clear,
            delitem,
            delslice,
            grow,
        ):
            self.assertRaises(BufferError, resize)
            self.same(b, range(10))
            self.assertEqual(v.tolist(), list(range(10)))
        # What keeps the length is allowed.
        b[2:4] = b"xy"
        self.assertEqual(v[2], ord("x"))
        v.release()
        b.append(1)

    def test_regexps(self):
        def by(s):
            return ByteArray(map(ord, s))

        b = by("Hello, world")
        self.assertEqual(re.findall(rb"\w+", b), [b"Hello", b"world"])
        # A match holds the object, a search holds its memory.
        scan = re.finditer(rb"\w+", b)
        self.assertRaises(BufferError, b.append, 1)
        del scan
        b.append(1)


class TestArray(unittest.TestCase):
    """`Lib/test/test_array.py`, `BaseTest` unless another class is named."""

    NUMBERS = {code: [0, 1, 42, 127] for code in "bBhHiIlLqQ"} | {code: [-42.0, 0, 1.5, 3.25] for code in "fd"}

    def pairs(self):
        for code, items in self.NUMBERS.items():
            with self.subTest(code=code):
                yield Array(code, items), array.array(code, items)

    def same(self, ours, theirs):
        self.assertEqual(ours.tobytes(), theirs.tobytes())
        self.assertEqual(ours.tolist(), theirs.tolist())
        with memoryview(ours) as m, memoryview(theirs) as other:
            for name in ("format", "itemsize", "nbytes", "shape", "strides", "readonly"):
                self.assertEqual(getattr(m, name), getattr(other, name))

    def test_constructor(self):
        for ours, theirs in self.pairs():
            self.same(ours, theirs)
            self.assertEqual(ours.typecode, theirs.typecode)
            self.assertEqual(ours.itemsize, theirs.itemsize)
        self.assertRaises(TypeError, Array)
        self.assertRaises(ValueError, Array, "x")
        self.assertRaises(TypeError, Array, "i", 1.5)

    def test_buffer(self):
        for ours, theirs in self.pairs():
            with memoryview(ours) as m:
                self.assertEqual(m.tobytes(), theirs.tobytes())
                expected = m.tobytes()
                for resize in (
                    lambda: ours.append(ours[0]),
                    lambda: ours.extend(ours[0:1]),
                    lambda: ours.insert(0, ours[0]),
                    lambda: ours.pop(),
                    lambda: ours.pop(0),
                    lambda: ours.remove(ours[0]),
                    lambda: ours.frombytes(expected),
                    lambda: ours.__setitem__(slice(0, 0), ours),
                    lambda: ours.__delitem__(0),
                    lambda: ours.__delitem__(slice(0, 2)),
                    lambda: ours.__setitem__(slice(None), Array(ours.typecode)),
                ):
                    self.assertRaises(BufferError, resize)
                    self.assertEqual(m.tobytes(), expected)
            ours.append(ours[0])

    def test_byteswap(self):
        for ours, theirs in self.pairs():
            ours.byteswap()
            theirs.byteswap()
            self.assertEqual(ours.tobytes(), theirs.tobytes())
            ours.byteswap()
            theirs.byteswap()
            self.same(ours, theirs)

    def test_insert_pop_remove_reverse(self):
        """`test_insert`, `test_pop`, `test_remove`, `test_reverse`."""
        for ours, theirs in self.pairs():
            for index in (0, -1000, 1000, 1, -1):
                ours.insert(index, theirs[-1])
                theirs.insert(index, theirs[-1])
                self.same(ours, theirs)
            for index in (0, -1, 1):
                self.assertEqual(ours.pop(index), theirs.pop(index))
                self.same(ours, theirs)
            self.assertRaises(IndexError, ours.pop, 100)
            ours.remove(theirs[1])
            theirs.remove(theirs[1])
            self.same(ours, theirs)
            ours.reverse()
            theirs.reverse()
            self.same(ours, theirs)

    def test_slices(self):
        """`test_getslice`, `test_extended_getslice`, `test_set_slice`, `test_extended_set_del_slice`."""
        bounds = (0, None, 1, 3, 19, 100, sys.maxsize, -1, -2, -31, -100)
        for ours, theirs in self.pairs():
            for start, stop, step in itertools.product(bounds, bounds, bounds[1:]):
                self.assertEqual(ours[start:stop:step].tolist(), theirs[start:stop:step].tolist())
                one, two = Array(ours.typecode, theirs), theirs[:]
                del one[start:stop:step]
                del two[start:stop:step]
                self.same(one, two)

    def test_overflow(self):
        """`UnsignedNumberTest.test_overflow`, `SignedNumberTest.test_overflow`."""
        for code in "bBhHiIlLqQ":
            bits = 8 * struct.calcsize(code)
            low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            a = Array(code, [low, high])
            self.assertEqual(a.tolist(), [low, high])
            for value in (low - 1, high + 1):
                self.assertRaises(OverflowError, a.append, value)
                self.assertRaises(OverflowError, a.__setitem__, 0, value)
            self.assertRaises(TypeError, a.append, "x")
            self.assertEqual(a.tolist(), [low, high])

    def test_frombytes(self):
        """`test_tofrombytes`, `test_frombytearray`."""
        for ours, theirs in self.pairs():
            other = Array(ours.typecode)
            other.frombytes(bytearray(theirs.tobytes()))
            self.same(other, theirs)
            if ours.itemsize > 1:
                self.assertRaises(ValueError, other.frombytes, b"x")


class TestMmap(unittest.TestCase):
    """`Lib/test/test_mmap.py`, `MmapTests`."""

    def test_basic(self):
        with tempfile.TemporaryFile() as file:
            file.write(bytes(4096) + b"foo" + bytes(4093))
            file.flush()
            m = Mmap(file.fileno(), 8192)
            self.assertEqual(m[0], 0)
            self.assertEqual(m[4096:4099], b"foo")
            self.assertEqual((m.read(2), m.tell()), (b"\0\0", 2))
            with memoryview(m) as v:
                self.assertEqual((v.format, v.shape, v.readonly), ("B", (8192,), False))
                v[0:3] = b"bar"
                self.assertRaises(BufferError, m.resize, 4096)
                self.assertRaises(BufferError, m.close)
            m.flush()
            file.seek(0)
            self.assertEqual(file.read(3), b"bar")
            m.resize(4096)
            self.assertEqual(len(m), 4096)
            m.close()
            self.assertTrue(m.closed)
            self.assertRaises(ValueError, memoryview, m)
            self.assertRaises(ValueError, len, m)
            m.close()

    def test_access_parameter(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"a" * 4096)
            file.flush()
            with Mmap(file.fileno(), 4096, access="read") as m:
                self.assertTrue(memoryview(m).readonly)
                self.assertRaises(TypeError, m.write, b"b")
                self.assertRaises(TypeError, m.resize, 8192)
            with Mmap(file.fileno(), 4096, access="copy") as m:
                m.write(b"b")
                self.assertEqual(m[0], ord("b"))
            file.seek(0)
            self.assertEqual(file.read(1), b"a")
            self.assertRaises(ValueError, Mmap, file.fileno(), 4096, access="other")

    def test_bad_file_desc(self):
        self.assertRaises(OSError, Mmap, 2**30, 4096)

    def test_anonymous(self):
        m = Mmap(-1, 4096)
        self.assertEqual(bytes(m), bytes(4096))
        self.assertEqual(m.write(b"x"), 1)
        self.assertEqual(m[0], ord("x"))

    def test_length_0_large_offset(self):
        with tempfile.TemporaryFile() as file:
            file.write(bytes(4096))
            file.flush()
            self.assertRaises(ValueError, Mmap, file.fileno(), 0, offset=1 << 31)
            self.assertRaises(ValueError, Mmap, file.fileno(), 1 << 20)

    def test_close_waits(self):
        """No test of CPython: the other policy, to close when the last export is released."""
        m = Mmap(-1, 4096)
        v = memoryview(m)
        m.close(wait=True)
        self.assertTrue(m.closed)
        v[0] = 1
        self.assertEqual(v[0], 1)
        self.assertRaises(ValueError, memoryview, m)


class TestConsumers(Exporters, unittest.TestCase):
    """Cases of the tests of those who take a buffer, with our memory in place of a bytearray."""

    def test_struct(self):
        """`Lib/test/test_struct.py`, `test_pack_into`, `test_unpack_from`, `test_iter_unpack` and what they hold."""
        b = ByteArray(10)
        struct.pack_into("<hh", b, 2, 1, 2)
        self.assertEqual(struct.unpack_from("<hh", b, 2), (1, 2))
        self.assertRaises(struct.error, struct.pack_into, "<hh", b, 8, 1, 2)
        items = struct.iter_unpack("<h", b)
        self.assertEqual(next(items), (0,))
        self.assertRaises(BufferError, b.append, 1)
        del items
        b.append(1)
        self.assertRaises(TypeError, struct.pack_into, "<h", Mmap.__new__, 0, 1)

    def test_socket(self):
        """`Lib/test/test_socket.py`, `BufferIOTest.testRecvIntoArray` and `testRecvIntoMemoryview`."""
        one, other = socket.socketpair()
        with one, other:
            a = Array("B", bytes(8))
            one.send(b"message")
            self.assertEqual(other.recv_into(a), 7)
            self.assertEqual(a.tobytes(), b"message\0")
            one.sendall(memoryview(a)[:3])
            b = ByteArray(8)
            self.assertEqual(other.recv_into(memoryview(b)[2:], 6), 3)
            self.assertEqual(b.tobytes(), b"\0\0mes\0\0\0")

    def test_files(self):
        """`Lib/test/test_io.py`, `IOTest.test_array_writes` and `readinto`; `test_os.py`, `test_readinto`, `writev`."""
        a = Array("i", range(10))
        for stream in (io.BytesIO(), tempfile.TemporaryFile()):
            with stream:
                self.assertEqual(stream.write(a), 10 * a.itemsize)
                stream.seek(0)
                b = ByteArray(10 * a.itemsize)
                self.assertEqual(stream.readinto(b), len(b))
                self.assertEqual(b.tobytes(), a.tobytes())
        read, write = os.pipe()
        os.writev(write, [a, b])
        self.assertEqual(os.read(read, 1000), a.tobytes() * 2)
        os.close(read)
        os.close(write)

    def test_digests(self):
        """`Lib/test/test_hashlib.py`, `test_zlib.py`, `test_binascii.py` with any type of buffer."""
        for exporter, _ in self.subjects():
            data = exporter.tobytes()
            self.assertEqual(hashlib.sha256(exporter).digest(), hashlib.sha256(data).digest())
            self.assertEqual(zlib.crc32(exporter), zlib.crc32(data))
            self.assertEqual(binascii.hexlify(exporter), data.hex().encode())
            self.assertEqual(zlib.decompress(zlib.compress(exporter)), data)
            self.assertEqual(exporter.exports, 0)

    def test_builtins(self):
        """`Lib/test/test_bytes.py`, `test_join`, `test_from_buffer`; `test_long.py`, `test_from_bytes`."""
        for exporter, _ in self.subjects():
            data = exporter.tobytes()
            self.assertEqual(bytes(exporter), data)
            self.assertEqual(bytearray(exporter), data)
            self.assertEqual(b"-".join([exporter, b"x", exporter]), data + b"-x-" + data)
            self.assertEqual(bytearray(b"-").join([exporter]), data)
            self.assertEqual(b"z" + exporter, b"z" + data)
            self.assertEqual(int.from_bytes(exporter, "little"), int.from_bytes(data, "little"))
            self.assertEqual(exporter.exports, 0)

    def test_out_of_band(self):
        """`Lib/test/test_picklebuffer.py`, `PickleBufferTest.test_basics`, `test_release`, `test_raw`."""
        b = ByteArray(b"foo")
        buffer = pickle.PickleBuffer(b)
        self.assertEqual(bytes(buffer), b"foo")
        with buffer.raw() as raw:
            self.assertIs(raw.obj, b)
            self.assertFalse(raw.readonly)
            self.assertEqual(raw.tobytes(), b"foo")
        self.assertRaises(BufferError, b.clear)
        buffer.release()
        buffer.release()
        self.assertRaises(ValueError, buffer.raw)
        b.clear()

    def test_text_has_no_buffer(self):
        """`Lib/test/test_memoryview.py`, `AbstractMemoryTests.test_constructor`: a `str` has none either."""
        self.assertRaises(TypeError, memoryview, Text("abc"))
        with Text("abc").lock() as locked:
            self.assertTrue(locked.readonly)
            self.assertEqual(len(locked), 3)


class TestThreads(unittest.TestCase):
    """In the manner of `Lib/test/test_free_threading`: all at once, then everything is back where it was."""

    def race(self, *bodies, times=300):
        start = threading.Barrier(len(bodies))
        broken = []

        def run(body):
            start.wait()
            try:
                for _ in range(times):
                    body()
            except Exception as error:
                broken.append(error)

        threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if broken:
            raise broken[0]

    def test_no_export_is_lost(self):
        for exporter in (ByteArray(64), Array("q", range(64))):
            refused, done = [], []

            def look():
                with memoryview(exporter) as m, m[1:] as part:
                    before = len(part)
                    self.assertEqual(sum(1 for _ in part), before)

            def resize():
                try:
                    exporter.append(1)
                    exporter.pop(0)
                    done.append(1)
                except BufferError:
                    refused.append(1)

            self.race(look, look, resize, resize)
            self.assertEqual(exporter.exports, 0)
            self.assertEqual(len(refused) + len(done), 600)
            exporter.append(1)

    def test_one_view_is_released_once(self):
        exporter = ByteArray(64)
        for _ in range(100):
            m = memoryview(exporter)
            self.race(m.release, m.release, m.release, times=1)
            self.assertEqual(exporter.exports, 0)


if __name__ == "__main__":
    unittest.main()

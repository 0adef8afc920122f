

def same(found, expected):
    """Whether a step saw this very value. Two NaNs are the same observation."""
    if found is expected:
        return True
    if type(found) is not type(expected):
        return False
    if isinstance(found, memoryview):
        return found.tobytes() == expected.tobytes()
    if type(found).__name__ == "array":
        return (found.typecode, found.tobytes()) == (expected.typecode, expected.tobytes())
    if isinstance(found, float):
        return found == expected or (found != found and expected != expected)
    if isinstance(found, complex):
        return same(found.real, expected.real) and same(found.imag, expected.imag)
    if isinstance(found, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected


def show(value):
    if isinstance(value, memoryview):
        try:
            return "memoryview(%r)" % value.tobytes()
        except Exception as error:
            return "memoryview that raises " + type(error).__name__
    if type(value).__name__ == "array":
        return "array.array(%r, %r)" % (value.typecode, value.tobytes())
    if isinstance(value, complex):
        return "complex(%s, %s)" % (show(value.real), show(value.imag))
    return repr(value)


def look(name):
    """What a slot holds."""
    if name not in globals():
        return "nothing"
    value = globals()[name]
    if isinstance(value, (bytes, bytearray)):
        return (type(value).__name__, bytes(value))
    kind = type(value).__name__
    if kind == "array":
        return (kind, value.typecode, value.tobytes())
    if hasattr(value, "_length_"):
        with memoryview(value) as view:
            return ("ctypes_array", view.format[1:], bytes(value))
    if kind == "Text":
        return (kind, value.memory())
    if kind in ("mmap", "BytesIO"):
        if value.closed:
            return "a closed " + kind
        return (kind, value[:] if kind == "mmap" else value.getvalue(), value.tell())
    if isinstance(value, memoryview):
        try:
            value.format
        except ValueError:
            return "a released memoryview"
        keys = "format itemsize nbytes shape strides readonly c_contiguous f_contiguous"
        return {key: getattr(value, key) for key in keys.split()}
    if kind == "PickleBuffer":
        try:
            with memoryview(value):
                return "a held export"
        except ValueError:
            return "a released export"
    if kind == "RawBuffer":
        return "a held export" if value.buffer.obj else "a released export"
    if hasattr(value, "outstanding"):
        return "a held export"
    return "an iterator"


def class_name(kind):
    """The name of a class, with its module if it is not built in."""
    return kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__name__


def observe(function, expect):
    """Runs a step: what it saw, and whether that is what `expect` tells when it has run."""
    try:
        value = function()
        kind, what = expect()
    except Exception as error:
        kind, what = expect()
        name = class_name(type(error))
        return "%s: %s" % (name, error), kind == "raises" and name == what
    if kind == "value":
        try:
            agrees = same(value, eval(what))
        except SyntaxError:
            agrees = value is not None
        except Exception:
            agrees = False
        return show(value), agrees
    return "ok" if value is None else show(value), kind == "ok"


# What steps of hooks must see while a step runs, and whether those that ran have.
awaited = []
within = []


def inside(text, function):
    """Runs a step of a hook, if it is to run."""
    if awaited[len(within):] and awaited[len(within)][0] == "skipped":
        within.append(True)
        return
    print("       | %s" % text, flush=True)
    # Steps of hooks within this one end before it does.
    saw, agrees = observe(function, next_awaited)
    expected = next_awaited()
    print("       |   -> %s%s" % (saw, "" if agrees else ", expected: %s" % (expected[1] or expected[0])), flush=True)
    within.append(agrees)


def elsewhere(text, function):
    """Runs a step of a hook on another thread, and waits for it."""
    other = threading.Thread(target=inside, args=(text, function))
    other.start()
    other.join()


def next_awaited():
    return awaited[len(within)] if len(within) < len(awaited) else ("nothing", None)


def growth(steps):
    """How many bytes stay each time that the steps run, at least."""
    import contextlib
    import os
    try:
        import tracemalloc
    except ImportError:
        print("this Python does not count its memory")
        sys.exit(2)
    tracemalloc.start()
    grown = []
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for _ in range(12):
            before = tracemalloc.get_traced_memory()[0]
            for number, lane, text, function, expected, hooks in steps:
                awaited[:], within[:] = hooks, []
                observe(function, lambda: expected)
            empty(None)
            del within[:]
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0] - before)
    # What is made once and kept is made in the first of them. The list itself grows as well.
    print("the memory that stays, in bytes: %s" % grown)
    return min(grown[4:])


def empty(kept, say=print):
    """Empties all slots but one."""
    for name in SLOTS:
        value = globals().get(name)
        if isinstance(value, memoryview) or type(value).__name__ == "PickleBuffer":
            try:
                value.release()
            except Exception as error:
                say("at rest, %s.release() raises %s: %s" % (name, type(error).__name__, error))
        del value
        if name != kept:
            globals().pop(name, None)


def rest(wanted, steps):
    """Empties all slots but one, and looks at what is left."""
    kind, kept = wanted
    complaints = []
    sys.unraisablehook = lambda complaint: getattr(
        complaint.exc_value, "heard", lambda: complaints.append(repr(complaint.exc_value)))()
    empty(kept)
    gc.collect()
    for complaint in complaints:
        print("at rest, somebody complains: " + complaint)
    if kind == "complaint":
        return not complaints
    if kind == "memory":
        return growth(steps) < 16
    if kind == "shared":
        fresh = bytes(bytearray()), [bytes(bytearray([byte])) for byte in range(256)]
        return fresh == (b"", [bytes(range(256))[byte:byte + 1] for byte in range(256)])
    if kept not in globals():
        return True
    if kind == "exported":
        value = globals()[kept]
        probes = {"bytearray": ("append", 0), "array": ("extend", value), "mmap": ("close",), "BytesIO": ("close",)}
        name, *args = probes.get(type(value).__name__, ("__len__",))
        try:
            getattr(value, name)(*args)
        except BufferError as error:
            print("at rest, %s.%s raises BufferError: %s" % (kept, name, error))
            return False
        return True
    if not hasattr(sys, "getrefcount"):
        print("this Python does not count references")
        sys.exit(2)
    globals()["fresh"] = bytearray(b"fresh")
    found, usual = sys.getrefcount(globals()[kept]), sys.getrefcount(globals()["fresh"])
    print("at rest, %s has %d references, where %d are usual" % (kept, found, usual))
    return found == usual

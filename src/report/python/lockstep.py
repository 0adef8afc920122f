

def buffer_info(array):
    """That of an array, with the address counted from the begin of its memory."""
    import ctypes
    address, items = array.buffer_info()
    start = ctypes.addressof(ctypes.c_char.from_buffer(array)) if items else address
    return address - start, items


turn = 0
differs = []
# Not empty once there was no memory for a step: what comes after it cannot be known.
over = []
baton = threading.Condition()


def take(number, text, function, expected, hooks, marked, state):
    """Runs one step, and tells what it saw."""
    print("%3d  %s" % (number, text), flush=True)
    awaited[:], within[:] = hooks, []
    saw, agrees = observe(function, lambda: expected)
    agrees = agrees and len(within) == len(hooks) and all(within)
    if platform.python_implementation() != "CPython":
        gc.collect()
    print("     -> %s" % saw, flush=True)
    if over:
        return
    if not agrees:
        print("     expected: %s" % (expected[1] or expected[0]), flush=True)
        if marked is None or number == marked:
            differs.append(number)
    if number == marked and state is not None:
        found = look(state[0])
        print("     %s is %r" % (state[0], found), flush=True)
        if found != state[1]:
            print("     expected: %r" % (state[1],), flush=True)
            differs.append(number)


def run(own, steps, marked, state):
    """Runs the steps of one thread, each in its turn."""
    global turn
    for place, (number, lane, text, function, expected, hooks) in enumerate(steps):
        if lane != own:
            continue
        with baton:
            while turn != place:
                baton.wait()
        if not over:
            take(number, text, function, expected, hooks, marked, state)
        with baton:
            turn = place + 1
            baton.notify_all()


def main(steps, marked, state, at_rest):
    print(platform.python_implementation(), sys.version.replace("\n", " "), flush=True)
    if sys.version_info < (3, 8):
        print("this needs Python 3.8 or later")
        sys.exit(2)
    others = sorted({step[1] for step in steps} - {0})
    threads = [threading.Thread(target=run, args=(own, steps, marked, state)) for own in others]
    for thread in threads:
        thread.start()
    run(0, steps, marked, state)
    for thread in threads:
        thread.join()
    if at_rest is not None:
        if rest(at_rest, steps):
            print("at rest, all is as it should be")
            differs.clear()
        else:
            differs.append("rest")
    print("the difference shows" if differs else "no difference shows", flush=True)
    sys.exit(1 if differs else 0)

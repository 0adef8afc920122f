

# How long it looks, in seconds, unless it is told.
LIMIT = 600.0
# How long it may take to say that it lives, in seconds.
PATIENCE = 10.0
# After so many rounds it says so.
STRIDE = 64
# What it may grow by before it starts anew, in MiB.
GROWTH = 24

now = time.perf_counter_ns
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def give_way():
    """Lets another thread go on that waits for this one to let go of the interpreter."""
    if HAS_GIL:
        # Before, to sleep for no time is to keep it, as good as.
        time.sleep(0 if sys.version_info >= (3, 11) else 1e-6)


def buffer_info(array):
    """That of an array, without the address: to know where it counts from takes an export, which others would notice."""
    return 0, array.buffer_info()[1]


def inert(value):
    """What can be held of a value without keeping an object of the program alive."""
    if isinstance(value, memoryview):
        return ("memoryview", value.tobytes())
    if type(value).__name__ == "array":
        return ("array", value.typecode, value.tobytes())
    if isinstance(value, (list, tuple)):
        return type(value)(inert(item) for item in value)
    return value


def try_step(function, needs):
    """Runs a step: what it saw, what is to be shown of that, and which object it was."""
    if not all(name in globals() for name in needs):
        return ("skipped", None, 0)
    try:
        value = function()
        return ("returns", inert(value), id(value))
    except Exception as error:
        return ("raises", class_name(type(error)), 0)


def shown(saw):
    kind, what, _ = saw
    return show(what) if kind == "returns" else str(what or kind)


def is_seen(saw, expected):
    """Whether a step saw this."""
    kind, what, identity = saw
    if expected[0] == "ok":
        return kind == "returns" and what is None
    if expected[0] == "hash":
        return kind == "returns" and isinstance(what, int)
    if expected[0] == "object":
        return kind == "returns" and id(globals().get(expected[1])) == identity
    if expected[0] == "something":
        return kind == "returns" and what is not None
    if expected[0] == "value":
        return kind == "returns" and same(what, expected[1])
    if expected[0] == "later":
        return kind == "returns" and same(what, inert(eval(expected[1])))
    return kind == expected[0] and (kind == "skipped" or what == expected[1])


def overlap(one, other):
    return one[0] != other[0] and one[1] <= other[2] and other[1] <= one[2]


def bytes_raced(events):
    """Whether a step wrote bytes while another one ran that may have seen them: which it saw then is nobody's promise."""
    return any(other[3] in READERS.get(one[3], ()) and overlap(one, other) for one in events for other in events)


def judge(lanes):
    """Whether what the threads saw has an order that time allows and that is one of ORDERS; None if that is unknown."""
    events = [event for lane in lanes for event in lane]
    left = {}
    doubt = False
    # A moment, and how many steps of each thread are behind it.
    way, behind = [(0, (0,) * len(lanes))], {0}
    while way:
        moment, front = way.pop()
        ways, wanted = ORDERS[moment]
        if not ways:
            for name in wanted:
                if name not in left:
                    left[name] = look(name)
            if all(left[name] == wanted[name] for name in wanted):
                return True
            continue
        next_events = {lane: lanes[lane][front[lane]] for lane in ways}
        first_end = min(event[2] for event in next_events.values())
        for lane, (sees, to, refused) in ways.items():
            event = next_events[lane]
            if event[1] > first_end:
                continue
            after = None
            if is_seen(event[4], SEEN[sees]):
                after = to
            elif SEEN[sees][0] == "unknown":
                doubt = True
            elif refused is not None and event[4][:2] == ("raises", "BufferError"):
                if any(other[3] in HOLDERS[event[3]] and overlap(event, other) for other in events):
                    after = refused
            if after is not None and after not in behind:
                behind.add(after)
                way.append((after, front[:lane] + (front[lane] + 1,) + front[lane + 1:]))
    return None if doubt or bytes_raced(events) else False


# All threads wait for each other.
GATHER = None


class Crew:
    """Threads that wait for rounds."""

    def __init__(self):
        self.seen = [[] for _ in LANES]
        self.there = 0
        self.is_over = False
        self.start = threading.Barrier(len(LANES) + 1)
        self.end = threading.Barrier(len(LANES) + 1)
        self.place = threading.Barrier(len(LANES))
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(lane,), daemon=True) for lane in range(len(LANES))]
        for thread in self.threads:
            thread.start()

    def work(self, lane):
        chance = random.Random()
        while True:
            self.start.wait()
            if self.is_over:
                return
            with self.lock:
                self.there += 1
            # Who leaves the barrier first would be done before the next one leaves it.
            while self.there < len(LANES):
                give_way()
            seen = []
            for step in LANES[lane]:
                if step is GATHER:
                    self.place.wait()
                    continue
                number, text, function, needs, takes, leaves = step
                if chance.random() < 0.5:
                    for _ in range(chance.randrange(100)):
                        pass
                if takes:
                    takes.acquire()
                begun = now()
                saw = try_step(function, needs)
                seen.append((lane, begun, now(), number, saw))
                if leaves:
                    leaves.release()
            self.seen[lane] = seen
            self.end.wait()

    def run(self):
        """One round: what the threads saw."""
        self.there = 0
        self.start.wait()
        self.end.wait()
        return self.seen

    def leave(self):
        self.is_over = True
        self.start.wait()
        for thread in self.threads:
            thread.join()


def draw(lanes):
    texts = {step[0]: step[1] for lane in LANES for step in lane if step is not GATHER}
    events = sorted((event for lane in lanes for event in lane), key=lambda event: event[1])
    begin = events[0][1] if events else 0
    for lane, begun, ended, number, saw in events:
        print("%9.1f to %7.1f us  %3d  %s" % ((begun - begin) / 1e3, (ended - begin) / 1e3, number, texts[number]))
        print("%26s -> %s" % ("", shown(saw)))


def prepare():
    """Does what is done before the threads start."""
    for number, text, function, expected in BEFORE:
        saw, agrees = observe(function, lambda: expected)
        if not agrees:
            print("%3d  %s\n     -> %s\n     expected: %s" % (number, text, saw, expected[1] or expected[0]))
            print("this Python does something else before the threads start")
            sys.exit(2)


def rest_quietly():
    """Whether all is as it should be at rest; only if not is anything said."""
    import contextlib
    import io
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        is_right = rest(AT_REST, [])
    if not is_right:
        print(said.getvalue(), end="")
    return is_right


def rounds(seconds):
    """Runs rounds until one shows the difference."""
    if hasattr(sys, "setswitchinterval"):
        sys.setswitchinterval(1e-6)
    SEEN[:] = [read(expected) for expected in SEEN]
    crew = Crew()
    begun, told, number, unknown, size = time.monotonic(), time.monotonic(), 0, 0, None
    while True:
        passed = time.monotonic()
        if number % STRIDE == 0 or passed - told > 1:
            print("ROUNDS %d" % number, flush=True)
            told = passed
            if passed - begun > seconds:
                print("no difference shows in %d rounds, %.1f s" % (number, passed - begun))
                break
            if number:
                size = size or peak()
                if peak() - size > GROWTH:
                    sys.exit(3)
        prepare()
        lanes = crew.run()
        number += 1
        verdict = judge(lanes) if ORDERS else True
        unknown += verdict is None
        if verdict is False:
            draw(lanes)
            print("at last: %s" % {name: look(name) for name in SLOTS if name in globals()})
            print("no order of these steps explains that")
        # What was seen may hold objects.
        lanes, crew.seen = None, [[] for _ in LANES]
        if AT_REST is None:
            empty(None, lambda *_: None)
        elif not rest_quietly():
            verdict = False
        if verdict is False:
            print("the difference shows after %d rounds, %.1f s" % (number, time.monotonic() - begun), flush=True)
            sys.exit(1)
    if unknown:
        print("of %d nothing can be said: bytes raced in them" % unknown, flush=True)
    crew.leave()


def read(expected):
    """What is expected, with a value in place of its text, unless that is one of the objects of a round."""
    kind, what = expected
    if kind != "value":
        return expected
    if what in SLOTS:
        return ("object", what)
    try:
        return (kind, inert(eval(what)))
    except NameError:
        return ("later", compile(what, what, "eval"))
    except SyntaxError:
        # Something that no expression makes.
        return ("something", None)


def peak(children=False):
    """The most memory that was in use, in MiB, or 0 where the system does not say."""
    if not children and os.path.exists("/proc/self/status"):
        # Linux counts the memory of who has started a process as that of the process, but not here.
        with open("/proc/self/status") as status:
            return sum(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / (1 << 10)
    try:
        import resource
    except ImportError:
        return 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def watch(seconds):
    """Lets another process run the rounds, which may die of them, and tells what became of it."""
    begun, done, code = time.monotonic(), 0, 3
    while code == 3:
        left = seconds - (time.monotonic() - begun)
        child = subprocess.Popen([sys.executable, __file__, "--rounds", repr(left)], stdout=subprocess.PIPE, text=True)
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in child.stdout] + [lines.put(None)], daemon=True).start()
        before, said = done, False
        while True:
            try:
                line = lines.get(timeout=PATIENCE)
            except queue.Empty:
                child.kill()
                return "it hangs after %d rounds or a few more, %.1f s" % (done, time.monotonic() - begun)
            if line is None:
                break
            if line.startswith("ROUNDS "):
                done = before + int(line.split()[1])
            else:
                print(line, end="", flush=True)
                said = said or line.startswith("the difference shows")
        code = child.wait()
        if code in (0, 2) or said:
            sys.exit(code)
    how = "signal %d" % -code if code < 0 else "exit code %d" % code
    return "it dies of %s after %d rounds or a few more, %.1f s" % (how, done, time.monotonic() - begun)


def main():
    if sys.version_info < (3, 8):
        print("this needs Python 3.8 or later")
        sys.exit(2)
    if sys.argv[1:2] == ["--rounds"]:
        return rounds(float(sys.argv[2]))
    print(platform.python_implementation(), sys.version.replace("\n", " "), flush=True)
    try:
        print(watch(float(sys.argv[1]) if sys.argv[1:] else LIMIT))
        print("the difference shows", flush=True)
        sys.exit(1)
    finally:
        print("the most memory in use: %d MiB" % max(peak(), peak(children=True)), flush=True)

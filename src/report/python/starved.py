

# Of a step, one allocation fails. Which one that is, is counted otherwise here: each of the first has its turn, in a process
# of its own.
import os
import subprocess
try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError as error:
    print("this Python cannot let an allocation fail: %s" % error)
    sys.exit(2)


def starved(function):
    """The same step, of which an allocation fails."""
    def step():
        set_nomemory(int(os.environ["AFTER"]), int(os.environ["AFTER"]) + 1)
        try:
            return function()
        except MemoryError:
            over.append(True)
            raise
        finally:
            remove_mem_hooks()
    return step


if "AFTER" not in os.environ:
    for after in range(32):
        turn = dict(os.environ, AFTER=str(after))
        done = subprocess.run([sys.executable] + sys.argv, env=turn, stdout=subprocess.PIPE)
        if done.returncode not in (0, 2):
            break
    sys.stdout.buffer.write(done.stdout)
    print("of so many allocations the last failed: %d" % (after + 1))
    sys.exit(done.returncode if done.returncode >= 0 else 1)

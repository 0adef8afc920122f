/* A fault on purpose, in the code of the interpreter that is tried out: a sanitizer that stays silent finds nothing else.
 *
 *     canary use-after-free   reads an item of a view of memory that is gone
 *     canary race             writes an item of a view in one thread, and the same byte in another
 *     canary coverage         tells how many edges there are to count, and how many were counted
 */
#include <Python.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *counters, *counters_end;
static size_t edges;

void __sanitizer_cov_8bit_counters_init(char *start, char *end)
{
    /* The files of a static library that is linked at once have their counters in one piece. */
    counters = start;
    counters_end = end;
    edges = (size_t)(end - start);
}

static PyObject *number(long value)
{
    PyObject *number = PyLong_FromLong(value);
    if (number == NULL) {
        PyErr_Print();
        exit(3);
    }
    return number;
}

static void use_after_free(void)
{
    PyObject *bytes = PyByteArray_FromStringAndSize(NULL, 100);
    char *memory = PyByteArray_AsString(bytes);
    memset(memory, 'a', 100);
    PyObject *view = PyMemoryView_FromMemory(memory, 100, PyBUF_READ);
    Py_DECREF(bytes);
    PyObject *item = PyObject_GetItem(view, number(50));
    printf("read %ld\n", item == NULL ? -1 : PyLong_AsLong(item));
}

static char raced[16];
static volatile int rounds = 1000;

static void *race_in_c(void *unused)
{
    for (int round = 0; round < rounds; round++) {
        raced[5] = (char)round;
    }
    return unused;
}

static void race(void)
{
    pthread_t thread;
    PyObject *view = PyMemoryView_FromMemory(raced, sizeof raced, PyBUF_WRITE);
    PyObject *five = number(5), *value = number(7);
    if (pthread_create(&thread, NULL, race_in_c, NULL) != 0) {
        exit(3);
    }
    for (int round = 0; round < rounds; round++) {
        if (PyObject_SetItem(view, five, value) != 0) {
            PyErr_Print();
            exit(3);
        }
    }
    pthread_join(thread, NULL);
}

static void coverage(void)
{
    size_t counted = 0;
    Py_DECREF(PyMemoryView_FromMemory(raced, sizeof raced, PyBUF_WRITE));
    for (const char *counter = counters; counter < counters_end; counter++) {
        counted += *counter != 0;
    }
    printf("%zu of %zu\n", counted, edges);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    Py_Initialize();
    if (strcmp(what, "use-after-free") == 0) {
        use_after_free();
    } else if (strcmp(what, "race") == 0) {
        race();
    } else if (strcmp(what, "coverage") == 0) {
        coverage();
    } else {
        return 2;
    }
    fflush(stdout);
    _exit(0);
}

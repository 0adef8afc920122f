//! CPython.

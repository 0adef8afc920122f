//! Lets what is built find its libpython again, wherever PyO3 found it.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
}

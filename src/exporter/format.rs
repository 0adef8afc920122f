//! What one item of a view is: the native single-character formats that `memoryview` can cast to and index, and the
//! characters of `array`, which it can only carry.
//!
//! The source is `get_native_fmtchar` in CPython's `Objects/memoryobject.c`: one code, with or without a
//! leading `@`, in the sizes of the C compiler. Whether the `@` was written is kept, because
//! `memoryview.format` gives back what was asked for.

use std::ffi::{c_int, c_long, c_longlong, c_short, c_void};
use std::fmt;

/// A format: a code, written with `@` or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// Written `@B` rather than `B`: the same items under another name.
    pub at: bool,
    /// What an item is.
    pub code: Code,
}

impl Format {
    /// `B`, the format of bytes.
    pub const BYTES: Self = Self::new(Code::UnsignedChar);

    /// The code, written without `@`.
    pub const fn new(code: Code) -> Self {
        Self { at: false, code }
    }

    /// Reads `B` or `@B`. Anything else is not a native single-character format.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, code) = match text.strip_prefix('@') {
            Some(code) => (true, code),
            None => (false, text),
        };
        let mut chars = code.chars();
        let code = Code::from_char(chars.next()?)?;
        (code.is_native() && chars.next().is_none()).then_some(Self { at, code })
    }

    /// Bytes per item.
    #[inline]
    pub const fn itemsize(self) -> usize {
        self.code.size()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at {
            f.write_str("@")?;
        }
        fmt::Display::fmt(&self.code, f)
    }
}

/// Defines the codes and everything said about each, in one table.
macro_rules! codes {
    ($($name:ident $char:literal $size:expr, $doc:literal;)*) => {
        /// The kind of an item, after the C type that it has in a native format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $doc] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: [Self; [$($char),*].len()] = [$(Self::$name),*];

            /// The letter in a format.
            pub const fn as_char(self) -> char {
                match self { $(Self::$name => $char),* }
            }

            /// The code of this letter.
            pub const fn from_char(letter: char) -> Option<Self> {
                match letter { $($char => Some(Self::$name),)* _ => None }
            }

            /// Bytes per item.
            #[inline]
            pub const fn size(self) -> usize {
                match self { $(Self::$name => $size),* }
            }
        }
    };
}

codes! {
    Char 'c' 1, "`c`: a `bytes` of length 1.";
    SignedChar 'b' 1, "`b`: `signed char`.";
    UnsignedChar 'B' 1, "`B`: `unsigned char`.";
    Short 'h' size_of::<c_short>(), "`h`: `short`.";
    UnsignedShort 'H' size_of::<c_short>(), "`H`: `unsigned short`.";
    Int 'i' size_of::<c_int>(), "`i`: `int`.";
    UnsignedInt 'I' size_of::<c_int>(), "`I`: `unsigned int`.";
    Long 'l' size_of::<c_long>(), "`l`: `long`.";
    UnsignedLong 'L' size_of::<c_long>(), "`L`: `unsigned long`.";
    LongLong 'q' size_of::<c_longlong>(), "`q`: `long long`.";
    UnsignedLongLong 'Q' size_of::<c_longlong>(), "`Q`: `unsigned long long`.";
    Ssize 'n' size_of::<isize>(), "`n`: `Py_ssize_t`.";
    Size 'N' size_of::<usize>(), "`N`: `size_t`.";
    Half 'e' size_of::<f32>() / 2, "`e`: IEEE 754 binary16.";
    Float 'f' size_of::<f32>(), "`f`: `float`.";
    Double 'd' size_of::<f64>(), "`d`: `double`.";
    Bool '?' size_of::<bool>(), "`?`: `_Bool`.";
    Pointer 'P' size_of::<*const c_void>(), "`P`: `void *`.";
    Wide 'w' size_of::<u32>(), "`w`: a character of `array`, which `memoryview` neither casts nor indexes.";
}

impl Code {
    /// Can `memoryview` cast to it and index it?
    pub const fn is_native(self) -> bool {
        !matches!(self, Self::Wide)
    }

    /// One of `c`, `b`, `B`: every cast needs such a code on one side.
    pub const fn is_byte(self) -> bool {
        matches!(self, Self::Char | Self::SignedChar | Self::UnsignedChar)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_char(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_reads_back_as_it_was_written() {
        for code in Code::ALL {
            for at in [false, true] {
                let format = Format { at, code };
                let native = code.is_native().then_some(format);
                assert_eq!(Format::parse(&format.to_string()), native);
            }
        }
    }

    #[test]
    fn only_one_native_code_is_a_format() {
        for text in ["", "@", "@@B", "BB", "<B", "=i", "B ", "2B", "x", "s", "w", "é"] {
            assert_eq!(Format::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_platform() {
        let size = |text| Format::parse(text).unwrap().itemsize();
        assert_eq!(size("@e"), 2);
        assert_eq!(size("i"), 4);
        assert_eq!(size("n"), size_of::<usize>());
        assert_eq!(size("P"), size_of::<usize>());
        assert_eq!(size("?"), 1);
    }
}

//! What one item of a view is: the native formats of one item that `memoryview` can cast to and index, and the characters
//! of `array`, which it can only carry.
//!
//! The source is `get_native_fmtchar` in CPython's `Objects/memoryobject.c`, from 3.15 on `get_native_fmtstr`: one code,
//! with or without a leading `@`, in the sizes of the C compiler. Whether the `@` was written is kept, because
//! `memoryview.format` gives back what was asked for.

use std::ffi::{CStr, c_int, c_long, c_longlong, c_short, c_void};
use std::fmt;

/// A format: a code, and what is written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// Written `@B` rather than `B`: the same items under another name.
    pub at: bool,
    /// The byte order, if the format names one. Then a memoryview can only carry the items, as CPython's does;
    /// [`Format::reorder`] reads them.
    pub order: Option<ByteOrder>,
    /// What an item is.
    pub code: Code,
}

impl Format {
    /// `B`, the format of bytes.
    pub const BYTES: Self = Self::new(Code::UnsignedChar);

    /// The code, written without `@`.
    pub const fn new(code: Code) -> Self {
        Self { at: false, order: None, code }
    }

    /// Reads `B` or `@B`. Anything else is not a native format of one item.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).filter(|format| format.is_native())
    }

    /// Reads what [`Format`] writes, of any code and byte order.
    pub fn read(text: &str) -> Option<Self> {
        let (at, order, code) = match text.split_at_checked(1)? {
            ("@", code) => (true, None, code),
            ("<", code) => (false, Some(ByteOrder::Little), code),
            (">", code) => (false, Some(ByteOrder::Big), code),
            _ => (false, None, text),
        };
        Some(Self { at, order, code: Code::named(code)? })
    }

    /// Bytes per item.
    #[inline]
    pub const fn itemsize(self) -> usize {
        match (self.order, self.code.standard_size()) {
            (Some(_), Some(size)) => size,
            _ => self.code.size(),
        }
    }

    /// Items of as many bytes in the byte order that is given. `None` if no format that names a byte order has such.
    pub fn in_order(self, order: ByteOrder) -> Option<Self> {
        let size = self.itemsize();
        let same_kind = [self.code, self.code.widest()];
        let code = same_kind.into_iter().find(|code| code.standard_size() == Some(size))?;
        Some(Self { at: false, order: Some(order), code })
    }

    /// Does a memoryview index items of this format, and can a cast lead to it?
    #[inline]
    pub const fn is_native(self) -> bool {
        self.order.is_none() && self.code.is_native()
    }

    /// Is it a native format of bytes? Every cast needs one on one side.
    #[inline]
    pub const fn is_byte(self) -> bool {
        self.order.is_none() && self.code.is_byte()
    }

    /// Brings the bytes of items from the order of this format into that of the machine, or back.
    ///
    /// # Panics
    /// If `items` are not whole items.
    #[inline]
    pub fn reorder(self, items: &mut [u8]) {
        assert!(items.len().is_multiple_of(self.itemsize()), "items stay whole");
        if self.order.is_some_and(|order| order != ByteOrder::NATIVE) {
            let number = self.itemsize() / self.code.numbers();
            items.chunks_exact_mut(number).for_each(<[u8]>::reverse);
        }
    }
}

/// A byte order that a format names. With it go the standard sizes of `struct`, which no compiler chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// `<`: the least significant byte first.
    Little,
    /// `>`: the most significant byte first.
    Big,
}

impl ByteOrder {
    /// That of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Little => Self::Big,
            Self::Big => Self::Little,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at {
            f.write_str("@")?;
        }
        match self.order {
            None => {}
            Some(ByteOrder::Little) => f.write_str("<")?,
            Some(ByteOrder::Big) => f.write_str(">")?,
        }
        fmt::Display::fmt(&self.code, f)
    }
}

/// Defines the codes and everything said about each, in one table.
macro_rules! codes {
    ($($name:ident $text:literal $size:expr, $doc:literal;)*) => {
        /// The kind of an item, after the C type that it has in a native format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $doc] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// As it is written in a format.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The format of a native item, for C.
            pub const fn as_c_str(self) -> &'static CStr {
                const fn c(text: &'static str) -> &'static CStr {
                    match CStr::from_bytes_with_nul(text.as_bytes()) {
                        Ok(text) => text,
                        Err(_) => panic!("no code contains a zero"),
                    }
                }
                match self { $(Self::$name => const { c(concat!($text, "\0")) }),* }
            }

            /// The code that is written so.
            pub fn named(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
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
    Char "c" 1, "`c`: a `bytes` of length 1.";
    SignedChar "b" 1, "`b`: `signed char`.";
    UnsignedChar "B" 1, "`B`: `unsigned char`.";
    Short "h" size_of::<c_short>(), "`h`: `short`.";
    UnsignedShort "H" size_of::<c_short>(), "`H`: `unsigned short`.";
    Int "i" size_of::<c_int>(), "`i`: `int`.";
    UnsignedInt "I" size_of::<c_int>(), "`I`: `unsigned int`.";
    Long "l" size_of::<c_long>(), "`l`: `long`.";
    UnsignedLong "L" size_of::<c_long>(), "`L`: `unsigned long`.";
    LongLong "q" size_of::<c_longlong>(), "`q`: `long long`.";
    UnsignedLongLong "Q" size_of::<c_longlong>(), "`Q`: `unsigned long long`.";
    Ssize "n" size_of::<isize>(), "`n`: `Py_ssize_t`.";
    Size "N" size_of::<usize>(), "`N`: `size_t`.";
    Half "e" size_of::<f32>() / 2, "`e`: IEEE 754 binary16.";
    Float "f" size_of::<f32>(), "`f`: `float`.";
    Double "d" size_of::<f64>(), "`d`: `double`.";
    FloatComplex "Zf" 2 * size_of::<f32>(), "`Zf`: `float complex`, the real part first.";
    DoubleComplex "Zd" 2 * size_of::<f64>(), "`Zd`: `double complex`, the real part first.";
    Bool "?" size_of::<bool>(), "`?`: `_Bool`.";
    Pointer "P" size_of::<*const c_void>(), "`P`: `void *`.";
    Wide "w" size_of::<u32>(), "`w`: a character of `array`, which `memoryview` neither casts nor indexes.";
}

impl Code {
    /// Can `memoryview` cast to it and index it?
    pub const fn is_native(self) -> bool {
        !matches!(self, Self::Wide)
    }

    /// Bytes per item in a format that names the byte order; `None` if no such format has this code.
    pub const fn standard_size(self) -> Option<usize> {
        match self {
            Self::Char | Self::SignedChar | Self::UnsignedChar | Self::Bool => Some(1),
            Self::Short | Self::UnsignedShort | Self::Half => Some(2),
            Self::Int | Self::UnsignedInt | Self::Long | Self::UnsignedLong | Self::Float | Self::Wide => {
                Some(4)
            }
            Self::LongLong | Self::UnsignedLongLong | Self::Double | Self::FloatComplex => Some(8),
            Self::DoubleComplex => Some(16),
            Self::Ssize | Self::Size | Self::Pointer => None,
        }
    }

    /// How many numbers an item is made of, each of which has a byte order of its own.
    const fn numbers(self) -> usize {
        match self {
            Self::FloatComplex | Self::DoubleComplex => 2,
            _ => 1,
        }
    }

    /// Bytes per number in a native format.
    pub const fn number(self) -> usize {
        self.size() / self.numbers()
    }

    /// The widest integer that is signed if this one is; what is no integer is its own widest.
    const fn widest(self) -> Self {
        match self {
            Self::SignedChar | Self::Short | Self::Int | Self::Long | Self::Ssize => Self::LongLong,
            Self::UnsignedChar
            | Self::UnsignedShort
            | Self::UnsignedInt
            | Self::UnsignedLong
            | Self::Size => Self::UnsignedLongLong,
            other => other,
        }
    }

    /// One of `c`, `b`, `B`: every cast needs such a code on one side.
    pub const fn is_byte(self) -> bool {
        matches!(self, Self::Char | Self::SignedChar | Self::UnsignedChar)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_reads_back_as_it_was_written() {
        for code in Code::ALL {
            for at in [false, true] {
                let format = Format { at, ..Format::new(code) };
                let native = code.is_native().then_some(format);
                assert_eq!(Format::parse(&format.to_string()), native);
                assert_eq!(Format::read(&format.to_string()), Some(format));
            }
        }
    }

    #[test]
    fn only_one_native_code_is_a_format() {
        for text in ["", "@", "@@B", "BB", "<B", "=i", "B ", "2B", "x", "s", "w", "é", "Z", "Zff", "<Zf"] {
            assert_eq!(Format::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_format_that_names_a_byte_order_has_items_of_the_same_size() {
        let big = |code| Format::new(code).in_order(ByteOrder::Big).map(|format| format.to_string());
        assert_eq!(big(Code::Int).as_deref(), Some(">i"));
        assert_eq!(big(Code::Long).as_deref(), Some(if size_of::<c_long>() == 8 { ">q" } else { ">l" }));
        assert_eq!(big(Code::Double).as_deref(), Some(">d"));
        assert_eq!(big(Code::Wide).as_deref(), Some(">w"));
        assert_eq!(big(Code::Pointer), None);
        for code in Code::ALL {
            let Some(format) = Format::new(code).in_order(ByteOrder::Little) else { continue };
            assert_eq!(format.itemsize(), code.size(), "{code}");
            assert_eq!(format.in_order(ByteOrder::Big).unwrap().itemsize(), code.size());
            assert!(!format.is_native() && !format.is_byte());
            assert_eq!(Format::parse(&format.to_string()), None);
        }
    }

    #[test]
    fn items_in_the_other_byte_order_are_turned_round() {
        let mut items = 0x0102_u16.to_ne_bytes().repeat(2);
        let format = Format::new(Code::Short);
        format.reorder(&mut items);
        format.in_order(ByteOrder::NATIVE).unwrap().reorder(&mut items);
        assert_eq!(items, 0x0102_u16.to_ne_bytes().repeat(2));
        format.in_order(ByteOrder::NATIVE.opposite()).unwrap().reorder(&mut items);
        assert_eq!(items, 0x0201_u16.to_ne_bytes().repeat(2));
        let mut complex = [1, 2, 3, 4, 5, 6, 7, 8];
        let swapped = Format::new(Code::FloatComplex).in_order(ByteOrder::NATIVE.opposite()).unwrap();
        swapped.reorder(&mut complex);
        assert_eq!(complex, [4, 3, 2, 1, 8, 7, 6, 5], "the real part stays the first");
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

//! The comparison of contents, most of which are short.

/// Whether two slices are equal. They are compared after every step of a program and are mostly shorter than what
/// a call costs; so up to a few words, they are compared in place, the last word overlapping the one before it.
#[inline]
pub fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    /// The words of a first and a last one that overlap.
    macro_rules! ends {
        ($size:literal) => {
            if let (Some(first), Some(other_first), Some(last), Some(other_last)) = (
                one.first_chunk::<$size>(),
                other.first_chunk::<$size>(),
                one.last_chunk::<$size>(),
                other.last_chunk::<$size>(),
            ) {
                return first == other_first && last == other_last;
            }
        };
    }
    if one.len() != other.len() {
        return false;
    }
    if one.len() > 32 {
        return one == other;
    }
    ends!(16);
    ends!(8);
    ends!(4);
    ends!(2);
    one.first() == other.first()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_length_count() {
        let bytes: Vec<u8> = (0..70).collect();
        for length in 0..bytes.len() {
            let one = &bytes[..length];
            assert!(same_bytes(one, &bytes.clone()[..length]));
            assert!(!same_bytes(one, &bytes[..=length]));
            for place in 0..length {
                let mut other = one.to_vec();
                other[place] ^= 0x80;
                assert!(!same_bytes(one, &other), "{length} bytes, of which number {place} differs");
            }
        }
    }
}

//! What the methods of `bytes` and `bytearray` compute, on plain slices: `Objects/stringlib`.

/// Where `needle` first occurs in `hay[start..end]`.
pub fn find(hay: &[u8], needle: &[u8], start: usize, end: usize) -> Option<usize> {
    let window = hay.get(start..end)?;
    if needle.is_empty() {
        return Some(start);
    }
    window.windows(needle.len()).position(|part| part == needle).map(|place| start + place)
}

/// Where `needle` last occurs in `hay[start..end]`.
pub fn rfind(hay: &[u8], needle: &[u8], start: usize, end: usize) -> Option<usize> {
    let window = hay.get(start..end)?;
    if needle.is_empty() {
        return Some(end);
    }
    window.windows(needle.len()).rposition(|part| part == needle).map(|place| start + place)
}

/// How often `needle` occurs in `hay[start..end]` without overlaps.
pub fn count(hay: &[u8], needle: &[u8], start: usize, end: usize) -> usize {
    let Some(window) = hay.get(start..end) else { return 0 };
    if needle.is_empty() {
        return window.len() + 1;
    }
    let (mut from, mut count) = (0, 0);
    while let Some(place) = find(window, needle, from, window.len()) {
        count += 1;
        from = place + needle.len();
    }
    count
}

/// Whether `hay[start..end]` begins with `prefix`.
pub fn starts_with(hay: &[u8], prefix: &[u8], start: usize, end: usize) -> bool {
    hay.get(start..end).is_some_and(|window| window.starts_with(prefix))
}

/// What Python counts as white space in bytes.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// Splits at every `separator`, which is not empty, at most `most` times.
pub fn split(hay: &[u8], separator: &[u8], most: usize) -> Vec<Vec<u8>> {
    let (mut parts, mut from) = (Vec::new(), 0);
    while parts.len() < most
        && let Some(place) = find(hay, separator, from, hay.len())
    {
        parts.push(hay[from..place].to_vec());
        from = place + separator.len();
    }
    parts.push(hay[from..].to_vec());
    parts
}

/// Splits at runs of white space, at most `most` times.
pub fn split_space(hay: &[u8], most: usize) -> Vec<Vec<u8>> {
    let (mut parts, mut rest) = (Vec::new(), trim_start(hay));
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest.to_vec());
            break;
        }
        let end = rest.iter().position(|&byte| is_space(byte)).unwrap_or(rest.len());
        parts.push(rest[..end].to_vec());
        rest = trim_start(&rest[end..]);
    }
    parts
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

/// Removes the bytes that `drop` names from both ends.
pub fn strip(hay: &[u8], drop: impl Fn(u8) -> bool) -> &[u8] {
    let start = hay.iter().position(|&byte| !drop(byte)).unwrap_or(hay.len());
    let end = hay.iter().rposition(|&byte| !drop(byte)).map_or(start, |last| last + 1);
    &hay[start..end]
}

/// Replaces `old` by `new`, at most `most` times; `None` if the result is longer than `limit`.
pub fn replace(hay: &[u8], old: &[u8], new: &[u8], most: usize, limit: usize) -> Option<Vec<u8>> {
    if hay.len() < old.len() || most == 0 {
        return Some(hay.to_vec());
    }
    if old.is_empty() {
        // Before every byte, and at the end.
        let times = most.min(hay.len() + 1);
        if hay.len() + times * new.len() > limit {
            return None;
        }
        let mut result = Vec::with_capacity(hay.len() + times * new.len());
        for place in 0..=hay.len() {
            if place < times {
                result.extend_from_slice(new);
            }
            result.extend(hay.get(place));
        }
        return Some(result);
    }
    let parts = split(hay, old, most);
    let kept: usize = parts.iter().map(Vec::len).sum();
    (kept + (parts.len() - 1) * new.len() <= limit).then(|| parts.join(new))
}

/// Hexadecimal digits, with `separator` between groups of `group` bytes: counted from the right if
/// positive, from the left if negative.
pub fn hex(bytes: &[u8], separator: Option<u8>, group: isize) -> Vec<u8> {
    let size = group.unsigned_abs();
    let mut text = Vec::with_capacity(bytes.len() * 3);
    for (place, byte) in bytes.iter().enumerate() {
        let boundary = match group {
            0 => false,
            1.. => (bytes.len() - place).is_multiple_of(size),
            _ => place.is_multiple_of(size),
        };
        if let Some(separator) = separator
            && place > 0
            && boundary
        {
            text.push(separator);
        }
        text.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    text
}

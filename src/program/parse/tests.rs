//! What the parser reads, and what it says of what it does not.

use super::*;

const VALID: &str = "# buflock program 1\r\n\
        # python >= 3.14\n\
        # python < 3.15\n\
        # r\u{e9}sum\u{e9}: a comment of any kind\n\
        \n\
        b0 = bytearray(16) # made\n\
        v0=memoryview( b0 )\n\
        i0 = iter(b0)\n\
        T0: v1 = v0[2:8:2]\n\
        T1: v0 . release()              #! ok\n\
        T0: b0.extend(b'\\t\\'#! \\xff\\0')  #! BufferError # as it should\n\
        \tT1: del v1[0]   #! skipped\n\
        T0: with v1: pass\n\
        T0: x0 = PickleBuffer(b0)\n\
        T0: 97 in b0   #! True\n\
        T0: b0.find(1 << 100, -(1 << 100), (1 << 100))#!okay # then\n\
        T0: v1[::] = [1, 'a\\u20ac', -1.5e-7, None, float(\"-inf\")]\n\
        T0: v0[((1 << 100), 2)] = slice(1, None, -2)\n\
        T3: b0*=(1 << 100)\n\
        T3: b1 = b0*(1 << 100)\n\
        T0: del v1";

fn arg(line: &str) -> Arg {
    let program = parse(&format!("{HEADER} {VERSION}\nb0[0] = {line}")).expect(line);
    program.steps[0].args[1].clone()
}

#[test]
fn a_program_is_read_with_free_whitespace_and_comments() {
    let program = parse(VALID).unwrap();
    assert_eq!(program.since, Some((3, 14)));
    assert_eq!(program.until, Some((3, 15)));
    assert_eq!(program.steps.len(), 16);
    assert_eq!(program.steps[2].thread, None);
    assert_eq!(program.steps[3].thread, Some(0));
    assert_eq!(program.steps[4].expect, Some(Expect::Ok));
    assert_eq!(program.steps[5].args[0], Arg::bytes(b"\t'#! \xff\0"));
    assert_eq!(program.steps[5].expect, Some(Expect::Raises(ErrorClass::BufferError)));
    assert_eq!(program.steps[6].expect, Some(Expect::Skipped));
    assert_eq!(program.steps[9].expect, Some(Expect::Value("True".into())));
    assert_eq!(program.steps[10].expect, Some(Expect::Value("okay # then".into())));
    assert_eq!(program.steps[11].args[0], Arg::slice(None, None, None));
    assert_eq!(program, parse(&program.to_string()).unwrap());
}

#[test]
fn a_schedule_is_read_with_its_turns() {
    let read = |line: &str| parse(&format!("{HEADER} {VERSION}\n{line}\nb0 = bytearray()\nT0: b0.clear()"));
    assert_eq!(read("# schedule concurrent").unwrap().schedule, Schedule::Concurrent);
    assert_eq!(read("# schedule explored").unwrap().schedule, Schedule::Explored(Turns::default()));
    let turns = Turns([0x0a, 0x1f].into());
    assert_eq!(read("# schedule explored 0a1f ").unwrap().schedule, Schedule::Explored(turns));
    for wrong in ["# schedule explored 0a1", "# schedule explored0a", "# schedule explored so"] {
        let error = read(wrong).unwrap_err();
        assert_eq!(
            (error.line, error.expected.as_str()),
            (2, "two hexadecimal digits for each byte of a schedule"),
            "{wrong}"
        );
    }
}

#[test]
fn the_bounds_of_ints_are_exact() {
    assert_eq!(arg("-9223372036854775808"), Arg::int(i64::MIN));
    assert_eq!(arg("18446744073709551615"), Arg::Int(Int::Unsigned(u64::MAX)));
    assert_eq!(arg("9223372036854775808"), Arg::Int(Int::Unsigned(1 << 63)));
    assert_eq!(arg("9223372036854775807"), Arg::int(i64::MAX));
    assert_eq!(arg("-0"), Arg::int(0));
    assert_eq!(arg("-0.0"), Arg::Float(Float::new(-0.0)));
}

#[test]
fn methods_of_one_name_are_told_apart_by_their_receiver() {
    let text = "# buflock program 1\nv0.release()\nx0.release()\n";
    let ops: Vec<_> = parse(text).unwrap().steps.iter().map(|step| step.op).collect();
    let kinds: Vec<_> = ops.iter().map(|op| op.row().on.kinds()).collect();
    assert_eq!(kinds, [&[SlotKind::View], &[SlotKind::Export]]);
}

#[test]
fn only_texts_with_the_header_are_text() {
    assert!(is_text(VALID.as_bytes()));
    assert!(is_text(b"# buflock program 2"));
    assert!(!is_text(b"# buflock"));
    assert!(!is_text(b""));
}

/// Lines after the header, each with what is underlined and part of the message.
const MALFORMED: &str = r##"
T1: q7.append(1)
    ^^ expected a slot such as b0, found "q7"
b0.append(__lt__{return 1})
          ^^^^^^ expected the method of a hook: __index__, __float__, __bool__, __eq__, __next__, __len__, __length_hint__, __iter__, __getitem__, __buffer__, __release_buffer__, read, write, __bytes__, __repr__, __int__, __gt__, found "__lt__"
b0.append(__index__{return b0})
                           ^^ expected a literal such as 1 or b"ab", found "b0"
b0.append(__index__{b0.clear() return 1})
                               ^^^^^^ expected ";", found "return"
b0.append(__index__{raise KeyError})
                          ^^^^^^^^ expected the name of an error that a hook can raise, such as ValueError, found "KeyError"
b0.append(__index__{del v0; del v0; del v0; del v0; del v0; return 1})
                                                    ^^^ expected `return` or `raise` after at most 4 statements of a hook
b0.extend(__len__{return 1} __len__{return 1})
                            ^^^^^^^ expected another method of the hook, found "__len__"
b0.extend(__index__{return self})
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected no hook where none is asked for
v1 = v0.cast("B", __index__{return 1})
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected no hook where none is asked for
b4.append(1)
^^ expected a slot from b0 to b3, found "b4"
b00.append(1)
^^^ expected a slot from b0 to b3, found "b00"
v99999.release()
^^^^^^ expected a slot from v0 to v7
T4: b0.clear()
^^ expected a thread from T0 to T3, found "T4"
T0 b0.clear()
   ^^ expected ":", found "b0"
T0:
   ^ expected a statement, found the end of the line
T0: # nothing
   ^ expected a statement, found the end of the line
#! ok
^ expected a statement
b0.clear(1)
         ^ expected no arguments of clear, found one more
b0.append()
          ^ expected 1 argument of append, found 0
b0.append(1, 2)
             ^ expected 1 argument of append, found one more
b0.insert(1)
           ^ expected 2 arguments of insert, found 1
b0.pop(1, 2)
          ^ expected 0 or 1 arguments of pop
b0.find(1, 2, 3, 4)
                 ^ expected 1 to 3 arguments of find
len(b0, 1)
        ^ expected no arguments of len besides b0
b0.append(1
           ^ expected "," or ")", found the end of the line
b0.clear(
         ^ expected ")", found the end of the line
b0.release()
   ^^^^^^^ of b0 (release belongs to a slot such as v0 or x0)
b0.explode()
   ^^^^^^^ expected a method or an attribute of b0, found "explode"
v0.shape()
        ^ expected the end of the line, found "("
v0.release
          ^ expected "(", found the end of the line
next(b0)
     ^^ expected a slot such as i0, found "b0"
len(b'a')
    ^^^^ expected a slot such as b0 or v0
open('x')
^^^^ expected a class or a function such as bytearray
memoryview(b0)
^^^^^^^^^^ expected a slot for the result: `v0 = `
b1 = memoryview(b0)
^^ expected a slot such as v0, found "b1"
b1 = b0.clear()
^^ expected no slot, since no object comes out
b1 = b0[1]
^^ expected no slot, since the key is not a slice
v1 = b0[1:]
^^ expected a slot such as b0, found "v1"
b0 = b1
       ^ expected an operation on b1, found the end of the line
b0 - b1
   ^ expected an operation on b0, found "-"
i0 + b1
^^ expected a slot such as b0, found "i0"
v0 += b1
^^ expected a slot such as b0, found "v0"
x0[1] = 1
^^ expected a slot such as b0 or v0
with x0: pass
     ^^ expected a slot such as b0 or v0
b0 * 1 << 100
     ^ expected `(1 << 100)` in parentheses
b0 * (2 << 100)
      ^ expected `1 << 100`, found "2"
b0[0] = 1 << 101
             ^^^ expected `1 << 100`, found "101"
b0[0] = 18446744073709551616
        ^^^^^^^^^^^^^^^^^^^^ expected an int of at most 64 bits
b0[0] = -9223372036854775809
         ^^^^^^^^^^^^^^^^^^^ expected an int of at most 64 bits
b0[0] = 007
        ^^^ expected an int without leading zeros
b0[0] = 0x1F
        ^^^^ expected a decimal int or float, found "0x1F"
b0[0] = float('1')
              ^^^ expected "inf", "-inf" or "nan"
b0[0] = (1)
          ^ expected "," in a tuple, also of one
b0[0] = [[1]]
         ^ expected an item such as
b0[0] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
                                 ^ expected at most 8 items
b0[None:1]
   ^^^^ expected an int as the bound of a slice, found "None"
b0[1, 2]
    ^ expected ":" or "]", found ","
b0[0] = 1; del b0
         ^ expected the end of the line, found ";"
b0[0] = b'café'
             ^ expected an ASCII character or an escape
'café' in b0 b1
             ^^ expected the end of the line, found "b1"
'😀' in é
       ^ expected a slot such as b0, found "é"
b0[0] = b'\u0041'
          ^^ expected one of the escapes
b0[0] = '\ud800'
         ^^ expected one of the escapes
b0[0] = '\012'
         ^^ expected one of the escapes
b0[0] = '\
         ^ expected one of the escapes
b0[0] = "ab
        ^^^ expected a literal that ends with ", found `"ab`
# python > 3.14
         ^^^^^^ expected `>=` or `<`
# python >= 3.x
            ^^^ expected a version of Python such as 3.14
# python >= 3.14 or so
            ^^^^^^^^^^ expected a version of Python such as 3.14
"##;

/// The same for what does not stand well in a file: line, column, length, part of the message.
const UNPRINTABLE: &[(&str, usize, usize, &str)] = &[
    ("b0[0] = 'a\0'", 11, 1, "an escape for a control character"),
    ("b0[0] = \0", 9, 1, "found \"\\u{0}\""),
    ("del b0 #! \u{1}", 8, 4, "without control characters"),
    ("del b0 #!  ", 8, 4, "expected an expectation such as `#! ok`"),
];

fn assert_refused(line: &str, column: usize, length: usize, message: &str) {
    let error = parse(&format!("# buflock program 1\n{line}\n")).expect_err(line);
    assert!(error.to_string().contains(message), "{line}: {error}");
    let place = (error.line, error.column, error.length);
    assert_eq!(place, (2, column, length), "{line}: {error}");
    assert_eq!(error.source_line, line);
}

#[test]
fn an_error_says_where_it_is_and_what_could_have_stood_there() {
    let lines: Vec<&str> = MALFORMED.trim().lines().collect();
    assert_eq!(lines.len() % 2, 0);
    for pair in lines.chunks(2) {
        let indent = pair[1].find('^').expect(pair[1]);
        let length = pair[1].matches('^').count();
        assert_refused(pair[0], indent + 1, length, &pair[1][indent + length + 1..]);
    }
    for &(line, column, length, message) in UNPRINTABLE {
        assert_refused(line, column, length, message);
    }
}

#[test]
fn a_file_without_the_header_of_this_version_is_refused() {
    let cases = [
        ("", 1, 1, "expected `# buflock program 1` as the first line, found an empty line"),
        ("b0 = bytearray()", 1, 16, "expected `# buflock program 1` as the first line"),
        ("# buflock program1", 1, 18, "expected `# buflock program 1` as the first line"),
        ("# buflock program", 18, 1, "expected version 1 of the format, found the end"),
        ("# buflock program  \t", 18, 1, "expected version 1 of the format, found the end"),
        ("# buflock program 2 ", 19, 1, "expected version 1 of the format, found \"2\""),
        ("# buflock program 1.5", 19, 3, "expected version 1 of the format, found \"1.5\""),
    ];
    for (line, column, length, message) in cases {
        let error = parse(&format!("{line}\ndel b0")).expect_err(line);
        assert_eq!((error.line, error.column, error.length), (1, column, length), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_line_without_a_thread_cannot_follow_one_with_a_thread() {
    let error = parse("# buflock program 1\ndel b0\nT0: del b1\n\ndel b2").unwrap_err();
    assert_eq!((error.line, error.column, error.length), (5, 1, 3));
    let message = error.to_string();
    assert!(message.contains("lines without a thread run before the threads start"), "{message}");
}

#[test]
fn the_limits_hold_and_nothing_less() {
    let long = |literal: usize, text: usize, steps: usize| {
        let first = format!("b0[0] = b'{}'\n", "\\xff".repeat(literal));
        let second = format!("b0[0] = '{}'\n", "\u{e9}".repeat(text));
        let rest = "del b0\n".repeat(steps - 2);
        parse(&format!("# buflock program 1\n{first}{second}{rest}"))
    };
    let (literal, text, steps) = (limits::LITERAL, limits::TEXT, limits::STEPS);
    assert!(long(literal, text, steps).is_ok());
    assert_eq!(long(literal + 1, text, steps).unwrap_err().expected, "at most 64 bytes");
    assert_eq!(long(literal, text + 1, steps).unwrap_err().expected, "at most 24 characters");
    let error = long(literal, text, steps + 1).unwrap_err();
    assert_eq!((error.line, error.expected.as_str()), (514, "at most 512 steps"));
}

fn check_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(program) => assert_eq!(parse(&program.to_string()), Ok(program), "{text:?}"),
        Err(error) => {
            let width = error.source_line.chars().count();
            assert!(error.line >= 1 && error.column >= 1 && error.length >= 1, "{error:?}");
            assert!(error.column + error.length <= width + 2, "{error:?}");
        }
    }
}

#[test]
fn no_prefix_of_a_file_makes_the_parser_panic() {
    for length in 0..=VALID.len() {
        check_anything(&VALID.as_bytes()[..length]);
    }
}

#[test]
fn no_changed_bytes_make_the_parser_panic() {
    let interesting = b"\0\n\r\t \"'\\#!()[],:.=-+*<>01289abTvxi_\xc3\xa9\xff";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize % bound
    };
    for _ in 0..20_000 {
        let mut bytes = VALID.as_bytes().to_vec();
        for _ in 0..=below(3) {
            // Mostly behind the header, or little else would be tried.
            let at = if below(20) == 0 { below(20) } else { 20 + below(bytes.len() - 20) };
            match below(4) {
                0 => bytes[at] = interesting[below(interesting.len())],
                1 => bytes.insert(at, interesting[below(interesting.len())]),
                2 => drop(bytes.remove(at)),
                _ => bytes[at] = below(256) as u8,
            }
        }
        check_anything(&bytes);
    }
}

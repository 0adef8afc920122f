//! Texts that were written by real runs: those of `tests/`, cut to what matters and without the paths of a machine.

use super::*;
use crate::judge;
use crate::program::Program;

const RACE: &str = include_str!("tests/race.txt");
const POISON: &str = include_str!("tests/poison.txt");
const RACED: &str = include_str!("tests/raced.txt");
const STALE: &str = include_str!("tests/stale.txt");

fn one(text: &str) -> Alarm {
    let mut all = alarms(text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

#[test]
fn a_race_has_two_accesses_and_the_steps_that_made_them() {
    let alarm = one(RACE);
    assert_eq!((alarm.tool, &*alarm.kind), (Tool::Thread, "data race"));
    let did: Vec<_> = alarm.stacks.iter().map(|stack| stack.did).collect();
    assert_eq!(did, [Did::Write, Did::Write, Did::Other]);
    assert_eq!(alarm.functions(), "_memory_release+mbuf_add_view");
    assert_eq!(alarm.steps(), [6, 10]);
    let innermost = alarm.stacks[0].innermost().expect("a frame");
    assert_eq!(innermost.place.as_deref(), Some("Objects/memoryobject.c:1107"));
    assert!(alarm.is_of("Objects/memoryobject.c") && !alarm.is_of("Objects/abstract.c"));
}

#[test]
fn a_stale_access_is_of_who_made_it_and_of_who_freed_the_memory() {
    let alarm = one(STALE);
    assert_eq!((alarm.tool, &*alarm.kind), (Tool::Address, "heap-use-after-free"));
    let did: Vec<_> = alarm.stacks.iter().map(|stack| stack.did).collect();
    assert_eq!(did, [Did::Read, Did::Free, Did::Other]);
    assert_eq!(alarm.functions(), "free+unpack_single");
    assert_eq!(alarm.stacks[1].heading, "freed by thread T0 here");
    assert_eq!(alarm.word(), "heap-use-after-free");
}

#[test]
fn what_mimalloc_has_freed_is_poisoned_and_nobody_is_known_to_have_freed_it() {
    let alarm = one(POISON);
    assert_eq!((&*alarm.kind, alarm.stacks.len()), ("use-after-poison", 1));
    assert_eq!(alarm.functions(), "unpack_single");
    assert_eq!(alarm.stacks[0].frames[0].place.as_deref(), Some("Objects/memoryobject.c:1788"));
}

#[test]
fn a_stale_access_in_a_race_is_of_the_method_and_of_its_step() {
    let alarm = one(RACED);
    assert_eq!((alarm.functions().as_str(), alarm.steps()), ("bytearray_hex_impl", vec![4]));
    assert!(alarm.is_of("Objects/bytearrayobject.c"));
}

#[test]
fn which_of_two_accesses_was_first_is_no_part_of_what_a_race_is() {
    let mut alarm = one(RACE);
    let signature = |alarm: &Alarm| {
        judge::alarm("cpython", &Program::default(), alarm.clone()).expect("it is a fault").signature
    };
    let first = signature(&alarm);
    assert_eq!(first, "cpython/D3/data-race/_memory_release+mbuf_add_view");
    alarm.stacks.swap(0, 1);
    assert_eq!(signature(&alarm), first);
}

#[test]
fn a_race_for_bytes_alone_is_nobodys_fault_and_one_with_who_frees_them_is() {
    let of = |first: &str, second: &str| {
        let text = RACE.replace("_memory_release Objects", first).replace("mbuf_add_view Objects", second);
        judge::alarm("cpython", &Program::default(), one(&text))
    };
    assert_eq!(of("pack_single Objects", "bytearray_setitem Objects"), None);
    let copied = "__tsan_memcpy <null> (w+0x1)\n    #1 copy_base Objects";
    assert_eq!(of("HH_setitem Objects", copied), None, "it is of whoever has it copied");
    assert!(of("pack_single Objects", "PyByteArray_Resize Objects").is_some());
    let read = RACE.replace("  Write of size", "  Read of size").replace("mbuf_add_view", "pack_single");
    assert_eq!(judge::alarm("cpython", &Program::default(), one(&read)), None);
}

#[test]
fn a_report_that_is_cut_off_is_none_and_the_next_is_read() {
    let cut = RACE.split("SUMMARY").next().expect("a part");
    assert_eq!(alarms(cut), []);
    assert_eq!(alarms(&format!("{cut}\n{RACE}")).len(), 1);
    assert_eq!(alarms(&format!("{RACE}{STALE}")).len(), 2);
    assert_eq!(alarms("Fatal Python error: Segmentation fault\n"), []);
}

#[test]
fn a_stack_that_is_forgotten_is_an_access_all_the_same() {
    let text = "WARNING: ThreadSanitizer: data race (pid=1)\n  Write of size 8 at 0x1 by thread T1:\n    \
                #0 array_resize Modules/arraymodule.c:149:3 (w+0x1)\n\n  Previous read of size 8 at 0x1 by thread T2:\n    \
                [failed to restore the stack]\n\nSUMMARY: ThreadSanitizer: data race\n";
    let alarm = one(text);
    assert_eq!(alarm.stacks.len(), 2);
    assert_eq!(alarm.functions(), "array_resize+unknown");
}

#[test]
fn what_is_shown_ends_where_the_harness_begins() {
    let shown = one(RACE).to_string();
    assert!(shown.contains("mbuf_add_view at Objects/memoryobject.c:702\n"), "{shown}");
    assert!(shown.contains("\n    in step 11") && !shown.contains("buflock"), "{shown}");
}

#[test]
fn frames_are_read_in_all_their_forms() {
    let read = |line: &str| frame(line).map(|frame| (frame.function, frame.place));
    let some = |function: &str, place: Option<&str>| Some((function.to_owned(), place.map(str::to_owned)));
    assert_eq!(read("#0 0x55 in memory_item a/b.c:7:3"), some("memory_item", Some("a/b.c:7")));
    assert_eq!(
        read("#1 <T as U>::f::{closure#0} src/x.rs:9:1 (w+0x1) (BuildId: 2)"),
        some("<T as U>::f::{closure#0}", Some("src/x.rs:9"))
    );
    assert_eq!(read("#2 memcpy <null> (w+0x12)"), some("memcpy", None));
    assert_eq!(read("#3 0x7f (/lib/libc.so.6+0x3)"), None);
    assert_eq!(read("#4 malloc (w+0x1)"), some("malloc", None));
}

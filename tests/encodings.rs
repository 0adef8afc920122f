//! The text, the bytes and the mutations of programs.

use std::collections::BTreeSet;
use std::sync::Arc;

use buflock::check::Check;
use buflock::judge::Verdict;
use buflock::program::encode::{self, DecodeError, decode, encode};
use buflock::program::generate::{self, Choices, Shape};
use buflock::program::mutate::{self, ProgramMutator};
use buflock::program::{Answer, Arg, Float, Op, Program, Slot, SlotKind, Step, fixup, parse};
use buflock::subject::Version;

fn programs(seed: u64, count: u64) -> impl Iterator<Item = Program> {
    (0..count).map(move |index| generate::nth(seed, index, Shape::default()))
}

fn is_valid(program: &Program) -> bool {
    let mut fixed = program.clone();
    fixup::fixup(&mut fixed);
    fixed == *program
}

/// Bytes of any length up to `most`, none of which means anything.
fn noise(choices: &mut impl Choices, most: u32) -> Vec<u8> {
    (0..choices.below(most + 1)).map(|_| choices.below(256) as u8).collect()
}

fn assert_agrees(check: &mut Check, program: Program) {
    let program = Arc::new(program);
    let verdict = check.run(&program);
    assert_eq!(verdict, Verdict::Agree, "{program}");
}

#[test]
fn bytes_give_back_the_program_that_was_encoded() {
    for program in programs(1, 2_000) {
        assert_eq!(decode(&encode(&program)).as_ref(), Ok(&program), "{program}");
    }
}

#[test]
fn bytes_carry_expectations_and_versions() {
    let text = "# buflock program 1\n# python >= 3.9\n# python < 3.14\n\
                b0 = bytearray(b\"ab\")  #! ok\nT3: b0[5]  #! IndexError\nT0: len(b0)  #! 2\nT0: len(v0)  #! skipped\n";
    let program = parse::parse(text).unwrap();
    assert_eq!(decode(&encode(&program)), Ok(program));
}

#[test]
fn text_gives_back_the_program_that_was_printed() {
    for program in programs(2, 2_000) {
        let text = canonical(program.clone()).to_string();
        assert_eq!(parse::parse(&text).as_ref(), Ok(&canonical(program)), "{text}");
    }
}

/// The text has one spelling for all NaNs.
fn canonical(mut program: Program) -> Program {
    fn fix_float(float: &mut Float) {
        if float.value().is_nan() {
            *float = Float::new(f64::NAN);
        }
    }
    fn fix(arg: &mut Arg) {
        match arg {
            Arg::Float(float) => fix_float(float),
            Arg::Complex(real, imaginary) => [real, imaginary].into_iter().for_each(fix_float),
            Arg::List(items) | Arg::Tuple(items) => items.iter_mut().for_each(fix),
            Arg::Hook(hook) => {
                hook.steps_mut().flat_map(|step| &mut step.args).for_each(fix);
                for method in &mut hook.methods {
                    if let Answer::Return(arg) = &mut method.answer {
                        fix(arg);
                    }
                }
            }
            _ => {}
        }
    }
    program.steps.iter_mut().flat_map(|step| &mut step.args).for_each(fix);
    program
}

#[test]
fn text_is_read_where_bytes_are_expected() {
    for program in programs(3, 200).map(canonical) {
        assert_eq!(encode::read(program.to_string().as_bytes()), program);
    }
}

#[test]
fn truncated_bytes_are_damaged() {
    for program in programs(4, 50) {
        let bytes = encode(&program);
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Err(DecodeError::Damaged), "{length} of {}", bytes.len());
        }
    }
}

#[test]
fn bytes_with_something_after_the_end_are_damaged() {
    for program in programs(5, 50) {
        let bytes = [&*encode(&program), b"x"].concat();
        assert_eq!(decode(&bytes), Err(DecodeError::Damaged));
    }
}

#[test]
fn bytes_that_begin_otherwise_are_foreign() {
    let text = Program::default().to_string();
    for bytes in [b"".as_slice(), b"\x00", b"\x7fELF", b"no program", text.as_bytes()] {
        assert_eq!(decode(bytes), Err(DecodeError::Foreign), "{bytes:?}");
    }
}

#[test]
fn bytes_of_another_version_are_refused_by_its_number() {
    let mut bytes = encode(&Program::default());
    for version in (0..=255).filter(|&version| version != bytes[1]).collect::<Vec<u8>>() {
        bytes[1] = version;
        assert_eq!(decode(&bytes), Err(DecodeError::Version(version)));
    }
}

#[test]
fn bytes_of_what_does_not_exist_are_invalid() {
    let step = |slot| Step::new(Op::Drop, Some(slot), buflock::program::Args::new(), None);
    let invalid = [
        step(Slot::new(SlotKind::Exporter, SlotKind::Exporter.count())),
        Step { thread: Some(4), ..step(Slot::new(SlotKind::Exporter, 0)) },
        Step { receiver: None, ..step(Slot::new(SlotKind::Exporter, 0)) },
        Step { dest: Some(Slot::new(SlotKind::View, 0)), ..step(Slot::new(SlotKind::View, 0)) },
        Step { op: Op::Append, ..step(Slot::new(SlotKind::Exporter, 0)) },
        Step { op: Op::Append, ..step(Slot::new(SlotKind::View, 0)) },
    ];
    for step in invalid {
        let bytes = encode(&Program { steps: vec![step], ..Program::default() });
        assert_eq!(decode(&bytes), Err(DecodeError::Invalid));
        assert!(is_valid(&encode::read(&bytes)));
    }
}

#[test]
fn any_short_input_is_a_program_that_agrees() {
    let mut check = Check::native(Version::NEWEST);
    let two = (0..=u16::MAX).map(|both| both.to_le_bytes().to_vec());
    let inputs = std::iter::once(Vec::new()).chain((0..=255).map(|byte| vec![byte])).chain(two);
    for input in inputs {
        let program = encode::read(&input);
        assert!(is_valid(&program), "{input:?}");
        assert_agrees(&mut check, program);
    }
}

#[test]
fn any_input_is_a_program_that_agrees() {
    let mut check = Check::native(Version::NEWEST);
    let mut choices = generate::choices(6);
    for _ in 0..3_000 {
        let input = noise(&mut choices, 400);
        let program = encode::read(&input);
        assert!(is_valid(&program), "{input:?}");
        assert_agrees(&mut check, program);
    }
}

#[test]
fn any_input_that_begins_as_a_program_is_one_that_agrees() {
    let mut check = Check::native(Version::NEWEST);
    let mut choices = generate::choices(7);
    for program in programs(7, 3_000) {
        let mut bytes = encode(&program);
        for _ in 0..=choices.below(4) {
            let place = choices.below(bytes.len() as u32) as usize;
            bytes[place] = choices.below(256) as u8;
        }
        let program = encode::read(&bytes);
        assert!(is_valid(&program), "{bytes:?}");
        assert_agrees(&mut check, program);
    }
}

#[test]
fn different_inputs_are_different_programs() {
    let mut choices = generate::choices(8);
    let programs: BTreeSet<String> =
        (0..1_000).map(|_| encode::read(&noise(&mut choices, 400)).to_string()).collect();
    assert!(programs.len() > 900, "{}", programs.len());
}

/// A program that is damaged in its structure, as bytes that decode by chance are.
fn scramble(program: &mut Program, choices: &mut impl Choices) {
    let ops: Vec<Op> = Op::all().collect();
    for step in &mut program.steps {
        match choices.below(6) {
            0 => step.op = *choices.pick(&ops),
            1 => step.receiver = Some(any_slot(choices)),
            2 => step.dest = Some(any_slot(choices)),
            3 => step.thread = Some(choices.below(256) as u8),
            4 => {
                step.args.clear();
                step.args.push(Arg::List((0..20).map(|_| Arg::Slot(any_slot(choices))).collect()));
            }
            _ => step.args.clear(),
        }
    }
}

fn any_slot(choices: &mut impl Choices) -> Slot {
    Slot::new(*choices.pick(&SlotKind::ALL), choices.below(256) as u8)
}

#[test]
fn a_second_fixup_changes_nothing() {
    let mut choices = generate::choices(9);
    for mut program in programs(9, 3_000) {
        scramble(&mut program, &mut choices);
        fixup::fixup(&mut program);
        assert!(is_valid(&program), "{program}");
    }
}

#[test]
fn what_is_fixed_up_agrees() {
    let mut check = Check::native(Version::NEWEST);
    let mut choices = generate::choices(10);
    for mut program in programs(10, 2_000) {
        scramble(&mut program, &mut choices);
        fixup::fixup(&mut program);
        assert_agrees(&mut check, program);
    }
}

/// A program after some mutations.
fn mutated(program: &Program, seed: u64, times: usize) -> Program {
    let mut program = program.clone();
    let mut session = mutatis::Session::new().seed(seed);
    for _ in 0..times {
        session.mutate_with(&mut ProgramMutator, &mut program).expect("a program can be mutated");
    }
    program
}

#[test]
fn mutated_programs_are_valid_and_agree() {
    let mut check = Check::native(Version::NEWEST);
    for (seed, program) in (0..).zip(programs(11, 4_000)) {
        let program = mutated(&program, seed, 1 + seed as usize % 8);
        assert!(is_valid(&program), "{program}");
        assert_agrees(&mut check, program);
    }
}

#[test]
fn a_mutation_usually_changes_something() {
    let changed =
        (0..).zip(programs(12, 1_000)).filter(|(seed, program)| mutated(program, *seed, 1) != *program);
    let changed = changed.count();
    println!("{changed} of 1000 mutations change something");
    assert!(changed > 850, "{changed}");
}

#[test]
fn a_program_grows_out_of_nothing() {
    let grown = mutated(&Program::default(), 1, 500);
    assert!(grown.steps.len() > 5, "{grown}");
}

#[test]
fn a_seed_gives_the_same_mutation() {
    for (seed, program) in (0..).zip(programs(13, 200)) {
        assert_eq!(mutated(&program, seed, 4), mutated(&program, seed, 4));
    }
}

#[test]
fn seeds_give_different_mutations() {
    let program = generate::nth(14, 0, Shape::default());
    let programs: BTreeSet<String> = (0..100).map(|seed| mutated(&program, seed, 3).to_string()).collect();
    assert!(programs.len() > 80, "{}", programs.len());
}

#[test]
fn crossed_programs_are_valid_and_agree() {
    let mut check = Check::native(Version::NEWEST);
    for ((seed, one), other) in (0..).zip(programs(15, 3_000)).zip(programs(16, 3_000)) {
        let crossed = mutate::cross(&one, &other, &mut generate::choices(seed));
        assert!(is_valid(&crossed), "{crossed}");
        assert_agrees(&mut check, crossed);
    }
}

#[test]
fn a_crossing_usually_is_neither_of_the_two() {
    let pairs = (0..).zip(programs(17, 1_000)).zip(programs(18, 1_000));
    let both = pairs.filter(|((seed, one), other)| {
        let crossed = mutate::cross(one, other, &mut generate::choices(*seed));
        crossed != *one && crossed != *other
    });
    let both = both.count();
    println!("{both} of 1000 crossings are neither of the two");
    assert!(both > 850, "{both}");
}

#[test]
fn a_seed_gives_the_same_crossing() {
    for ((seed, one), other) in (0..).zip(programs(19, 200)).zip(programs(20, 200)) {
        let cross = || mutate::cross(&one, &other, &mut generate::choices(seed));
        assert_eq!(cross(), cross());
    }
}

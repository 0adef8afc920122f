//! What is simpler than an argument.

use crate::program::{Answer, Arg, Bounds, Float, Hook, Int};

/// Arguments that are simpler than `arg`, the simplest first. What is simpler by this order is never
/// simpler the other way round, so that repeated replacement ends.
pub(super) fn than(arg: &Arg) -> Vec<Arg> {
    match arg {
        Arg::None => Vec::new(),
        Arg::Int(int) => literals()
            .chain(ints(*int).into_iter().map(Arg::Int))
            .take_while(|simple| simple != arg)
            .collect(),
        Arg::Float(float) => {
            let simple = [0.0, 1.0, 1.5].map(|value| Arg::Float(Float::new(value)));
            literals().chain(simple.into_iter().take_while(|simple| *simple != Arg::Float(*float))).collect()
        }
        Arg::Complex(real, imaginary) => {
            let simple = [0.0, 1.0].map(|value| Arg::Complex(Float::new(0.0), Float::new(value)));
            let simple = [Arg::Float(*real), Arg::Float(*imaginary)].into_iter().chain(simple);
            literals().chain(simple.take_while(|simple| simple != arg)).collect()
        }
        Arg::Bytes(bytes) => literals().chain(shorter_bytes(bytes)).collect(),
        Arg::Str(text) => {
            let half: String = text.chars().take(text.chars().count() / 2).collect();
            let shorter = (!text.is_empty()).then(|| Arg::Str(half.into()));
            literals().chain(shorter).collect()
        }
        Arg::List(items) => literals().chain(fewer(items).into_iter().map(Arg::List)).collect(),
        Arg::Tuple(items) => literals().chain(fewer(items).into_iter().map(Arg::Tuple)).collect(),
        Arg::Slice(bounds) => literals().chain(slices(bounds)).collect(),
        Arg::Slot(_) => literals().collect(),
        Arg::Hook(hook) => literals().chain([hook.plain()]).chain(hooks(hook)).collect(),
    }
}

/// Hooks that have fewer methods, do less, or give a simpler answer.
fn hooks(hook: &Hook) -> Vec<Arg> {
    let with = |change: &dyn Fn(&mut Hook)| {
        let mut simpler = hook.clone();
        change(&mut simpler);
        Arg::Hook(Box::new(simpler))
    };
    let mut simpler = Vec::new();
    if hook.methods.len() > 1 {
        simpler.extend((0..hook.methods.len()).map(|out| with(&|hook| drop(hook.methods.remove(out)))));
    }
    for (own, method) in hook.methods.iter().enumerate() {
        let steps = &method.steps;
        simpler.extend((0..steps.len()).map(|out| with(&|hook| drop(hook.methods[own].steps.remove(out)))));
        for (at, step) in steps.iter().enumerate() {
            for (which, arg) in step.args.iter().enumerate() {
                let change = |arg: Arg| with(&|hook| hook.methods[own].steps[at].args[which] = arg.clone());
                simpler.extend(than(arg).into_iter().map(change));
            }
        }
        if let Answer::Return(arg) = &method.answer {
            let change = |arg: Arg| with(&|hook| hook.methods[own].answer = Answer::Return(arg.clone()));
            simpler.extend(than(arg).into_iter().map(change));
        }
    }
    simpler
}

/// The three simplest arguments.
fn literals() -> impl Iterator<Item = Arg> {
    [Arg::None, Arg::int(0), Arg::int(1)].into_iter()
}

/// Ints that are nearer to zero, or positive.
fn ints(int: Int) -> Vec<Int> {
    let value = int.value();
    let mut simpler = vec![0, 1, 2];
    if value < 0 {
        simpler.extend([-1, -2]);
    }
    simpler.extend([value / 2, value - value.signum()]);
    let nearer =
        |simple: &i128| simple.unsigned_abs() < value.unsigned_abs() || (*simple == -value && value < 0);
    if matches!(int, Int::Huge { negative: true }) {
        simpler.push(-value);
    }
    simpler.retain(nearer);
    simpler.into_iter().map(Int::of).filter(|simple| *simple != int).collect()
}

fn shorter_bytes(bytes: &[u8]) -> Vec<Arg> {
    let mut simpler = Vec::new();
    if !bytes.is_empty() {
        simpler.push(Arg::bytes(b""));
        simpler.push(Arg::bytes(&bytes[..bytes.len() / 2]));
        simpler.push(Arg::bytes(&bytes[..bytes.len() - 1]));
    }
    let plain = vec![b'a'; bytes.len()];
    if plain != bytes {
        simpler.push(Arg::bytes(&plain));
    }
    simpler
}

fn fewer(items: &[Arg]) -> Vec<Box<[Arg]>> {
    let mut simpler: Vec<Box<[Arg]>> = Vec::new();
    if !items.is_empty() {
        simpler.push([].into());
    }
    for out in 0..items.len() {
        let kept = items.iter().enumerate().filter(|(place, _)| *place != out);
        simpler.push(kept.map(|(_, item)| item.clone()).collect());
    }
    for (place, item) in items.iter().enumerate() {
        for simple in than(item) {
            let mut changed: Box<[Arg]> = items.into();
            changed[place] = simple;
            simpler.push(changed);
        }
    }
    simpler
}

fn slices(bounds: &Bounds) -> Vec<Arg> {
    let mut simpler = vec![[const { Arg::None }; 3]];
    for (place, bound) in bounds.iter().enumerate() {
        for simple in than(bound).into_iter().filter(Arg::is_bound) {
            let mut changed = bounds.clone();
            changed[place] = simple;
            simpler.push(changed);
        }
    }
    simpler.retain(|simple| simple != bounds);
    simpler.into_iter().map(|bounds| Arg::Slice(Box::new(bounds))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_taking_a_simpler_one_ends() {
        let huge = Int::Huge { negative: true };
        let start = [
            Arg::Int(huge),
            Arg::int(i64::MIN),
            Arg::Float(Float::new(-7.25)),
            Arg::Complex(Float::new(-7.25), Float::new(1.0)),
            Arg::bytes(b"\xffabcdefg"),
            Arg::Str("text".into()),
            Arg::List([Arg::int(300), Arg::bytes(b"xyz"), Arg::None].into()),
            Arg::slice(Some(Int::Small(-3)), Some(huge), Some(Int::Unsigned(u64::MAX))),
        ];
        for arg in start {
            // The last candidate is the least simplification there is.
            let mut current = arg.clone();
            let mut taken = 0;
            while let Some(next) = than(&current).pop() {
                current = next;
                taken += 1;
                if taken > 4_000 {
                    break;
                }
            }
            let first = than(&arg).swap_remove(0);
            assert_eq!(first, Arg::None, "{arg}");
            assert!(!than(&arg).contains(&arg), "{arg}");
        }
    }

    #[test]
    fn none_is_the_simplest() {
        assert!(than(&Arg::None).is_empty());
    }
}

//! Which step a thread is at, where a stack shows it.
//!
//! A sanitizer knows what another thread did before by its stack alone. So each of the first steps of a program runs
//! within a function of its own, whose name has the number of the step.

use std::hint::black_box;

macro_rules! places {
    ($($name:ident)*) => {
        const PLACES: &[(&str, fn(&mut dyn FnMut()))] = &[$((stringify!($name), $name)),*];
        $(
            #[inline(never)]
            fn $name(run: &mut dyn FnMut()) {
                run();
                // No two are alike, or they would become one; and none ends in its call, or it would be on no stack.
                black_box(stringify!($name));
            }
        )*
    };
}

places! {
    step_1 step_2 step_3 step_4 step_5 step_6 step_7 step_8 step_9 step_10 step_11 step_12 step_13 step_14 step_15
    step_16 step_17 step_18 step_19 step_20 step_21 step_22 step_23 step_24 step_25 step_26 step_27 step_28 step_29
    step_30 step_31 step_32 step_33 step_34 step_35 step_36 step_37 step_38 step_39 step_40 step_41 step_42 step_43
    step_44 step_45 step_46 step_47 step_48 step_49 step_50 step_51 step_52 step_53 step_54 step_55 step_56 step_57
    step_58 step_59 step_60 step_61 step_62 step_63 step_64
}

/// Runs the step at this place of its program. Those behind the 64th have no function of their own.
#[inline]
pub fn at<R>(place: usize, run: impl FnOnce() -> R) -> R {
    let Some((_, function)) = PLACES.get(place) else { return run() };
    let (mut run, mut result) = (Some(run), None);
    function(&mut || result = run.take().map(|run| run()));
    result.expect("it has run")
}

/// The place of the step whose function has this name, as a stack shows it.
pub fn of_function(name: &str) -> Option<usize> {
    if !name.contains("schedule::place::") {
        return None;
    }
    let last = name.split("::").find(|part| part.starts_with("step_"))?;
    PLACES.iter().position(|(name, _)| *name == last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_by_its_function() {
        assert_eq!(of_function("buflock::schedule::place::step_1"), Some(0));
        assert_eq!(of_function("buflock::schedule::place::step_12::h00ff"), Some(11));
        assert_eq!(of_function("buflock::schedule::place::at"), None);
        assert_eq!(of_function("step_1"), None);
    }

    #[test]
    fn the_functions_stand_in_the_order_of_the_steps_and_are_on_the_stack() {
        for (place, (name, _)) in PLACES.iter().enumerate() {
            assert_eq!(*name, format!("step_{}", place + 1));
        }
        let stack = at(6, || std::backtrace::Backtrace::force_capture().to_string());
        assert!(stack.contains("schedule::place::step_7"), "{stack}");
        assert_eq!(at(1000, || 5), 5);
    }
}

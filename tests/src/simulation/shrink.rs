//! Makes a plan that breaks a promise as short as can be: whatever can be left out so that it still breaks one is
//! left out.

use super::{centre::run, plan::Plan};

/// The shortest plan found that still breaks a promise, beginning from one that does.
#[must_use]
pub fn shrink(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    loop {
        let before = size(&plan);
        without_some(&mut plan, |plan| &mut plan.acts);
        without_some(&mut plan, |plan| &mut plan.weather.bursts);
        without_some(&mut plan, |plan| &mut plan.weather.troubles);
        let less = size(&plan) < before
            || by_other_dice(&mut plan, |plan| &mut plan.weather.bursts)
            || by_other_dice(&mut plan, |plan| &mut plan.weather.troubles);
        if !less {
            return plan;
        }
    }
}

/// How many other dice are thrown for a plan without one thing.
const OTHER_DICE: u64 = 8;

/// Leaves one thing of a list out, where what is left breaks a promise by other dice: by those of the plan it may have been
/// needed for nothing but how they fell.
fn by_other_dice<T: Clone>(plan: &mut Plan, list: impl Fn(&mut Plan) -> &mut Vec<T>) -> bool {
    for at in 0..list(plan).len() {
        let mut less = plan.clone();
        list(&mut less).remove(at);
        for _ in 0..OTHER_DICE {
            less.seed = less.seed.wrapping_add(1);
            if run(&less, false).is_err() {
                *plan = less;
                return true;
            }
        }
    }
    false
}

fn size(plan: &Plan) -> usize {
    plan.acts.len() + plan.weather.bursts.len() + plan.weather.troubles.len()
}

/// Leaves parts of a list out, large ones first.
fn without_some<T: Clone>(plan: &mut Plan, list: impl Fn(&mut Plan) -> &mut Vec<T>) {
    let mut part = list(plan).len();
    while part > 0 {
        let mut at = 0;
        while at < list(plan).len() {
            let mut less = plan.clone();
            let until = (at + part).min(list(&mut less).len());
            list(&mut less).drain(at..until);
            if run(&less, false).is_err() {
                *plan = less;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
}

//! Plays histories of the engine against a server, a disk and callers, all of them models that are driven by one seed.
//!
//! `make simulate HISTORIES=1000000 SEED=1` plays more of them. A failing history is made smaller and printed as a dialogue.

mod callers;
mod directed;
#[allow(dead_code, reason = "the test of the directory uses more of it")]
mod disk;
mod files;
mod ledger;
mod plan;
mod random;
mod real;
mod server;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plan::{Knob, Plan};
use world::World;

/// Plays one history. Returns the broken promise, if there is one, and how much happened.
fn play(plan: &Plan, trace: bool) -> (Option<String>, Vec<String>, [u64; 2]) {
    let mut world = World::new(plan, trace);
    let panicked = catch_unwind(AssertUnwindSafe(|| world.play())).is_err();
    let violation = world.ledger.violation.take();
    let violation = if panicked { Some("the engine panicked".to_owned()) } else { violation };
    (violation, world.trace.take().unwrap_or_default(), [world.steps, world.ledger.deliveries])
}

/// The words of a violation without its numbers: smaller plans must break the same promise.
fn kind(violation: &str) -> String {
    violation
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.len() > 3)
        .take(6)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Finds a smaller plan that breaks the same promise.
fn shrink(plan: &Plan, violation: &str) -> Plan {
    let wanted = kind(violation);
    let mut plan = plan.clone();
    let mut tries = 0;
    loop {
        let smaller = plan.smaller().into_iter().find(|smaller| {
            tries += 1;
            play(smaller, false).0.is_some_and(|violation| kind(&violation) == wanted)
        });
        match smaller {
            Some(smaller) if tries < 4_000 => plan = smaller,
            _ => return plan,
        }
    }
}

fn show(plan: &Plan) {
    let (violation, trace, _) = play(plan, true);
    println!("{plan}");
    let skipped = trace.len().saturating_sub(400);
    if skipped > 0 {
        println!("… {skipped} lines");
    }
    trace.iter().skip(skipped).for_each(|line| println!("{line}"));
    println!("=> {}", violation.unwrap_or_else(|| "all promises are kept".into()));
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Plays histories on two threads. Returns the first that fail.
fn run(first: u64, histories: u64, wanted: usize) -> Vec<(Plan, String)> {
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<(Plan, String)>> = Mutex::default();
    let counts = [AtomicU64::new(0), AtomicU64::new(0)];
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..number("THREADS", 2) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let full = failed.lock().is_ok_and(|failed| failed.len() >= wanted);
                    if seed >= first + histories || full {
                        break;
                    }
                    let plan = Plan::new(seed);
                    let (violation, _, [steps, deliveries]) = play(&plan, false);
                    counts[0].fetch_add(steps, Ordering::Relaxed);
                    counts[1].fetch_add(deliveries, Ordering::Relaxed);
                    if let (Some(violation), Ok(mut failed)) = (violation, failed.lock()) {
                        failed.push((plan, violation));
                    }
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let played = next.load(Ordering::Relaxed).min(first + histories) - first;
    println!(
        "{played} histories, {} steps, {} deliveries in {seconds:.1} s: {:.0} a second",
        counts[0].load(Ordering::Relaxed),
        counts[1].load(Ordering::Relaxed),
        played as f64 / seconds
    );
    failed.into_inner().unwrap_or_default()
}

#[test]
fn without_faults_every_message_is_delivered_and_settled() {
    for seed in 1..=20 {
        let plan = Plan::quiet(seed).with(Knob::Messages, seed as u32).with(Knob::Seconds, 5);
        let plan = plan.with(Knob::NoMove, seed as u32 % 2).with(Knob::NoUidplus, seed as u32 / 2 % 2);
        assert_eq!(play(&plan, false).0, None, "{plan}");
    }
}

#[test]
fn no_history_breaks_a_promise() {
    std::panic::set_hook(Box::new(|panic| println!("{panic}")));
    if let Ok(seed) = std::env::var("SHOW").map(|seed| seed.parse().unwrap_or(0)) {
        let plan = Plan::new(seed);
        let (violation, ..) = play(&plan, false);
        let shrinks = number("SHRINK", 1) > 0;
        let plan = violation.filter(|_| shrinks).map_or(plan.clone(), |violation| shrink(&plan, &violation));
        return show(&plan);
    }
    let histories = number("HISTORIES", if cfg!(debug_assertions) { 300 } else { 20_000 });
    let mut failed = run(number("SEED", 1), histories, number("FAILURES", 1) as usize);
    failed.sort_by_key(|(plan, _)| plan.seed);
    for (plan, violation) in &failed {
        println!("seed {}: {}", plan.seed, violation.chars().take(300).collect::<String>());
    }
    if let Some((plan, violation)) = failed.first() {
        if number("SHRINK", 1) > 0 {
            show(&shrink(plan, violation));
        }
        panic!("{} histories failed", failed.len());
    }
}

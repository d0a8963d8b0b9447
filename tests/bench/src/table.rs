//! The table, and whether every figure is within its target.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use crate::measure::Measured;
use crate::scenario::{Scenario, Target};

/// Prints the table; whether every target is met and every call expected.
pub(crate) fn print(rows: &[(Scenario, Measured)], calls: bool) -> bool {
    println!(
        "| scenario | init ms | first call ms | run ms | CPU ms | peak MiB | calls | connections | targets |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut all_met = true;
    for (scenario, measured) in rows {
        if let Some(why) = &measured.skipped {
            println!("| {} | not measured: {why} |", scenario.name);
            continue;
        }
        let verdicts: Vec<String> = scenario
            .targets
            .iter()
            .map(|target| {
                let (figure, bound, words) = judge(*target, scenario, measured);
                let met = figure <= bound;
                all_met &= met;
                if met {
                    format!("{words}: met")
                } else {
                    format!("{words}: **missed** ({figure:.1})")
                }
            })
            .collect();
        let made: usize = measured.seen.calls.values().sum();
        let throttled = match measured.seen.throttled.values().sum::<usize>() {
            0 => String::new(),
            n => format!(" ({n} throttled)"),
        };
        let connections: usize = measured.seen.connections.values().sum();
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {made}{throttled} | {connections} | {} |",
            scenario.name,
            measured.init_ms,
            measured.first_call_ms,
            measured.run_ms,
            measured.cpu_ms,
            measured.peak_mib,
            verdicts.join(", ")
        );
    }
    print_changes(rows);
    for (scenario, measured) in rows {
        for wrong in &measured.wrong_calls {
            all_met = false;
            println!("\n{}: {wrong}", scenario.name);
        }
    }
    if calls {
        for (scenario, measured) in rows {
            println!("\n{}:", scenario.name);
            for (action, n) in &measured.seen.calls {
                println!("{n:6}  {action}");
            }
            println!("        connections: {:?}", measured.seen.connections);
        }
    }
    all_met
}

/// How long it takes from an event to the first call that changes something.
fn print_changes(rows: &[(Scenario, Measured)]) {
    let mut is_first = true;
    for (scenario, measured) in rows {
        let Some((cold, warm)) = measured.to_change_ms else {
            continue;
        };
        if is_first {
            println!(
                "\n| scenario | calls of an event | before the first that changes something \
                 | until then ms, cold | warm |\n|---|---|---|---|---|"
            );
            is_first = false;
        }
        let last = scenario.events() - 1;
        let before = scenario.before_the_first_change(last).unwrap_or_default();
        let all = measured.seen.all_calls() / scenario.events();
        println!(
            "| {} | {all} | {before} | {cold:.1} | {warm:.1} |",
            scenario.name
        );
    }
}

fn judge(target: Target, scenario: &Scenario, measured: &Measured) -> (f64, f64, String) {
    let (figure, bound, words) = match target {
        Target::InitMs(most) => (measured.init_ms, most, "init"),
        Target::FirstCallMs(most) => (measured.first_call_ms, most, "first call"),
        Target::RunMs(most) => (measured.run_ms, most, "run"),
        Target::CpuMs(most) => (measured.cpu_ms, most, "CPU"),
        Target::PeakMib(most) => (measured.peak_mib, most, "peak"),
        Target::OverCriticalPath(most) => {
            let calls = u32::try_from(scenario.critical_path()).unwrap_or(u32::MAX);
            let path = scenario.latency.as_secs_f64() * 1000.0 * f64::from(calls);
            let words = format!("run <= {most} x {calls} calls in a row");
            return (measured.run_ms / path, most, words);
        }
    };
    (figure, bound, format!("{words} <= {bound}"))
}

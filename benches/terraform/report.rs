//! Prints what was measured, as tables.

use crate::kill::Ended;
use crate::measure::Cost;
use crate::tool::Step;

/// What the steps of one tool took.
pub struct Column {
    /// The tool.
    pub tool: &'static str,
    /// Its steps.
    pub costs: Vec<(Step, Cost)>,
}

impl Column {
    fn cost(&self, step: Step) -> Option<&Cost> {
        let found = self.costs.iter().find(|(of, _)| *of == step);
        found.map(|(_, cost)| cost)
    }
}

/// Prints the table of a size: the first column is what the others' wall times are compared with.
pub fn table(size: u32, columns: &[Column]) {
    println!("## {size} machines\n");
    println!("| step | tool | calls | CPU s | peak MB | wall time |");
    println!("|---|---|--:|--:|--:|--:|");
    for step in Step::ALL {
        let first = columns.first().and_then(|column| column.cost(step));
        for column in columns {
            let Some(cost) = column.cost(step) else {
                continue;
            };
            let calls: u64 = cost.calls.values().sum();
            let ratio = first.map_or(1.0, |first| {
                cost.wall.as_secs_f64() / first.wall.as_secs_f64()
            });
            println!(
                "| {} | {} | {calls} | {:.2} | {} | {ratio:.1} × |",
                step.name(),
                column.tool,
                cost.cpu,
                cost.peak
            );
        }
    }
    println!("\nCalls by name:\n");
    for column in columns {
        for (step, cost) in &column.costs {
            let calls: Vec<String> = cost
                .calls
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            println!("- {}, {}: {}", column.tool, step.name(), calls.join(", "));
        }
    }
    println!();
}

/// Prints what kills left.
pub fn kills(size: u32, ended: &[(&'static str, Ended)]) {
    println!("## Killed in the middle of the first apply of {size} machines\n");
    println!(
        "| tool | machines when dead | orphans | doubles after the next apply | orphans then |"
    );
    println!("|---|--:|--:|--:|--:|");
    for (tool, ended) in ended {
        let Ended {
            made,
            orphans,
            doubles,
            orphans_after,
        } = ended;
        println!("| {tool} | {made} | {orphans} | {doubles} | {orphans_after} |");
    }
}

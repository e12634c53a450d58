//! `make bench`: our plugin side by side with the reference plugins, Multus and the kernel alone, in one run.
//! It prints ratios, and nothing depends on them: a loaded machine makes every row slower, and no row wrong.
//!
//! `bench [section]...` runs some sections only: planes, leases, multus, storm, rules.

mod leases;
mod measure;
mod multus;
mod ours;
mod planes;
mod reference;
mod rules;
mod storm;
mod table;

use std::process::ExitCode;

use table::Table;

/// A section's name and what makes its table.
type Section = (&'static str, fn() -> Result<Table, String>);

const SECTIONS: [Section; 5] = [
    ("planes", planes::section),
    ("leases", leases::section),
    ("multus", multus::section),
    ("storm", storm::section),
    ("rules", rules::section),
];

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench is for people to read")]
fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut result = ExitCode::SUCCESS;
    for (name, section) in SECTIONS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        match section() {
            Ok(table) => println!("{table}"),
            Err(failure) => {
                eprintln!("{name}: {failure}");
                result = ExitCode::FAILURE;
            }
        }
    }
    result
}

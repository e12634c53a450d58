//! What the demo prints on: numbered steps, tables, marks. Colour only where a terminal reads it.

#![expect(clippy::print_stdout, reason = "the demo is for people to read")]

use std::cell::Cell;
use std::io::IsTerminal;

use serde_json::Value;

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";
const DIM: &str = "2";

/// The place where the demo is written.
#[derive(Debug)]
pub(crate) struct Paper {
    has_colour: bool,
    steps: Cell<u32>,
}

impl Paper {
    pub(crate) fn new() -> Self {
        let has_colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { has_colour, steps: Cell::new(0) }
    }

    pub(crate) fn title(&self, text: &str) {
        println!("{}", self.paint(BOLD, text));
    }

    pub(crate) fn step(&self, text: &str) {
        self.steps.set(self.steps.get() + 1);
        println!("\n{}", self.paint(BOLD, &format!("{}. {text}", self.steps.get())));
    }

    pub(crate) fn line(&self, text: &str) {
        println!("   {text}");
    }

    pub(crate) fn drawing(&self, lines: &[&str]) {
        for line in lines {
            println!("   {line}");
        }
    }

    pub(crate) fn json(&self, value: &Value) {
        for line in format!("{value:#}").lines() {
            println!("   {}", self.paint(DIM, line));
        }
    }

    /// Prints a claim with its mark; a claim that does not hold ends the demo.
    pub(crate) fn check(&self, claim: &str, holds: bool) -> Result<(), String> {
        if !holds {
            return Err(format!("this does not hold: {claim}"));
        }
        println!("   {} {claim}", self.paint(GREEN, "✔"));
        Ok(())
    }

    pub(crate) fn failure(&self, text: &str) {
        println!("   {} {text}", self.paint(RED, "✘"));
    }

    pub(crate) fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain(head.get(column).map(|cell| cell.len())).max().unwrap_or(0)
        };
        let line = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        println!("   {}", self.paint(DIM, &line(&head)));
        for row in rows {
            println!("   {}", line(row));
        }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.has_colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

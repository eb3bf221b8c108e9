//! The doctor: a list of named checks, each with what was found and, if that is not well, what to do. It looks and never
//! changes anything. Receivers add checks of their own to the shared ones in [`checks`].

pub mod checks;
pub mod content;
pub mod users;

use crate::exit::Exit;
use crate::term;
use serde_json::{Value, json};

/// How well one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing to do.
    Ok,
    /// Works, but not as well as it could.
    Warn,
    /// Does not work until something is done.
    Bad,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warn => "warn",
            Health::Bad => "bad",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in a word or two: `region`, `sound server`.
    pub name: String,
    /// How well it is.
    pub health: Health,
    /// What was found, in one line.
    pub found: String,
    /// What to do, in one line.
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { name: name.into(), health: Health::Ok, found: found.into(), fix: None }
    }

    /// It could be better.
    pub fn warn(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { health: Health::Warn, fix: Some(fix.into()), ..Finding::ok(name, found) }
    }

    /// It does not work.
    pub fn bad(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { health: Health::Bad, fix: Some(fix.into()), ..Finding::ok(name, found) }
    }
}

/// All findings, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Doctor {
    findings: Vec<Finding>,
}

impl Doctor {
    /// Nothing found yet.
    pub fn new() -> Doctor {
        Doctor::default()
    }

    /// Adds the result of one check.
    pub fn add(&mut self, finding: Finding) -> &mut Self {
        self.findings.push(finding);
        self
    }

    /// Adds the results of several.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) -> &mut Self {
        self.findings.extend(findings);
        self
    }

    /// What was found so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// With what the program ends: environment if anything does not work.
    pub fn exit(&self) -> Exit {
        if self.findings.iter().any(|f| f.health == Health::Bad) { Exit::Environment } else { Exit::Done }
    }

    /// The table: a line for each check, below it the way to mend it, and one line that sums up.
    pub fn table(&self) -> String {
        let width = self.findings.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for f in &self.findings {
            text.push_str(&format!("{:4}  {:width$}  {}\n", f.health.word(), f.name, one_line(&f.found)));
            if let Some(fix) = &f.fix {
                text.push_str(&format!("{:6}{:width$}  fix: {}\n", "", "", one_line(fix)));
            }
        }
        let count = |health| self.findings.iter().filter(|f| f.health == health).count();
        let (bad, warn) = (count(Health::Bad), count(Health::Warn));
        text.push_str(&match (bad, warn) {
            (0, 0) => "all is well\n".to_owned(),
            (0, n) => format!("works; {n} {} be better\n", if n == 1 { "thing could" } else { "things could" }),
            (n, _) => format!("{n} {} in the way\n", if n == 1 { "thing is" } else { "things are" }),
        });
        text
    }

    /// The findings for machines.
    pub fn to_json(&self) -> Value {
        let finding =
            |f: &Finding| json!({ "name": f.name, "health": f.health.word(), "found": f.found, "fix": f.fix });
        json!({ "schema": 1, "findings": self.findings.iter().map(finding).collect::<Vec<_>>() })
    }
}

/// What is found may come from a guest or a file name: it must not break the table or the terminal.
fn one_line(text: &str) -> String {
    term::printable(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up_and_ends_with_a_sum() {
        let mut doctor = Doctor::new();
        assert_eq!((doctor.table().as_str(), doctor.exit()), ("all is well\n", Exit::Done));
        doctor.add(Finding::ok("region", "64 MiB")).add(Finding::warn("real time", "refused\nreally", "join audio"));
        let expected = "\
ok    region     64 MiB
warn  real time  refused really
                 fix: join audio
works; 1 thing could be better
";
        assert_eq!((doctor.table().as_str(), doctor.exit()), (expected, Exit::Done));
        doctor.extend([Finding::bad("server", "none \x1b[31m", "start it"), Finding::bad("x", "y", "z")]);
        assert!(doctor.table().ends_with("2 things are in the way\n"));
        assert!(!doctor.table().contains('\x1b'));
        assert_eq!(doctor.exit(), Exit::Environment);
    }

    #[test]
    fn machines_get_the_same_findings() {
        let mut doctor = Doctor::new();
        doctor.add(Finding::bad("server", "none", "start it")).add(Finding::ok("region", "there"));
        let expected = json!({ "schema": 1, "findings": [
            { "name": "server", "health": "bad", "found": "none", "fix": "start it" },
            { "name": "region", "health": "ok", "found": "there", "fix": null },
        ]});
        assert_eq!(doctor.to_json(), expected);
    }
}

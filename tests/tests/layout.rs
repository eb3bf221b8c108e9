//! The rules of ARCHITECTURE.md that a program can check. Each rule is a row of a table; a failure names the file, the
//! line, the rule and the reason, so that whoever breaks one can decide whether the code or the rule is wrong.

use rx_tests::process::{SOON, run};
use rx_tests::source::{self, Source, has_word};
use rx_tests::{place, programs};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;

/// Which text of a file a rule is about.
#[derive(Clone, Copy)]
enum Text {
    /// Code, tests included.
    Code,
    /// Code without tests.
    Product,
}

/// Words that may stand in some files only.
struct Words {
    words: &'static [&'static str],
    text: Text,
    /// The rule holds for paths that begin with one of these. Empty: everywhere.
    within: &'static [&'static str],
    /// ... but not for those that begin or end with one of these.
    except: &'static [&'static str],
    reason: &'static str,
}

const WORDS: &[Words] = &[
    Words {
        words: &["unsafe"],
        text: Text::Code,
        within: &[],
        except: &["shm-proto/src/raw/", "benches/src/baseline.rs", "frame-rx/src/app/wayland/foreign.rs"],
        reason: "unsafe stands where ARCHITECTURE.md says, and nowhere else",
    },
    Words {
        words: &["thread::spawn", "thread::Builder", "thread::scope"],
        text: Text::Product,
        within: &[],
        except: &["/src/main.rs", "/src/demo.rs", "benches/"],
        reason: "the thread map of a program is its main.rs or demo.rs",
    },
    Words {
        words: &["wgpu"],
        text: Text::Product,
        within: &[],
        except: &["frame-rx/src/gpu/"],
        reason: "a new wgpu may touch one folder",
    },
    Words {
        words: &["winit"],
        text: Text::Product,
        within: &[],
        except: &["frame-rx/src/app.rs", "frame-rx/src/app/", "frame-rx/src/gpu/"],
        reason: "a new winit may touch one place",
    },
    Words {
        words: &["libpulse_binding"],
        text: Text::Product,
        within: &[],
        except: &["scream-rx/src/sink/pulse.rs", "scream-rx/src/sink/pulse/"],
        reason: "a new libpulse-binding may touch one file",
    },
    Words {
        words: &["cpal"],
        text: Text::Product,
        within: &[],
        except: &["scream-rx/src/sink/device/"],
        reason: "a new cpal may touch one folder",
    },
    Words {
        words: &["nix"],
        text: Text::Product,
        within: &[],
        except: &["scream-rx/src/intake/socket.rs"],
        reason: "a new nix may touch one file",
    },
    Words {
        words: &["input_linux"],
        text: Text::Product,
        within: &[],
        except: &["frame-rx/src/input/evdev/node.rs", "frame-rx/src/input/uinput.rs"],
        reason: "another binding to evdev may touch two files",
    },
    Words {
        words: &["Instant::now", "SystemTime::now", "clock_gettime"],
        text: Text::Product,
        within: &[],
        except: &["/src/main.rs", "/src/demo.rs", "rx-host/src/clock.rs", "benches/"],
        reason: "time is an argument; clocks are read in few places",
    },
    Words {
        words: &["println", "eprintln", "tracing", "log"],
        text: Text::Product,
        within: &["shm-proto/"],
        except: &[],
        reason: "the protocols have no log",
    },
    Words {
        words: &["crate::scream", "crate::lgmp", "crate::kvmfr", "crate::ring", "crate::guest_sim"],
        text: Text::Product,
        within: &["shm-proto/src/raw/", "shm-proto/src/span.rs", "shm-proto/src/guest.rs"],
        except: &[],
        reason: "arrows never turn back: the ground knows no protocol",
    },
    Words {
        words: &["crate::lgmp", "crate::kvmfr", "crate::ring", "crate::guest_sim"],
        text: Text::Product,
        within: &["shm-proto/src/scream/"],
        except: &[],
        reason: "protocols do not know each other",
    },
    Words {
        words: &["crate::scream", "crate::kvmfr", "crate::ring", "crate::guest_sim"],
        text: Text::Product,
        within: &["shm-proto/src/lgmp/"],
        except: &[],
        reason: "LGMP carries KVMFR and does not know it",
    },
    Words {
        words: &["crate::scream", "crate::ring", "crate::guest_sim"],
        text: Text::Product,
        within: &["shm-proto/src/kvmfr/"],
        except: &[],
        reason: "protocols do not know each other",
    },
    Words {
        words: &[
            "#[ignore",
            "dead_code",
            "todo!",
            "unimplemented!",
            "dbg!",
            "allow(clippy::all",
            "allow(clippy::pedantic",
        ],
        text: Text::Code,
        within: &[],
        except: &[],
        reason: "what is not finished is not committed, and what is not used is deleted",
    },
];

#[test]
fn words_stand_where_they_may() {
    let files = source::rust_files();
    assert!(files.len() > 20, "the workspace has more files than {}", files.len());
    let mut broken = String::new();
    for rule in WORDS {
        let holds_for = |path: &str| {
            (rule.within.is_empty() || rule.within.iter().any(|w| path.starts_with(w)))
                && !rule.except.iter().any(|e| path.starts_with(e) || path.ends_with(e))
        };
        for file in files.iter().filter(|file| holds_for(&file.path)) {
            let text = match rule.text {
                Text::Code => &file.code,
                Text::Product => &file.product,
            };
            for word in rule.words {
                for line in Source::lines_with(text, word) {
                    let _ = writeln!(broken, "  {}:{line}: `{word}`: {}", file.path, rule.reason);
                }
            }
        }
    }
    assert!(broken.is_empty(), "rules of ARCHITECTURE.md are broken:\n{broken}");
}

/// The roots of every crate say what becomes of `unsafe`: forbidden, or denied where one named file holds some.
#[test]
fn every_crate_forbids_unsafe_code() {
    let with_unsafe = ["shm-proto/src/lib.rs", "benches/src/lib.rs", "frame-rx/src/lib.rs"];
    let mut broken = Vec::new();
    for file in source::rust_files() {
        let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|root| file.path.ends_with(root));
        if !is_root {
            continue;
        }
        let denied = file.code.contains("#![deny(unsafe_code)]") && with_unsafe.contains(&file.path.as_str());
        if !file.code.contains("#![forbid(unsafe_code)]") && !denied {
            broken.push(file.path);
        }
    }
    assert!(broken.is_empty(), "no #![forbid(unsafe_code)] in {broken:?}");
}

#[test]
fn a_file_has_one_subject_and_says_which() {
    let mut broken = String::new();
    for file in source::rust_files() {
        if !file.text.starts_with("//!") {
            let _ = writeln!(broken, "  {} does not begin with what it is about (//!)", file.path);
        }
        let lines = file.product_lines();
        if lines > 400 {
            let _ = writeln!(broken, "  {} has {lines} lines of code, more than 400: it has two subjects", file.path);
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

/// Which of our crates each may depend on. Tests and measurements may know all.
const ARROWS: &[(&str, &[&str])] = &[
    ("shm-proto", &[]),
    ("rx-host", &["shm-proto"]),
    ("scream-rx", &["shm-proto", "rx-host"]),
    ("frame-rx", &["shm-proto", "rx-host"]),
    ("tests/guest", &["shm-proto"]),
];

#[test]
fn arrows_between_crates_never_turn_back() {
    let root = manifest("Cargo.toml");
    let names = root["workspace"]["dependencies"].as_table().expect("a table of dependencies");
    let ours: Vec<_> = names.iter().filter(|(_, d)| d.get("path").is_some()).map(|(name, _)| name.as_str()).collect();
    assert!(ours.len() >= 6, "{ours:?}");
    for (krate, allowed) in ARROWS {
        for dependency in dependencies(&manifest(&format!("{krate}/Cargo.toml"))) {
            let wrong = ours.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str());
            assert!(!wrong, "{krate} depends on {dependency}; it may know {allowed:?}");
        }
    }
}

#[test]
fn versions_and_lints_are_the_workspaces() {
    for member in members() {
        let manifest = manifest(&format!("{member}/Cargo.toml"));
        let lints = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(lints, Some(true), "{member}: [lints] workspace = true");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(section).and_then(|d| d.as_table()).into_iter().flatten() {
                let shared = value.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(shared, Some(true), "{member}: {name} has its version in the root manifest");
            }
        }
        assert!(!programs::workspace().join(&member).join("build.rs").exists(), "{member} has a build script");
    }
}

#[test]
fn there_is_no_asynchronous_runtime() {
    // What is built here: the lock file also holds what other systems would need.
    let mut tree = cargo();
    tree.args(["tree", "--workspace", "--edges=normal,build", "--prefix=none"]);
    let done = run("cargo tree", &mut tree, SOON);
    assert!(done.status.success() && done.out.len() > 50, "{}", done.err.join("\n"));
    let names = done.out.iter().filter_map(|line| line.split(' ').next());
    let runtimes: Vec<_> = names.filter(|n| ["tokio", "async-std", "smol", "async-executor"].contains(n)).collect();
    assert!(runtimes.is_empty(), "{runtimes:?}");
}

/// Licences that leave whoever uses these programs as free as our own two do.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
];

/// Whether an expression such as `(MIT OR Apache-2.0) AND Unicode-3.0` can be met with [`LICENCES`] alone.
fn is_free(expression: &str) -> bool {
    let outside = expression.trim();
    let all = |separator: &str| split_outside_parentheses(outside, separator);
    let parts = all(" AND ");
    if parts.len() > 1 {
        return parts.into_iter().all(is_free);
    }
    let parts = all(" OR ");
    if parts.len() > 1 {
        return parts.into_iter().any(is_free);
    }
    match outside.strip_prefix('(').and_then(|o| o.strip_suffix(')')) {
        Some(inside) => is_free(inside),
        // An old way to write OR.
        None => outside.split('/').any(|name| LICENCES.contains(&name)),
    }
}

fn split_outside_parentheses<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices(separator) {
        let before = &text[start..at];
        if before.matches('(').count() == before.matches(')').count() {
            parts.push(before);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn every_dependency_is_free() {
    for (expression, expected) in [
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR LGPL-2.1) AND MIT", false),
        ("MPL-2.0", false),
    ] {
        assert_eq!(is_free(expression), expected, "{expression}");
    }
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"]);
    let done = run("cargo metadata", &mut metadata, SOON);
    let metadata: serde_json::Value = serde_json::from_str(&done.out.concat()).expect("JSON");
    let used: BTreeSet<_> =
        metadata["resolve"]["nodes"].as_array().expect("nodes").iter().map(|n| &n["id"]).map(text).collect();
    for package in metadata["packages"].as_array().expect("packages").iter().filter(|p| used.contains(text(&p["id"]))) {
        let (name, licence) = (text(&package["name"]), text(&package["license"]));
        assert!(is_free(licence), "{name} has the licence {licence:?}");
    }
    assert!(used.len() > 50, "{} packages", used.len());
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(programs::workspace());
    cargo
}

/// Text that no file may hold: places of one machine, and work that nobody wrote down.
#[test]
fn the_text_is_finished_and_speaks_of_no_machine() {
    // Put together here, so that this file does not break its own rule.
    let machine_paths = ["work", "root"].map(|folder| format!("/{folder}/"));
    let unfinished = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|halves| halves.concat());
    let mut broken = String::new();
    for path in source::files() {
        let is_text =
            ["rs", "toml", "md", "sh", "yml", "json", "service", "rules", "run", "Makefile", "conf", "desktop"];
        if !is_text.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        for (n, line) in source::read(&path).lines().enumerate() {
            let at = format!("  {path}:{}", n + 1);
            for machine_path in machine_paths.iter().filter(|p| line.contains(p.as_str())) {
                let _ = writeln!(broken, "{at}: {machine_path} is a place on one machine");
            }
            for word in unfinished.iter().filter(|w| has_word(line, w)) {
                if !line.contains('#') {
                    let _ = writeln!(broken, "{at}: a {word} without the number of its issue (#12)");
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{broken}");
}

/// Lines of README.md in blocks of one language.
fn readme_blocks(language: &str) -> Vec<String> {
    let path = programs::workspace().join("README.md");
    let text = std::fs::read_to_string(path).expect("README.md");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_end() == format!("```{language}") {
            blocks.push(lines.by_ref().take_while(|line| !line.starts_with("```")).fold(
                String::new(),
                |mut b, line| {
                    b.push_str(line);
                    b.push('\n');
                    b
                },
            ));
        }
    }
    blocks
}

/// A command line that a reader copies is understood by the program it names: its own parser says so, when asked for
/// help at the end of the line (a wrong option or value before it is an error first).
#[test]
fn the_commands_in_the_readme_are_understood() {
    let makefile = source::read("Makefile");
    let mut seen = BTreeMap::<String, usize>::new();
    for block in readme_blocks("sh") {
        for line in block.replace("\\\n", " ").lines() {
            for command in line.split(" #").next().unwrap_or_default().split("&&").map(str::trim) {
                let words: Vec<_> = command.split_whitespace().map(|w| w.trim_matches(['"', '\''])).collect();
                let Some((program, arguments)) = words.split_first() else { continue };
                let program = program.trim_start_matches("target/release/");
                *seen.entry(program.to_owned()).or_default() += 1;
                match program {
                    "make" => {
                        for target in arguments.iter().filter(|a| !a.contains('=') && !a.starts_with('-')) {
                            let known = makefile.lines().any(|l| l.starts_with(&format!("{target}:")));
                            assert!(known, "README: `{command}`: the Makefile has no {target}");
                        }
                    }
                    "scream-rx" | "frame-rx" | "rx-bench" | "rx-guest" => {
                        let binary = programs::release(program);
                        let done = run(program, Command::new(binary).args(arguments).arg("--help"), SOON);
                        assert!(done.status.success(), "README: `{command}`: {}", done.err.join("\n"));
                    }
                    _ => {}
                }
            }
        }
    }
    for program in ["make", "scream-rx", "frame-rx"] {
        assert!(seen.contains_key(program), "README shows no `{program}` command in an sh block: {seen:?}");
    }
}

/// A settings file that a reader copies is taken by the program whose name stands in its first line as a comment.
#[test]
fn the_settings_in_the_readme_are_taken() {
    for block in readme_blocks("toml") {
        let table = block.parse::<toml::Table>();
        assert!(table.is_ok(), "README: {table:?} in\n{block}");
        let first = block.lines().next().unwrap_or_default();
        let Some(program) = ["scream-rx", "frame-rx"].into_iter().find(|p| first.contains(p)) else { continue };
        let folder = place::folder();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, &block).expect("room for a file");
        let mut command = Command::new(programs::release(program));
        let done = run(program, command.arg("config").arg("--config").arg(&file), SOON);
        assert!(done.status.success(), "README: {program} does not take\n{block}{}", done.err.join("\n"));
    }
}

fn manifest(path: &str) -> toml::Value {
    source::read(path).parse::<toml::Table>().unwrap_or_else(|e| panic!("{path}: {e}")).into()
}

fn members() -> Vec<String> {
    let root = manifest("Cargo.toml");
    let members = root["workspace"]["members"].as_array().expect("members");
    members.iter().filter_map(|m| m.as_str()).map(str::to_owned).collect()
}

fn dependencies(manifest: &toml::Value) -> Vec<String> {
    // What tests need points the other way without harm.
    let sections = ["dependencies", "build-dependencies"].iter().filter_map(|s| manifest.get(s)?.as_table());
    sections.flat_map(|table| table.keys().cloned()).collect()
}

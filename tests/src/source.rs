//! Reads the workspace's own source text: which files there are, and what in them is code, comment or test.
//!
//! A lexer of forty lines, not a parser: it knows comments, strings and braces, and the attribute that marks a test
//! module. That is enough to ask where a word stands.

use crate::programs::workspace;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A source file of the workspace.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path from the workspace's folder, with `/` between the parts.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// The text with comments, strings and character literals blanked out. Lines stay where they are.
    pub code: String,
    /// As `code`, and test modules are blanked out too. Empty if the whole file is one.
    pub product: String,
}

impl Source {
    fn new(path: String, text: String, is_test: bool) -> Source {
        let code = without_comments_and_strings(&text);
        let product = if is_test { String::new() } else { without_test_modules(&code) };
        Source { path, text, code, product }
    }

    /// How many lines of product code there are.
    pub fn product_lines(&self) -> usize {
        self.product.lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// The numbers (from 1) of the lines of `text` (one of this file's three texts) that hold `word` as a whole word.
    pub fn lines_with(text: &str, word: &str) -> Vec<usize> {
        text.lines().enumerate().filter(|(_, line)| has_word(line, word)).map(|(n, _)| n + 1).collect()
    }
}

/// Every Rust file of the workspace, in order of paths.
///
/// # Panics
/// If one cannot be read.
pub fn rust_files() -> Vec<Source> {
    let paths = files().into_iter().filter(|path| path.ends_with(".rs"));
    let texts: Vec<_> = paths.map(|path| (read(&path), path)).collect();
    let tests = test_files(&texts);
    let is_test = |path: &str| tests.contains(path) || in_test_folder(path);
    texts.into_iter().map(|(text, path)| Source::new(path.clone(), text, is_test(&path))).collect()
}

/// Every file of the workspace that is kept in version control or would be, in order of paths.
///
/// # Panics
/// If a folder cannot be read.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(workspace(), &mut found);
    let relative = found.iter().filter_map(|path| path.strip_prefix(workspace()).ok());
    let mut names: Vec<_> = relative.map(|path| path.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The text of one file, given as [`files`] names it; bytes that are no text are replaced.
///
/// # Panics
/// If it cannot be read.
pub fn read(path: &str) -> String {
    let bytes = std::fs::read(workspace().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether `line` holds `word` with no letter, digit or underscore beside it.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let open_end = |c: Option<char>| c.is_some_and(|c| !(c.is_alphanumeric() || c == '_'));
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        (open_end(word.chars().next()) || !is_part(before.chars().next_back()))
            && (open_end(word.chars().next_back()) || !is_part(after.chars().next()))
    })
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            // What is built or written by a run; a version control's own folder; another checkout inside this one.
            let skip = [".git", "target", "out"].iter().any(|skip| name == *skip) || path.join(".git").exists();
            if !skip {
                walk(&path, found);
            }
        } else if name != ".git" {
            found.push(path);
        }
    }
}

fn in_test_folder(path: &str) -> bool {
    path.starts_with("tests/") || path.split('/').nth(1).is_some_and(|part| part == "tests" || part == "benches")
}

/// Files that are whole test modules: declared as `mod name;` under an attribute that says test.
fn test_files(texts: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (text, path) in texts {
        let code = without_comments_and_strings(text);
        for (name, _) in test_modules(&code).into_iter().filter(|(_, body)| body.is_none()) {
            let folder = match path.rsplit_once('/') {
                Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
                _ => path.trim_end_matches(".rs").to_owned(),
            };
            // The last is where `#[path]` puts the tests of a module that has no folder.
            let beside = format!("{folder}_{name}.rs");
            found.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs"), beside]);
            // What a module of tests is divided into.
            let parts = format!("{folder}/{name}/");
            found.extend(texts.iter().map(|(_, path)| path).filter(|path| path.starts_with(&parts)).cloned());
        }
    }
    found
}

/// Blanks out comments, strings and character literals, keeping every line break.
pub fn without_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let length = literal_length(rest, text[..at].chars().next_back());
        if length == 0 {
            let c = rest.chars().next().unwrap_or(' ');
            code.push(c);
            at += c.len_utf8();
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at += length;
        }
    }
    code
}

/// The length of the comment, string or character literal that starts here, or 0.
fn literal_length(rest: &str, before: Option<char>) -> usize {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |n| from + n + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return to("*/", 2);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - raw.len();
    if !in_word && prefix <= 1 && raw.starts_with('r') {
        let hashes = raw[1..].bytes().take_while(|b| *b == b'#').count();
        if raw[1 + hashes..].starts_with('"') {
            return to(&format!("\"{}", "#".repeat(hashes)), prefix + hashes + 2);
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, b'"');
    }
    // A character literal, unless it is a lifetime: those have no quote after one character.
    if let Some(inside) = rest.strip_prefix('\'') {
        let mut inside = inside.chars();
        match (inside.next(), inside.next()) {
            (Some('\\'), _) => return quoted(rest, b'\''),
            (Some(c), Some('\'')) => return 2 + c.len_utf8(),
            _ => {}
        }
    }
    0
}

fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Blanks out test modules in `code`, which has no comments or strings any more.
fn without_test_modules(code: &str) -> String {
    let mut product = code.to_owned();
    for body in test_modules(code).into_iter().filter_map(|(_, body)| body) {
        let blank: String = code[body.clone()].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        // Equal in length: strings are gone, and code outside of them is ASCII in this workspace; else nothing is cut.
        if blank.len() == body.len() {
            product.replace_range(body, &blank);
        }
    }
    product
}

/// Modules under an attribute like `#[cfg(test)]` or `#[cfg(all(test, loom))]`: their names, and where they stand, from
/// the attribute to the last brace, if they have their bodies here.
fn test_modules(code: &str) -> Vec<(String, Option<Range<usize>>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("#[cfg(") {
        let Some(end) = code[at..].find(']') else { continue };
        let attribute = &code[at..at + end];
        if !(has_word(attribute, "test") || has_word(attribute, "loom")) || attribute.contains("not(") {
            continue;
        }
        let mut rest = code[at + end + 1..].trim_start();
        while rest.starts_with("#[") {
            let Some(end) = rest.find(']') else { break };
            rest = rest[end + 1..].trim_start();
        }
        let Some(name_and_on) = rest.strip_prefix("pub ").unwrap_or(rest).strip_prefix("mod ") else { continue };
        let name: String = name_and_on.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let start = code.len() - name_and_on.len() + name.len();
        let body = code[start..].trim_start();
        let start = code.len() - body.len();
        found.push((name, body.starts_with('{').then(|| at..start + braces(body))));
    }
    found
}

/// The length of the block that starts with a brace here.
fn braces(code: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = r####"
            let a = "unsafe \" unsafe"; // unsafe
            /* unsafe
               unsafe */ let b = r#"unsafe " "#;
            let c = '"'; let d: &'static str = b"unsafe"; let e = '\'';
            unsafe { f('u') }
        "####;
        let code = without_comments_and_strings(text);
        assert_eq!(Source::lines_with(&code, "unsafe"), [6], "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(code.contains("let d: &'static str = b") && code.contains("let e ="));
    }

    #[test]
    fn words_are_whole() {
        for (line, word, expected) in [
            ("unsafe_code", "unsafe", false),
            ("use wgpu::Device", "wgpu", true),
            ("not_wgpu", "wgpu", false),
            ("std::thread::spawn(f)", "thread::spawn", true),
            ("my_thread::spawn(f)", "thread::spawn", false),
            ("x.unwrap()", ".unwrap()", true),
        ] {
            assert_eq!(has_word(line, word), expected, "{line} / {word}");
        }
    }

    #[test]
    fn test_modules_are_no_product() {
        let source = Source::new(
            "a.rs".into(),
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { let s = \"}\"; }\n}\nfn c() {}\n".into(),
            false,
        );
        assert_eq!(source.product_lines(), 2, "{}", source.product);
        assert!(source.code.contains("fn b") && !source.product.contains("fn b") && source.product.contains("fn c"));
    }

    #[test]
    fn a_test_module_in_its_own_file_is_found() {
        let text = "#[cfg(all(test, loom))]\n#[path = \"x\"]\nmod model;\n#[cfg(not(test))]\nmod real;".to_owned();
        for (path, expected) in [("a/src/lib.rs", "a/src/model.rs"), ("a/src/ring.rs", "a/src/ring/model.rs")] {
            let found = test_files(&[(text.clone(), path.to_owned())]);
            assert!(found.contains(expected) && !found.iter().any(|f| f.contains("real")), "{found:?}");
        }
    }
}

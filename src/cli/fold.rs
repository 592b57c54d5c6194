//! Lines no wider than the terminal, for people. Pure.
//!
//! For: what is printed line by line; pages that are laid out ([`crate::report`]) fit already. Invariant: without its line breaks
//! and the blanks around them it is the same text, and nothing that is typed next (`…` in backquotes, or a command after a
//! colon) is broken: who copies it would copy half of it.

use std::fmt::Write as _;

/// Before what is typed next, up to the end of the line.
const COMMAND: &str = ": redrill ";

/// The text, each of its lines broken at blanks where it is wider than that; what goes on stands below its own column.
pub fn folded(text: &str, width: usize) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| one(line, width)).collect();
    lines.join("\n")
}

fn one(line: &str, width: usize) -> String {
    let length = |text: &str| text.chars().count();
    // a line of a file has marks below it
    let excerpt = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    if excerpt || length(line) <= width {
        return line.to_owned();
    }
    let hanging = hanging(line, width);
    let mut out = String::new();
    let mut used = 0;
    for word in words(line) {
        let bare = word.trim_start();
        // what stands alone does not fit better on another line
        if used > hanging && used + length(word) > width {
            let _ = write!(out, "\n{}{bare}", " ".repeat(hanging));
            used = hanging + length(bare);
        } else {
            out.push_str(word);
            used += length(word);
        }
    }
    out
}

/// Where further lines begin: in the last column of a line that has columns, else behind its label.
fn hanging(line: &str, width: usize) -> usize {
    let margin = line.len() - line.trim_start().len();
    let text = &line[margin..];
    for label in ["hint: ", "- "] {
        if text.starts_with(label) {
            return margin + label.len();
        }
    }
    let near = line.char_indices().nth(width / 2).map_or(line.len(), |(at, _)| at);
    match line[..near].rfind("  ").filter(|at| *at >= margin) {
        Some(at) => line[..at].chars().count() + 2,
        None => margin,
    }
}

/// The words of a line, each with the blanks before it.
fn words(line: &str) -> Vec<&str> {
    let command = line.find(COMMAND).map_or(line.len(), |at| at + 1);
    let (mut out, mut from, mut quoted, mut in_word) = (Vec::new(), 0, false, false);
    for (at, c) in line[..command].char_indices() {
        quoted ^= c == '`';
        if c == ' ' && in_word && !quoted {
            out.push(&line[from..at]);
            from = at;
        }
        in_word = c != ' ';
    }
    out.push(&line[from..command]);
    if command < line.len() {
        out.push(&line[command..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_on_below_its_own_column() {
        for (line, folds) in [
            ("short", "short"),
            ("one two three four five six", "one two three four\nfive six"),
            ("  hint: do this, then do that", "  hint: do this, then\n        do that"),
            ("- not proven: who did it, and why", "- not proven: who did\n  it, and why"),
            ("ok    what holds and what not", "ok    what holds and\n      what not"),
            (" 14 | limits: { max_targets: 1 }", " 14 | limits: { max_targets: 1 }"),
            ("äöü  ßßß äöü äöü äöü äöü", "äöü  ßßß äöü äöü äöü\n     äöü"),
            ("a-word-that-is-longer-than-all and more", "a-word-that-is-longer-than-all\nand more"),
            ("first\n  second that is too long a line", "first\n  second that is too\n  long a line"),
        ] {
            assert_eq!(folded(line, 21), folds);
        }
    }

    #[test]
    fn what_is_typed_next_stays_in_one_piece() {
        assert_eq!(
            folded("  hint: finish it with: redrill rollback last --set-env pw=… --state there", 30),
            "  hint: finish it with:\n        redrill rollback last --set-env pw=… --state there"
        );
        assert_eq!(
            folded("see what `aws ec2 start it` says of it", 20),
            "see what\n`aws ec2 start it`\nsays of it"
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_and_only_single_words_are_wider(text in "[a-zß `:-]{0,90}|([a-z]{1,9} {1,3}){0,20}", width in 8usize..40) {
            let out = folded(&text, width);
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            proptest::prop_assert_eq!(squeezed(&out), squeezed(&text));
            for line in out.lines().filter(|line| line.chars().count() > width) {
                let last = words(line).last().map_or(0, |word| word.chars().count());
                let before = line.chars().count() - last;
                proptest::prop_assert!(before <= width || text.contains('`') || text.starts_with(' '), "{line:?} of {text:?}");
            }
        }
    }
}

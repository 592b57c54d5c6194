//! Which characters of a text from elsewhere may be shown. Pure.
//!
//! Left to others: what a format makes of the characters that are shown. Invariant: nothing that passes
//! steers a terminal, changes the direction of reading, or is there without being seen.

/// What becomes of a character on one line of text: itself, a blank for what separates, or nothing.
pub fn shown(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if is_unseen(c) => None,
        c => Some(c),
    }
}

/// Whether a character acts without being seen: control characters, marks of direction, characters
/// without a width, fillers, and tags.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_not_shown() {
        let shown = |text: &str| text.chars().filter_map(shown).collect::<String>();
        assert_eq!(
            shown("a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}b\u{200b}\u{2066}\u{e0041}\u{ad}c\td\u{2028}e"),
            "a[2J1mbc d e"
        );
        assert_eq!(shown("Grüße, 東京 — ✓ e\u{301}"), "Grüße, 東京 — ✓ e\u{301}");
    }
}

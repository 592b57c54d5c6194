//! No ordinary way of writing a secret gets past: every one of them, whole, in lines, and cut.

use super::*;

/// A secret as some program writes it; of the whole the part that gives it away.
fn spelled(kind: usize, secret: &str, before: &str, behind: &str) -> Option<(String, String)> {
    let same = |text: String| Some((text.clone(), text));
    let each = |f: &dyn Fn(char) -> String| secret.chars().map(f).collect::<String>();
    let percent = |plain: &str, text: &str| {
        let one = |b: u8| match char::from(b) {
            c if c.is_ascii_alphanumeric() || plain.contains(c) => c.to_string(),
            _ => format!("%{b:02X}"),
        };
        text.bytes().map(one).collect::<String>()
    };
    let in_base64 = |engine: &dyn Fn(&str) -> String| {
        let whole = engine(&format!("{before}{secret}{behind}"));
        let from = (before.len() * 8).div_ceil(6);
        let core = whole[from..(before.len() + secret.len()) * 8 / 6].to_owned();
        Some((whole, core))
    };
    let json = in_json(secret);
    let in_units = |c: char, write: &dyn Fn(u16) -> String| {
        c.encode_utf16(&mut [0; 2]).iter().map(|unit| write(*unit)).collect::<String>()
    };
    match kind {
        0 => same(secret.to_owned()),
        // python's quote, encodeURIComponent, a form, and with small digits
        1 => same(percent("_.-~/", secret)),
        2 => same(percent("-_.!~*'()", secret)),
        3 => same(percent("*-._ ", secret).replace(' ', "+")),
        4 => same(lower_escapes(&percent("", secret))),
        5 => same(json),
        6 => same(each(&|c| {
            if c.is_ascii() { in_json(&c.to_string()) } else { in_units(c, &|u| format!("\\u{u:04x}")) }
        })),
        7 => same(each(&|c| in_units(c, &|u| format!("\\u{u:04X}")))),
        8 => same(json.replace('/', "\\/")),
        9 => same(in_json(&json)),
        10 => same(each(&|c| match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            '\'' => "&#39;".into(),
            c => c.into(),
        })),
        11 => same(each(&|c| {
            if c.is_ascii_alphanumeric() { c.into() } else { format!("&#x{:x};", u32::from(c)) }
        })),
        12 => same(secret.replace('\'', "'\\''")),
        13 => same(secret.replace('\'', "'\"'\"'")),
        14 => same(each(&|c| if c.is_ascii_punctuation() || c == ' ' { format!("\\{c}") } else { c.into() })),
        15 => same(each(&|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_ascii() => c.into(),
            c => c.to_string().bytes().map(|b| format!("\\x{b:02x}")).collect(),
        })),
        16 => same(secret.replace('\'', "''").replace('"', "\"\"")),
        17 => same(in_hex(secret.as_bytes())),
        18 => same(in_hex(secret.as_bytes()).to_uppercase()),
        19 => in_base64(&|text| STANDARD_NO_PAD.encode(text)),
        20 => in_base64(&|text| URL_SAFE_NO_PAD.encode(text)),
        21 => in_base64(&|text| STANDARD_NO_PAD.encode(text))
            .map(|(all, core)| (percent("", &all), percent("", &core))),
        22 => same(in_json(&percent("", secret))),
        23 => same(percent("", &json)),
        24 => same(json.replace('&', "&amp;").replace('"', "&quot;")),
        25 => same(in_json(&secret.replace('\'', "'\\''"))),
        _ => None,
    }
}
const KINDS: usize = 26;

/// As programs break lines: after so many characters.
fn wrapped(text: &str, width: usize, with: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(width).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join(with)
}

/// Whether that much of what gives the secret away is left, wherever lines were broken.
fn gives_away(text: &str, core: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let (text, core) = (squeezed(text), squeezed(core));
    core.as_bytes().windows(SHORTEST_ENCODED_CUT).any(|part| {
        let letters = part.iter().filter(|b| b.is_ascii_alphanumeric()).count();
        letters >= 4 && text.as_bytes().windows(part.len()).any(|there| there == part)
    })
}

#[test]
fn what_programs_made_of_one_secret_is_taken_out() {
    let secret = "pa'ss/w\"örd & more+1";
    let redaction = Redaction::new(&[("pw".to_owned(), secret.to_owned())].into(), &["pw".to_owned()], &[]);
    for (what, text) in [
        ("bash -x", r#"+ curl -u 'me:pa'\''ss/w"örd & more+1' http://h"#),
        ("printf %q", r#"pa\'ss/w\"örd\ \&\ more+1"#),
        ("shlex.quote", r#"'pa'"'"'ss/w"örd & more+1'"#),
        ("quote", "GET https://api/x?token=pa%27ss/w%22%C3%B6rd%20%26%20more%2B1"),
        ("encodeURIComponent", "token=pa'ss%2Fw%22%C3%B6rd%20%26%20more%2B1"),
        ("urlencode", "token=pa%27ss%2fw%22%c3%b6rd+%26+more%2b1"),
        ("json.dumps", r#"{"password": "pa'ss/w\"\u00f6rd & more+1"}"#),
        ("json_encode", r#"{"password":"pa'ss\/w\"\u00F6rd & more+1"}"#),
        ("ascii", r#"'pa\'ss/w"\xf6rd & more+1'"#),
        ("bytes", r#"b'pa\'ss/w"\xc3\xb6rd & more+1'"#),
        ("octal", r#"$'pa\'ss/w"\303\266rd & more+1'"#),
        ("html.escape", "<b>pa&#x27;ss/w&quot;örd &amp; more+1</b>"),
        ("xml", "<b>pa&apos;ss/w&quot;&#246;rd &amp; more+1</b>"),
        ("base64 -w 20", "bWU6cGEnc3Mvdy\nLDtnJkICYgbW9y\nZSsxCg=="),
        ("xxd -p", "70612773732f7722c3b67264202620\n6d6f72652b31"),
        ("fold", "pa'ss/w\"ör\nd & more+1"),
    ] {
        let text = match what {
            "base64 -w 20" => wrapped(&STANDARD_NO_PAD.encode(format!("me:{secret}\n")), 20, "\n"),
            _ => text.to_owned(),
        };
        let mut kept = format!("it said: {text} ####");
        redaction.told(&mut kept);
        assert!(kept.contains("[secret pw, encoded]"), "{what}: {kept}");
        for part in ["ss/w", "rd &", "rd%20", "more", "w%22", "72642", "cGE"] {
            assert!(!kept.replace("curl", "").contains(part), "{what}: {kept}");
        }
    }
}

#[test]
fn what_only_a_terminal_acts_on_hides_nothing() {
    let redaction =
        Redaction::new(&[("pw".to_owned(), "Zq9'mid/vLm2".to_owned())].into(), &["pw".to_owned()], &[]);
    for (what, text) in [
        ("grep --color", "password=Zq9'\u{1b}[01;31m\u{1b}[Kmid\u{1b}[m\u{1b}[K/vLm2"),
        ("tput sgr0", "Zq9\u{1b}[1m'mid\u{1b}(B\u{1b}[m/vLm2"),
        ("C1", "Zq9'\u{9b}1mmid\u{9b}m/vLm2"),
        ("an escape alone", "Zq9'mid/\u{1b}vLm2"),
        ("no width", "Zq9'\u{200b}mid/v\u{2060}L\u{ad}m2"),
        ("a backspace", "Zq9'\u{8}mid/vLm2"),
        (
            "nroff's bold",
            "Z\u{8}Zq\u{8}q9\u{8}9'\u{8}'m\u{8}mi\u{8}id\u{8}d/\u{8}/v\u{8}vL\u{8}Lm\u{8}m2\u{8}2",
        ),
        ("JSON", r#"{"log":"Zq9'\u001b[31mmid\u001b[m\/vLm2"}"#),
        ("in lines", "Zq9'\u{1b}[31m\nmid\u{1b}[m/vLm2"),
        ("with colons", "5a:71:39:27:6d:69:64:2f:76:4c:6d:32"),
        ("hexdump", "5a 71 39 27 6d 69 64 2f\n76 4c 6d 32"),
        ("openssl", "    5A:71:39:27:6D:69:\n    64:2F:76:4C:6D:32"),
        ("base64 | base64", &STANDARD_NO_PAD.encode(STANDARD_NO_PAD.encode("me:Zq9'mid/vLm2\n"))),
    ] {
        let mut kept = format!("it said: {text} ####");
        redaction.told(&mut kept);
        assert!(kept.contains("[secret pw, encoded]"), "{what}: {kept:?}");
        for part in ["mid", "vLm", "Lm2", "Zq", "39", "2f", "6D"] {
            assert!(!kept.contains(part), "{what}: {kept:?}");
        }
    }
    let mut cut = "it said: Zq9'\u{1b}[01;31m\u{1b}[Kmi…".to_owned();
    redaction.told(&mut cut);
    assert_eq!(cut, "it said: [secret pw, cut]…");
}

#[test]
fn what_is_no_secret_stays() {
    let redaction =
        Redaction::new(&[("pw".to_owned(), "pa'ss/wörd".to_owned())].into(), &["pw".to_owned()], &[]);
    for text in [
        "\u{1b}[1mbold\u{1b}[m, \u{8} and wide\u{200b}ly, 10:30:00 00:1b:44:11:3a:b7",
        r#"C:\temp\new said "it's" 100% of a+b &amp; c, \u00f6 %2F ''"#,
        "pa'ss\nno word",
        "line\nline\r\n\tline …",
        "eyJhIjoi\nYiJ9",
    ] {
        let mut kept = text.to_owned();
        redaction.told(&mut kept);
        assert_eq!(kept, text);
    }
}

#[test]
fn what_is_acted_on_and_cannot_be_put_back_is_taken_out_all_the_same() {
    let written = r#"-H "token: cAn?ry \"7\/ü\"+x""#;
    let mut value = json!({ "argv": [written, SECRET, format!("'{SECRET}'"), format!("\\{SECRET}")] });
    redaction().value(&mut value, For::Acting);
    assert_eq!(
        value,
        json!({ "argv": [
            r#"-H "token: [secret token, encoded]""#,
            "[secret token]",
            "'[secret token]'",
            "\\[secret token]",
        ] })
    );
    assert!(reveal(&mut value, &secrets(), &names()).unwrap_err().contains("not on record"));
}

const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n\
    MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu\n\
    Zq7hunter2x==\n\
    -----END PRIVATE KEY-----\n";

fn of_the_key(text: &str) -> String {
    let redaction = Redaction::new(&[("key".to_owned(), PEM.to_owned())].into(), &["key".to_owned()], &[]);
    let mut text = text.to_owned();
    redaction.told(&mut text);
    text
}

#[test]
fn of_a_secret_of_several_lines_each_is_taken_out_behind_any_prefix() {
    let lines: Vec<&str> = PEM.lines().collect();
    let gives_away = |text: &str| {
        lines[1..4].iter().any(|line| (0..=line.len() - 9).any(|n| text.contains(&line[n..n + 9])))
    };
    let all = |prefix: &str, with: &dyn Fn(usize, &str) -> String| {
        lines.iter().enumerate().map(|(n, line)| format!("{prefix}{}\n", with(n, line))).collect::<String>()
    };
    let plain = |_: usize, line: &str| line.to_owned();
    for written in [
        all("app | ", &plain),
        all("", &|n, line| format!("{:6}\t{line}", n + 1)),
        all("> ", &plain),
        all("", &|_, line| serde_json::json!({ "msg": format!("app | {line}"), "n": 1 }).to_string()),
        all("", &|_, line| format!("{line}$")),
        lines[2].to_owned(),
        format!("it said {} and no more", lines[1].to_lowercase()),
        lines[2].replace('/', "%2F"),
        lines[2].replace('/', r"\/"),
        format!("x {}…", &lines[1][..20]),
    ] {
        assert!(gives_away(&written) || written.contains('%') || !written.contains("MII"), "{written}");
        let told = of_the_key(&written);
        assert!(!gives_away(&told) && told.contains("[secret key"), "{told}");
    }
    // and behind escapes that are part of the secret itself
    let escaped = PEM.replace('\n', r"\n");
    let json = format!("{{\"private_key\": \"{escaped}\"}}");
    let redaction = Redaction::new(&[("key".to_owned(), json)].into(), &["key".to_owned()], &[]);
    let mut told = all("app | ", &plain);
    redaction.told(&mut told);
    assert!(!gives_away(&told), "{told}");
}

#[test]
fn what_every_key_begins_with_and_what_the_plan_says_stays() {
    for text in [
        "-----BEGIN PRIVATE KEY----- is how it begins",
        "no -----END PRIVATE KEY----- in it",
        "MIIEvQI",
        "creating... done",
    ] {
        assert_eq!(of_the_key(text), text);
    }
    let secret = "host: shop-orders\nshop-orders\npassword: Zq7-hunter2\n";
    let secrets = [("login".to_owned(), secret.to_owned())].into();
    let redaction = Redaction::except(&|line| line == "shop-orders", &secrets, &["login".to_owned()], &[]);
    let mut text = "shop-orders said: password: Zq7-hunter2".to_owned();
    redaction.told(&mut text);
    assert_eq!(text, "shop-orders said: [secret login, encoded]");
    // what is held against what was sent, and what is acted on, stays as it was
    for whom in [For::Both, For::Acting] {
        let mut text = "host: shop-orders".to_owned();
        redaction.text(&mut text, whom);
        assert_eq!(text, "host: shop-orders");
    }
}

#[test]
fn three_dots_say_that_a_text_was_cut_too() {
    assert_eq!(of_the_key(r#"x "-----BEGIN PRIV...""#), r#"x "[secret key, cut]...""#);
    let redaction =
        Redaction::new(&[("pw".to_owned(), "Zq7-hunter".to_owned())].into(), &["pw".to_owned()], &[]);
    for (text, want) in [
        ("Zq7-h... and more", "[secret pw, cut]... and more"),
        ("Zq7-h.... Zq7-…", "[secret pw, cut].... [secret pw, cut]…"),
        ("... Zq7...", "... Zq7..."),
        ("Zq7-h. and", "Zq7-h. and"),
    ] {
        let mut told = text.to_owned();
        redaction.told(&mut told);
        assert_eq!(told, want);
    }
}

#[test]
fn of_two_that_overlap_nothing_is_left() {
    let two = [("a".to_owned(), "first'one".to_owned()), ("b".to_owned(), "one/second".to_owned())];
    let redaction = Redaction::new(&two.into(), &["a".to_owned(), "b".to_owned()], &[]);
    let mut text = "x first'one\\/second y".to_owned();
    redaction.told(&mut text);
    assert_eq!(text, "x [secret a, encoded] y");
}

proptest::proptest! {
    #[test]
    fn no_spelling_gets_past_whole_or_in_lines(
        secret in "[!-~üß😀 ]{8,40}",
        before in "[a-z:{]{0,6}",
        behind in "[a-z}]{0,6}",
        kind in 0..KINDS,
        width in 4_usize..80,
        broken in 0_usize..5,
    ) {
        proptest::prop_assume!(secret.trim() == secret);
        let redaction = Redaction::new(&[("pw".to_owned(), secret.clone())].into(), &["pw".to_owned()], &[]);
        let (written, core) = spelled(kind, &secret, &before, &behind).unwrap();
        let written = match ["", "\n", "\r\n", " ", "\n    "][broken] {
            "" => written,
            with => wrapped(&written, width, with),
        };
        let mut text = format!("#### {written} #### it's 100% \\d &c; {written}");
        redaction.told(&mut text);
        proptest::prop_assert!(!gives_away(&text, &core), "{kind}: {core:?} in {text:?} of {written:?}");
        proptest::prop_assert!(text.starts_with("####") && text.contains(" #### it's 100% \\d &c; "), "{text:?}");
    }

    #[test]
    fn of_a_spelling_that_was_cut_little_is_left(
        secret in "[!-~üß]{10,40}",
        before in "[a-z:{]{0,6}",
        kind in 0..KINDS,
        at in 0_usize..400,
        width in 20_usize..80,
    ) {
        let redaction = Redaction::new(&[("pw".to_owned(), secret.clone())].into(), &["pw".to_owned()], &[]);
        let (written, _) = spelled(kind, &secret, &before, "").unwrap();
        let first: String = secret.chars().take(SHORTEST_ENCODED_CUT).collect();
        let short = spelled(kind, &first, &before, "").unwrap().0.len() + 12;
        let text = wrapped(&written, width, "\n");
        let end = text.floor_char_boundary(at.min(text.len()));
        let mut text = format!("#### {}…; it failed", &text[..end]);
        redaction.told(&mut text);
        let left = text.trim_start_matches("#### ").split("[secret").next().unwrap_or("");
        let left = left.split('…').next().unwrap_or("").len();
        proptest::prop_assert!(left <= short, "{kind}: {left} > {short} of {secret:?} in {text:?}");
    }

    #[test]
    fn a_text_without_the_secret_stays_as_it_is(
        secret in "[!-~ü]{8,40}",
        text in "([a-z ]{1,9}|%[0-9A-F]{2}|\\\\u00[0-9a-f]{2}|\\\\[n\"/]|&(amp|quot|#39);|'\\\\''|''|[A-Za-z0-9+/]{64}\n|…){0,30}",
    ) {
        let redaction = Redaction::new(&[("pw".to_owned(), secret)].into(), &["pw".to_owned()], &[]);
        let mut kept = text.clone();
        redaction.told(&mut kept);
        proptest::prop_assert_eq!(&kept, &text);
        redaction.text(&mut kept, For::Acting);
        proptest::prop_assert_eq!(kept, text);
    }
}
